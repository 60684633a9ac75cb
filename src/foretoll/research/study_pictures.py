"""The pictures of a study: cost against an index, cost against level by kind of shift, and seed against seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import exp, log
from statistics import fmean, median

from markupsafe import Markup

from foretoll.data import SHIFTS
from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.report.document import Figure, Table, table
from foretoll.report.figures import Point, Scale, Svg, axis_bottom, class_mark, fitted, shortened
from foretoll.report.plots import WIDTH
from foretoll.report.words import plain, two_digits
from foretoll.research.columns import StudyColumn
from foretoll.research.leave_out import Row

LISTED = 100
"""Points of a picture that its table has one by one."""

EPOCH_TICKS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def epoch_scale(rows: Iterable[Row], start: float, end: float) -> Scale:
    """Epochs on a logarithm that has room for 0: of epochs + ⅛, as forecasts are learned."""
    highest = max((row.epochs for row in rows), default=1.0)
    return Scale(EPOCH_OFFSET * 0.85, (highest + EPOCH_OFFSET) * 1.15, start, end, log=True)


def scatter(
    rows: Sequence[Row],
    index: StudyColumn,
    colour: Callable[[Row], str],
    *,
    title: str,
    caption: str,
) -> Figure | None:
    """Epochs against one index; hollow where the target was not reached, at the limit."""
    known = [(value, row) for row in rows if (value := index.of(row)) is not None]
    if len(known) < 3:
        return None
    height, top, left, right = 340.0, 26.0, 44.0, WIDTH - 8
    bottom = height - 44
    svg = Svg(WIDTH, height, f"{title}: epochs against {index.title}")
    x = fitted((at for at, _ in known), left, right)
    y = epoch_scale((row for _, row in known), bottom, top)
    _epoch_axis_left(svg, y, left, right)
    axis_bottom(svg, x, bottom, label=index.title, top=top)
    if x.low < 0 < x.high:
        svg.line(x(0), top, x(0), bottom, "reference")
    names = sorted({colour(row) for _, row in known})
    for place, name in enumerate(names):
        css, shape = class_mark(place)
        for censored in (False, True):
            points = [
                (x(at), y(row.epochs + EPOCH_OFFSET))
                for at, row in known
                if colour(row) == name and row.censored == censored
            ]
            if points:
                _marks(svg, points, css, shape, hollow=censored, title=plain(name))
    ended = sum(row.censored for _, row in known)
    caption = f"{len(known)} runs. Hollow: {ended} that did not reach the target, at their limit. {caption}"
    numbers = _scattered(known, colour, index.title)
    return Figure(title, svg.render(), caption.strip(), numbers, _legend(names))


def _scattered(known: Sequence[tuple[float, Row]], colour: Callable[[Row], str], name: str) -> Table:
    """Every point where they are few, otherwise what each colour spans."""
    if len(known) <= LISTED:
        points = sorted((plain(colour(row)), value, row.epochs, row.censored) for value, row in known)
        rows = [
            (group, two_digits(value), f"{epochs:.3g}", "no" if censored else "yes")
            for group, value, epochs, censored in points
        ]
        return table("", ("group", name, "epochs", "reached"), rows, numbers=(1, 2))
    groups: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for value, row in known:
        groups[plain(colour(row))].append((value, row))
    spans = [
        (
            group,
            f"{len(of)}",
            f"{sum(row.censored for _, row in of)}",
            _span([value for value, _ in of]),
            _span([row.epochs for _, row in of]),
        )
        for group, of in sorted(groups.items())
    ]
    return table("", ("group", "runs", "not reached", name, "epochs"), spans, numbers=(1, 2, 3, 4))


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{median(values):.2g} ({low:.2g} … {high:.2g})"


def levels_figure(rows: Sequence[Row]) -> Figure | None:
    """For each kind of shift, epochs against level, a line per family of architectures through the means."""
    shifted = [row for row in rows if len(row.run.target.shift) == 1]
    kinds = sorted({row.case.shift_kind for row in shifted})
    if not kinds:
        return None
    families = sorted({row.case.family for row in shifted})
    columns, cell, high = 2, WIDTH / 2, 128.0
    height = high * ((len(kinds) + 1) // columns)
    svg = Svg(WIDTH, height, "Epochs against the level of each kind of shift")
    y_of = epoch_scale(shifted, high - 30, 24)
    numbers = []
    for place, kind in enumerate(kinds):
        of = [row for row in shifted if row.case.shift_kind == kind]
        left, down = cell * (place % columns) + 30, high * (place // columns)
        levels = _mild_to_strong(kind, {row.run.target.shift[0].level for row in of})
        step = (cell - 44) / max(len(levels), 1)
        at = {level: left + step * (i + 0.5) for i, level in enumerate(levels)}
        svg.text(left, down + 15, shortened(plain(kind), 24), css="name")
        for value in (0.0, 1.0, 10.0):
            if y_of.low <= value + EPOCH_OFFSET <= y_of.high:
                level_y = down + y_of(value + EPOCH_OFFSET)
                svg.line(left, level_y, left + cell - 44, level_y, "grid")
                svg.text(left - 6, level_y + 4.5, f"{value:g}", anchor="end", css="tick")
        for level, x in at.items():
            svg.text(x, down + high - 14, f"{level:g}", anchor="middle", css="tick")
        for number, family in enumerate(families):
            css, shape = class_mark(number)
            mine = [row for row in of if row.case.family == family]
            means: dict[float, list[float]] = defaultdict(list)
            for row in mine:
                means[row.run.target.shift[0].level].append(y_of(row.epochs + EPOCH_OFFSET))
            for level in levels:
                there = [row for row in mine if row.run.target.shift[0].level == level]
                if there:
                    middle = exp(fmean(log(row.epochs + EPOCH_OFFSET) for row in there)) - EPOCH_OFFSET
                    ended = sum(row.censored for row in there)
                    numbers.append(
                        (plain(kind), f"{level:g}", family, f"{len(there)}", f"{ended}", f"{middle:.3g}")
                    )
            line = [
                (at[level], down + fmean(ys)) for level, ys in sorted(means.items(), key=lambda m: at[m[0]])
            ]
            if len(line) > 1:
                svg.polyline(line, css=f"mean {css}")
            for censored in (False, True):
                points = [
                    (
                        at[row.run.target.shift[0].level] + (number - len(families) / 2) * 2.2,
                        down + y_of(row.epochs + EPOCH_OFFSET),
                    )
                    for row in mine
                    if row.censored == censored
                ]
                if points:
                    _marks(svg, points, css, shape, hollow=censored, title=family, size=2.2)
    caption = (
        "Epochs by level, each kind with its own levels, from mild to strong. Lines: means of a family of "
        "architectures, over all its data and training settings. Hollow: not reached."
    )
    heads = ("shift", "level", "family", "runs", "not reached", "mean epochs")
    found = table("", heads, numbers, numbers=(1, 3, 4, 5))
    return Figure("Cost against level", svg.render(), caption, found, _legend(families))


def repeat_figure(rows: Sequence[Row]) -> Figure | None:
    """Epochs of one seed against those of another seed of the very same setting."""
    seeds: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.run.settings.seed, row.run.id)):
        seeds[row.setting].append(row)
    pairs = [(group[0], group[1]) for group in seeds.values() if len(group) > 1]
    if len(pairs) < 3:
        return None
    height, top, left, right = 340.0, 26.0, 44.0, WIDTH - 8
    bottom = height - 44
    svg = Svg(WIDTH, height, "Epochs of one seed against another seed of the same setting")
    both = [row for pair in pairs for row in pair]
    x, y = epoch_scale(both, left, right), epoch_scale(both, bottom, top)
    _epoch_axis_left(svg, y, left, right)
    axis_bottom(svg, x, bottom, label="epochs, first seed", ticks=_epoch_ticks(x), top=top)
    svg.line(x(x.low), y(y.low), x(x.high), y(y.high), "reference")
    for censored in (False, True):
        points = [
            (x(a.epochs + EPOCH_OFFSET), y(b.epochs + EPOCH_OFFSET))
            for a, b in pairs
            if (a.censored or b.censored) == censored
        ]
        if points:
            _marks(svg, points, "c0", "circle", hollow=censored, title="a setting")
    caption = (
        f"{len(pairs)} settings; upwards: epochs of the second seed. On the dotted line both cost the same. "
        "Hollow: one or both did not reach the target. No forecast of a single run can be better than this."
    )
    return Figure("Seed against seed", svg.render(), caption, _pairs(pairs))


def _pairs(pairs: Sequence[tuple[Row, Row]]) -> Table:
    """Every pair where they are few, otherwise the second seed's epochs for each tenth of the first's."""
    ordered = sorted((a.epochs, b.epochs, a.censored or b.censored) for a, b in pairs)
    if len(ordered) <= LISTED:
        rows = [(f"{a:.3g}", f"{b:.3g}", "no" if missed else "yes") for a, b, missed in ordered]
        return table("", ("epochs, first seed", "second seed", "both reached"), rows, numbers=(0, 1))
    parts = [ordered[i * len(ordered) // 10 : (i + 1) * len(ordered) // 10] for i in range(10)]
    tenths = [
        (
            _span([a for a, _, _ in of]),
            _span([b for _, b, _ in of]),
            f"{len(of)}",
            f"{sum(m for *_, m in of)}",
        )
        for of in parts
    ]
    heads = ("epochs, first seed", "second seed", "settings", "not reached")
    return table("", heads, tenths, numbers=(0, 1, 2, 3))


def _mild_to_strong(kind: str, levels: Iterable[float]) -> list[float]:
    usual = SHIFTS[kind].default_levels
    return sorted(levels, reverse=usual[0] > usual[-1])


def _marks(
    svg: Svg,
    points: Sequence[Point],
    css: str,
    shape: str,
    *,
    hollow: bool,
    title: str,
    size: float = 2.8,
) -> None:
    if hollow and shape == "circle":  # a circle is a stroke, which cannot be hollow: draw rings
        for x, y in points:
            svg.add("circle", title=title, cx=x, cy=y, r=size - 0.2, class_=f"{css} open shapes")
    else:
        svg.marks(points, shape=shape, size=size, css=f"{css} {'open' if hollow else 'point'}", title=title)


def _epoch_ticks(scale: Scale) -> list[tuple[float, str]]:
    inside = [e for e in EPOCH_TICKS if scale.low <= e + EPOCH_OFFSET <= scale.high]
    return [(e + EPOCH_OFFSET, f"{e:g}") for e in inside]


def _epoch_axis_left(svg: Svg, scale: Scale, x: float, right: float) -> None:
    for value, text in _epoch_ticks(scale):
        svg.line(x, scale(value), right, scale(value), "grid")
        svg.text(x - 6, scale(value) + 4.5, text, anchor="end", css="tick")
    svg.text(x, 12, "epochs", anchor="middle", css="tick")


def _legend(names: Sequence[str]) -> tuple[tuple[Markup, str], ...]:
    entries = []
    for place, name in enumerate(names):
        css, shape = class_mark(place)
        entries.append(
            (Svg(12, 12, name).marks([(6, 6)], shape=shape, size=4, css=css).render_hidden(), plain(name))
        )
    return tuple(entries)
