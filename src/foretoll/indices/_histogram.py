"""Histograms of many rows at once, and distances between them. No loop over rows."""

from __future__ import annotations

import torch
from torch import Tensor

from foretoll.errors import UsageError

_CHUNK = 1 << 16


def check_bins(bins: int) -> None:
    """Refuse a histogram of fewer than two bins."""
    if bins < 2:
        raise UsageError(f"bins is {bins}: a histogram needs at least 2")


def histograms(x: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Counts (rows, bins) of each row of `x` (rows, values) on equal bins from `low` to `high` (rows,); float64.

    The end bins are open: what lies outside falls into the first or last bin. The last edge is closed, as in
    `numpy.histogram`. A row with low == high has all its values in the middle bin.
    """
    width = high - low
    flat = width <= 0
    scale = torch.where(flat, 0.0, bins / torch.where(flat, 1.0, width))
    start = torch.where(flat, bins / 2.0, 0.0)
    step = max(1, _CHUNK // max(x.shape[1], 1))
    parts = []
    for first in range(0, x.shape[0], step):  # chunks that stay in the cache
        rows = slice(first, first + step)
        place = (x[rows] - low[rows, None]).mul_(scale[rows, None]).add_(start[rows, None])
        parts.append(_counts(place.clamp_(0, bins - 1).to(torch.int64), bins))
    return torch.cat(parts)


def _counts(bin_of: Tensor, bins: int) -> Tensor:
    """How often each bin occurs in each row of `bin_of` (rows, values), float64 (rows, bins)."""
    rows = bin_of.shape[0]
    cell = bin_of + torch.arange(rows, device=bin_of.device)[:, None] * bins
    in_memory = (
        cell if cell.is_contiguous() else cell.T
    )  # a transposed table needs no rearranging to be counted
    return torch.bincount(in_memory.flatten(), minlength=rows * bins).view(rows, bins).to(torch.float64)


def own_range_shares(x: Tensor, bins: int) -> Tensor:
    """Shares (rows, bins) of each row's own min-max histogram, in the arithmetic of `numpy.histogram`.

    In the dtype of `x`; the bin is corrected against the edges as numpy does, so that values on an edge fall
    on the same side.
    """
    low, high = x.amin(1), x.amax(1)
    flat = low == high
    low, high = torch.where(flat, low - 0.5, low), torch.where(flat, high + 0.5, high)
    edges = (
        low[:, None] + torch.arange(bins + 1, dtype=x.dtype, device=x.device) * ((high - low) / bins)[:, None]
    )
    edges[:, -1] = high
    bin_of = ((x - low[:, None]) / (high - low)[:, None] * bins).to(torch.int64).clamp(max=bins - 1)
    bin_of = bin_of - (x < edges.gather(1, bin_of)).to(torch.int64)
    up = (x >= edges.gather(1, bin_of + 1)) & (bin_of != bins - 1)
    bin_of = bin_of + up.to(torch.int64)
    return _counts(bin_of, bins) / x.shape[1]


def wasserstein(p: Tensor, q: Tensor) -> Tensor:
    """1-Wasserstein distance per row between shares on the same equal bins, in bin widths: Σ |P − Q| of the sums."""
    return (p.cumsum(1) - q.cumsum(1))[:, :-1].abs().sum(1)


def sorted_heights_distance(p: Tensor, q: Tensor) -> Tensor:
    """The released "Wasserstein" distance: mean |sort(p) − sort(q)|, bin heights taken for samples."""
    return (p.sort(1).values - q.sort(1).values).abs().mean(1)


def bhattacharyya(p: Tensor, q: Tensor) -> Tensor:
    """1 − Σ √(p·q) per row, in [0, 1]: as ½ Σ (√p − √q)², which is 0 for identical rows."""
    return 0.5 * (p.sqrt() - q.sqrt()).square().sum(1)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence per row in nats, in [0, ln 2]; no square root."""
    m = 0.5 * (p + q)
    return 0.5 * (_kl(p, m) + _kl(q, m))


def kl_common(p: Tensor, q: Tensor) -> Tensor:
    """Σ p·ln(p/q) per row over the bins where both are positive: infinite terms are dropped, can be negative."""
    return _kl(p, q)


def kl_smoothed(p: Tensor, q: Tensor, values: int) -> Tensor:
    """KL divergence per row in nats after half a count is added to each bin; `values` per histogram."""
    smooth = p.new_tensor(0.5)
    total = values + 0.5 * p.shape[1]
    return _kl((p * values + smooth) / total, (q * values + smooth) / total)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    both = (p > 0) & (q > 0)
    one = p.new_ones(())
    return torch.where(both, p * (torch.where(both, p, one) / torch.where(both, q, one)).log(), 0.0 * p).sum(
        1
    )
