"""The pictures of the page, each drawn from records with the primitives of `figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from foretoll.options.table import fresh_first
from foretoll.records import Estimate, IndexValue, Interval, Outcome, Run
from foretoll.report.costs import CostRow
from foretoll.report.document import Figure, table
from foretoll.report.figures import (
    Scale,
    Svg,
    axis_bottom,
    axis_left,
    fitted,
    range_bar,
    short,
    shortened,
)
from foretoll.report.words import (
    MISSING,
    Limit,
    index_name,
    interval_text,
    level_text,
    median_text,
    metric_name,
    percent,
    quality_text,
    two_digits,
)
from foretoll.units import human_number

WIDTH = 400.0
"""Units across every large picture: at 360 px of screen its text of 13 units is still legible."""

MAX_BARS = 24
"""Bars in one picture; the page's tables hold the rest."""


def ratio_scale(rows: Sequence[CostRow], start: float, end: float) -> Scale:
    """One scale for all costs: multiples of the forecast median, symmetric about 1, at most 16 times each way."""
    bound = 2.0
    for row in rows:
        median = row.expected.median if row.expected else None
        if row.expected is None or not median:
            continue
        for value in (row.expected.low, row.expected.high, row.value):
            if value:
                bound = max(bound, value / median, median / value)
    bound = min(bound * 1.15, 16.0)
    return Scale(1 / bound, bound, start, end, log=True)


def ratio_ticks(scale: Scale) -> list[tuple[float, str]]:
    """Halves and doubles inside the scale."""
    names = ((1 / 8, "⅛×"), (1 / 4, "¼×"), (1 / 2, "½×"), (1.0, "1×"), (2.0, "2×"), (4.0, "4×"), (8.0, "8×"))
    inside = [(value, name) for value, name in names if scale.low <= value <= scale.high]
    return (
        inside if len(inside) <= 5 else [tick for tick in inside if tick[0] in (1 / 8, 1 / 4, 1.0, 4.0, 8.0)]
    )


def small_bar(row: CostRow, scale: Scale, width: float) -> Markup:
    """The interval of one cost beside its numbers; empty where there is no median to relate it to."""
    median = row.expected.median if row.expected else None
    if row.expected is None or not median:
        return Markup("")
    measured = f"; measured {row.measured}" if row.value is not None else ""
    svg = Svg(width, 22, f"{row.label}: {row.forecast}, interval {row.interval}{measured}", css="small")
    svg.line(scale.start, 11, scale.end, 11, "grid")
    _ratio_bar(svg, scale, 11, row)
    return svg.render()


def small_axis(scale: Scale, width: float) -> Markup:
    """The ticks over the small bars."""
    svg = Svg(width, 16, "multiples of the forecast", css="small")
    for value, text in ratio_ticks(scale):
        svg.text(scale(value), 12, text, anchor="middle", css="tick")
    return svg.render()


def _ratio_bar(svg: Svg, scale: Scale, y: float, row: CostRow) -> None:
    expected = row.expected
    if expected is None or not expected.median:
        return
    # a low of 0 lies infinitely far to the left on a logarithmic scale: drawn open
    low = expected.low / expected.median if expected.low else None
    high = expected.high / expected.median if expected.high is not None and not row.at_limit else None
    range_bar(svg, scale, y, low=low, median=1.0, high=high, title=f"{row.label} {row.interval}")
    if row.value:
        beyond = _beyond(scale, row)
        place = scale.clipped(row.value / expected.median, 1.0) - 9 * beyond
        svg.marks([(place, y)], shape="diamond", size=4.5, css="measured" if row.reached else "spent")
        if beyond:
            head = f"M{short(place + 7 * beyond)},{short(y - 4)}l{5 * beyond},4l{-5 * beyond},4z"
            svg.add("path", d=head, class_="measured" if row.reached else "beyond")


def _beyond(scale: Scale, row: CostRow) -> int:
    """On which side of the scale a measured value lies: 1 above, -1 below, 0 within."""
    median = row.expected.median if row.expected else None
    if not row.value or not median:
        return 0
    ratio = row.value / median
    return (ratio > scale.high) - (ratio < scale.low)


