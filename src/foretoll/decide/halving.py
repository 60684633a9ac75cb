"""Which of several candidates are dropped after a round of successive halving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class CostNow(NamedTuple):
    """What a candidate is forecast to cost now: the median and the lower end of its interval, in one unit for all."""

    median: float
    low: float


def clearly_dearer(costs: Sequence[CostNow]) -> list[int]:
    """The positions that are dropped: of the dearer half, those whose interval lies above the cheapest's median.

    Never more than half of them, rounded down, so that one is always left; none where the dearer half may still be as
    cheap.
    """
    order = sorted(range(len(costs)), key=lambda i: costs[i].median)
    dearer = order[len(order) - len(order) // 2 :]
    return sorted(i for i in dearer if costs[i].low > costs[order[0]].median)
