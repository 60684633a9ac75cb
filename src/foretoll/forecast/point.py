"""Where one log cost lies for a case, without calibration: what is learned from, and the location learned from it.

A ridge regression on intervals (a time lies between two evaluations, or beyond the budget); from `TREES_FROM` runs on
the mean of it and of boosted trees with the same likelihood, which rise with what is missing to the target; plus the
mean of what is left on the user's own model, shrunk towards 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.boosted import boosted_trees
from foretoll.forecast.case import OTHER, TASK, FeatureValues
from foretoll.forecast.rows import Rows
from foretoll.forecast.survival import Array, Flags, IntervalRidge, expected_beyond, interval_score
from foretoll.forecast.trees import Trees

TREES_FROM = 40
FARTHEST = 2.0  # standard deviations: no line is drawn on beyond what most runs are like
OWN_SHRINKAGE = 2.0  # own runs count n / (n + 2) of their mean residual
# A prior on the slopes worth so much of the data: times differ from data set to data set in what they depend on, so a
# line through all of them has to be held back; gradient norms and changes less.
RIDGE_OF_TIMES = 1.0
RIDGE = 0.03
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
    lower: Array | None = None  # log of the evaluation before, at which a run had not met its target yet
    base: str = ""  # feature that y is learned relative to: what is learned is how far y lies above it
    families: Sequence[str] = ()  # the architecture family of each run, where a new one widens the interval

    def __len__(self) -> int:
        return len(self.y)

    @property
    def lower_ends(self) -> Array:
        """What y is known to lie beyond: the budget of a censored run, an evaluation, or y itself where it is exact."""
        return self.y if self.lower is None else np.where(self.censored, self.y, self.lower)

    @property
    def upper_ends(self) -> Array:
        """What y is known not to lie beyond."""
        return np.where(self.censored, np.inf, self.y)

    def take(self, keep: Positions) -> Table:
        """The rows at the given positions."""
        index = [int(i) for i in keep]
        return Table(
            Rows.of(self.rows).take(keep),
            self.y[index],
            self.censored[index],
            self.weights[index],
            [self.groups[i] for i in index],
            [self.owners[i] for i in index],
            self.rising,
            None if self.held_out is None else self.held_out[keep],
            None if self.limits is None else self.limits[keep],
            [self.options[i] for i in index] if self.options else (),
            None if self.lower is None else self.lower[keep],
            self.base,
            [self.families[i] for i in index] if self.families else (),
        )


class PointModel:
    """Location without calibration."""

    def __init__(self, table: Table, seed: int) -> None:
        self.columns = sorted(Rows.of(table.rows).known)
        raw = self._raw(table.rows)
        with np.errstate(all="ignore"):
            self.medians = np.array(
                [np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0 for c in raw.T]
            )
        x, total = self.matrix(table.rows), table.weights.sum()
        self.mean = table.weights @ x / total
        self.scale = np.sqrt(table.weights @ (x - self.mean) ** 2 / total)
        self.scale[self.scale < 1e-9] = 1.0  # a constant column has slope 0 by the ridge
        z = self._clipped(x)
        self.base = table.base
        start = self._start(x)
        lower, upper, weights = table.lower_ends - start, table.upper_ends - start, table.weights
        held = RIDGE if table.limits is None else RIDGE_OF_TIMES
        self.ridge = IntervalRidge.fit(z, lower, upper, weights, ridge=held * len(table) + 3)
        self.trees: Trees | None = None
        if len(table) >= TREES_FROM:
            sigma = self.ridge.sigma
            self.trees = boosted_trees(
                z,
                lambda located: interval_score(located, lower, upper, sigma, weights),
                start=float(np.median(table.y - start)),
                rising=np.array([name in table.rising for name in self.columns]),
                seed=seed,
            )
        self.offsets: dict[str, float] = {}
        located = self._shared(z) + start
        seen = np.where(
            table.censored,
            np.maximum(expected_beyond(located, table.y, self.ridge.sigma), table.y),
            table.y,
        )
        for owner in {o for o in table.owners if o}:
            mine = np.array([o == owner for o in table.owners])
            count = int(mine.sum())
            self.offsets[owner] = float((seen - located)[mine].mean()) * count / (count + OWN_SHRINKAGE)

    @classmethod
    def restored(
        cls,
        columns: list[str],
        features: tuple[Array, Array, Array],
        ridge: IntervalRidge,
        trees: Trees | None,
        offsets: dict[str, float],
        base: str,
    ) -> PointModel:
        """One that was fitted before; `features`: their medians, means and scales."""
        self = cls.__new__(cls)
        self.columns, self.ridge, self.trees, self.offsets = columns, ridge, trees, offsets
        self.medians, self.mean, self.scale = features
        self.base = base
        return self

    def _raw(self, rows: Sequence[FeatureValues]) -> Array:
        found = Rows.of(rows).columns(self.columns)
        flags = [i for i, name in enumerate(self.columns) if name.startswith((OTHER, TASK))]
        found[:, flags] = np.where(np.isnan(found[:, flags]), 0.0, found[:, flags])
        return found

    def matrix(self, rows: Sequence[FeatureValues]) -> Array:
        """Features (n, p), what is missing at the median of the runs."""
        raw = self._raw(rows)
        return np.where(np.isnan(raw), self.medians, raw)

    def _clipped(self, x: Array) -> Array:
        return np.asarray(np.clip((x - self.mean) / self.scale, -FARTHEST, FARTHEST))

    def clipped(self, rows: Sequence[FeatureValues]) -> Array:
        """Feature matrix (n, p) in units of the learned spread, at most `FARTHEST` of them: what is learned from."""
        return self._clipped(self.matrix(rows))

    def _start(self, x: Array) -> Array:
        """What y is learned relative to (n,): of a feature matrix (n, p), as it is and not clipped."""
        return x[:, self.columns.index(self.base)] if self.base in self.columns else np.zeros(len(x))

    def _shared(self, z: Array) -> Array:
        linear = self.ridge.predict(z)
        return linear if self.trees is None else np.asarray((linear + self.trees.predict(z)) / 2)

    def predict(self, rows: Sequence[FeatureValues], owners: Sequence[str]) -> Array:
        """Locations (n,) of the rows."""
        own = np.array([self.offsets.get(owner, 0.0) for owner in owners])
        x = self.matrix(rows)
        return np.asarray(self._shared(self._clipped(x)) + self._start(x) + own)

    def standardised(self, rows: Sequence[FeatureValues]) -> Array:
        """Feature matrix (n, p) in units of the learned spread."""
        return np.asarray((self.matrix(rows) - self.mean) / self.scale)
