"""Fréchet distance between two sets of representations, each seen as one Gaussian; and the sliced Wasserstein one.

Sources: Dowson & Landau, "The Fréchet distance between multivariate normal distributions", 1982; Heusel et al.,
"GANs Trained by a Two Time-Scale Update Rule …", NeurIPS 2017 (FID); Ledoit & Wolf 2004 (shrinkage); Bonneel et
al., "Sliced and Radon Wasserstein Barycenters of Measures", 2015. Trusted equivalents:
ot.gaussian.bures_wasserstein_distance(...)**2, ot.sliced_wasserstein_distance.

Deviations:
1. The value is the *squared* distance, as FID reports it.
2. tr (Σ^½ Σ′ Σ^½)^½ is computed as the sum of the singular values of Lᵀ L′ with Σ = L Lᵀ, Σ′ = L′ L′ᵀ, which is the
   same number; POT's square roots give NaN for the singular covariances of fewer samples than dimensions.
   From `WIDE` dimensions on, positive definite ones go by the eigenvalues of L′ᵀ Σ L′, which are the squares of those
   singular values; and samples that are together fewer than dimensions never meet a d × d matrix: unshrunk, the
   singular values are those of X Yᵀ (n × m); shrunk, both covariances are a multiple of the identity outside of the
   n + m directions that the samples span, and only what is inside is factorised. All of it is exact.
3. shrink="auto" shrinks both sides when either has fewer than ten samples per dimension, so that both sides carry
   the same kind of bias. Unshrunk covariances are divided by n − 1, as in FID.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._arrays import SIDES, batch_matrix, check_side, matrix, same_width
from foretoll.indices._moments import WIDE, MomentAccumulator, centred_covariance, covariance, ledoit_wolf
from foretoll.indices._validate import Array

SAMPLES_PER_DIMENSION = 10
Shrink = Literal["auto"] | bool


def frechet(x: Array, y: Array, *, shrink: Shrink = "auto") -> float:
    """d² = ‖μ − μ′‖² + tr(Σ + Σ′ − 2 (Σ^½ Σ′ Σ^½)^½), at least 0, in squared units of the representations.

    Args:
        x: representations of one side, shape (n, d), n ≥ 2.
        y: of the other side, shape (m, d), m ≥ 2.
        shrink: Ledoit-Wolf shrinkage of both covariances: always, never, or when n or m is below 10 d.

    Raises:
        DataError: NaN, infinity, fewer than two samples, or different dimensions.
    """
    first, second = matrix(x, "x", rows=2), matrix(y, "y", rows=2)
    same_width(first, second, "x and y")
    shrunk = _shrinks(shrink, min(len(first), len(second)), first.shape[1])
    if WIDE < first.shape[1] > len(first) + len(second):
        return _of_few(first, second, shrunk=shrunk)
    one = centred_covariance(first, shrink=shrunk, unbiased=True)
    two = centred_covariance(second, shrink=shrunk, unbiased=True)
    return frechet_of_gaussians(one.mean, one.matrix, two.mean, two.matrix)


def frechet_of_gaussians(mean_x: Tensor, covariance_x: Tensor, mean_y: Tensor, covariance_y: Tensor) -> float:
    """The same from means (d,) and covariances (d, d), float64; covariances may be singular."""
    cross = _cross(covariance_x, covariance_y)
    value = (mean_x - mean_y).square().sum() + covariance_x.trace() + covariance_y.trace() - 2 * cross
    return max(float(value), 0.0)


def _of_few(x: Tensor, y: Tensor, *, shrunk: bool) -> float:
    """The distance of samples (n, d) and (m, d) with n + m < d, in O(d (n + m)²) time and O(d (n + m)) memory."""
    means = x.mean(0), y.mean(0)
    sides = [side - mean for side, mean in zip((x, y), means, strict=True)]
    apart = (means[0] - means[1]).square().sum()
    if not shrunk:
        sides = [side / (len(side) - 1) ** 0.5 for side in sides]
        traces = sum((side.square().sum() for side in sides), apart.new_zeros(()))
        cross = torch.linalg.svdvals(sides[0] @ sides[1].T).sum()
        return max(float(apart + traces - 2 * cross), 0.0)
    width = x.shape[1]
    span = torch.linalg.qr(torch.cat(sides).T).Q  # (d, r)
    outside, inside, total = [], [], apart
    for side in sides:
        scale, shrinkage = ledoit_wolf(side)
        of_span = side @ span
        empirical = (1 - shrinkage) / len(side) * of_span.T @ of_span
        empirical.diagonal().add_(shrinkage * scale)
        inside.append((empirical + empirical.T) / 2)
        outside.append(shrinkage * scale)
        total = total + width * scale  # shrinking keeps the trace
    beyond = (width - span.shape[1]) * (outside[0] * outside[1]) ** 0.5
    return max(float(total - 2 * (_cross(*inside) + beyond)), 0.0)


def _cross(one: Tensor, two: Tensor) -> Tensor:
    """tr (Σ^½ Σ′ Σ^½)^½ of two covariances (d, d)."""
    if len(one) > WIDE:
        factor, failed = torch.linalg.cholesky_ex(two)
        if not failed and not torch.linalg.cholesky_ex(one).info:
            squares: Tensor = torch.linalg.eigvalsh(factor.T @ one @ factor)
            return squares.clamp(min=0).sqrt().sum()
    singular: Tensor = torch.linalg.svdvals(_factor(one).T @ _factor(two))
    return singular.sum()


def sliced_wasserstein(x: Array, y: Array, *, projections: int = 64, seed: int = 0) -> float:
    """Sliced 2-Wasserstein distance: root mean square over random directions of the one-dimensional distance.

    Args:
        x: representations of one side, shape (n, d).
        y: of the other side, shape (m, d); n and m may differ.
        projections: number of random directions.
        seed: of the directions.

    Raises:
        DataError: NaN, infinity, no samples, or different dimensions.
        UsageError: fewer than one projection.
    """
    if projections < 1:
        raise UsageError(f"projections is {projections}: give at least 1")
    first, second = matrix(x, "x"), matrix(y, "y")
    same_width(first, second, "x and y")
    # numpy's legacy generator, whose stream is fixed: the directions of a seed are those that the ledger's runs had
    directions = np.random.RandomState(seed).randn(first.shape[1], projections)
    directions /= np.sqrt((directions**2).sum(0, keepdims=True))
    squares = _squared_distances(first.numpy() @ directions, second.numpy() @ directions)
    return float(np.sqrt(squares.mean()))


def _squared_distances(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared 2-Wasserstein distance of each column of a (n, k) to that of b (m, k), all samples weighing alike.

    Between two steps of the quantile functions both are constant; steps are counted in whole parts of 1/(n·m).
    """
    n, m = len(a), len(b)
    a, b = np.sort(a, axis=0), np.sort(b, axis=0)
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    left = edges[:-1]
    distances: npt.NDArray[np.float64] = (
        np.diff(edges)[:, None] / (n * m) * (a[left // m] - b[left // n]) ** 2
    ).sum(0)
    return distances


class FrechetDistance(MomentAccumulator):
    """The squared Fréchet distance accumulated batch by batch, in O(d²) memory; `compute()` is float64.

    `update(representations, side="source" | "target")`, representations (B, d).
    """

    groups = SIDES

    def __init__(self, *, shrink: Shrink = "auto") -> None:
        super().__init__()
        _shrinks(shrink, 1, 1)
        self.shrink: Shrink = shrink

    def update(self, representations: Tensor, *, side: str) -> None:
        """Add a batch of one side."""
        self._add(check_side(side), batch_matrix(representations))

    def _value(self) -> Tensor:
        """The squared distance."""
        self._require_data()
        sides = [self._sums(side) for side in SIDES]
        if any(float(side.samples) < 2 for side in sides):
            raise DataError(
                "the Fréchet distance has seen fewer than two samples of one side: update it with more"
            )
        shrunk = _shrinks(self.shrink, min(int(side.samples) for side in sides), len(sides[0].total))
        one, two = (covariance(side, shrink=shrunk, unbiased=True) for side in sides)
        value = frechet_of_gaussians(one.mean, one.matrix, two.mean, two.matrix)
        return torch.tensor(value, dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.shrink,)


def _shrinks(shrink: Shrink, samples: int, dimension: int) -> bool:
    if isinstance(shrink, bool):
        return shrink
    if shrink != "auto":
        raise UsageError(f'unknown shrink {shrink!r}: valid are "auto", True and False')
    return samples < SAMPLES_PER_DIMENSION * dimension


def _factor(symmetric: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    scaled: Tensor = vectors * values.clamp(min=0).sqrt()
    return scaled
