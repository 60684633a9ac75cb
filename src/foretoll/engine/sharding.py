"""Cutting a long pass into tasks, and joining what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeVar

from foretoll.errors import UsageError

T = TypeVar("T")


def shards(n: int, parts: int) -> list[range]:
    """Cut 0..n−1 into at most `parts` contiguous, non-empty ranges whose lengths differ by at most one.

    >>> shards(7, 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    """
    if n < 0 or parts < 1:
        raise UsageError(f"cannot cut {n} into {parts} parts: give n of at least 0 and parts of at least 1")
    parts = min(parts, n)
    ends = [0]
    for k in range(parts):
        ends.append(ends[-1] + n // parts + (k < n % parts))
    return [range(begin, end) for begin, end in pairwise(ends)]


def merge_tree(states: Iterable[T], merge: Callable[[T, T], T]) -> T:
    """Join `states` pairwise, neighbours first, in their order: the tree depends on their number alone.

    So a sum of floats comes out the same for any engine, once the states are in the order of their index,
    and its rounding error grows with the logarithm of their number. Raises UsageError if there is none.
    """
    level = list(states)
    if not level:
        raise UsageError("there is nothing to merge: give at least one state")
    while len(level) > 1:
        pairs = [merge(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]
