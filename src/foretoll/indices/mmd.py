"""Unbiased squared maximum mean discrepancy with a Gaussian kernel.

Source: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 3. Both double sums over one side leave the
diagonal out, because they are divided by n(n − 1): with it, two equal distributions would not score 0 on average.

Deviations:
1. The width is the median distance between distinct samples of both sides together (the "median heuristic"). Beyond
   `MEDIAN_SAMPLES` of them it is taken over that many, picked evenly after sorting along a fixed random direction,
   so that the value depends neither on row order nor on a seed. Where more than half of all distances are 0, the
   mean of the others stands in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from foretoll.errors import UsageError
from foretoll.indices._arrays import matrix, same_width
from foretoll.indices._validate import Array

MEDIAN_SAMPLES = 2_000
BLOCK_ROWS = 1_024


def mmd(x: Array, y: Array, *, width: float | Literal["median"] = "median") -> float:
    """MMD² = Σ_{i≠j} k(x_i, x_j)/(n(n−1)) + Σ_{i≠j} k(y_i, y_j)/(m(m−1)) − 2 Σ k(x_i, y_j)/(nm).

    k(a, b) = exp(−‖a − b‖²/(2 width²)). Mean 0 for equal distributions, so a single value may be below 0.
    O((n + m)² d) time, O(n + m) memory beside the inputs.

    Args:
        x: representations of one side, shape (n, d), n ≥ 2.
        y: of the other side, shape (m, d), m ≥ 2.
        width: of the kernel, in units of the representations; "median" for the median distance.

    Raises:
        DataError: NaN, infinity, fewer than two samples, or different dimensions.
        UsageError: a width that is not positive.
    """
    first, second = matrix(x, "x", rows=2), matrix(y, "y", rows=2)
    same_width(first, second, "x and y")
    # distances do not feel the offset, and the products they are computed from lose fewer digits without it
    centre = torch.cat((first, second)).mean(0)
    first, second = first - centre, second - centre
    if isinstance(width, str):
        if width != "median":
            raise UsageError(f'unknown width {width!r}: valid are "median" and a positive number')
        sigma = median_distance(torch.cat((first, second)))
        if sigma == 0:
            return 0.0  # all samples of both sides are one point
    else:
        sigma = float(width)
        if not 0 < sigma < float("inf"):
            raise UsageError(f"width is {width}: give a positive number")
    n, m = len(first), len(second)
    within_first = _kernel_sum(first, first, sigma) - n  # the diagonal: k(x_i, x_i) = 1
    within_second = _kernel_sum(second, second, sigma) - m
    across = _kernel_sum(first, second, sigma)
    return within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)


def median_distance(samples: Tensor) -> float:
    """Median Euclidean distance between distinct rows of `samples`, shape (n, d), float64; see deviation 1."""
    if len(samples) > MEDIAN_SAMPLES:
        direction = torch.randn(
            samples.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        order = (samples @ direction).argsort()
        samples = samples[order[torch.linspace(0, len(order) - 1, MEDIAN_SAMPLES).round().long()]]
    above = torch.ones(len(samples), len(samples), dtype=torch.bool).triu_(1)
    distances = torch.cdist(samples, samples)[above]
    median = float(distances.quantile(0.5))
    if median == 0 and float(distances.max()) > 0:
        return float(distances[distances > 0].mean())
    return median


def _kernel_sum(x: Tensor, y: Tensor, sigma: float) -> float:
    """Σ_ij k(x_i, y_j) in blocks of rows; the diagonal of a side with itself is exactly 1."""
    same = x is y
    total = 0.0
    for start, squared in _squared_distances(x, y):
        if same:
            squared.diagonal(start).zero_()
        total += float(squared.mul_(-0.5 / sigma**2).exp_().sum())
    return total


def _squared_distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    lengths = y.square().sum(1)
    for start in range(0, len(x), BLOCK_ROWS):
        rows = x[start : start + BLOCK_ROWS]
        squared = rows.square().sum(1, keepdim=True) + lengths - 2 * rows @ y.T
        yield start, squared.clamp_(min=0)
