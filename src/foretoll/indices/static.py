"""Static scores: what can be said of a cost without looking at the data or at a single activation.

Static rankings have beaten published scores in a careful benchmark (arXiv 2510.06448), so they stand beside every
other score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from foretoll.errors import DataError


def mean_log_cost(costs: Iterable[float], *, floor: float | None = None) -> float:
    """Mean natural logarithm of the costs of earlier runs of one architecture; exp of it is their geometric mean.

    Args:
        costs: costs of one kind and unit, one per run.
        floor: what smaller costs count as, above 0; without it a cost of 0 is refused, which has no logarithm.

    Raises:
        DataError: no costs, or one that is negative, NaN or infinite, or 0 without a floor.
    """
    values = [float(cost) for cost in costs]
    if not values:
        raise DataError("there are no costs to average: pass those of at least one run of the architecture")
    bad = [value for value in values if not (0 <= value < math.inf)]
    if bad:
        raise DataError(f"the costs hold {bad[0]}: a cost is a finite number that is not negative")
    if floor is None and min(values) == 0:
        raise DataError(
            "the costs hold 0, which has no logarithm: pass floor=, the least cost that can be distinguished from 0"
        )
    if floor is not None and not 0 < floor < math.inf:
        raise DataError(f"floor is {floor}: pass a cost above 0")
    least = 0.0 if floor is None else floor
    return math.fsum(math.log(max(value, least)) for value in values) / len(values)


def parameters_times_samples(parameters: int, samples: int) -> float:
    """Trainable parameters × training samples of one epoch: proportional to its arithmetic for dense layers.

    Raises:
        DataError: a negative number.
    """
    if parameters < 0 or samples < 0:
        raise DataError(f"parameters ({parameters}) and samples ({samples}) cannot be negative: pass counts")
    return float(parameters) * float(samples)
