"""The pictures of a comparison: quality against cost with its front, and the probability to reach the target."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from foretoll.decide import forecast_point, kind_of_price, measured_point
from foretoll.records import Candidate, Comparison, Interval, Outcome
from foretoll.report import comparison as said
from foretoll.report.document import Figure, Table, table
from foretoll.report.figures import Point, Scale, Svg, axis_bottom, axis_left, fitted, shortened
from foretoll.report.plots import WIDTH
from foretoll.report.words import (
    MISSING,
    cost_text,
    goal_text,
    level_text,
    metric_name,
    percent,
    quality_text,
    unit_of,
)

LETTER = 7.2  # width of a letter of the labels, in units
LINE = 14.0
SHAPES = ("circle", "square", "triangle", "cross")  # one a model; a diamond is a measurement
AXIS_NAMES = {
    "energy_with_serving_kwh": "energy with serving",
    "energy_kwh": "energy",
    "duration_s": "duration",
}
DEPTH = 0.3  # of quality below the target that is drawn to scale; what lies deeper stands on the lower edge
FACTORS = {"kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "µWh": 1e-9, "s": 1.0}


def tradeoff_figure(comparison: Comparison) -> Figure | None:
    """Quality against cost (logarithmic): whiskers, the front, the target, the recommendation, what was measured."""
    kind = kind_of_price(comparison.candidates)
    expected = {i: forecast_point(candidate, kind) for i, candidate in said.usable(comparison)}
    points = {i: point for i, point in expected.items() if point is not None and point[0] > 0}
    seen = {
        i: point
        for i, candidate in said.usable(comparison)
        if (point := measured_point(candidate, kind, comparison.requests)) is not None and point[0] > 0
    }
    if not points and not seen:
        return None
    return _Tradeoff(comparison, kind, points, seen).figure()


class _Tradeoff:
    """The picture, drawn from back to front."""

    def __init__(
        self, comparison: Comparison, kind: str, expected: dict[int, Point], seen: dict[int, Point]
    ) -> None:
        self.comparison, self.kind, self.expected, self.seen = comparison, kind, expected, seen
        self.height, self.left, self.right = 350.0, 42.0, WIDTH - 12
        self.bottom, self.top = self.height - 44, 12.0
        costs = [cost for cost, _ in (*expected.values(), *seen.values())]
        levels = [level for _, level in (*expected.values(), *seen.values())] + [comparison.until]
        for i in expected:
            costs += [end for end in _ends(self.cost_interval(i)) if end]
            levels += [end for end in _ends(comparison.candidates[i].quality) if end is not None]
        self.x = fitted(costs, self.left, self.right, log=True, margin=0.06)
        scale = comparison.settings.scale
        self.floor = comparison.until - DEPTH if scale is None else min(levels)  # other units are drawn whole
        self.better = "Up" if scale is None or scale.higher_is_better else "Down"
        self.y = fitted([max(level, self.floor) for level in levels], self.bottom, self.top, margin=0.08)
        self.svg = Svg(WIDTH, self.height, f"Quality against {AXIS_NAMES[kind]} of every candidate")
        self.taken: list[tuple[float, float, float, float]] = []

    def cost_interval(self, i: int) -> Interval | None:
        candidate = self.comparison.candidates[i]
        if self.kind == "energy_with_serving_kwh":
            return candidate.energy_with_serving_kwh
        interval: Interval | None = getattr(candidate.forecast, self.kind)
        return interval

    def figure(self) -> Figure:
        self.axes()
        self.front()
        for i in self.expected:
            self.whiskers(i)
        for i, point in self.expected.items():
            self.forecast(i, point)
        for i, point in self.seen.items():
            self.measured(i, point)
        self.labels()
        goal = goal_text(self.comparison.settings.metric, self.comparison.until)
        caption = (
            f"{self.better} and to the left is better. Points: medians of the forecasts, with their intervals as "
            f"whiskers; dashed: the target, {goal}; dotted: the Pareto front, whose candidates no other beats in both"
        )
        caption += ", as measured" if self.seen else ""
        if self.comparison.recommendation.candidate in self.expected:
            caption += "; ringed: the recommended one"
        caption += (
            ". Diamonds: what was measured, open where the target was not reached." if self.seen else "."
        )
        title = f"Quality against {AXIS_NAMES[self.kind]}"
        return Figure(title, self.svg.render(), caption, self.numbers(), self.legend(), repeated=True)

    def numbers(self) -> Table:
        """A row for each candidate that is drawn."""
        kind = "duration_s" if self.kind == "duration_s" else "energy_kwh"
        rows = []
        for i in self.expected.keys() | self.seen.keys():
            candidate, seen = self.comparison.candidates[i], self.seen.get(i)
            expected = i in self.expected
            cells = [
                said.title(self.comparison, candidate),
                said.with_ends(kind, self.cost_interval(i)) if expected else MISSING,
                said.quality_of(self.comparison, candidate) if expected else MISSING,
            ]
            if self.seen:
                cells.append(cost_text(kind, seen[0], digits=3) if seen else MISSING)
                cells.append(quality_text(self.comparison.settings.metric, seen[1]) if seen else MISSING)
            rows.append(cells)
        name, quality = AXIS_NAMES[self.kind], metric_name(self.comparison.settings.metric)
        heads = ["option", f"{name} forecast", f"{quality} forecast"]
        heads += [f"{name} measured", f"{quality} measured"] if self.seen else []
        return table("", heads, rows, numbers=range(1, len(heads)))

    def axes(self) -> None:
        unit = "s" if self.kind == "duration_s" else unit_of("energy_kwh", (self.x.low * self.x.high) ** 0.5)
        ticks = [(value, f"{value / FACTORS[unit]:,g}") for value in self.x.ticks(5)]
        axis_left(self.svg, self.y, self.left, right=self.right)
        axis_bottom(
            self.svg,
            self.x,
            self.bottom,
            label=f"{AXIS_NAMES[self.kind]} ({unit}, logarithmic)",
            ticks=ticks,
            top=self.top,
        )
        y = self.y(self.comparison.until)
        self.svg.line(self.left, y, self.right, y, "goal")
        text = f"target {level_text(self.comparison.settings.metric, self.comparison.until)}"
        wide = LETTER * len(text)
        boxes = [(self.right - wide, y - 16, self.right, y), (self.left, y - 16, self.left + wide, y)]
        near = [(x, y) for x, y in map(self.place, (*self.expected.values(), *self.seen.values()))]
        box = min(boxes, key=lambda box: sum(_overlap(box, (x - 6, y - 6, x + 6, y + 6)) for x, y in near))
        self.svg.text(box[0] + 3, y - 5, text, css="name")
        self.take(*box)
        self.take(self.left, y - 2, self.right, y + 2)

    def front(self) -> None:
        points = self.seen or self.expected
        on = sorted(points[i] for i in points if self.comparison.candidates[i].on_front)
        if len(on) > 1:
            self.svg.polyline([self.place(point) for point in on], "line reference")

    def whiskers(self, i: int) -> None:
        (x, y), colour = self.place(self.expected[i]), self.css(i)
        level = self.comparison.candidates[i].quality
        low, high = (self.y.clipped(end, self.expected[i][1]) for end in _ends(level))
        self.svg.line(x, low, x, high, f"{colour} faint")
        low, high = (self.x.clipped(end, self.expected[i][0]) for end in _ends(self.cost_interval(i)))
        self.svg.line(low, y, high, y, f"{colour} faint")

    def forecast(self, i: int, point: Point) -> None:
        candidate, place = self.comparison.candidates[i], self.place(point)
        if i == self.comparison.recommendation.candidate:
            self.svg.add("circle", cx=place[0], cy=place[1], r=9, class_="ring")
        self.svg.marks(
            [place], shape=self.shape(candidate), size=4.5, css=self.css(i), title=self.expected_text(i)
        )
        self.take(place[0] - 6, place[1] - 6, place[0] + 6, place[1] + 6)

    def measured(self, i: int, point: Point) -> None:
        candidate, place = self.comparison.candidates[i], self.place(point)
        if i in self.expected:
            self.svg.line(*self.place(self.expected[i]), *place, f"{self.css(i)} faint")
        reached = candidate.run is not None and candidate.run.outcome is Outcome.REACHED
        css = f"{self.css(i)} measured" if reached else "spent"
        quality = quality_text(self.comparison.settings.metric, point[1])
        text = f"{said.title(self.comparison, candidate)}, measured: {quality}"
        self.svg.marks([place], shape="diamond", size=5, css=css, title=text)
        self.take(place[0] - 7, place[1] - 7, place[0] + 7, place[1] + 7)

    def labels(self) -> None:
        """The names of the recommended one and of the front, then of all others that find a free place."""
        chosen = self.comparison.recommendation.candidate
        order = sorted(
            self.expected or self.seen,
            key=lambda i: (i != chosen, not self.comparison.candidates[i].on_front, i),
        )
        for i in order:
            x, y = self.place(self.expected.get(i) or self.seen[i])
            text = shortened(said.title(self.comparison, self.comparison.candidates[i]), 24)
            level = (self.expected.get(i) or self.seen[i])[1]
            text += f" {level:.2f} ↓" if level < self.floor else ""
            wide = LETTER * len(text)
            away = 13.0 if i == chosen else 9.0
            for dx, dy, anchor in (
                (0.0, -away, "middle"), (away, 4.5, "start"), (-away, 4.5, "end"), (0.0, away + 9, "middle"),
                (away, -away, "start"), (-away, -away, "end"), (away, away + 6, "start"), (-away, away + 6, "end"),
            ):  # fmt: skip
                start = x + dx - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
                box = (start, y + dy - LINE + 3, start + wide, y + dy + 3)
                inside = (
                    box[0] >= self.left and box[2] <= WIDTH and self.top <= box[1] and box[3] <= self.bottom
                )
                if inside and not any(_overlap(box, other) for other in self.taken):
                    self.svg.text(x + dx, y + dy, text, anchor=anchor, css="name")
                    self.take(*box)
                    break

    def legend(self) -> tuple[tuple[Markup, str], ...]:
        comparison = self.comparison
        options = {comparison.candidates[i].option: self.css(i) for i in (*self.expected, *self.seen)}
        keys = [(_key(css, "circle"), name) for name, css in options.items()]
        if len(comparison.models) > 1:
            keys += [
                (_key("muted", SHAPES[k % len(SHAPES)]), name) for k, name in enumerate(comparison.models)
            ]
        return tuple(keys)

    def expected_text(self, i: int) -> str:
        candidate = self.comparison.candidates[i]
        cost = said.with_ends(
            "duration_s" if self.kind == "duration_s" else "energy_kwh", self.cost_interval(i)
        )
        quality = said.quality_of(self.comparison, candidate)
        return f"{said.title(self.comparison, candidate)}: {cost}, quality {quality}"

    def place(self, point: Point) -> Point:
        return self.x(point[0]), self.y.clipped(point[1], self.floor)

    def css(self, i: int) -> str:
        """One colour an option, whatever the model."""
        options = list(dict.fromkeys(candidate.option for candidate in self.comparison.candidates))
        return f"c{options.index(self.comparison.candidates[i].option) % 10}"

    def shape(self, candidate: Candidate) -> str:
        """One shape a model."""
        names = list(self.comparison.models)
        return SHAPES[names.index(candidate.model) % len(SHAPES)] if candidate.model in names else SHAPES[0]

    def take(self, *box: float) -> None:
        left, top, right, bottom = box
        self.taken.append((left, top, right, bottom))


def reach_figure(comparison: Comparison) -> Figure | None:
    """The probability of each candidate to reach the target, with the one that was asked for."""
    known = [
        (i, candidate, candidate.reach_probability)
        for i, candidate in said.usable(comparison)
        if candidate.reach_probability is not None
    ]
    if not known:
        return None
    step, top = (34.0 if len(known) <= 10 else 30.0), 6.0
    bottom = top + step * len(known) + 2
    svg = Svg(WIDTH, bottom + 24, "Probability of reaching the target, by candidate")
    scale = Scale(0.0, 1.0, 16, WIDTH - 22)
    ticks = [(share, percent(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    axis_bottom(svg, scale, bottom, ticks=ticks, top=top)
    rows = []
    for row, (i, candidate, reach) in enumerate(known):
        rows.append((said.title(comparison, candidate), percent(reach)))
        y = top + step * row
        chosen = ", recommended" if i == comparison.recommendation.candidate else ""
        over = ", over budget" if candidate.over_budget else ""
        name = shortened(said.title(comparison, candidate), 30)
        svg.text(
            scale.start,
            y + 13,
            f"{name} {percent(reach)}{over}{chosen}",
            css="name over" if chosen else "over",
        )
        svg.bar(scale.start, y + 18, scale(reach) - scale.start, 8, css="bar" if chosen else "range")
    x = scale(comparison.recommendation.confidence)
    svg.line(x, top, x, bottom, "goal")
    caption = (
        f"Dashed: {percent(comparison.recommendation.confidence)}, below which a candidate is not relied on."
    )
    numbers = table("", ("option", "reaches the target"), rows, numbers=(1,))
    return Figure("Probability of reaching the target", svg.render(), caption, numbers, repeated=True)


def _ends(interval: Interval | None) -> Sequence[float | None]:
    return (interval.low, interval.high) if interval is not None else (None, None)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _key(colour: str, shape: str) -> Markup:
    return Svg(14, 14, "").marks([(7.0, 7.0)], shape=shape, size=4, css=f"{colour} point").render_hidden()
