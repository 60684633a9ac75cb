"""Student's t for whole degrees of freedom, without loading SciPy for one number."""

from __future__ import annotations

import math
from functools import cache


def student_cdf(value: float, freedom: int) -> float:
    """P(T ≤ value): the finite sums of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan2(value, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + inside) / 2


@cache
def student_quantile(level: float, freedom: int) -> float:
    """The value that T stays below with probability `level`, in (0.5, 1)."""
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < level:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if student_cdf(middle, freedom) < level else (low, middle)
    return high
