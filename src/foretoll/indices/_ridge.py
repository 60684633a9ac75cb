"""Ridge regression from sums: what a linear head is fitted from adds up over batches, in any order and split.

With Y the one-hot labels, G = XᵀX and C = XᵀY about their means: W = (G + λI)⁻¹C, scores = (x − mean)·W + mean(Y). λ
is chosen by generalised cross-validation, n·RSS/(n − 1 − tr H)² (Golub, Heath and Wahba 1979, Technometrics 21(2)),
which needs the same sums and no sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError

Floats = npt.NDArray[np.float64]
LAMBDAS = tuple(10.0**e for e in range(-3, 6))  # as shares of n, in units of the mean variance of a channel


@dataclass(frozen=True)
class Sums:
    """What a head is fitted from: of one batch, or of several that were added up."""

    n: int
    x: Floats  # (d,)
    y: Floats  # (k,)
    xx: Floats  # (d, d)
    xy: Floats  # (d, k)
    yy: float

    @classmethod
    def of(cls, representations: Floats, targets: Floats) -> Sums:
        """The sums of a batch: representations (n, d), targets (n, k)."""
        return cls(
            n=len(representations),
            x=representations.sum(0),
            y=targets.sum(0),
            xx=representations.T @ representations,
            xy=representations.T @ targets,
            yy=float((targets**2).sum()),
        )

    def __add__(self, other: Sums) -> Sums:
        """Both together; the narrower one's targets are 0 in the outputs that it did not know."""
        if self.x.shape != other.x.shape:
            raise DataError(
                f"sums of {len(self.x)} and of {len(other.x)} channels cannot be added: use one embedding layer"
            )
        k = max(len(self.y), len(other.y))
        a, b = self.widened(k), other.widened(k)
        return Sums(a.n + b.n, a.x + b.x, a.y + b.y, a.xx + b.xx, a.xy + b.xy, a.yy + b.yy)

    def widened(self, outputs: int) -> Sums:
        """The same sums for more outputs."""
        more = outputs - len(self.y)
        if more <= 0:
            return self
        return Sums(
            self.n, self.x, np.pad(self.y, (0, more)), self.xx, np.pad(self.xy, ((0, 0), (0, more))), self.yy
        )


@dataclass(frozen=True)
class LinearHead:
    """A fitted head: scores (n, k) = (x − mean) · weights + intercept."""

    mean: Floats
    weights: Floats
    intercept: Floats
    ridge: float

    def scores(self, representations: Floats) -> Floats:
        """Scores (n, k) of representations (n, d)."""
        scores: Floats = (representations - self.mean) @ self.weights + self.intercept
        return scores


def fit_head(sums: Sums) -> LinearHead:
    """The ridge head of these sums, λ by generalised cross-validation.

    Constant channels, fewer samples than channels and single-class sums give a head, if a dull one.
    Raises DataError for fewer than two samples.
    """
    n = sums.n
    if n < 2:
        raise DataError(f"a head cannot be fitted on {n} labelled samples: give at least two")
    mean_x, mean_y = sums.x / n, sums.y / n
    gram = sums.xx - n * np.outer(mean_x, mean_x)
    cross = sums.xy - n * np.outer(mean_x, mean_y)
    total = sums.yy - n * float(mean_y @ mean_y)
    unit = float(np.trace(gram)) / n / len(mean_x)  # mean variance of a channel
    if not unit > 0:
        return LinearHead(mean_x, np.zeros_like(cross), mean_y, math.inf)
    values, vectors = np.linalg.eigh(gram / unit)
    values = values.clip(min=0.0)
    rotated = vectors.T @ cross / math.sqrt(unit)
    squares = (rotated**2).sum(1)
    best, ridge = math.inf, LAMBDAS[-1] * n
    for share in reversed(LAMBDAS):  # on a tie the stronger ridge
        strength = share * n
        shrunk = 1.0 / (values + strength)
        residual = max(total - float((squares * (shrunk + strength * shrunk**2)).sum()), 0.0)
        left = n - 1.0 - float((values * shrunk).sum())
        score = n * residual / left**2 if left > 0 else math.inf
        if score < best * (1 - 1e-12):
            best, ridge = score, strength
    weights = vectors @ (rotated / (values + ridge)[:, None]) / math.sqrt(unit)
    return LinearHead(mean_x, weights, mean_y, ridge)
