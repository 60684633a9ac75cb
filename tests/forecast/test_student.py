"""Student's t is that of SciPy."""

from __future__ import annotations

import pytest
from scipy.special import stdtr, stdtrit

from foretoll.forecast.student import student_cdf, student_quantile


@pytest.mark.parametrize("freedom", [*range(1, 41), 100, 999])
def test_it_is_that_of_scipy(freedom: int) -> None:
    for value in (-3.0, 0.0, 0.7, 2.5, 40.0):
        assert student_cdf(value, freedom) == pytest.approx(stdtr(freedom, value), rel=0, abs=1e-13)
    for level in (0.6, 0.95, 0.999):
        assert student_quantile(level, freedom) == pytest.approx(stdtrit(freedom, level), rel=1e-11)
