"""Boosted regression trees, grown here: Newton boosting on histograms (Friedman 2001; Chen and Guestrin 2016).

A loss is given by its slope and curvature at where the values are located, so that times which are only known to lie
in an interval are learned as what they are (`foretoll.forecast.survival.interval_score`, an accelerated-failure-time
model), and plain values by squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

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


class _Split(NamedTuple):
    """Column, edge, values of the two sides and what their children are bounded by."""

    column: int
    edge: int
    values: tuple[float, float]
    limits: tuple[tuple[float, float], tuple[float, float]]


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
        edges, bounds = np.full(size, -1), np.tile([-np.inf, np.inf], (size, 1))
        node = np.zeros(len(slope), np.intp)
        tree.value[0] = how.rate * slope.sum() / (curvature.sum() + shrinkage)
        cells = self.bins[:, columns] + np.arange(len(columns)) * how.bins
        weights = np.repeat(slope, len(columns)), np.repeat(curvature, len(columns))
        for depth in range(how.depth):
            first, count = 2**depth - 1, 2**depth
            at = np.where(node >= first, node - first, count)  # rows of leaves above: counted apart
            sums = self._histograms(cells, at, weights, count)
            for k, split in enumerate(self._best(sums, columns, shrinkage, bounds[first : first + count])):
                if split is None:
                    continue
                parent, column, edge, values, limits = first + k, *split
                tree.feature[parent], tree.threshold[parent] = column, self.edges[edge, column]
                tree.left[parent], tree.right[parent] = 2 * parent + 1, 2 * parent + 2
                edges[parent] = edge
                for child, value, limit in zip((2 * parent + 1, 2 * parent + 2), values, limits, strict=True):
                    tree.value[child], bounds[child] = how.rate * value, limit
            falls = edges[node] >= 0
            beyond = self.bins[np.arange(len(node)), tree.feature[node]] > edges[node]
            node = np.where(falls, 2 * node + 1 + beyond, node)
        return tree, node

    def _histograms(
        self, cells: Bins, node: NDArray[np.intp], weights: tuple[Array, Array], nodes: int
    ) -> Array:
        """Slopes, curvatures and counts (3, nodes, p, bins) up to and with each bin.

        `cells` (n, p): the bin of each feature, counted on from feature to feature; `node` (n,): of each row, `nodes`
        for those that count nowhere; `weights`: slopes and curvatures (n p,), each repeated p times.
        """
        p, size = cells.shape[1], cells.shape[1] * self.how.bins
        flat, most = ((node * size)[:, None] + cells).ravel(), (nodes + 1) * size
        sums = np.empty((3, most))
        for k, weight in enumerate(weights):
            sums[k] = np.bincount(flat, weight, most)
        sums[2] = np.bincount(flat, minlength=most)
        return np.cumsum(sums[:, : nodes * size].reshape(3, nodes, p, self.how.bins), axis=-1)

    def _best(
        self, sums: Array, columns: NDArray[np.intp], shrinkage: float, bounds: Array
    ) -> list[_Split | None]:
        """The best split of each node, within what it is bounded by (nodes, 2); None: no split gains."""
        slope, curvature, count = sums  # (nodes, p, bins), up to and with each bin
        low, high = bounds[:, 0, None, None], bounds[:, 1, None, None]
        sides = []
        for g, h, n in (
            (slope, curvature, count),
            (slope[..., -1:] - slope, curvature[..., -1:] - curvature, count[..., -1:] - count),
        ):
            held = h + shrinkage
            value = np.minimum(np.maximum(g / held, low), high)
            sides.append((value, n >= self.how.fewest, g * value - held * value**2 / 2))
        (left, enough, gain), (right, enough_too, gain_too) = sides
        whole = slope[:, 0, -1] ** 2 / (2 * (curvature[:, 0, -1] + shrinkage))
        allowed = enough & enough_too & (~self.rising[columns][:, None] | (left <= right))
        gains = np.where(allowed, gain + gain_too - whole[:, None, None], -np.inf).reshape(len(bounds), -1)
        return [
            self._split(int(at), columns, (left[k], right[k]), bounds[k]) if gains[k, at] > 1e-9 else None
            for k, at in enumerate(gains.argmax(axis=1))
        ]

    def _split(
        self, at: int, columns: NDArray[np.intp], values: tuple[Array, Array], bounds: Array
    ) -> _Split:
        column, edge = divmod(at, self.how.bins)
        low, high = float(values[0].flat[at]), float(values[1].flat[at])
        lower, upper = float(bounds[0]), float(bounds[1])
        if self.rising[columns[column]]:
            middle = (low + high) / 2
            limits = ((lower, middle), (middle, upper))
        else:
            limits = ((lower, upper), (lower, upper))
        return _Split(int(columns[column]), edge, (low, high), limits)
