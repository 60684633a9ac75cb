"""Boosted regression trees, grown here: Newton boosting on histograms (Friedman 2001; Chen and Guestrin 2016).

A loss is given by its slope and curvature at where the values are located, so that times which are only known to lie
in an interval are learned as what they are (`foretoll.forecast.survival.interval_score`, an accelerated-failure-time
model), and plain values by squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.survival import Array
from foretoll.forecast.trees import Trees

Bins = NDArray[np.intp]
Score = Callable[
    [Array], tuple[Array, Array]
]  # locations (n,) to slopes (n,) and curvatures (n,) of the log likelihood


@dataclass(frozen=True)
class Boosting:
    """How trees are grown: all of one depth, on a share of the features each."""

    trees: int = 60
    rate: float = 0.1
    depth: int = 3
    bins: int = 32
    fewest: int = 10  # runs on either side of a split
    shrinkage: float = 1.0  # of a leaf's value: counts as that many runs of mean curvature
    share: float = 0.5  # of the features that a tree may ask about


def boosted_trees(
    x: Array, score: Score, *, start: float, rising: NDArray[np.bool_], seed: int, how: Boosting = Boosting()
) -> Trees:
    """Trees whose sum with `start` locates the rows of x (n, p), none of it missing.

    `rising` (p,): features that the result cannot fall with.
    """
    grower = _Grower(x, rising, how)
    rng = np.random.default_rng(seed)
    located = np.full(len(x), start)
    grown = []
    for _ in range(how.trees):
        slope, curvature = score(located)
        tree, leaf = grower.grow(slope, curvature, rng)
        located = located + tree.value[leaf]
        grown.append((tree.feature, tree.threshold, tree.left, tree.right, tree.value, how.depth))
    return Trees.joined(grown, start=start)


def squared_score(y: Array) -> Score:
    """That of plain values (n,)."""
    ones = np.ones(len(y))
    return lambda located: (y - located, ones)


@dataclass(frozen=True)
class _Tree:
    feature: NDArray[np.intp]
    threshold: Array
    left: NDArray[np.intp]  # −1: a leaf
    right: NDArray[np.intp]
    value: Array


class _Grower:
    """Grows trees on one table of binned features."""

    def __init__(self, x: Array, rising: NDArray[np.bool_], how: Boosting) -> None:
        self.how, self.rising = how, rising
        levels = np.linspace(0, 1, how.bins + 1)[1:-1]
        self.edges = np.quantile(x, levels, axis=0)  # (bins − 1, p)
        self.bins: Bins = np.stack(
            [
                np.searchsorted(edge, column, side="left")
                for edge, column in zip(self.edges.T, x.T, strict=True)
            ],
            axis=1,
        )

    def grow(
        self, slope: Array, curvature: Array, rng: np.random.Generator
    ) -> tuple[_Tree, NDArray[np.intp]]:
        """One tree, and the leaf that each row falls into."""
        how, p = self.how, self.bins.shape[1]
        shrinkage = how.shrinkage * float(curvature.mean())
        columns = np.sort(rng.choice(p, max(1, round(how.share * p)), replace=False))
        size = 2 ** (how.depth + 1) - 1
        tree = _Tree(
            np.zeros(size, np.intp), np.zeros(size), np.full(size, -1), np.full(size, -1), np.zeros(size)
        )
        bounds = np.tile([-np.inf, np.inf], (size, 1))
        node = np.zeros(len(slope), np.intp)
        tree.value[0] = how.rate * slope.sum() / (curvature.sum() + shrinkage)
        binned = self.bins[:, columns]
        for depth in range(how.depth):
            first, count = 2**depth - 1, 2**depth
            live = node >= first
            sums = self._histograms(binned[live], node[live] - first, slope[live], curvature[live], count)
            for k in range(count):
                split = self._best(sums[:, k], columns, shrinkage, bounds[first + k])
                if split is None:
                    continue
                at, column, edge, values, limits = first + k, *split
                tree.feature[at], tree.threshold[at] = column, self.edges[edge, column]
                tree.left[at], tree.right[at] = 2 * at + 1, 2 * at + 2
                for child, value, limit in zip((2 * at + 1, 2 * at + 2), values, limits, strict=True):
                    tree.value[child], bounds[child] = how.rate * value, limit
                here = node == at
                node[here] = np.where(self.bins[here, column] <= edge, 2 * at + 1, 2 * at + 2)
        return tree, node

    def _histograms(
        self, binned: Bins, node: NDArray[np.intp], slope: Array, curvature: Array, nodes: int
    ) -> Array:
        """Slopes, curvatures and counts (3, nodes, p, bins) up to and with each bin."""
        p = binned.shape[1]
        at = ((node * p)[:, None] + np.arange(p)) * self.how.bins + binned
        flat, cells = at.ravel(), nodes * p * self.how.bins
        sums = [np.bincount(flat, np.repeat(w, p), cells) for w in (slope, curvature)]
        sums.append(np.bincount(flat, minlength=cells).astype(float))
        return np.cumsum(np.stack(sums).reshape(3, nodes, p, self.how.bins), axis=-1)

    def _best(
        self, sums: Array, columns: NDArray[np.intp], shrinkage: float, bounds: Array
    ) -> tuple[int, int, tuple[float, float], tuple[tuple[float, float], tuple[float, float]]] | None:
        """Column, edge, values of the two sides and what their children are bounded by; None: no split gains."""
        slope, curvature, count = sums  # (p, bins), up to and with each bin
        sides = []
        for g, h, n in (
            (slope, curvature, count),
            (slope[:, -1:] - slope, curvature[:, -1:] - curvature, count[:, -1:] - count),
        ):
            sides.append((g, h + shrinkage, n, np.clip(g / (h + shrinkage), *bounds)))
        (g1, h1, n1, v1), (g2, h2, n2, v2) = sides
        gain = (g1 * v1 - h1 * v1**2 / 2) + (g2 * v2 - h2 * v2**2 / 2)
        whole = slope[0, -1] ** 2 / (2 * (curvature[0, -1] + shrinkage))
        allowed = (n1 >= self.how.fewest) & (n2 >= self.how.fewest)
        allowed &= ~self.rising[columns][:, None] | (v1 <= v2)
        gain = np.where(allowed, gain - whole, -np.inf)
        best = int(np.argmax(gain))
        if gain.flat[best] <= 1e-9:
            return None
        column, edge = divmod(best, gain.shape[1])
        low, high = float(v1.flat[best]), float(v2.flat[best])
        lower, upper = float(bounds[0]), float(bounds[1])
        if self.rising[columns[column]]:
            middle = (low + high) / 2
            limits = ((lower, middle), (middle, upper))
        else:
            limits = ((lower, upper), (lower, upper))
        return int(columns[column]), edge, (low, high), limits
