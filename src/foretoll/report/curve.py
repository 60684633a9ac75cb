"""What a forecast says of other targets and of budgets: two tables, the knee of the curve, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup

from foretoll.forecast.quality_curve import QualityCurve
from foretoll.records import BudgetForecast, Estimate, ForecastCurve, Interval, TargetForecast
from foretoll.records.curve import BudgetCost
from foretoll.report.document import Column, Figure, Line, Row, Table
from foretoll.report.figures import Point, Scale, Svg, axis_bottom, axis_left, fitted, short, shortened
from foretoll.report.plots import WIDTH
from foretoll.report.words import (
    MISSING,
    Limit,
    cost_text,
    goal_text,
    interval_text,
    level_text,
    median_text,
    metric_name,
    percent,
    quality_text,
    two_digits,
    unit_of,
    unit_size,
)

AXES: tuple[tuple[BudgetCost, str], ...] = (
    ("energy_kwh", "energy"),
    ("duration_s", "duration"),
    ("epochs", "epochs"),
)
POINTS = 60  # of a line
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)  # of an option's whole budget: the rows of the numbers
MOST_NAMED = 5  # targets with a line of their own in the picture


def targets_table(estimate: Estimate) -> Table | None:
    """What each of several targets costs; None where one was asked for."""
    if not estimate.targets:
        return None
    several = len({answer.option for answer in estimate.targets}) > 1
    costs = [
        (cost, name)
        for cost, name in (("epochs", "epochs"), ("duration_s", "duration"), ("energy_kwh", "energy"))
        if any(getattr(answer.forecast, cost) is not None for answer in estimate.targets)
    ]
    rows = [
        Row(
            [
                _named(estimate, answer, several=several),
                percent(answer.reach_probability),
                *(_cost(estimate, answer, cost) for cost, _ in costs),
            ]
        )
        for answer in estimate.targets
    ]
    columns = [Column("target"), Column("probability"), *(Column(name) for _, name in costs)]
    note = (
        f"Median and {percent(_level(estimate))} interval of what reaching each target costs, from the same pilot; "
        f"≥: the budget of {estimate.settings.max_epochs:g} epochs is spent before."
    )
    return Table(columns, rows, "targets", note)


def budgets_table(estimate: Estimate) -> Table | None:
    """The quality that each budget buys; None where none was asked for."""
    if not estimate.budgets:
        return None
    several = len({answer.option for answer in estimate.budgets}) > 1
    until, metric = estimate.until, estimate.settings.metric
    head = "target" if until is None else f"reaches {goal_text(metric, until)}"
    rows = [
        Row(
            [
                f"{answer.budget}{f', {answer.option}' if several else ''}",
                percent(answer.reach_probability),
                _quality(estimate, answer.quality),
            ],
            _note(estimate, answer),
        )
        for answer in estimate.budgets
    ]
    columns = [Column("budget"), Column(head), Column(f"best validation {metric_name(metric)}")]
    note = f"Median and {percent(_level(estimate))} interval of the best quality that a run has seen within the budget."
    return Table(columns, rows, "budgets", note)


def knee_line(estimate: Estimate) -> Line:
    """Where quality becomes dear."""
    curve = estimate.curves.get(estimate.option)
    knee = curve.knee if curve is not None else None
    if curve is None or knee is None:
        return Line("Knee", ())
    metric = estimate.settings.metric
    share = 1 - knee.epochs / knee.highest_epochs
    spent = ""
    energy = QualityCurve.of(curve, "energy_kwh", estimate.settings.known_scale)
    if energy is not None:
        at = energy.to_target(estimate.settings.progress(knee.quality)).median
        spent = f" and {cost_text('energy_kwh', at)}"
    last = two_digits(abs(knee.highest - knee.quality))
    return Line(
        "Knee",
        (
            f"up to {metric_name(metric)} {quality_text(metric, knee.quality)}: about {two_digits(knee.epochs)} epochs"
            f"{spent}; the last {last}, up to {quality_text(metric, knee.highest)} (the most that is likelier than not "
            f"within {estimate.settings.max_epochs:g} epochs), take {percent(share)} of the "
            f"{two_digits(knee.highest_epochs)} epochs",
        ),
    )


def curve_figure(estimate: Estimate) -> Figure | None:
    """Quality against energy (else duration, else epochs) with its band, by option; None without a curve."""
    for cost, name in AXES:
        drawn = [
            found
            for option, record in estimate.curves.items()
            if (found := _Drawn.of(estimate, option, record, cost)) is not None
        ]
        if drawn and len(drawn) == len(estimate.curves):
            return _Picture(estimate, cost, name, drawn).figure()
    return None


@dataclass(frozen=True)
class _Drawn:
    """The curve of one option, against one cost."""

    estimate: Estimate
    option: str
    curve: QualityCurve
    epochs: QualityCurve

    @classmethod
    def of(cls, estimate: Estimate, option: str, record: ForecastCurve, cost: BudgetCost) -> _Drawn | None:
        scale = estimate.settings.known_scale
        curve, epochs = (QualityCurve.of(record, which, scale) for which in (cost, "epochs"))
        return None if curve is None or epochs is None else cls(estimate, option, curve, epochs)

    @cached_property
    def middle(self) -> int:
        return len(self.curve.levels) // 2

    @property
    def most(self) -> float:
        """The cost at which nothing more is to come: the whole budget by its median, or less."""
        return float(self.curve.costs[:, self.middle].max())

    def at(self, cost: float) -> tuple[float, float, float]:
        """Low, median and high of the quality within a budget, in the metric's unit and in that order of progress."""
        found, value = self.curve.for_budget(cost), self.estimate.settings.known_scale.value
        ends = [value(end) for end in (found.low, found.median, found.high) if end is not None]
        return ends[0], ends[1], ends[2]

    def cost_of(self, epochs: float) -> float:
        """The median cost of so many epochs."""
        return float(np.interp(epochs, self.epochs.costs[:, self.middle], self.curve.costs[:, self.middle]))

    def epochs_of(self, cost: float) -> float:
        """The epochs of a median cost."""
        return float(np.interp(cost, self.curve.costs[:, self.middle], self.epochs.costs[:, self.middle]))


