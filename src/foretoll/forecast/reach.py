"""The probability that a run reaches its target, from runs that were forecast without their own data set.

A time-to-event distribution that is read at the budget errs twice: in its location and in its spread. What decides is
the margin alone, the budget less the foretold time, so its meaning is learned directly: a logistic regression of
"reached" on the margin, with an offset for each way of reuse that is shrunk towards none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foretoll.forecast.survival import Array, Flags

FEWEST = 40  # runs, of them
FEWEST_OF_EACH = 8  # that reached their target, and that did not
OFFSET_SHRINKAGE = 1.0  # inverse variance of an option's offset, in units of the logit
FARTHEST_LOGIT = 709.0  # below it the exponential overflows


@dataclass(frozen=True)
class Reach:
    """P(reached | margin, option); margins in logarithms of steps.

    options: those with an offset. spread: of the margins. slopes (1 + options,): of the margin in units of its spread,
    and the offsets; in units of the logit.
    """

    options: list[str]
    spread: float
    slopes: Array
    intercept: float

    @classmethod
    def fit(cls, margin: Array, reached: Flags, options: Sequence[str]) -> Reach | None:
        """Learn from held-out runs; None where there are too few of either outcome."""
        fewest = min(int(reached.sum()), int((~reached).sum()))
        if len(margin) < FEWEST or fewest < FEWEST_OF_EACH:
            return None
        known, spread = sorted(set(options)), max(float(np.std(margin)), 1e-6)
        slopes = _logistic(_matrix(margin / spread, options, known), reached)
        return cls(known, spread, slopes[:-1], float(slopes[-1]))

    def of(self, margin: Array, options: Sequence[str]) -> Array:
        """Probabilities (n,) for margins (n,) and options. One that was never seen has no offset."""
        x = _matrix(margin / self.spread, options, self.options)
        logits: Array = (x @ self.slopes[:, None])[:, 0] + self.intercept
        return np.array([_of_logit(logit) for logit in logits.tolist()])


def _of_logit(logit: float) -> float:
    """`scipy.special.expit` to the bit, without loading SciPy for one number."""
    return 0.0 if logit < -FARTHEST_LOGIT else 1 / (1 + math.exp(-logit))


def _matrix(margin: Array, options: Sequence[str], known: Sequence[str]) -> Array:
    flags = np.array([[name == option for name in known] for option in options], dtype=float)
    return np.column_stack([margin, flags])


def _logistic(x: Array, reached: Flags, iterations: int = 50) -> Array:
    """Slopes of x (n, p), shrunk, and the intercept, which is not: logistic regression by Newton's method."""
    from scipy.special import expit

    design = np.column_stack([x, np.ones(len(x))])
    prior = np.full(design.shape[1], OFFSET_SHRINKAGE)
    prior[-1] = 0.0
    slopes = np.zeros(design.shape[1])
    for _ in range(iterations):
        told = expit(design @ slopes)
        gradient = design.T @ (reached - told) - prior * slopes
        curvature = (design.T * (told * (1 - told))) @ design + np.diag(prior + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        slopes = slopes + step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-8:
            break
    return slopes