def forecast_figure(rows: Sequence[CostRow]) -> Figure | None:
    """The six costs on one scale of multiples of their forecast, with the measured points."""
    shown = [row for row in rows if row.expected is not None and row.expected.median]
    if not shown:
        return None
    step, top = 40.0, 8.0
    height = top + step * len(shown) + 40
    svg = Svg(WIDTH, height, "Forecast intervals relative to their median, with the measured values")
    scale = ratio_scale(shown, 12, WIDTH - 12)
    bottom = top + step * len(shown) + 2
    axis_bottom(svg, scale, bottom, label="multiple of the forecast", ticks=ratio_ticks(scale), top=top)
    svg.line(scale(1.0), top, scale(1.0), bottom, "reference")
    for i, row in enumerate(shown):
        y = top + step * i + 14
        measured = f", measured {row.measured}" if row.value is not None else ""
        svg.text(scale.start, y, f"{row.label} {row.forecast}{measured}", css="over")
        _ratio_bar(svg, scale, y + 13, row)
    compared = any(row.value is not None for row in shown)
    caption = "Bar: forecast interval. Tick: median."
    if not compared:
        caption += " Nothing has been measured yet."
    elif all(row.reached for row in shown):
        caption += " Diamond: what was measured afterwards."
    else:
        caption += " Open diamond: what was spent without reaching the target."
    if any(_beyond(scale, row) for row in shown):
        caption += " With an arrow: it lies further out."
    cells = [(row.label, row.forecast, row.interval, *([row.measured] if compared else [])) for row in shown]
    heads = ("cost", "forecast", "interval", *(["measured"] if compared else []))
    numbers = table("", heads, cells, numbers=range(1, len(heads)))
    title = "Forecast" + (" against measurement" if compared else "")
    return Figure(title, svg.render(), caption, numbers, repeated=True)


def options_figure(estimate: Estimate, run: Run | None) -> Figure | None:
    """Epochs of every option on one axis: reuse against training from scratch."""
    names = [estimate.option, *fresh_first(estimate.alternatives)]
    forecasts = {estimate.option: estimate.forecast, **estimate.alternatives}
    shown = [(name, forecasts[name].epochs) for name in dict.fromkeys(names)]
    known = [(name, epochs) for name, epochs in shown if epochs is not None]
    ends = [end for _, e in known for end in (e.low, e.median, e.high) if end is not None]
    if len(known) < 2 or not ends:
        return None
    value = run.toll.epochs if run is not None and run.option == estimate.option else None
    reached = run is not None and run.outcome is Outcome.REACHED
    highest = max([*ends, value or 0.0]) or 1.0
    step, top = 40.0, 8.0
    bottom = top + step * len(known) + 2
    svg = Svg(WIDTH, bottom + 40, "Forecast epochs of each option")
    scale = Scale(0.0, highest * 1.08, 12, WIDTH - 16)
    axis_bottom(svg, scale, bottom, label="epochs", top=top)
    rows = []
    for i, (name, epochs) in enumerate(known):
        y = top + step * i + 14
        reach = (
            estimate.reach_probability if name == estimate.option else estimate.alternatives_reach.get(name)
        )
        limit = Limit.of(epochs, estimate.settings.max_epochs)
        interval = interval_text("epochs", epochs, limit=limit, words="")
        text = (
            f": {interval}"
            if epochs.median is None
            else f" {median_text('epochs', epochs, limit=limit)} ({interval})"
        )
        chance = f", probability {percent(reach)}" if reach is not None else ""
        middle = MISSING if epochs.median is None else median_text("epochs", epochs, limit=limit)
        rows.append((name, middle, interval, MISSING if reach is None else percent(reach)))
        svg.text(scale.start, y, f"{shortened(name, 24)}{text}{chance}", css="over")
        range_bar(
            svg,
            scale,
            y + 13,
            low=epochs.low,
            median=epochs.median,
            high=None if limit.high else epochs.high,
            measured=value if name == estimate.option and reached else None,
            title=f"{name}: {interval_text('epochs', epochs)} epochs",
        )
    caption = (
        "Forecast epochs to the quality target, by option. Bar: the interval; an arrow: it goes on beyond the budget "
        f"of {estimate.settings.max_epochs:g} epochs. Probability: of reaching the target."
    )
    numbers = table("", ("option", "epochs", "interval", "reaches the target"), rows, numbers=(1, 2, 3))
    return Figure("Reuse against the alternatives", svg.render(), caption, numbers)