class _Picture:
    """Lines with bands, drawn from back to front."""

    def __init__(self, estimate: Estimate, cost: BudgetCost, name: str, drawn: Sequence[_Drawn]) -> None:
        self.estimate, self.cost, self.name, self.drawn = estimate, cost, name, drawn
        self.metric = estimate.settings.metric
        self.doubled = cost != "epochs" and len(drawn) == 1  # a second axis, of epochs
        self.end = max(one.most for one in drawn)
        self.unit = unit_of(cost, self.end)
        self.left, self.right, self.height = 42.0, WIDTH - 14, 320.0
        self.top, self.bottom = (40.0 if self.doubled else 14.0), self.height - 44
        self.x = Scale(0.0, self.end or 1.0, self.left, self.right)
        self.lines = [
            [(float(budget), *one.at(float(budget))) for budget in np.linspace(0.0, one.most, POINTS)]
            for one in drawn
        ]
        targets = [
            t for t in dict.fromkeys((estimate.until, *(a.until for a in estimate.targets))) if t is not None
        ]
        self.targets = targets[:MOST_NAMED]
        levels = [level for line in self.lines for _, *ends in line for level in ends]
        self.y = fitted([*levels, *self.targets], self.bottom, self.top, margin=0.04)
        self.svg = Svg(
            WIDTH, self.height, f"Forecast {metric_name(self.metric)} against {name}, with its interval"
        )

    def figure(self) -> Figure:
        self.axes()
        for i, line in enumerate(self.lines):
            low = [(self.x(b), self.y(worst)) for b, worst, _, _ in line]
            high = [(self.x(b), self.y(best)) for b, _, _, best in line]
            self.area([*low, *high[::-1]], i)
        for target in self.targets:
            self.svg.line(self.left, self.y(target), self.right, self.y(target), "goal")
        for i, line in enumerate(self.lines):
            self.svg.polyline([(self.x(b), self.y(median)) for b, _, median, _ in line], f"c{i} curve")
        self.knees()
        self.labels()
        options = (
            f", by option ({', '.join(one.option for one in self.drawn)})" if len(self.drawn) > 1 else ""
        )
        caption = (
            f"Line: the median forecast of the best validation {metric_name(self.metric)} within a budget{options}; "
            f"band: its {percent(_level(self.estimate))} interval; dashed: "
            f"{'the targets' if len(self.targets) > 1 else 'the target'}"
        )
        caption += "; each ends where its whole budget of epochs is spent" if options else ""
        caption += "; ring: the knee, where the line bends most" if self.has_knee else ""
        legend = tuple((self.key(i), one.option) for i, one in enumerate(self.drawn)) if options else ()
        title = f"Quality against {self.name}"
        return Figure(title, self.svg.render(), f"{caption}.", self.numbers(), legend)

    @property
    def has_knee(self) -> bool:
        return any(one.curve.knee() is not None for one in self.drawn)

    def axes(self) -> None:
        axis_left(self.svg, self.y, self.left, right=self.right)
        factor = unit_size(self.cost, self.unit)
        ticks = [
            (value * factor, f"{value:,g}") for value in Scale(0.0, self.end / factor, 0.0, 1.0).ticks(5)
        ]
        label = f"{self.name} ({self.unit})" if self.unit else self.name
        axis_bottom(self.svg, self.x, self.bottom, label=label, ticks=ticks)
        if not self.doubled:
            return
        [one] = self.drawn
        for epochs in Scale(0.0, one.epochs_of(self.end), 0.0, 1.0).ticks(5):
            x = self.x(one.cost_of(epochs))
            self.svg.line(x, self.top - 4, x, self.top)
            self.svg.text(x, self.top - 9, f"{epochs:g}", anchor="middle", css="tick")
        self.svg.line(self.left, self.top, self.right, self.top)
        self.svg.text((self.left + self.right) / 2, self.top - 26, "epochs", anchor="middle", css="tick")

    def area(self, points: Sequence[Point], i: int) -> None:
        text = " ".join(f"{short(x)},{short(y)}" for x, y in points)
        self.svg.add("polygon", points=text, class_=f"c{i} area")

    def knees(self) -> None:
        for one in self.drawn:
            knee = one.curve.knee()
            if knee is not None and knee.cost <= self.end:
                place = self.x(knee.cost), self.y(self.estimate.settings.known_scale.value(knee.quality))
                self.svg.add("circle", cx=place[0], cy=place[1], r=6.0, class_="ring")

    def labels(self) -> None:
        for place, target in enumerate(
            sorted(self.targets)
        ):  # neighbours on two sides, so that none hides another
            x, anchor = (self.left + 5, "start") if place % 2 else (self.right, "end")
            y = self.y(target)
            y += 15 if y - 15 < self.top else -5  # below its line where the axis of epochs is above
            self.svg.text(x, y, f"target {level_text(self.metric, target)}", anchor=anchor, css="name")
        if len(self.drawn) == 1:
            return
        for i, (one, line) in enumerate(zip(self.drawn, self.lines, strict=True)):
            x, y = self.x(line[-1][0]), self.y(line[-1][2])
            self.svg.marks([(x, y)], size=3.5, css=f"c{i}")  # the whole budget of epochs is spent
            room = x < self.right - 60
            name = shortened(one.option, 18)
            self.svg.text(
                x + 7 if room else x,
                y + (4 if room else 18),
                name,
                anchor="start" if room else "end",
                css="over",
            )

    def key(self, i: int) -> Markup:
        return Svg(13, 13, "").line(0, 6.5, 13, 6.5, f"c{i} curve").render_hidden()

    def numbers(self) -> Table:
        """The same numbers: what each budget buys."""
        several = len(self.drawn) > 1
        rows = []
        for one in self.drawn:
            for share in SHARES:
                budget = share * one.most
                low, median, high = (quality_text(self.metric, end) for end in one.at(budget))
                cells = [cost_text(self.cost, budget), *([one.option] if several else [])]
                cells += [] if self.cost == "epochs" else [two_digits(one.epochs_of(budget))]
                rows.append(Row([*cells, median, f"{low} … {high}"]))
        heads = [self.name, *(["option"] if several else []), *([] if self.cost == "epochs" else ["epochs"])]
        heads += [metric_name(self.metric), f"{percent(_level(self.estimate))} interval"]
        return Table([Column(head, number=head != "option") for head in heads], rows)


