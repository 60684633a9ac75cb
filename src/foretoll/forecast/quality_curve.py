"""One distribution, read both ways: what it costs to reach a quality, and which quality a budget buys.

P(best quality within a budget b ≥ q) = P(cost to reach q ≤ b). The cost's quantiles are forecast for a grid of targets;
between these they are linear, so that both readings are inverse to each other at every level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from foretoll.forecast.agreement import Agreement
from foretoll.forecast.case import Case, at_target, decided
from foretoll.forecast.early import epochs_told, features_of, limit_of
from foretoll.forecast.forecaster import Forecaster, Prediction
from foretoll.forecast.predictive import TimeDistribution
from foretoll.forecast.step_costs import StepCosts
from foretoll.forecast.survival import Array
from foretoll.options.table import traits_of
from foretoll.records import ForecastCurve, Interval, QualityScale
from foretoll.records.curve import BudgetCost

NODES = 24
FIRST = 1e-6  # of the error left: so little above the quality now is a target of its own, as any gain is uncertain
HIGHEST = 0.995  # progress of the last target of the grid,
# or less: of 100 runs of the ledger that ships not one came under so much of the least error that a look has seen
LEAST_ERROR = 0.2
SEEN = ("probe_accuracy", "knn_accuracy", "renormalised_quality", "pilot24_quality")
INNER_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NORMAL = NormalDist()
BEND = 0.1  # how far a knee lies off the straight line, as a share: with less there is none


class Knee(NamedTuple):
    """Where quality becomes dear: to `quality` at `cost`, and on to `highest`, the best that is likelier than not."""

    quality: float
    cost: float
    highest: float
    highest_cost: float


@dataclass(frozen=True)
class QualityCurve:
    """Quantiles of the cost by target; qualities are progress on the validation data, the best so far of a run.

    targets (m,): rising, the first is the quality before any step. levels (k,): rising. costs (m, k): what the cost
    stays below with the probability of the level; rising with both. reach (m,): the probability to reach the target
    within the whole budget, falling; a level above it is never reached, whatever its cost says.
    """

    targets: Array
    levels: Array
    costs: Array
    reach: Array

    @classmethod
    def of(cls, record: ForecastCurve, cost: BudgetCost, scale: QualityScale) -> QualityCurve | None:
        """The curve of one cost of a stored one; `scale`: of its metric. None where that cost was not known."""
        costs = getattr(record, cost)
        if costs is None:
            return None
        targets = np.array([scale.progress(quality) for quality in record.targets])
        return cls(targets, np.array(record.levels), np.array(costs), np.array(record.reach))

    def reaches(self, quality: float) -> float:
        """P(the quality is reached within the whole budget)."""
        return float(np.interp(quality, self.targets, self.reach))

    def to_target(self, quality: float) -> Interval:
        """The cost of reaching a quality: median and the outermost levels."""
        low, median, high = (self._cost(quality, j) for j in self._ends)
        return self._interval(low, median, high)

    def for_budget(self, cost: float) -> Interval:
        """The best quality within a budget. What costs less than the budget at a level is reached at that level."""
        high, median, low = (self._quality(cost, j) for j in self._ends)
        return self._interval(low, median, high)

    def probability(self, quality: float, cost: float) -> float:
        """P(the quality is reached at this cost at the most)."""
        if quality <= self.targets[0]:
            return 1.0
        costs = [self._cost(quality, j) for j in range(len(self.levels))]
        reach = self.reaches(quality)
        ends = [self.costs[0, 0], *costs, max(costs[-1], float(self.costs[:, -1].max()))]
        last = max(reach, float(self.levels[-1]))
        return min(reach, float(np.interp(cost, ends, [0.0, *self.levels, last])))

    def knee(self) -> Knee | None:
        """The point of the median curve farthest above the straight line between its ends; None where it is straight.

        Satopää et al. 2011, "Finding a kneedle in a haystack", without smoothing.
        """
        median = self._ends[1]
        highest = self._reached_at(median)
        qualities = np.append(self.targets[self.targets < highest], highest)
        costs = np.array([self._cost(q, median) for q in qualities])
        rise, spent = qualities - qualities[0], costs - costs[0]
        if len(qualities) < 3 or rise[-1] <= 0 or spent[-1] <= 0:
            return None
        above = rise / rise[-1] - spent / spent[-1]
        at = int(above.argmax())
        if above[at] < BEND:
            return None
        return Knee(float(qualities[at]), float(costs[at]), float(highest), float(costs[-1]))

    def in_cost(self, cost: StepCosts) -> QualityCurve:
        """The curve of a cost that follows from the epochs of this one: duration or energy."""
        share = np.array([NORMAL.inv_cdf(float(level)) for level in self.levels])
        share = share / np.where(share > 0, share[-1], -share[0])  # −1, 0 and 1 at the ends and the median
        median = self.costs[:, self._ends[1]]
        found = np.array(
            [
                [cost.quantile(middle, end, off) for end, off in zip(row, share, strict=True)]
                for middle, row in zip(median, self.costs, strict=True)
            ]
        )
        found[0] = replace(cost, preparation=0.0).of(0.0)  # the first evaluation ends the run
        return replace(self, costs=found)

    @property
    def _ends(self) -> tuple[int, int, int]:
        return 0, len(self.levels) // 2, len(self.levels) - 1

    def _interval(self, low: float, median: float, high: float) -> Interval:
        level = float(self.levels[-1] - self.levels[0])
        return Interval(median=median, low=low, high=high, level=min(round(level, 12), 1.0))

    def _cost(self, quality: float, j: int) -> float:
        return float(np.interp(quality, self.targets, self.costs[:, j]))

    def _quality(self, cost: float, j: int) -> float:
        """The highest quality whose cost at level j keeps to a budget, and which is reached at that level at all."""
        found = _last(self.targets, self.costs[:, j], cost)
        return min(found, self._reached_at(j))

    def _reached_at(self, j: int) -> float:
        return _last(self.targets, -self.reach, -float(self.levels[j]))


def _last(targets: Array, rising: Array, most: float) -> float:
    """The highest target, between these, at which values that rise with the targets are at most `most`."""
    at = int(np.searchsorted(rising, most, side="right")) - 1
    if at < 0 or at == len(targets) - 1:
        return float(targets[max(at, 0)])
    share = (most - rising[at]) / (rising[at + 1] - rising[at])
    return float(targets[at] + share * (targets[at + 1] - targets[at]))


def forecast_curve(
    forecaster: Forecaster, case: Case, made: Prediction, also: Sequence[float] = ()
) -> QualityCurve | None:
    """The curve of epochs of a case from its quality now to the highest plausible; None where no time was learned.

    `made`: the forecast for the case's own target, which the curve holds as it is. `also`: further targets (progress).
    Of the forecasts for the other targets, each made like that one, the running maximum away from it is taken: a higher
    target cannot be reached sooner. Under the case's target they agree with the quality afterwards (`_agreed`).
    """
    if not traits_of(case.option).takes_steps:
        return None
    now = case.start_quality or 0.0
    targets = _grid(now, _highest(case), [case.until, *also])
    if len(targets) < 2:
        return None
    if decided(case):
        case = at_target(case, float(targets[1]))
        made = forecaster.foretell(case, time_only=True)
    model = forecaster.learned.model("epochs", case)
    if made.time is None or model is None:
        return None
    cases = [at_target(case, float(target)) for target in targets[1:]]
    limit = limit_of(case)
    count = len(cases)
    found: list[TimeDistribution] = [
        *model.predict_all(
            [features_of(one) for one in cases],
            [case.owner] * count,
            [case.source_name] * count,
            [case.task_shift] * count,
            widen=made.widen,
            limits=[limit] * count,
            options=[case.option] * count,
        )
    ]
    anchor = int(np.searchsorted(targets, case.until))
    found[anchor - 1] = made.time
    low, high = (1 - forecaster.level) / 2, (1 + forecaster.level) / 2
    levels = (low, *(level for level in INNER_LEVELS if low < level < high), high)
    told = np.array([min(max(one.cdf(limit), 0.0), 1.0) for one in found])
    reach = _agreed(told, targets[1:] - case.until, made.afterwards)
    shares = np.divide(told, reach, out=np.ones(count), where=reach > told)
    costs = np.array(
        [
            [_epochs(one, float(level * share), case) for level in levels]
            for one, share in zip(found, shares, strict=True)
        ]
    )
    start = np.zeros((1, len(levels)))
    return QualityCurve(
        targets,
        np.array(levels),
        rising_from(np.concatenate([start, costs]), anchor),
        -rising_from(-np.concatenate([[1.0], reach]), anchor),
    )


def _agreed(reach: Array, above: Array, afterwards: Agreement | None) -> Array:
    """The probabilities to reach targets (m,), those under the case's own no less than to be there afterwards.

    above (m,): how far the targets lie above that of the case. Up to it a run goes on, and the best that it has seen is
    no less than what it ends with. Far under an unlikely target what was learned of the quality knows more than what
    was learned of times: there a run has one target, and most that did not come near theirs were cut off.
    """
    if afterwards is None:
        return reach
    there = [afterwards.at_least(float(value)) if value < 0 else 0.0 for value in above]
    return np.maximum(reach, there)


def rising_from(values: Array, anchor: int) -> Array:
    """The values (m, …) made to rise along the first axis, with the row at `anchor` as it is."""
    return np.concatenate(
        [
            np.minimum.accumulate(values[: anchor + 1][::-1])[::-1],
            np.maximum.accumulate(values[anchor:])[1:],
        ]
    )


def _highest(case: Case) -> float:
    """The highest target that is plausible: some of the least error that the look or the pilot saw is always left."""
    seen = [value for name in SEEN if (value := case.signals.get(name)) is not None]
    best = max([*seen, case.start_quality or 0.0])
    return min(HIGHEST, 1 - LEAST_ERROR * (1 - best)) if seen else HIGHEST


def _grid(now: float, highest: float, asked: Sequence[float]) -> Array:
    """The quality now and higher targets, evenly spaced in the logarithm of the error, with those that are asked."""
    nodes = [q for q in asked if q > now]
    if now < highest:
        nodes += list(1 - (1 - now) * ((1 - highest) / (1 - now)) ** np.linspace(0, 1, NODES)[1:])
        nodes.append(now + FIRST * (1 - now))
    return np.array([now, *sorted(set(nodes))])


def _epochs(time: TimeDistribution, level: float, case: Case) -> float:
    value = time.quantile(level)
    return case.max_epochs if value is None else epochs_told(value, case)
