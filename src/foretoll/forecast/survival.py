"""Statistics of right-censored values: a Gaussian regression, the Kaplan–Meier estimate, concordance.

A run that spent its budget says only that its time is *beyond* the budget. It is neither dropped nor taken at
the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class CensoredRidge:
    """Linear regression with Gaussian errors, right-censored responses and a ridge prior on the slopes.

    The accelerated-failure-time model log T = β₀ + βᵀx + σε, fitted by EM (Schmee and Hahn 1979): a censored
    response is replaced by its conditional mean given that it lies beyond its limit.
    """

    mean: Array
    scale: Array
    coefficients: Array
    intercept: float
    sigma: float

    @classmethod
    def fit(
        cls, x: Array, y: Array, censored: Flags, weights: Array, *, ridge: float, iterations: int = 50
    ) -> CensoredRidge:
        """Fit to x (n, p), y (n,), flags (n,) and weights (n,). `ridge` counts as that many observations."""
        total = weights.sum()
        mean = weights @ x / total
        scale = np.sqrt(weights @ (x - mean) ** 2 / total)
        scale[scale < 1e-9] = 1.0  # a constant column has slope 0 by the ridge
        z = (x - mean) / scale
        gram = (z * weights[:, None]).T @ z + ridge * np.eye(z.shape[1])
        filled, second = y.copy(), np.zeros_like(y)
        for _ in range(iterations):
            intercept = float(weights @ filled / total)
            slopes = np.linalg.solve(gram, z.T @ (weights * (filled - intercept)))
            fitted = intercept + z @ slopes
            variance = weights @ ((filled - fitted) ** 2 + second) / total
            sigma = float(np.sqrt(max(variance, 1e-6)))
            if not censored.any():
                break
            alpha = (y[censored] - fitted[censored]) / sigma
            hazard = _hazard(alpha)
            moved = fitted[censored] + sigma * hazard
            second[censored] = sigma**2 * np.clip(1 + alpha * hazard - hazard**2, 0, 1)
            done = np.max(np.abs(moved - filled[censored])) < 1e-4
            filled[censored] = moved
            if done:
                break
        return cls(mean, scale, slopes, intercept, sigma)

    def predict(self, x: Array) -> Array:
        """Location for x (m, p): (m,)."""
        return np.asarray(self.intercept + ((x - self.mean) / self.scale) @ self.coefficients)

    def fill(self, x: Array, y: Array, censored: Flags) -> Array:
        """The responses with censored ones replaced by their conditional mean."""
        fitted = self.predict(x)
        alpha = (y - fitted) / self.sigma
        beyond = fitted + self.sigma * _hazard(alpha)
        return np.where(censored, np.maximum(beyond, y), y)


def _hazard(alpha: Array) -> Array:
    """φ(α) / (1 − Φ(α)) of the standard normal distribution."""
    return np.asarray(np.exp(-(alpha**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(-alpha)))


@dataclass(frozen=True)
class Distribution:
    """A discrete distribution on sorted `values` with `mass`; what is missing to 1 lies beyond the last."""

    values: Array
    mass: Array

    def cdf(self, value: float) -> float:
        """P(V ≤ value)."""
        return float(self.mass[: np.searchsorted(self.values, value, side="right")].sum())

    def quantile(self, level: float) -> float | None:
        """Smallest value whose cdf is at least `level`; None where it lies beyond all that was observed."""
        cumulative = np.cumsum(self.mass)
        index = int(np.searchsorted(cumulative, level - 1e-12))
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