def _named(estimate: Estimate, answer: TargetForecast, *, several: bool) -> str:
    goal = goal_text(estimate.settings.metric, answer.until)
    return f"{goal}, {answer.option}" if several else goal


def _cost(estimate: Estimate, answer: TargetForecast, cost: str) -> str:
    found: Interval | None = getattr(answer.forecast, cost)
    if found is None:
        return MISSING
    limit = Limit.of(answer.forecast.epochs, estimate.settings.max_epochs)
    if found.low == found.high and not limit.high:
        return cost_text(cost, found.median)
    return f"{median_text(cost, found, limit=limit)} ({interval_text(cost, found, limit=limit, words='')})"


def _quality(estimate: Estimate, quality: Interval | None) -> str:
    if quality is None:
        return MISSING
    metric = estimate.settings.metric
    low, median, high = (quality_text(metric, end) for end in (quality.low, quality.median, quality.high))
    return f"{median} ({low} … {high})"


def _note(estimate: Estimate, answer: BudgetForecast) -> str:
    if answer.why_not:
        return answer.why_not
    whole = f"more than the whole {estimate.settings.max_epochs:g} epochs take: --max-epochs allows for more"
    return whole if answer.whole else ""


def _level(estimate: Estimate) -> float:
    """The level of the intervals."""
    for curve in estimate.curves.values():
        return min(round(curve.levels[-1] - curve.levels[0], 6), 1.0)
    return estimate.coverage.level
