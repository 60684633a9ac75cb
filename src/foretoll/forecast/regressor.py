"""The model of one learned cost, on a log scale: location, scale and the calibrated shape around them.

location   `foretoll.forecast.point`
scale      how far held-out runs like this one fell from their location
shape      the Kaplan–Meier distribution of (value − location) / scale over runs held out in whole groups:
           intervals are split-conformal in that sense, asymmetric, and censored runs count as censored
reach      the probability of staying within a budget, calibrated on its own (`foretoll.forecast.reach`); the
           shape then says when, given that it does

With fewer than `SHAPE_FROM` held-out runs the shape is Student's t, and no coverage is claimed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from foretoll.forecast.boosted import Boosting, boosted_trees, squared_score
from foretoll.forecast.case import FeatureValues
from foretoll.forecast.point import PointModel, Positions, Table
from foretoll.forecast.predictive import PredictiveDistribution
from foretoll.forecast.reach import Reach
from foretoll.forecast.spread import GroupSpread
from foretoll.forecast.student import student_quantile
from foretoll.forecast.survival import Array, Distribution, kaplan_meier
from foretoll.forecast.trees import Trees

SHAPE_FROM = 20
SCALE_FROM = 80
FOLDS = 6
# Smooth: a spread is known less well than a mean.
SCALE_TREES = Boosting(trees=40, rate=0.05, depth=2, fewest=25)


@dataclass(frozen=True)
class HeldOutResiduals:
    """Residuals of runs that were forecast without their group: positions in the table, values, folds."""

    rows: Positions
    residual: Array
    fold: Positions


def _folds(groups: Sequence[str], seed: int) -> Positions:
    """A fold for each run, whole groups together; single runs where there are fewer than three groups."""
    names = sorted(set(groups))
    if len(names) < 3:  # one group cannot be held out of itself
        groups = [str(i) for i in range(len(groups))]
        names = sorted(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[int(k)]: i % min(FOLDS, len(names)) for i, k in enumerate(order)}
    return np.array([fold_of[group] for group in groups], dtype=np.intp)


def new_among(groups: Sequence[str], group: str | None) -> float:
    """How much wider an interval is for a group that none of the runs is of; 1 for one that was seen.

    Of K groups, whole groups spread about their mean as Student's t with K − 1 degrees of freedom says, where the
    residuals of all runs take them for many: one more group is one more of few.
    """
    known = set(groups)
    if group is None or group in known or len(known) < 3:
        return 1.0
    return student_quantile(0.95, len(known) - 1) / NormalDist().inv_cdf(0.95)


class CostModel:
    """Learns one log cost from runs and gives calibrated predictive distributions.

    Where the table brings residuals of held-out runs (`Table.held_out`), these calibrate; otherwise the runs are
    held out here, group by group, which takes several times as long.
    """

    def __init__(self, table: Table, *, seed: int = 0) -> None:
        if len(table) == 0:
            raise ValueError("a cost model needs at least one run")
        self.table = table
        self.point = PointModel(table, seed)
        self.sigma = self.point.ridge.deviation
        self.scale_trees: Trees | None = None
        self.shape: Distribution | None = None
        self.spread = GroupSpread(within=1.0, between=0.0)
        self.reach: Reach | None = None
        self.outermost: float | None = None  # see `Neighbourhood`
        self.usual = self.sigma  # scale of the median held-out run
        self._coverages: dict[tuple[float, float], float] = {}
        self.held_out = self._given() or self._hold_out(seed)
        if self.held_out is not None:
            self._calibrate(self.held_out, seed)

    @classmethod
    def restored(
        cls,
        table: Table,
        *,
        point: PointModel,
        sigma: float,
        scale_trees: Trees | None,
        spread: GroupSpread,
        reach: Reach | None,
        held_out: HeldOutResiduals | None,
        outermost: float | None,
        usual: float,
    ) -> CostModel:
        """One that was fitted to this table before."""
        self = cls.__new__(cls)
        self.table, self.point, self.sigma, self.scale_trees = table, point, sigma, scale_trees
        self.shape, self.spread, self.reach = None, spread, reach
        self.held_out, self.outermost, self.usual, self._coverages = held_out, outermost, usual, {}
        if held_out is not None:
            rows = table.take(held_out.rows)
            self.shape = kaplan_meier(held_out.residual / self._scale(rows.rows), rows.censored)
        return self

    def predict(
        self,
        row: FeatureValues,
        *,
        owner: str = "",
        group: str | None = None,
        widen: float = 1.0,
        limit: float | None = None,
        option: str = "",
        task_shift: bool = False,
    ) -> PredictiveDistribution:
        """Predictive distribution for one row.

        `widen` multiplies the scale where the case is unlike all runs; a `group` that none of them is of widens
        too, and one that was seen narrows, unless a `task_shift` brings other data. `limit` is the log of the
        budget that a time of this `option` has.
        """
        limits = None if limit is None else [limit]
        return self.predict_all(
            [row], [owner], [group], [task_shift], widen=widen, limits=limits, options=[option]
        )[0]

    def predict_all(
        self,
        rows: Sequence[FeatureValues],
        owners: Sequence[str],
        groups: Sequence[str | None],
        task_shifts: Sequence[bool],
        *,
        widen: float = 1.0,
        limits: Sequence[float] | None = None,
        options: Sequence[str] = (),
    ) -> list[PredictiveDistribution]:
        """Predictive distributions for n rows, as `predict` gives them one by one."""
        locations, scales = self.point.predict(rows, owners), self._scale(rows)
        freedom = max(len(self.table) - 2.0, 1.0)
        told = [
            PredictiveDistribution(
                float(location),
                float(scale) * widen * self._for_new(group, task_shift=task),
                self.shape,
                freedom,
            )
            for location, scale, group, task in zip(locations, scales, groups, task_shifts, strict=True)
        ]
        if limits is None or self.reach is None:
            return told
        reaches = self.reach.of(np.array(limits) - locations, options)
        return [
            replace(one, limit=limit, reach=float(reach))
            for one, limit, reach in zip(told, limits, reaches, strict=True)
        ]

    def _for_new(self, group: str | None, *, task_shift: bool) -> float:
        """How much wider an interval is for a group that was never seen, and narrower for one that was.

        Residuals are of runs held out with their whole group, so they are those of a new one but for `new_among`. Of a
        group that was seen, its own deviation is known the better the more runs of it there are; but not where a
        task shift brings other data.
        """
        counts = Counter(self.table.groups)
        if group is None or len(counts) < 3:
            return 1.0
        if group not in counts:
            return new_among(self.table.groups, group)
        return 1.0 if task_shift else self.spread.left_after(counts[group])

    def hardness(self, row: FeatureValues) -> float:
        """How large errors on runs like this one usually are, over those on the median run; both held out."""
        return float(self._scale([row])[0]) / self.usual

    def coverage(self, level: float, *, group: str | None = None, task_shift: bool = False) -> float | None:
        """Share of held-out runs inside their interval, each fold calibrated on the others only.

        `group` and `task_shift` as in `predict`: the intervals are as wide as theirs. The runs are held out with
        their groups, so for a group that was seen, and intervals that are narrower for it, the share is a low one.
        """
        if self.held_out is None:
            return None
        widen = self._for_new(group, task_shift=task_shift)
        if (level, widen) not in self._coverages:
            self._coverages[level, widen] = self._coverage(self.held_out, level, widen)
        return self._coverages[level, widen]

    def _coverage(self, held: HeldOutResiduals, level: float, widen: float) -> float:
        table = self.table.take(held.rows)
        location, scale = table.y - held.residual, self._scale(table.rows)
        limits, reach = table.limits, None
        if limits is not None and self.reach is not None:
            reach = self.reach.of(limits - location, table.options)
        inside = 0
        for fold in np.unique(held.fold):
            rest = held.fold != fold
            shape = kaplan_meier((held.residual / scale)[rest], table.censored[rest])
            for i in np.flatnonzero(~rest):
                told = PredictiveDistribution(float(location[i]), float(scale[i]) * widen, shape, math.inf)
                if limits is not None and reach is not None:
                    told = replace(told, limit=float(limits[i]), reach=float(reach[i]))
                low, high = told.quantile((1 - level) / 2), told.quantile((1 + level) / 2)
                if table.censored[i]:  # beyond its budget: inside if the interval reaches there
                    inside += high is None or (told.limit is None and table.y[i] <= high)
                else:
                    inside += low is not None and low <= table.y[i] and (high is None or table.y[i] <= high)
        return inside / len(held.rows)

    def _given(self) -> HeldOutResiduals | None:
        known = self.table.held_out
        if known is None or np.isfinite(known).sum() < SHAPE_FROM:
            return None
        rows = np.flatnonzero(np.isfinite(known))
        return HeldOutResiduals(rows, known[rows], _folds([self.table.groups[int(i)] for i in rows], 0))

    def _hold_out(self, seed: int) -> HeldOutResiduals | None:
        """Residuals of runs held out in groups; None with too few runs."""
        table = self.table
        if len(table) < SHAPE_FROM:
            return None
        folds = _folds(table.groups, seed)
        residual = np.zeros(len(table))
        for fold in np.unique(folds):
            test, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            point = PointModel(table.take(rest), seed)
            left = table.take(test)
            residual[test] = left.y - point.predict(left.rows, left.owners)
        return HeldOutResiduals(np.arange(len(table)), residual, folds)

    def _calibrate(self, held: HeldOutResiduals, seed: int) -> None:
        table = self.table.take(held.rows)
        self.sigma = max(float(np.median(np.abs(held.residual))) * 1.4826, 1e-3)
        if len(table) >= SCALE_FROM:
            self.scale_trees = boosted_trees(
                self.point.clipped(table.rows),
                squared_score(np.abs(held.residual)),
                start=float(np.abs(held.residual).mean()),
                rising=np.zeros(len(self.point.columns), dtype=bool),
                seed=seed,
                how=SCALE_TREES,
            )
        scales = self._scale(table.rows)
        self.usual = float(np.median(scales))
        units = held.residual / scales
        self.shape = kaplan_meier(units, table.censored)
        self.spread = GroupSpread.of(units, table.groups)
        if table.limits is not None:
            margin = table.limits - (table.y - held.residual)
            self.reach = Reach.fit(margin, ~table.censored, table.options)

    def _scale(self, rows: Sequence[FeatureValues]) -> Array:
        if self.scale_trees is None:
            return np.full(len(rows), self.sigma)
        typical = self.scale_trees.predict(self.point.clipped(rows))
        return np.asarray(np.maximum(typical, 0.25 * self.sigma))
