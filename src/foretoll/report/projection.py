"""The picture of where the representation moved: source and target points of each class, and arrows between them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from foretoll.records import Estimate
from foretoll.report.document import Figure
from foretoll.report.figures import Point, Scale, Svg, class_mark, fitted, shortened
from foretoll.report.plots import WIDTH

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
    source = _by_class(picture.source, picture.source_labels, x, y)
    target = _by_class(picture.target, picture.target_labels, x, y)
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
    return Figure("Where the representation moved", svg.render(), caption, legend)


def _by_class(points: Sequence[Point], labels: Sequence[int], x: Scale, y: Scale) -> dict[int, list[Point]]:
    every = max(1, -(-len(points) // MAX_POINTS))
    groups: dict[int, list[Point]] = {}
    for point, label in list(zip(points, labels, strict=False))[::every]:
        groups.setdefault(label, []).append((x(point[0]), y(point[1])))
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
