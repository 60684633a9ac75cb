"""Rank and product-moment correlation of many signals with one cost, with a bootstrap over settings.

A bootstrap draw is a vector of weights (how often each run was drawn), so that all draws of one pair are a few
array operations: ranks are mid-ranks of the weighted sample, read from one fixed sort order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def midranks(values: Array, weights: Array) -> Array:
    """Mid-ranks of (n,) values in each weighted sample of (draws, n) weights; equal values share a rank.

    With weights of one: `scipy.stats.rankdata`.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(tied, axis=1) - tied + (tied + 1) / 2
    group = np.repeat(np.arange(len(starts)), np.diff(np.concatenate([starts, [len(values)]])))
    ranks = np.empty_like(weights)
    ranks[:, order] = middle[:, group]
    return ranks


def weighted_correlation(x: Array, y: Array, weights: Array) -> Array:
    """Correlation per row of (draws, n) arrays; NaN where a side is constant."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    xy, xx, yy = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    scale = np.sqrt(xx * yy)
    tiny = 1e-12 * total[:, 0]
    known = (xx > tiny**2) & (scale > tiny**2)
    return np.asarray(np.divide(xy, scale, out=np.full_like(scale, np.nan), where=known))


def spearman(x: Array, y: Array) -> float | None:
    """Rank correlation of two (n,) arrays; None where a side is constant."""
    once = np.ones((1, len(x)))
    return _known(weighted_correlation(midranks(x, once), midranks(y, once), once)[0])


def pearson(x: Array, y: Array) -> float | None:
    """Product-moment correlation of two (n,) arrays; None where a side is constant."""
    return _known(weighted_correlation(x[None], y[None], np.ones((1, len(x))))[0])


def draws_of(blocks: Sequence[str], *, draws: int, seed: int) -> Array:
    """Weights (draws, n) of a bootstrap that draws whole blocks (settings) with replacement."""
    names, block = np.unique(np.asarray(blocks), return_inverse=True)
    rng = np.random.default_rng(seed)
    count = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return count[:, block].astype(np.float64)


def spearman_interval(
    ranked_x: Array, ranked_y: Array, weights: Array, *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Percentile interval of the rank correlation from (draws, n) mid-ranks of both sides and weights."""
    return interval_of(weighted_correlation(ranked_x, ranked_y, weights), level=level)


def mean_interval(
    values: Array, *, draws: int, seed: int, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Percentile interval of the mean of (groups,) values, groups drawn with replacement; None below 3 groups."""
    if len(values) < 3:
        return None, None
    rng = np.random.default_rng(seed)
    return interval_of(values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1), level=level)


def interval_of(draws: Array, *, level: float = 0.95) -> tuple[float | None, float | None]:
    """Percentile interval of bootstrap draws; NaN draws (a constant side) are left out."""
    known = draws[np.isfinite(draws)]
    if len(known) < len(draws) / 2:
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _known(value: float) -> float | None:
    return None if not np.isfinite(value) else float(value)
