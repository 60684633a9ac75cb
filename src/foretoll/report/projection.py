"""The picture of where the representation moved: source and target points of each class, and arrows between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from foretoll.records import Estimate
from foretoll.report.document import Figure, Table, table
from foretoll.report.figures import Point, Svg, class_mark, fitted, shortened
from foretoll.report.plots import WIDTH
from foretoll.report.words import MISSING, two_digits
from foretoll.units import human_number

MAX_POINTS = 700
"""Points drawn per side of the projection; more would only cover each other."""


def projection_figure(estimate: Estimate) -> Figure | None:
    """Where the representation of each class lies for source and target, in two dimensions."""
    picture = estimate.projection
    if picture is None or not picture.target:
        return None
    task = estimate.shift == "task"
    size = WIDTH
    svg = Svg(size, size * 0.86, "Source and target representations, projected to two dimensions")
    points = [*picture.source, *picture.target]
    x = fitted((p[0] for p in points), 6, size - 6, margin=0.04)
    y = fitted((p[1] for p in points), size * 0.86 - 6, 6, margin=0.04)
    of_source = _by_class(picture.source, picture.source_labels)
    of_target = _by_class(picture.target, picture.target_labels)
    source, target = (
        {label: [(x(a), y(b)) for a, b in members] for label, members in of.items()}
        for of in (of_source, of_target)
    )
    source_names = estimate.source.classes if estimate.source is not None else ()
    target_names = estimate.target.classes
    for label, members in source.items():
        colour = "muted" if task else class_mark(label)[0]
        svg.marks(
            members, size=1.6, css=f"{colour} faint", title=f"source, class {_name(source_names, label)}"
        )
    for label, members in target.items():
        colour, shape = class_mark(label)
        svg.marks(
            members,
            shape=shape,
            size=2.3,
            css=f"{colour} point",
            title=f"target, class {_name(target_names, label)}",
        )
    if not task:
        for label in sorted(source.keys() & target.keys()):
            _arrow(svg, _centre(source[label]), _centre(target[label]))
            if len(target) <= 12:
                cx, cy = _centre(target[label])
                svg.text(cx, cy - 7, shortened(_name(target_names, label), 14), anchor="middle", css="name")
    legend = tuple((_key(*class_mark(label)), _name(target_names, label)) for label in sorted(target))
    what = "The target's classes, as the old model sees them; there are no data of its source."
    if source:
        what = (
            "Grey: the source. Coloured: the target's new classes, as the old model sees them."
            if task
            else "Small faint points: source. Larger points: target. Arrows: from the centre of a class in the source "
            "to its centre in the target."
        )
    drawn = sum(map(len, source.values())) + sum(map(len, target.values()))
    part = f" {drawn:,} of {len(points):,} points are drawn." if drawn < len(points) else ""
    caption = f"{what} A linear projection that keeps {picture.explained * 100:.0f} % of the variance.{part}"
    numbers = _centres({} if task else of_source, of_target, target_names)
    return Figure("Where the representation moved", svg.render(), caption, numbers, legend)


def _centres(
    source: Mapping[int, Sequence[Point]], target: Mapping[int, Sequence[Point]], names: Sequence[str]
) -> Table:
    """Where the centre of each class lies in the picture's two directions, and how far it moved."""
    rows = []
    for label in sorted(target):
        there = _centre(target[label])
        cells = [_name(names, label), f"{len(target[label]):,}", _place(there)]
        if source:
            here = _centre(source[label]) if label in source else None
            cells.insert(2, _place(here) if here else MISSING)
            cells.append(human_number(math.dist(here, there)) if here else MISSING)
        rows.append(cells)
    heads = ["class", "points", *(["source"] if source else []), "target", *(["moved by"] if source else [])]
    return table("", heads, rows, numbers=range(1, len(heads)))


def _place(point: Point) -> str:
    return ", ".join(f"{two_digits(value)}" for value in point)


def _by_class(points: Sequence[Point], labels: Sequence[int]) -> dict[int, list[Point]]:
    every = max(1, -(-len(points) // MAX_POINTS))
    groups: dict[int, list[Point]] = {}
    for point, label in list(zip(points, labels, strict=False))[::every]:
        groups.setdefault(label, []).append((point[0], point[1]))
    return groups


def _centre(points: Sequence[Point]) -> Point:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)


def _arrow(svg: Svg, start: Point, end: Point) -> None:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5
    if length < 1:
        return
    ux, uy = dx / length, dy / length
    svg.line(*start, *end, "arrow")
    left = (end[0] - 6 * ux + 3.5 * uy, end[1] - 6 * uy - 3.5 * ux)
    right = (end[0] - 6 * ux - 3.5 * uy, end[1] - 6 * uy + 3.5 * ux)
    svg.polyline([left, end, right], "arrow")


def _key(colour: str, shape: str) -> Markup:
    return Svg(14, 14, "").marks([(7.0, 7.0)], shape=shape, size=4, css=f"{colour} point").render_hidden()


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"