def curve_figure(run: Run, expected: Interval | None = None) -> Figure | None:
    """Validation quality over epochs, the target as a line and the forecast epochs as a band."""
    epochs = [point.epochs for point in run.curve if point.epochs is not None]
    if len(epochs) < max(len(run.curve), 2):
        return None
    until, metric = run.settings.until, metric_name(run.settings.metric)
    height, top, left, right = 270.0, 14.0, 42.0, WIDTH - 14
    bottom = height - 44
    svg = Svg(WIDTH, height, f"Validation {metric} over the epochs of the run")
    last = max(epochs)
    ends = [expected.low, expected.median, expected.high] if expected else []
    x = Scale(0.0, (max([last, *(min(end, 2 * last) for end in ends if end)]) or 1.0) * 1.04, left, right)
    levels = [point.quality for point in run.curve] + ([until] if until is not None else [])
    y = fitted(levels, bottom, top, margin=0.08)
    axis_left(svg, y, left, right=right)
    if expected is not None and expected.low is not None:
        start, end = x.clipped(expected.low, x.low), x.clipped(expected.high, x.high)
        svg.bar(
            start,
            top,
            end - start,
            bottom - top,
            css="band",
            title=f"forecast {interval_text('epochs', expected)}",
        )
    axis_bottom(svg, x, bottom, label="epochs")
    if until is not None:
        svg.line(left, y(until), right, y(until), "goal")
        svg.text(left + 4, y(until) - 6, f"target {level_text(run.settings.metric, until)}", css="name")
    points = [(x(at), y(point.quality)) for at, point in zip(epochs, run.curve, strict=True)]
    svg.polyline(points)
    if len(points) <= 60:
        for point, place in zip(run.curve, points, strict=True):
            svg.marks(
                [place],
                size=2.6,
                css="measured",
                title=f"epoch {point.epochs:g}: {quality_text(run.settings.metric, point.quality)}",
            )
    end_x, end_y = points[-1]
    svg.marks([(end_x, end_y)], shape="diamond", size=4.5, css="measured")
    label = quality_text(run.settings.metric, run.curve[-1].quality)
    label += ", not reached" if until is not None and run.outcome is not Outcome.REACHED else ""
    svg.text(end_x, end_y + 20, label, anchor="end", css="name")
    band = " Band: the forecast interval." if expected is not None and expected.low is not None else ""
    dashed = " Dashed: the target." if until is not None else ""
    numbers = table(
        "",
        ("epochs", f"validation {metric}", "loss"),
        [
            (human_number(p.epochs), quality_text(run.settings.metric, p.quality), human_number(p.loss))
            for p in run.curve
        ],
        numbers=(1, 2),
    )
    caption = f"Validation {metric} at every evaluation.{dashed}{band}"
    return Figure("Learning curve", svg.render(), caption, numbers)


def angles_figure(index: IndexValue | None) -> Figure | None:
    """An index by class or layer, largest first, with the floor that no shift at all would give."""
    if index is None:
        return None
    known = {name: value for name, value in index.detail.items() if value is not None}
    if len(known) < 2:
        return None
    caption = f"Largest first. Dotted: the index, {two_digits(index.value)}."
    if index.floor is not None:
        caption += f" Dashed: its floor, which no shift at all would give, {two_digits(index.floor)}."
    return _bars(f"{index_name(index.name)}, by class", known, caption, mean=index.value, floor=index.floor)


def tensors_figure(run: Run) -> Figure | None:
    """Parameter change by tensor, largest first."""
    if len(run.parameter_change_by_tensor) < 2:
        return None
    caption = "Root mean square change of each tensor's parameters, largest first."
    return _bars("Parameter change by tensor", run.parameter_change_by_tensor, caption, what="tensor")


def _bars(
    title: str,
    values: Mapping[str, float],
    caption: str,
    *,
    what: str = "class",
    mean: float | None = None,
    floor: float | None = None,
) -> Figure:
    ranked = sorted(values.items(), key=lambda item: -item[1])
    shown = ranked[:MAX_BARS]
    longest = min(max(len(name) for name, _ in shown), 22)
    left = 16 + 7.6 * longest
    step, top = (24.0 if len(shown) <= 12 else 19.0), 6.0
    bottom = top + step * len(shown) + 4
    svg = Svg(WIDTH, bottom + 22, title)
    highest = max([value for _, value in shown] + [mean or 0.0]) or 1.0
    scale = Scale(0.0, highest, left, WIDTH - 54)
    for i, (name, value) in enumerate(shown):
        y = top + step * i
        svg.text(left - 8, y + step / 2 + 4.5, shortened(name, 22), anchor="end")
        svg.bar(left, y + 3, scale(value) - left, step - 6, title=f"{name}: {human_number(value)}")
        svg.text(scale(value) + 6, y + step / 2 + 4.5, two_digits(value), css="tick over")
    if floor is not None:
        x = scale.clipped(floor, 0.0)
        svg.line(x, top - 2, x, bottom, "halo").line(x, top - 2, x, bottom, "goal")
    if mean is not None:
        svg.line(scale(mean), top, scale(mean), bottom, "reference")
    axis_bottom(svg, scale, bottom, ticks=[(tick, f"{tick:g}") for tick in scale.ticks(4)])
    rest = f" {len(ranked) - len(shown)} smaller ones are not drawn." if len(ranked) > len(shown) else ""
    rows = [(name, human_number(value)) for name, value in ranked]
    numbers = table("", (what, "value"), rows, numbers=(1,))
    return Figure(title[:1].upper() + title[1:], svg.render(), caption + rest, numbers)
