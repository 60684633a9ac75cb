"""Pictures of a life: the quality that was served, the lead of an update, and what was spent beside the budget."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import ANSWERS, LifeCard, LifeEvent, ServedMetric
from foretoll.report.document import Figure, table
from foretoll.report.figures import Scale, Svg, axis_bottom, axis_left, fitted
from foretoll.report.life_quality import LEVEL, ServedQuality, served_quality
from foretoll.report.life_words import (
    difference,
    difference_text,
    difference_unit,
    quality_title,
    value_text,
)
from foretoll.report.plots import WIDTH
from foretoll.report.words import MISSING, cost_text, unit_of

HEIGHT, LEFT, TOP = 250.0, 46.0, 14.0
RIGHT, BOTTOM = WIDTH - 12, HEIGHT - 42
MOST_MARKS = 400
Places = Sequence[
    tuple[int, bool]
]  # number of the batch after which an update was made, and whether it was served


def updates_of(events: Sequence[LifeEvent]) -> list[tuple[int, bool]]:
    """After which batch each update was made, and whether it was served."""
    seen, found = -1, []
    for event in events:
        if event.kind == "look":
            seen += 1
        elif event.kind == "update":
            found.append((seen, bool(event.promoted)))
    return found


def quality_figure(card: LifeCard, events: Sequence[LifeEvent]) -> Figure | None:
    """Quality by batch: points where labels came, a band where they are late or few, updates as lines."""
    of = card.served
    points = served_quality(events, of)
    known = [point for point in points if point.value is not None]
    if len(known) < 2:
        return None
    title = "Quality" if of.metric.share else of.metric.title
    svg = Svg(WIDTH, HEIGHT, f"{title} that was served, by batch")
    ends = [end for p in known for end in (p.low, p.high) if end is not None]
    y = fitted([*ends, *([card.floor] if card.floor is not None else [])], BOTTOM, TOP, margin=0.08)
    y = Scale(max(y.low, of.metric.low), min(y.high, of.metric.high), BOTTOM, TOP)
    x = _batches(points)
    axis_left(svg, y, LEFT, right=RIGHT)
    _update_lines(svg, x, updates_of(events))
    half = min((x(1) - x(0)) / 2, 12.0)
    for point in known:
        assert point.value is not None and point.low is not None and point.high is not None  # noqa: S101
        if point.high > point.low:
            top = y(point.high)
            svg.bar(
                x(point.batch.number) - half,
                top,
                2 * half,
                max(y(point.low) - top, 1.0),
                css="band",
                title=_said(of, point),
            )
    axis_bottom(svg, x, BOTTOM, label="batch", ticks=_whole_ticks(x))
    if card.floor is not None:
        svg.line(LEFT, y(card.floor), RIGHT, y(card.floor), "goal")
        svg.text(LEFT + 4, y(card.floor) - 6, f"floor {card.floor:g}", css="name")
    measured = [p for p in known if p.batch.quality is not None]
    places = [(x(p.batch.number), y(p.batch.quality or 0.0)) for p in measured]
    svg.polyline(places)
    if len(places) <= MOST_MARKS:
        for point, place in zip(measured, places, strict=True):
            svg.marks([place], size=2.6, css="measured", title=_said(of, point))
    rows = [_quality_row(of, point) for point in points]
    numbers = table(
        "", ("batch", quality_title(of), f"{100 * LEVEL:.0f} % interval", "model"), rows, numbers=(0, 1)
    )
    floor = " Dashed: the floor." if card.floor is not None else ""
    caption = (
        f"Points: measured by labels. Band: the {100 * LEVEL:.0f} % interval where labels are late or few."
        f"{_lines_caption(events)}{floor}"
    )
    return Figure(f"{title} that was served", svg.render(), caption, numbers)


def _quality_row(of: ServedMetric, point: ServedQuality) -> tuple[str, ...]:
    value = MISSING if point.value is None else value_text(of, point.value)
    exact = point.low is None or point.high is None or point.high <= point.low
    interval = MISSING
    if not exact and point.low is not None and point.high is not None:
        interval = f"{value_text(of, point.low)} … {value_text(of, point.high)}"
    return (str(point.batch.number), value, interval, point.model)


def _said(of: ServedMetric, point: ServedQuality) -> str:
    value = f"batch {point.batch.number}: {value_text(of, point.value or 0.0)}"
    if point.low is not None and point.high is not None and point.high > point.low:
        value += f", {value_text(of, point.low)} to {value_text(of, point.high)}"
    return value


def lead_figure(events: Sequence[LifeEvent], of: ServedMetric = ANSWERS) -> Figure | None:
    """By how much a model fitted to the newest data was better, with its standard error."""
    batches = [e.served for e in events if e.kind == "labels" and e.served is not None]
    known = sorted(
        (b.number, difference(of, b.lead), difference(of, b.lead_error or 0.0))
        for b in batches
        if b.lead is not None
    )
    if len(known) < 2:
        return None
    svg = Svg(WIDTH, HEIGHT, "Lead of an update, by batch")
    y = fitted([0.0, *(end for _, v, e in known for end in (v - e, v + e))], BOTTOM, TOP, margin=0.08)
    x = _batches(served_quality(events, of))
    one = 0.01 if of.metric.share else 1.0  # of what is drawn, in the metric's unit

    def text(value: float, error: float) -> str:
        return difference_text(of, value * one, error * one)

    axis_left(svg, y, LEFT, right=RIGHT)
    _update_lines(svg, x, updates_of(events))
    svg.line(LEFT, y(0.0), RIGHT, y(0.0), "reference")
    for number, value, error in known:
        svg.line(x(number), y(value - error), x(number), y(value + error), "whisker")
    for number, value, error in known:
        svg.marks(
            [(x(number), y(value))],
            size=2.6,
            css="measured",
            title=f"batch {number}: {text(value, error)} {difference_unit(of)}",
        )
    axis_bottom(svg, x, BOTTOM, label="batch", ticks=_whole_ticks(x))
    rows = [(str(number), text(value, error)) for number, value, error in known]
    caption = (
        f"In {'points of quality' if of.metric.share else of.metric.title}: how much better than the served model a "
        "head was on each batch that was fitted to the labelled batches before it. Lines: one standard "
        f"error.{_lines_caption(events)}"
    )
    numbers = table("", ("batch", f"lead, {difference_unit(of)}"), rows, numbers=(0, 1))
    return Figure("What an update would win", svg.render(), caption, numbers)


def spending_figure(card: LifeCard, events: Sequence[LifeEvent]) -> Figure | None:
    """What was spent by then, in the unit of the worth, beside the budget spread evenly over its time."""
    steps, total, number = [(-1.0, 0.0)], 0.0, -1
    for event in events:
        number += event.kind == "look"
        value = getattr(event.spent, card.cost) if event.spent is not None else None
        total += value or 0.0
        if event.kind in ("look", "update", "offers"):
            steps.append((float(number), total))
    if total <= 0 or number < 1:
        return None
    unit = unit_of(card.cost, max(total, card.budget or 0.0))
    scale = _factor(card.cost, unit)
    svg = Svg(WIDTH, HEIGHT, f"What was spent, in {unit}")
    top = max(total, card.budget or 0.0) / scale * 1.08
    y = Scale(0.0, top, BOTTOM, TOP)
    x = Scale(-1.0, float(max(number, 1)), LEFT + 4, RIGHT - 4)
    axis_left(svg, y, LEFT, right=RIGHT)
    _update_lines(svg, x, updates_of(events))
    axis_bottom(svg, x, BOTTOM, label="batch", ticks=_whole_ticks(x))
    planned = ""
    if card.budget is not None:
        share = _planned_share(card, events)
        svg.line(x(-1.0), y(0.0), x(float(number)), y(min(share, 1.0) * card.budget / scale), "reference")
        svg.line(LEFT, y(card.budget / scale), RIGHT, y(card.budget / scale), "goal")
        svg.text(LEFT + 4, y(card.budget / scale) + 14, "budget", css="name")
        planned = " Dashed: the budget. Dotted: the budget spread evenly over its time."
    svg.polyline([(x(at), y(value / scale)) for at, value in steps])
    rows = [
        (str(int(at)), cost_text(card.cost, value, digits=3)) for at, value in _last_of_each(steps) if at >= 0
    ]
    caption = f"In {unit}: looks, estimates and updates, added up.{_lines_caption(events)}{planned}"
    return Figure(
        "What was spent", svg.render(), caption, numbers=table("", ("batch", "spent"), rows, numbers=(0, 1))
    )


def _last_of_each(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return list(dict(steps).items())


def _planned_share(card: LifeCard, events: Sequence[LifeEvent]) -> float:
    """Which share of the budget's time is gone."""
    if card.budget_batches is not None:
        return sum(event.kind == "look" for event in events) / card.budget_batches
    newest = max(event.at for event in events)
    return max((newest - card.started_at).total_seconds(), 0.0) / 86400 / (card.budget_days or 1.0)


