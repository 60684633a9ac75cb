"""What a ledger's page adds up, one run at a time: nothing here grows with the number of runs but plain floats."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from foretoll.records import Interval, Outcome, Run
from foretoll.report.words import COST_LABELS, data_name, model_name

LISTED = 1_000
"""The newest runs that are listed one by one."""
MOST_GROUPS = 500
"""Models × data × options that are counted apart; the runs of more are counted together."""
DRAWN = 400
"""The newest pairs of forecast and measurement that are drawn."""
BINS = (0.0, 0.2, 0.5, 0.8, 0.95, 1.0)
"""Bounds of the forecast probabilities that are held against what happened."""


@dataclass
class Sums:
    """Runs and what they took together; costs that nobody measured add nothing."""

    runs: int = 0
    reached: int = 0
    metered: int = 0
    energy_kwh: float = 0.0
    emissions_kg: float = 0.0
    duration_s: float = 0.0

    def add(self, run: Run) -> None:
        """Count a run."""
        self.runs += 1
        self.reached += run.outcome is Outcome.REACHED
        self.metered += run.toll.energy_kwh is not None
        self.energy_kwh += run.toll.energy_kwh or 0.0
        self.emissions_kg += run.toll.emissions_kg or 0.0
        self.duration_s += run.toll.duration_s or 0.0


@dataclass
class Calibration:
    """How forecasts of one cost came out: how often the interval held, and log(measured / forecast) where known."""

    level: float = 0.9
    runs: int = 0
    held: int = 0
    log_ratios: array[float] = field(default_factory=lambda: array("d"))

    def add(self, expected: Interval, value: float, *, complete: bool, max_value: float | None) -> None:
        """Hold one value against its interval.

        `complete` false: the run ended at its budget, so that its cost is `value` or more. `max_value`: the budget,
        where the interval's upper end is no bound.
        """
        self.level = expected.level
        low = -math.inf if expected.low is None else expected.low
        at_limit = expected.high is None or (
            max_value is not None and expected.high >= max_value * (1 - 1e-9)
        )
        high = math.inf if at_limit or expected.high is None else expected.high
        self.runs += 1
        slack = 1e-9 * abs(value)
        self.held += value <= high + slack and (not complete or value >= low - slack)
        if complete and value > 0 and expected.median:
            self.log_ratios.append(math.log(value / expected.median))

    def factors(self) -> tuple[float, float] | None:
        """Median of measured / forecast, and the median factor by which the two are apart; None where none is known."""
        if not self.log_ratios:
            return None
        return math.exp(_median(self.log_ratios)), math.exp(_median(map(abs, self.log_ratios)))


@dataclass(frozen=True)
class Pair:
    """Forecast and measurement of one run's cost, by the time of the run."""

    at: datetime
    cost: str
    run_id: str
    forecast: float
    low: float | None
    high: float | None
    measured: float


@dataclass
class LedgerTotals:
    """The sums, the calibration and the newest runs of a ledger."""

    everything: Sums = field(default_factory=Sums)
    months: dict[str, Sums] = field(default_factory=dict)
    groups: dict[tuple[str, str, str], Sums] = field(default_factory=dict)
    others: Sums = field(default_factory=Sums)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    chances: dict[int, list[float]] = field(
        default_factory=dict
    )  # bin: runs, reached, sum of the probabilities
    pairs: deque[Pair] = field(default_factory=lambda: deque(maxlen=DRAWN))
    newest: deque[Run] = field(default_factory=lambda: deque(maxlen=LISTED))
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    forecasts: int = 0
    unread: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(cls, runs: Iterable[Run]) -> LedgerTotals:
        """Of runs in the order of their start."""
        totals = cls()
        for run in runs:
            totals.add(run)
        return totals

    def add(self, run: Run) -> None:
        """Take one run in."""
        self.everything.add(run)
        self.months.setdefault(f"{run.started_at:%Y-%m}", Sums()).add(run)
        self.outcomes[run.outcome] = self.outcomes.get(run.outcome, 0) + 1
        key = (model_name(run.model), data_name(run.target), run.option)
        if key in self.groups or len(self.groups) < MOST_GROUPS:
            self.groups.setdefault(key, Sums()).add(run)
        else:
            self.others.add(run)
        self.first = min(self.first or run.started_at, run.started_at)
        self.last = max(self.last or run.started_at, run.started_at)
        self._hold(run)
        # what a list does not show is not kept
        self.newest.append(
            run.model_copy(update={"curve": (), "parameter_change_by_tensor": {}, "signals": {}})
        )

    def _hold(self, run: Run) -> None:
        """The forecast that was made for a run against what it took; only of runs that went as far as they could.

        How those that were given up would have come out, nobody knows.
        """
        made = run.forecast
        if made is None or not run.outcome.complete or run.outcome is Outcome.GIVEN_UP:
            return
        self.forecasts += 1
        reached = run.outcome is Outcome.REACHED
        if made.reach_probability is not None:
            place = next(i for i, top in enumerate(BINS[1:]) if made.reach_probability <= top)
            found = self.chances.setdefault(place, [0, 0, 0.0])
            found[0] += 1
            found[1] += reached
            found[2] += made.reach_probability
        budget = run.settings.max_epochs
        for cost in COST_LABELS:
            expected: Interval | None = getattr(made.forecast, cost)
            value: float | None = getattr(run.toll, cost)
            if expected is None or value is None or not (reached or cost == "epochs"):
                continue  # what was spent without reaching the target is no cost of reaching it
            epochs = made.forecast.epochs
            ends = epochs is not None and epochs.high is not None and epochs.high >= budget * (1 - 1e-9)
            limit = (
                expected.high
                if ends and cost in ("epochs", "duration_s", "energy_kwh", "emissions_kg")
                else None
            )
            self.calibration.setdefault(cost, Calibration()).add(
                expected, value, complete=reached, max_value=limit
            )
        self._pair(run, reached)

    def _pair(self, run: Run, reached: bool) -> None:
        """Energy, or time where there is no meter, for the picture."""
        for cost in ("energy_kwh", "duration_s"):
            expected: Interval | None = getattr(run.forecast.forecast, cost) if run.forecast else None
            value: float | None = getattr(run.toll, cost)
            if reached and expected is not None and expected.median and value:
                self.pairs.append(
                    Pair(run.started_at, cost, run.id, expected.median, expected.low, expected.high, value)
                )
                return


def _median(values: Iterable[float]) -> float:
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
