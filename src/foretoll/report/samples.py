"""How many labelled samples are needed: the forecast by number of samples as a table, a sentence and a picture."""

from __future__ import annotations

from foretoll.records import Estimate, Interval, SamplesForecast
from foretoll.report.document import Column, Figure, Line, Row, Table
from foretoll.report.figures import Scale, Svg, axis_bottom, axis_left, fitted, short
from foretoll.report.plots import WIDTH
from foretoll.report.words import (
    MISSING,
    Limit,
    expected_quality,
    goal_text,
    interval_text,
    level_text,
    median_text,
    metric_name,
    percent,
)

COSTS = (("epochs", "epochs"), ("steps", "steps"), ("duration_s", "duration"), ("energy_kwh", "energy"))
LIKELY, SURE = 0.5, 0.9


def samples_table(estimate: Estimate) -> Table | None:
    """What so many training samples cost and reach; None where nobody asked."""
    rows = estimate.samples_curve
    if not rows:
        return None
    costs = [(cost, name) for cost, name in COSTS if any(_interval(row, cost) for row in rows)]
    metric, level = estimate.settings.metric, percent(estimate.coverage.level)
    columns = [
        Column("labelled\nsamples", number=True),
        Column("probability\nto reach"),
        Column(f"test\n{metric_name(metric)}"),
    ]
    note = (
        f"Median and {level} interval for parts of the {rows[-1].samples:,} training samples at hand, from the same "
        f"look and pilot, each within {estimate.settings.max_epochs:g} epochs. Probability and quality are made not to "
        "fall with more samples; validation and test data stay as they are."
    )
    return Table(
        [*columns, *(Column(name, below=name in ("steps", "duration")) for _, name in costs)],
        [Row(_cells(estimate, row, costs), row.why_not) for row in rows],
        "samples",
        note,
    )


def samples_line(estimate: Estimate) -> Line:
    """From how many samples on the target is likely to be reached."""
    rows = [row for row in estimate.samples_curve if row.reach_probability is not None]
    if not rows or estimate.until is None:
        return Line("Samples", ())
    goal, most = goal_text(estimate.settings.metric, estimate.until), estimate.samples_curve[-1].samples
    likely, sure = (_first(rows, least) for least in (LIKELY, SURE))
    if likely is None:
        return Line(
            "Samples",
            (
                f"{goal} is probably missed even with all {most:,} samples ({percent(rows[-1].reach_probability)}); "
                "what more than these would bring is not forecast",
            ),
        )
    said = f"{goal} is likely to be reached with {_number(likely, rows)}"
    if sure is None:
        return Line(
            "Samples", (f"{said}; a probability of {percent(SURE)} is not reached with all {most:,}",)
        )
    if sure.samples > likely.samples:
        said += f", and with a probability of {percent(SURE)} with {sure.samples:,}"
    return Line("Samples", (said,))


def samples_figure(estimate: Estimate) -> Figure | None:
    """Expected quality against the number of samples, with its band; None where it is not known for two numbers."""
    rows, numbers = (
        [row for row in estimate.samples_curve if row.quality is not None],
        samples_table(estimate),
    )
    if len(rows) < 2 or numbers is None:
        return None
    name = metric_name(estimate.settings.metric)
    left, right, top, bottom = 42.0, WIDTH - 24, 14.0, 226.0
    x = Scale(rows[0].samples, rows[-1].samples, left + 12, right, log=True)
    ends = [
        (row.samples, row.quality.low, row.quality.median, row.quality.high) for row in rows if row.quality
    ]
    known = [value for _, *three in ends for value in three if value is not None]
    until = estimate.until
    y = fitted([*known, *([] if until is None else [until])], bottom, top, margin=0.06)
    svg = Svg(
        WIDTH, bottom + 44, f"Forecast test {name} against the number of training samples, with its interval"
    )
    axis_left(svg, y, left, right=right)
    axis_bottom(
        svg, x, bottom, label="training samples", ticks=[(row.samples, f"{row.samples:,}") for row in rows]
    )
    low = [(x(n), y(low)) for n, low, _, _ in ends if low is not None]
    high = [(x(n), y(high)) for n, _, _, high in ends if high is not None]
    svg.add(
        "polygon", points=" ".join(f"{short(a)},{short(b)}" for a, b in [*low, *high[::-1]]), class_="c0 area"
    )
    if until is not None:
        svg.line(left, y(until), right, y(until), "goal")
        svg.text(
            right,
            y(until) - 5,
            f"target {level_text(estimate.settings.metric, until)}",
            anchor="end",
            css="name",
        )
    points = [(x(n), y(median)) for n, _, median, _ in ends if median is not None]
    svg.polyline(points, "c0 curve")
    svg.marks(points, size=3.5, css="c0")
    caption = (
        f"Line: the median forecast of the {name} on test data after the update, by the number of labelled training "
        f"samples (logarithmic); band: its {percent(estimate.coverage.level)} interval; dashed: the target."
    )
    return Figure("How many labelled samples", svg.render(), caption, numbers, repeated=True)


def _cells(estimate: Estimate, row: SamplesForecast, costs: list[tuple[str, str]]) -> list[str]:
    return [
        f"{row.samples:,}",
        percent(row.reach_probability),
        expected_quality(estimate.settings, row.quality, len(estimate.target.classes)),
        *(_cost(estimate, row, cost) for cost, _ in costs),
    ]


def _interval(row: SamplesForecast, cost: str) -> Interval | None:
    if cost != "steps":
        found: Interval | None = getattr(row.forecast, cost)
        return found
    epochs = row.forecast.epochs
    if epochs is None:
        return None
    ends = {
        name: None if (end := getattr(epochs, name)) is None else end * row.steps_per_epoch
        for name in ("low", "median", "high")
    }
    return epochs.model_copy(update=ends)


def _cost(estimate: Estimate, row: SamplesForecast, cost: str) -> str:
    found = _interval(row, cost)
    if found is None:
        return MISSING
    limit = Limit.of(row.forecast.epochs, estimate.settings.max_epochs)
    text = median_text(cost, found, limit=limit)
    return (
        text if found.low == found.high else f"{text} ({interval_text(cost, found, limit=limit, words='')})"
    )


def _first(rows: list[SamplesForecast], least: float) -> SamplesForecast | None:
    return next((row for row in rows if (row.reach_probability or 0.0) >= least), None)


def _number(row: SamplesForecast, rows: list[SamplesForecast]) -> str:
    """A number of samples, which may be fewer where it is the smallest that was forecast."""
    return f"{row.samples:,} samples{' or fewer' if row.samples == rows[0].samples else ''}"
