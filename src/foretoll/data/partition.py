"""Seeded, stratified choices of rows: the one primitive behind splits, parts, limits and samples.

Systematic sampling: the rows are put in class order, shuffled within each class, and every N/n-th of them
is taken. So exactly n of N rows are chosen, and of each class its proportional share, rounded up or down.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2  # of all rows when nothing is given; of the train rows when the test part is given


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for each purpose, so that one choice never disturbs another."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def strata(targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A number (n,) for each sample, in whose order samples are taken: so that each part is like the whole.

    Classes are their own; of numbers (n, k) the standardised sum counts, so that every part has all quantiles; of
    truth values (n, k) the combination, from the most frequent on. Samples with a class at each place are all alike.
    """
    if targets.ndim == 1:
        return targets
    if targets.dtype.kind in "iu":
        return np.zeros(len(targets), dtype=np.int64)
    if targets.shape[1] > 1 and np.isin(targets, (0.0, 1.0)).all():
        _, numbers, counts = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
        rank = np.empty(len(counts), dtype=np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        return np.asarray(rank[numbers.reshape(-1)])
    spread = targets.std(axis=0, dtype=np.float64)
    away = targets - targets.mean(axis=0, dtype=np.float64)
    return np.asarray((away / np.where(spread > 0, spread, 1)).sum(axis=1))


def choose(labels: npt.NDArray[Any] | None, size: int, n: int, *, seed: int, purpose: str) -> BoolArray:
    """Mark exactly `n` of `size` rows, stratified by `labels` (not stratified when None).

    Each class with m rows gives floor or ceil of m·n/size of them. Deterministic per (seed, purpose).
    """
    mask = np.zeros(size, dtype=bool)
    n = min(max(n, 0), size)
    if n == 0 or size == 0:
        return mask
    random = generator(seed, purpose)
    order = _small(random.permutation(size))
    if labels is not None:
        order = order[np.argsort(_small(np.asarray(labels))[order], kind="stable")]
    offset = int(random.integers(size))
    steps = np.arange(size + 1, dtype=np.int64)
    steps *= n
    steps += offset
    steps //= size
    mask[order[steps[1:] != steps[:-1]]] = True
    return mask


def _small(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same whole numbers in the smallest type that holds them, which takes less room and sorts faster."""
    if numbers.dtype.kind not in "iu" or not len(numbers):
        return numbers
    return numbers.astype(
        np.result_type(np.min_scalar_type(numbers.min()), np.min_scalar_type(numbers.max()))
    )


def choose_within(
    labels: npt.NDArray[Any] | None, rows: IntArray, n: int, *, seed: int, purpose: str
) -> tuple[IntArray, IntArray]:
    """Divide `rows` into a stratified choice of `n` of them and the rest; both keep the order of `rows`."""
    mask = choose(None if labels is None else labels[rows], len(rows), n, seed=seed, purpose=purpose)
    return rows[mask], rows[~mask]


def three_way(labels: npt.NDArray[Any] | None, rows: IntArray, *, seed: int) -> tuple[IntArray, ...]:
    """Train, validation and test rows, 60/20/20."""
    test, rest = choose_within(labels, rows, round(TEST_SHARE * len(rows)), seed=seed, purpose="test")
    validation, train = choose_within(
        labels, rest, round(VALIDATION_SHARE * len(rows)), seed=seed, purpose="validation"
    )
    return train, validation, test


def in_order(rows: IntArray) -> tuple[IntArray, ...]:
    """Train, validation and test rows, 60/20/20, each part after the one before: what is tested comes last."""
    test = round(TEST_SHARE * len(rows))
    validation = round(VALIDATION_SHARE * (len(rows) - test))
    train = len(rows) - test - validation
    return rows[:train], rows[train : train + validation], rows[train + validation :]


def part_of(labels: npt.NDArray[Any] | None, rows: IntArray, part: int, parts: int, *, seed: int) -> IntArray:
    """The `part`-th (from 1) of `parts` disjoint stratified parts that together are all of `rows`."""
    rest = rows
    chosen = rows[:0]
    for number in range(1, part + 1):
        size = round(len(rows) * number / parts) - round(len(rows) * (number - 1) / parts)
        chosen, rest = choose_within(labels, rest, size, seed=seed, purpose=f"part {number}/{parts}")
    return chosen