def _factor(cost: str, unit: str) -> float:
    """How much of the cost's own unit one of the shown ones is."""
    for known, factor in (
        ("kWh", 1.0),
        ("Wh", 1e-3),
        ("mWh", 1e-6),
        ("µWh", 1e-9),
        ("kg", 1.0),
        ("mg", 1e-6),
        ("µg", 1e-9),
        ("g", 1e-3),
        ("h", 3600.0),
        ("min", 60.0),
        ("ms", 1e-3),
        ("s", 1.0),
    ):
        if unit.split(" ", maxsplit=1)[0] == known:
            return factor
    return 1.0


def _batches(points: Sequence[ServedQuality]) -> Scale:
    last = max((point.batch.number for point in points), default=1)
    return Scale(-0.5, max(float(last), 1.0) + 0.5, LEFT + 2, RIGHT)


def _whole_ticks(scale: Scale) -> list[tuple[float, str]]:
    return [(tick, f"{tick:g}") for tick in scale.ticks() if tick == int(tick) and tick >= 0]


def _update_lines(svg: Svg, x: Scale, updates: Places) -> None:
    for number, served in updates:
        at = x(number + 0.5) if number + 0.5 <= x.high else x(x.high)
        words = "an update was served" if served else "an update was made and not served"
        svg.add(
            "line",
            title=f"after batch {number}: {words}",
            x1=at,
            y1=TOP,
            x2=at,
            y2=BOTTOM,
            class_="median" if served else "grid",
        )


def _lines_caption(events: Sequence[LifeEvent]) -> str:
    updates = updates_of(events)
    if not updates:
        return ""
    rejected = " (pale: made, and not served)" if any(not served for _, served in updates) else ""
    return f" Upright lines: updates{rejected}."
