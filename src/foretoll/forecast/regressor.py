"""The model of one learned cost, on a log scale: location, scale and the calibrated shape around them.

location   a censored ridge regression, which also gives censored runs their expected cost; from `FOREST_FROM`
           runs on, the mean of extremely randomised trees and of boosted trees that rise with what is missing
           to the target; plus the mean of what is left on the user's own model, shrunk towards 0
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

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from foretoll.forecast.case import OTHER, FeatureValues
from foretoll.forecast.predictive import PredictiveDistribution
from foretoll.forecast.reach import Reach
from foretoll.forecast.spread import GroupSpread
from foretoll.forecast.survival import Array, CensoredRidge, Distribution, Flags, kaplan_meier
from foretoll.forecast.trees import Trees

FOREST_FROM = 40
RANDOM_TREES = 50
BOOSTED_TREES = 80
SHAPE_FROM = 20
SCALE_FROM = 80
FOLDS = 6
OWN_SHRINKAGE = 2.0  # own runs count n / (n + 2) of their mean residual
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """Rows a cost model learns from; y is the log of the cost, `groups` are held out together."""

    rows: Sequence[FeatureValues]
    y: Array
    censored: Flags
    weights: Array
    groups: Sequence[str]
    owners: Sequence[str]
    rising: frozenset[str] = frozenset()  # features that y cannot fall with
    held_out: Array | None = None  # residuals known beforehand, NaN where they are not
    limits: Array | None = None  # log of the budget, where y is a time within one
    options: Sequence[str] = ()  # the way of reuse of each run, where there are limits

    def __len__(self) -> int:
        return len(self.y)

    def take(self, keep: Positions) -> Table:
        """The rows at the given positions."""
        index = [int(i) for i in keep]
        return Table(
            [self.rows[i] for i in index],
            self.y[index],
            self.censored[index],
            self.weights[index],
            [self.groups[i] for i in index],
            [self.owners[i] for i in index],
            self.rising,
            None if self.held_out is None else self.held_out[keep],
            None if self.limits is None else self.limits[keep],
            [self.options[i] for i in index] if self.options else (),
        )


class PointModel:
    """Location without calibration."""

    def __init__(self, table: Table, seed: int) -> None:
        self.columns = sorted({name for row in table.rows for name, v in row.items() if v is not None})
        raw = self._raw(table.rows)
        with np.errstate(all="ignore"):
            self.medians = np.array(
                [np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0 for c in raw.T]
            )
        x = self.matrix(table.rows)
        n = len(table)
        # A prior worth a third of the data: chosen on the left-out data sets of the second study.
        self.ridge = CensoredRidge.fit(x, table.y, table.censored, table.weights, ridge=0.3 * n + 3)
        filled = self.ridge.fill(x, table.y, table.censored)
        self.trees: list[Trees] = []
        if n >= FOREST_FROM:
            from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

            rising = [int(name in table.rising) for name in self.columns]
            random_trees = ExtraTreesRegressor(
                RANDOM_TREES, min_samples_leaf=2, max_features=0.7, random_state=seed, n_jobs=1
            )
            boosted_trees = HistGradientBoostingRegressor(
                max_iter=BOOSTED_TREES,
                learning_rate=0.08,
                max_leaf_nodes=8,
                min_samples_leaf=10,
                l2_regularization=1.0,
                monotonic_cst=rising,
                early_stopping=False,
                random_state=seed,
            )
            # A run of weight 4 is shown to the boosted trees four times: their binning of weighted samples takes
            # several times as long as all the rest.
            shown = np.repeat(np.arange(n), np.maximum(np.rint(table.weights), 1).astype(np.intp))
            self.trees = [
                Trees.of_forest(random_trees.fit(x, filled, sample_weight=table.weights)),
                Trees.of_boosted(boosted_trees.fit(x[shown], filled[shown])),
            ]
        self.offsets: dict[str, float] = {}
        residual = filled - self._shared(x)
        for owner in {o for o in table.owners if o}:
            mine = np.array([o == owner for o in table.owners])
            count = int(mine.sum())
            self.offsets[owner] = float(residual[mine].mean()) * count / (count + OWN_SHRINKAGE)

    @classmethod
    def restored(
        cls,
        columns: list[str],
        medians: Array,
        ridge: CensoredRidge,
        trees: list[Trees],
        offsets: dict[str, float],
    ) -> PointModel:
        """One that was fitted before."""
        self = cls.__new__(cls)
        self.columns, self.medians, self.ridge, self.trees, self.offsets = (
            columns, medians, ridge, trees, offsets,
        )  # fmt: skip
        return self

    def _raw(self, rows: Sequence[FeatureValues]) -> Array:
        absent = [0.0 if name.startswith(OTHER) else math.nan for name in self.columns]
        return np.array(
            [
                [
                    none if (v := row.get(name)) is None else v
                    for name, none in zip(self.columns, absent, strict=True)
                ]
                for row in rows
            ],
            dtype=float,
        ).reshape(len(rows), len(self.columns))

    def matrix(self, rows: Sequence[FeatureValues]) -> Array:
        """Features (n, p), what is missing at the median of the runs."""
        raw = self._raw(rows)
        return np.where(np.isnan(raw), self.medians, raw)

    def _shared(self, x: Array) -> Array:
        if not self.trees:
            return self.ridge.predict(x)
        return np.asarray(np.mean([model.predict(x) for model in self.trees], axis=0))

    def predict(self, rows: Sequence[FeatureValues], owners: Sequence[str]) -> Array:
        """Locations (n,) of the rows."""
        own = np.array([self.offsets.get(owner, 0.0) for owner in owners])
        return np.asarray(self._shared(self.matrix(rows)) + own)

    def standardised(self, rows: Sequence[FeatureValues]) -> Array:
        """Feature matrix (n, p) in units of the learned spread."""
        return np.asarray((self.matrix(rows) - self.ridge.mean) / self.ridge.scale)


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
        self.sigma = self.point.ridge.sigma
        self.scale_trees: Trees | None = None
        self.shape: Distribution | None = None
        self.spread = GroupSpread(within=1.0, between=0.0)
        self.reach: Reach | None = None
        self.outermost: float | None = None  # see `Neighbourhood`
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
        shape: Distribution | None,
        spread: GroupSpread,
        reach: Reach | None,
        held_out: HeldOutResiduals | None,
        outermost: float | None,
    ) -> CostModel:
        """One that was fitted to this table before."""
        self = cls.__new__(cls)
        self.table, self.point, self.sigma, self.scale_trees = table, point, sigma, scale_trees
        self.shape, self.spread, self.reach = shape, spread, reach
        self.held_out, self.outermost = held_out, outermost
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

        Residuals are of runs held out with their whole group. Of K groups, whole groups spread about their mean as
        Student's t with K − 1 degrees of freedom says, where the residuals of all runs take them for many: one more
        group is one more of few. Of a group that was seen, its own deviation is known the better the more runs of it
        there are; but not where a task shift brings other data.
        """
        counts = Counter(self.table.groups)
        if group is None or len(counts) < 3:
            return 1.0
        if group not in counts:
            return float(stdtrit(len(counts) - 1, 0.95) / ndtri(0.95))
        return 1.0 if task_shift else self.spread.left_after(counts[group])

    def coverage(self, level: float, *, group: str | None = None, task_shift: bool = False) -> float | None:
        """Share of held-out runs inside their interval, each fold calibrated on the others only.

        `group` and `task_shift` as in `predict`: the intervals are as wide as theirs. The runs are held out with
        their groups, so for a group that was seen, and intervals that are narrower for it, the share is a low one.
        """
        if self.held_out is None:
            return None
        held, widen = self.held_out, self._for_new(group, task_shift=task_shift)
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
            from sklearn.ensemble import ExtraTreesRegressor

            x = self.point.matrix(table.rows)
            forest = ExtraTreesRegressor(
                RANDOM_TREES, min_samples_leaf=12, max_features=0.7, random_state=seed, n_jobs=1
            )
            self.scale_trees = Trees.of_forest(forest.fit(x, np.abs(held.residual)))
        units = held.residual / self._scale(table.rows)
        self.shape = kaplan_meier(units, table.censored)
        self.spread = GroupSpread.of(units, table.groups)
        if table.limits is not None:
            margin = table.limits - (table.y - held.residual)
            self.reach = Reach.fit(margin, ~table.censored, table.options)

    def _scale(self, rows: Sequence[FeatureValues]) -> Array:
        if self.scale_trees is None:
            return np.full(len(rows), self.sigma)
        typical = self.scale_trees.predict(self.point.matrix(rows))
        return np.asarray(np.maximum(typical, 0.25 * self.sigma))


class Neighbourhood:
    """How near a case is to the runs that a model learned from (root mean square of standardised features)."""

    def __init__(self, model: CostModel, nearest: int = 8) -> None:
        self.model, self.nearest = model, nearest
        self.z = model.point.standardised(model.table.rows)
        if model.outermost is None and len(self.z) > nearest:
            own = np.array([np.sort(self._distances(z))[1 : nearest + 1].mean() for z in self.z[:2000]])
            model.outermost = float(np.quantile(own, 0.95))  # kept with the model: it takes a while

    def of(self, row: FeatureValues) -> tuple[list[tuple[int, float]], float]:
        """Positions and distances of the nearest runs, and how unlike the case is (1 = as the outermost 5 %)."""
        distances = self._distances(self.model.point.standardised([row])[0])
        order = np.argsort(distances)[: self.nearest]
        mean = float(distances[order].mean())
        return (
            [(int(i), float(distances[i])) for i in order],
            mean / self.model.outermost if self.model.outermost else 1.0,
        )

    def _distances(self, z: Array) -> Array:
        return np.asarray(np.sqrt(((self.z - z) ** 2).mean(axis=1)))
