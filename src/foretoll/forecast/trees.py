"""Regression trees as plain arrays: many are asked at once, and they are stored as numbers (nothing is pickled)."""

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
    """A sum of t trees with m nodes in all.

    roots (t,): position of each tree's first node. feature (m,): the column that a node asks about. threshold (m,):
    rows up to it go `left` (m,), the others `right` (m,); a leaf leads to itself. value (m,): what a leaf adds.
    start: what the sum begins with. depth: of the deepest tree.
    """

    roots: Nodes
    feature: Nodes
    threshold: Array
    left: Nodes
    right: Nodes
    value: Array
    start: float
    depth: int

    @classmethod
    def joined(cls, trees: list[tuple[Any, ...]], *, start: float) -> Trees:
        """A sum of trees, each (feature, threshold, left, right, value, depth); the left of a leaf is −1."""
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
            value=np.where(leaf, np.concatenate([tree[4] for tree in trees]), 0.0).astype(np.float64),
            start=start,
            depth=max(int(tree[5]) for tree in trees),
        )

    def predict(self, x: Array) -> Array:
        """Predictions (n,) for features (n, p) without a missing value."""
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        for _ in range(self.depth):
            goes_left = x[row, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return np.asarray(self.start + self.value[node].sum(axis=1))

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
            depth=int(arrays["depth"]),
        )
