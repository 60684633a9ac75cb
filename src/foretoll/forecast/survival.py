"""Statistics of censored values: a regression on intervals, the Kaplan–Meier estimate, concordance.

A run that spent its budget says only that its time is *beyond* the budget. It is neither dropped nor taken at
the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
LOGISTIC_DEVIATION = math.pi / math.sqrt(3)  # of the logistic distribution with scale 1
SCALE_INFORMATION = (math.pi**2 + 3) / 9  # that an exact observation has of log σ
LEAST_SIGMA = 1e-2
FARTHEST = (
    4.0  # in units of σ that a location moves in one step: Newton may overshoot where the likelihood is flat
)
EXACT = 1e-4  # probability of an interval under which its ends count as one


def interval_score(
    located: Array, lower: Array, upper: Array, sigma: float, weights: Array
) -> tuple[Array, Array]:
    """Slope and curvature (n,), (n,) of the log likelihood of lower < y ≤ upper in the location of y.

    Errors are logistic with scale `sigma`: with F their distribution function, u and l the ends less the location in
    units of σ, the slope is (F(u) + F(l) − 1) / σ and the curvature (F(u)F(−u) + F(l)F(−l)) / σ². An upper end at
    infinity is a censored value, and equal ends are an exact one.
    """
    from scipy.special import expit

    up, low = expit((upper - located) / sigma), expit((lower - located) / sigma)
    slope = weights * (up + low - 1) / sigma
    return slope, weights * (up * (1 - up) + low * (1 - low)) / sigma**2


@dataclass(frozen=True)
class IntervalRidge:
    """Linear regression with logistic errors, values known to lie in intervals and a ridge prior on the slopes.

    The accelerated-failure-time model log T = β₀ + βᵀx + σε (Kalbfleisch and Prentice 2002, chapter 3), by Newton's
    method in β, where the likelihood is concave, and Fisher scoring in log σ by turns.
    """

    coefficients: Array
    intercept: float
    sigma: float

    @classmethod
    def fit(
        cls, z: Array, lower: Array, upper: Array, weights: Array, *, ridge: float, iterations: int = 60
    ) -> IntervalRidge:
        """Fit to standardised z (n, p), ends (n,) and weights (n,). `ridge` counts as that many observations."""
        design = np.column_stack([np.ones(len(z)), z])
        seen = np.where(np.isfinite(upper), upper, lower)
        beta = np.zeros(design.shape[1])
        beta[0] = np.average(seen, weights=weights)
        sigma = max(float(np.std(seen)) / LOGISTIC_DEVIATION, LEAST_SIGMA)
        prior = np.full(len(beta), ridge)
        prior[0] = 0.0
        for _ in range(iterations):
            slope, curvature = interval_score(design @ beta, lower, upper, sigma, weights)
            held = prior / (3 * sigma**2)  # an observation informs so much of a location
            hessian = (design.T * curvature) @ design + np.diag(held + 1e-9)
            step = np.linalg.solve(hessian, design.T @ slope - held * beta)
            step *= min(1.0, FARTHEST * sigma / max(float(np.abs(design @ step).max()), 1e-12))
            beta = beta + step
            turn = _scale_score(design @ beta, lower, upper, sigma, weights) / (
                SCALE_INFORMATION * weights.sum()
            )
            sigma = max(sigma * math.exp(min(max(turn, -0.5), 0.5)), LEAST_SIGMA)
            if float(np.abs(step).max()) < 1e-5 and abs(turn) < 1e-4:
                break
        return cls(beta[1:], float(beta[0]), sigma)

    def predict(self, z: Array) -> Array:
        """Location for z (m, p): (m,)."""
        return np.asarray(self.intercept + z @ self.coefficients)

    @property
    def deviation(self) -> float:
        """Standard deviation of the errors."""
        return self.sigma * LOGISTIC_DEVIATION


def _scale_score(located: Array, lower: Array, upper: Array, sigma: float, weights: Array) -> float:
    """Derivative of the log likelihood in log σ; that of a narrow interval is that of its upper end."""
    from scipy.special import expit

    b, a = (upper - located) / sigma, (lower - located) / sigma
    top, bottom = expit(b), expit(a)
    mass = top - bottom
    exact = mass < EXACT
    ends = np.where(np.isfinite(b), b, 0.0), np.where(np.isfinite(a), a, 0.0)
    wide = -(ends[0] * top * (1 - top) - ends[1] * bottom * (1 - bottom)) / np.where(exact, 1.0, mass)
    narrow = np.where(np.isfinite(upper), ends[0] * (2 * top - 1) - 1, ends[1] * bottom)
    return float(weights @ np.where(exact, narrow, wide))


def expected_beyond(located: Array, limit: Array, sigma: float) -> Array:
    """Mean of logistic values, given that they lie beyond their limits."""
    unit = np.clip((limit - located) / sigma, -30, 30)
    return np.asarray(limit + sigma * np.log1p(np.exp(-unit)) * (1 + np.exp(unit)))


@dataclass(frozen=True)
class Distribution:
    """A discrete distribution on sorted `values` with `mass`; what is missing to 1 lies beyond the last."""

    values: Array
    mass: Array

    def cdf(self, value: float) -> float:
        """P(V ≤ value)."""
        return float(self.mass[: np.searchsorted(self.values, value, side="right")].sum())

    @cached_property
    def _cumulative(self) -> Array:
        return np.cumsum(self.mass)

    def quantile(self, level: float) -> float | None:
        """Smallest value whose cdf is at least `level`; None where it lies beyond all that was observed."""
        index = int(np.searchsorted(self._cumulative, level - 1e-12))
        return float(self.values[index]) if index < len(self.values) else None


def kaplan_meier(values: Array, censored: Flags, weights: Array | None = None) -> Distribution:
    """Product-limit estimate of the distribution of right-censored values (Kaplan and Meier 1958), weighted.

    An event at the same value as a censoring comes first, as usual.
    """
    weights = np.ones_like(values) if weights is None else weights
    order = np.lexsort((censored, values))
    v, c, w = values[order], censored[order], weights[order]
    at_risk = np.cumsum(w[::-1])[::-1]
    hazard = np.where(c | (at_risk <= 0), 0.0, w / np.where(at_risk > 0, at_risk, 1.0))
    survival = np.concatenate([[1.0], np.cumprod(1.0 - hazard)])
    mass = survival[:-1] - survival[1:]
    events = ~c
    return Distribution(v[events], mass[events])


def concordance(forecast: Array, values: Array, censored: Flags) -> float | None:
    """Harrell's concordance: share of comparable pairs in the right order, ties in the forecast count half.

    A pair is comparable if the smaller value is an event. None where no pair is comparable.
    """
    good, total = concordant_pairs(forecast, values, censored)
    return good / total if total else None


def concordant_pairs(forecast: Array, values: Array, censored: Flags) -> tuple[float, float]:
    """Comparable pairs in the right order (ties in the forecast count half), and all comparable pairs."""
    good = total = 0.0
    for i in np.flatnonzero(~censored):
        later = (values > values[i]) | ((values == values[i]) & censored)
        later[i] = False
        total += float(later.sum())
        good += float((forecast[later] > forecast[i]).sum() + 0.5 * (forecast[later] == forecast[i]).sum())
    return good, total
