"""Censored statistics against closed forms and independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import CensoredData, ecdf, norm

from foretoll.forecast.survival import CensoredRidge, concordance, kaplan_meier


def test_without_censoring_the_regression_is_ridge() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.normal(size=60)
    fit = CensoredRidge.fit(x, y, np.zeros(60, bool), np.ones(60), ridge=5.0)
    z = (x - x.mean(0)) / x.std(0)
    slopes = np.linalg.solve(z.T @ z + 5.0 * np.eye(4), z.T @ (y - y.mean()))
    assert np.allclose(fit.coefficients, slopes)
    assert fit.intercept == pytest.approx(y.mean())


def test_with_censoring_the_regression_is_maximum_likelihood() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 1))
    y = 1.0 + 2.0 * x[:, 0] + 0.7 * rng.normal(size=400)
    limit = 2.0
    censored = y > limit
    seen = np.minimum(y, limit)
    fit = CensoredRidge.fit(x, seen, censored, np.ones(400), ridge=1e-9, iterations=3000)

    def negative(parameters: np.ndarray) -> float:
        location = parameters[0] + parameters[1] * x[:, 0]
        sigma = np.exp(parameters[2])
        unit = (seen - location) / sigma
        return -np.where(censored, norm.logsf(unit), norm.logpdf(unit) - np.log(sigma)).sum()

    best = minimize(negative, [0.0, 1.0, 0.0], method="Nelder-Mead", options={"maxiter": 4000}).x
    slope = fit.coefficients[0] / fit.scale[0]
    assert slope == pytest.approx(best[1], abs=0.02)
    assert fit.sigma == pytest.approx(np.exp(best[2]), abs=0.02)
    # leaving the censored rows out would have flattened the slope
    naive = np.polyfit(x[~censored, 0], seen[~censored], 1)[0]
    assert abs(naive - 2.0) > 3 * abs(slope - 2.0)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30),
)
def test_kaplan_meier_equals_scipy(rows: list[tuple[int, bool]]) -> None:
    values = np.array([v for v, _ in rows], float)
    censored = np.array([c for _, c in rows])
    ours = kaplan_meier(values, censored)
    theirs = ecdf(CensoredData(uncensored=values[~censored], right=values[censored])).cdf
    for value in range(-1, 10):
        assert ours.cdf(value) == pytest.approx(float(theirs.evaluate(value)), abs=1e-9)


def test_a_weight_of_two_is_a_row_twice() -> None:
    values, censored = np.array([1.0, 2.0, 3.0]), np.array([False, True, False])
    twice = kaplan_meier(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, True, False]))
    weighted = kaplan_meier(values, censored, np.array([1.0, 2.0, 1.0]))
    assert [weighted.cdf(v) for v in values] == pytest.approx([twice.cdf(v) for v in values])


def test_mass_beyond_the_last_event_has_no_quantile() -> None:
    found = kaplan_meier(np.array([1.0, 2.0, 3.0, 3.0]), np.array([False, False, True, True]))
    assert found.quantile(0.5) == 2.0
    assert found.quantile(0.9) is None


def test_concordance_counts_comparable_pairs_only() -> None:
    values = np.array([1.0, 2.0, 2.0, 3.0])
    censored = np.array([False, False, True, True])
    # pairs: (1,2) (1,2+) (1,3+) (2,2+) (2,3+); the two censored ones cannot be compared
    assert concordance(np.array([1.0, 2.0, 3.0, 4.0]), values, censored) == 1.0
    assert concordance(np.array([4.0, 3.0, 2.0, 1.0]), values, censored) == 0.0
    assert concordance(np.zeros(4), values, censored) == 0.5
    assert concordance(np.zeros(2), np.ones(2), np.array([True, True])) is None
