"""How far whole groups of runs lie apart, and what is left of that once some runs of a group are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foretoll.forecast.survival import Array


@dataclass(frozen=True)
class GroupSpread:
    """Variances within and between groups: the moment estimates of one-way random effects."""

    within: float
    between: float

    @classmethod
    def of(cls, values: Array, groups: Sequence[str]) -> GroupSpread:
        """Estimate from values (n,) and their groups; fewer than three groups say nothing of their spread."""
        names, of, counts = np.unique(groups, return_inverse=True, return_counts=True)
        n, k = len(values), len(names)
        if k < 3 or n <= k:
            return cls(1.0, 0.0)
        means = np.bincount(of, values) / counts
        within = float(((values - means[of]) ** 2).sum()) / (n - k)
        among = float((counts * (means - values.mean()) ** 2).sum()) / (k - 1)
        size = (n - float((counts**2).sum()) / n) / (k - 1)
        return cls(within, max((among - within) / size, 0.0))

    def left_after(self, runs: int) -> float:
        """Standard deviation in a group of which `runs` were seen, over that in one of which none was."""
        if self.within <= 0:
            return 1.0
        left = self.between / (1 + runs * self.between / self.within)
        return math.sqrt((self.within + left) / (self.within + self.between))
