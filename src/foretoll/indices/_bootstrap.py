"""Resampling whatever the batch size, order or split: samples fall into groups by a hash of their id.

A statistic of sums keeps its sums per group. Any number of bootstrap replicates is then a weighting of the
groups at the end (a grouped bootstrap), and two disjoint halves of the data are two sets of groups. That
costs one scatter a batch, against `replicates` times the sums for weights drawn per sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GROUPS = 32
REPLICATES = 200
NORMAL_90 = 1.6448536269514722  # two-sided 90 %: the level of IndexValue's interval


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def hash_ids(ids: Tensor, seed: int = 0) -> Tensor:
    """A 64-bit hash of each id (splitmix64's finaliser); a bijection, so distinct ids never collide."""
    offset = _signed(((seed + 1) * _GAMMA) & ((1 << 64) - 1))
    x = ids.to(torch.int64) + offset
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def hash_rows(rows: Tensor) -> Tensor:
    """A 64-bit id of each row from its content (float64 bits), for data that carry no ids.

    Rows of equal bits get equal ids. A model that gives other bits at another batch size gives other ids:
    pass real ids where that matters.
    """
    bits = (rows.to(torch.float64) + 0.0).contiguous().view(torch.int64)  # + 0.0: -0.0 and 0.0 are one value
    columns = torch.arange(rows.shape[1], device=rows.device)
    return hash_ids((hash_ids(bits) * (hash_ids(columns, 1) | 1)).sum(1), 2)


def groups_for(elements: int, limit: int = 1 << 24) -> int:
    """How many groups to keep for sums of `elements` numbers each: 32, at least 8 for very large ones."""
    return max(8, min(GROUPS, limit // max(elements, 1)))


def group_of(ids: Tensor, groups: int, seed: int = 0) -> Tensor:
    """The group of each id, uniform over 0 … groups - 1."""
    return _shift(hash_ids(ids, seed), 20) % groups


def bootstrap_weights(groups: int, replicates: int = REPLICATES, seed: int = 0) -> Tensor:
    """Multinomial weights of groups, float64 (replicates, groups); each row sums to `groups`."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(groups, (replicates, groups), generator=generator)
    return torch.zeros(replicates, groups, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(replicates, groups, dtype=torch.float64)
    )


def half_masks(groups: int, splits: int = 8, seed: int = 0) -> Tensor:
    """Random splits of groups in two halves, bool (splits, groups); the other half is the negation."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(groups, generator=generator) for _ in range(splits)])
    return order < groups // 2


def interval(
    values: Tensor, replicates: Tensor, *, lower: float = 0.0, upper: float = math.inf
) -> tuple[float, float]:
    """A 90 % interval of the mean of `values` (parts,), from bootstrap `replicates` (B, parts).

    For distances that sampling noise lifts as value² ≈ truth² + noise² (an angle, a norm), so it is made on
    the scale of squares. Resampling adds the same noise once more: S = mean value², without noise, is
    2·S - mean S*. The interval spans S with and without noise and 1.645 standard deviations of S* on either
    side, and is taken back to the scale of the values. Parts that a replicate lacks (NaN) are left out of it.
    """
    plain = float(values.mean())
    square = float((values**2).mean())
    squares = (replicates**2).nanmean(1)
    squares = squares[torch.isfinite(squares)]
    if squares.numel() < 2:
        return plain, plain
    spread = NORMAL_90 * float(squares.std())
    if square == 0.0:
        return lower, min(upper, math.sqrt(spread))
    corrected = 2.0 * square - float(squares.mean())
    low = plain * math.sqrt(max(0.0, min(square, corrected) - spread) / square)
    high = plain * math.sqrt((max(square, corrected) + spread) / square)
    return max(lower, low), min(upper, high)


def mean_interval(sums: Tensor, counts: Tensor, *, seed: int = 0) -> tuple[float, float] | None:
    """A 90 % interval of Σ sums / Σ counts from sums and counts per group (groups,), mean ± 1.645 sd of replicates.

    None with fewer than two groups that hold samples.
    """
    if int((counts > 0).sum()) < 2:
        return None
    weights = bootstrap_weights(len(sums), seed=seed).to(sums.device)
    replicates = (weights @ sums) / (weights @ counts.to(sums.dtype))
    replicates = replicates[torch.isfinite(replicates)]
    mean = float(sums.sum() / counts.sum())
    spread = NORMAL_90 * float(replicates.std())
    return mean - spread, mean + spread
