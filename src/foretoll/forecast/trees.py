"""Regression trees as plain arrays: what scikit-learn fitted, predicted and kept without it.

They predict to the bit what the library's own objects do, need no import of it (over a second), and are stored as
numbers: nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.survival import Array

Nodes = NDArray[np.int32]


@dataclass(frozen=True)
class Trees:
    """A sum or a mean of t trees with m nodes in all.

    roots (t,): position of each tree's first node. feature (m,): the column that a node asks about. threshold (m,):
    rows up to it go `left` (m,), the others `right` (m,); a leaf leads to itself. value (m,): what a leaf adds.
    start: what the sum begins with. mean: whether the sum is divided by t. single: whether the features are rounded to
    32 bits first. depth: of the deepest tree.
    """

    roots: Nodes
    feature: Nodes
    threshold: Array
    left: Nodes
    right: Nodes
    value: Array
    start: float
    mean: bool
    single: bool
    depth: int

    @classmethod
    def of_forest(cls, forest: Any) -> Trees:
        """Those of a fitted `ExtraTreesRegressor` or `RandomForestRegressor`."""
        trees = [
            (t.feature, t.threshold, t.children_left, t.children_right, t.value[:, 0, 0], t.max_depth)
            for t in (one.tree_ for one in forest.estimators_)
        ]
        return cls._joined(trees, start=0.0, mean=True, single=True)

    @classmethod
    def of_boosted(cls, boosted: Any) -> Trees:
        """Those of a fitted `HistGradientBoostingRegressor` with squared error and without categories."""
        trees = []
        for (one,) in boosted._predictors:
            nodes, leaf = one.nodes, one.nodes["is_leaf"].astype(bool)
            left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
            feature = np.where(leaf, 0, nodes["feature_idx"])
            depth = int(nodes["depth"].max())
            trees.append((feature, nodes["num_threshold"], left, right, nodes["value"], depth))
        start = float(np.ravel(boosted._baseline_prediction)[0])
        return cls._joined(trees, start=start, mean=False, single=False)

    @classmethod
    def _joined(cls, trees: list[tuple[Any, ...]], *, start: float, mean: bool, single: bool) -> Trees:
        sizes = [len(tree[0]) for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]]).astype(np.int32)
        at = np.arange(sum(sizes))
        moved = np.repeat(roots, sizes)
        left, right = (np.concatenate([tree[i] for tree in trees]) for i in (2, 3))
        leaf = left < 0
        return cls(
            roots=roots,
            feature=np.where(leaf, 0, np.concatenate([tree[0] for tree in trees])).astype(np.int32),
            threshold=np.where(leaf, 0.0, np.concatenate([tree[1] for tree in trees])),
            left=np.where(leaf, at, left + moved).astype(np.int32),
            right=np.where(leaf, at, right + moved).astype(np.int32),
            value=np.concatenate([tree[4] for tree in trees]).astype(np.float64),
            start=start,
            mean=mean,
            single=single,
            depth=max(int(tree[5]) for tree in trees),
        )

    def predict(self, x: Array) -> Array:
        """Predictions (n,) for features (n, p) without a missing value."""
        seen = x.astype(np.float32) if self.single else x
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        for _ in range(self.depth):
            goes_left = seen[row, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        total = np.full(len(x), self.start)
        for values in self.value[node].T:  # one after the other, as the library adds them
            total += values
        return total / len(self.roots) if self.mean else total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays by name."""
        found = {name: np.asarray(value) for name, value in asdict(self).items()}
        at = np.arange(len(self.value), dtype=np.int32)
        # children lie a few places after their parent: small numbers, which are stored in less
        return found | {
            "left": self.left - at,
            "right": self.right - at,
            "feature": self.feature.astype(np.int16),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trees:
        """The inverse of `arrays`. Raises KeyError or ValueError where they are no trees."""
        at = np.arange(len(arrays["value"]), dtype=np.int32)
        nodes = {name: arrays[name].astype(np.int32) for name in ("roots", "feature")}
        nodes |= {name: arrays[name].astype(np.int32) + at for name in ("left", "right")}
        sizes = {len(arrays[name]) for name in ("feature", "threshold", "left", "right", "value")}
        if len(sizes) != 1 or any((nodes[n] < 0).any() or (nodes[n] >= max(sizes)).any() for n in nodes):
            raise ValueError("no trees")
        return cls(
            **nodes,
            threshold=arrays["threshold"].astype(np.float64),
            value=arrays["value"].astype(np.float64),
            start=float(arrays["start"]),
            mean=bool(arrays["mean"]),
            single=bool(arrays["single"]),
            depth=int(arrays["depth"]),
        )
