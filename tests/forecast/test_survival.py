"""Censored statistics against closed forms and independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import CensoredData, ecdf, logistic

from foretoll.forecast.survival import (
    IntervalRidge,
    concordance,
    expected_beyond,
    interval_score,
    kaplan_meier,
)


def interval_likelihood(parameters: np.ndarray, x: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Negative log likelihood of intercept, slope and log σ: by SciPy's distribution, exact values by its density."""
    located, sigma = parameters[0] + parameters[1] * x, np.exp(parameters[2])
    mass = logistic.cdf((upper - located) / sigma) - logistic.cdf((lower - located) / sigma)
    density = logistic.logpdf((lower - located) / sigma) - np.log(sigma)
    return -np.where(lower == upper, density, np.log(np.maximum(mass, 1e-300))).sum()


@pytest.mark.parametrize("step", [0.0, 0.5])  # exact times, and times between two evaluations
def test_the_regression_on_intervals_is_maximum_likelihood(step: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    y = 1.0 + 2.0 * x + 0.5 * rng.logistic(size=400)
    upper = np.ceil(y / step) * step if step else y
    censored = upper > 2.5
    lower, upper = np.where(censored, 2.5, upper - step), np.where(censored, np.inf, upper)
    fit = IntervalRidge.fit(x[:, None], lower, upper, np.ones(400), ridge=1e-9, iterations=500)
    best = minimize(interval_likelihood, [0.0, 1.0, 0.0], (x, lower, upper), "Nelder-Mead").x
    assert [fit.intercept, fit.coefficients[0], fit.sigma] == pytest.approx(
        [best[0], best[1], np.exp(best[2])], abs=0.01
    )


def test_the_prior_counts_as_so_many_runs_and_a_weight_of_two_is_a_run_twice() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=(300, 3)), rng.normal(size=300)
    y = y + z[:, 0]
    ones = np.ones(300)
    free, held, flat = (IntervalRidge.fit(z, y, y, ones, ridge=k) for k in (1e-9, 300.0, 3e6))
    assert held.coefficients[0] == pytest.approx(free.coefficients[0] / 2, rel=0.15)
    assert np.abs(flat.coefficients).max() < 1e-2
    twice = IntervalRidge.fit(np.concatenate([z, z]), *[np.concatenate([y, y])] * 2, np.ones(600), ridge=6.0)
    weighted = IntervalRidge.fit(z, y, y, 2 * ones, ridge=6.0)
    assert twice.predict(z) == pytest.approx(weighted.predict(z), abs=1e-6)


def test_the_score_is_the_slope_of_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    lower = rng.normal(size=50)
    upper = np.where(rng.random(50) < 0.3, np.inf, lower + rng.uniform(0.1, 2, 50))

    def likelihood(at: float) -> np.ndarray:
        return np.log(logistic.cdf((upper - at) / 0.7) - logistic.cdf((lower - at) / 0.7))

    slope, curvature = interval_score(np.full(50, 0.2), lower, upper, 0.7, np.ones(50))
    low, middle, high = (likelihood(0.2 + step) for step in (-1e-4, 0.0, 1e-4))
    assert slope == pytest.approx((high - low) / 2e-4, rel=1e-4, abs=1e-6)
    assert curvature == pytest.approx(-(high - 2 * middle + low) / 1e-8, rel=1e-3, abs=1e-5)


def test_what_lies_beyond_is_expected_where_sampling_finds_it() -> None:
    sample = 0.3 + 0.8 * np.random.default_rng(4).logistic(size=400_000)
    for limit in (-2.0, 0.5, 3.0):
        told = expected_beyond(np.array([0.3]), np.array([limit]), 0.8)
        assert told[0] == pytest.approx(sample[sample > limit].mean(), abs=0.02)


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
