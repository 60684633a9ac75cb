"""How good a forecast of time to target was: errors, order, coverage, probabilities; censored runs included.

A censored run is known to lie beyond its limit: for ranks it stands at the limit, for errors a forecast at or
beyond the limit is right, for intervals it is inside if the interval reaches the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.forecast.survival import concordance, concordant_pairs

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """What happened: epochs (at the limit where censored), the limit of each run, and whether it was censored."""

    epochs: Array
    limit: Array
    censored: Flags

    def take(self, rows: NDArray[np.intp]) -> Outcomes:
        """The runs at these positions."""
        return Outcomes(self.epochs[rows], self.limit[rows], self.censored[rows])


def spearman(forecast: Array, seen: Outcomes) -> float | None:
    """Rank correlation with the epochs, censored runs tied at their limit; None for a constant side."""
    from scipy.stats import rankdata

    a, b = rankdata(forecast), rankdata(np.minimum(seen.epochs, seen.limit))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def log_errors(forecast: Array, seen: Outcomes) -> Array:
    """|log| of (forecast + ⅛) / (epochs + ⅛), forecasts capped at the limit: 0 for a censored run foreseen."""
    capped = np.minimum(forecast, seen.limit)
    return np.asarray(
        np.abs(np.log((capped + EPOCH_OFFSET) / (np.minimum(seen.epochs, seen.limit) + EPOCH_OFFSET)))
    )


def median_factor(forecast: Array, seen: Outcomes) -> float:
    """Median factor by which a forecast is off; 1 is perfect."""
    return float(math.exp(np.median(log_errors(forecast, seen))))


def harrell(forecast: Array, seen: Outcomes) -> float | None:
    """Concordance over comparable pairs."""
    return concordance(forecast, seen.epochs, seen.censored)


def resampled_harrell(forecast: Array, seen: Outcomes, draws: NDArray[np.intp]) -> Array:
    """Concordance (m,) of m samples with replacement, given how often each of n runs is in them (m, n)."""
    later = (seen.epochs > seen.epochs[:, None]) | (
        (seen.epochs == seen.epochs[:, None]) & seen.censored[None, :]
    )
    comparable = later & ~seen.censored[:, None]
    np.fill_diagonal(comparable, False)
    right = comparable * ((forecast > forecast[:, None]) + 0.5 * (forecast == forecast[:, None]))
    counts = draws.astype(np.float32)

    def total(pairs: NDArray[Any]) -> Array:
        return np.asarray(((counts @ pairs.astype(np.float32)) * counts).sum(axis=1, dtype=np.float64))

    with np.errstate(invalid="ignore"):
        return np.asarray(total(right) / total(comparable))


def grouped_harrell(forecast: Array, seen: Outcomes, groups: Sequence[str]) -> float | None:
    """Concordance over the comparable pairs within groups; a row of group "" is left out."""
    good = total = 0.0
    names = np.array(groups)
    for name in sorted(set(groups) - {""}):
        rows = np.flatnonzero(names == name)
        part = seen.take(rows)
        right, pairs = concordant_pairs(forecast[rows], part.epochs, part.censored)
        good, total = good + right, total + pairs
    return good / total if total else None


def coverage(low: Array, high: Array, seen: Outcomes) -> float:
    """Share of runs inside their interval; `high` is infinite where the interval has no upper end."""
    inside = np.where(
        seen.censored,
        high > seen.limit + 1e-9,  # a run that missed its target ended beyond its budget
        (low <= seen.epochs + 1e-9) & (seen.epochs <= high + 1e-9),
    )
    return float(inside.mean())


def coverage_split(below: Array, at: Array, level: float) -> float:
    """Share of runs in the central part of their own distribution, where tied outcomes count by their parts.

    `below` and `at` are the forecast probabilities (n,) of less than what happened, and of at most that. Times come in
    evaluations and all that missed their target are one outcome, so a closed interval holds more than it says
    however well it is made; this is the expected coverage of the randomised one (probability integral transform).
    """
    low, high = (1 - level) / 2, (1 + level) / 2
    part = np.clip(np.minimum(at, high) - np.maximum(below, low), 0, None)
    mass = at - below
    inside = np.where(mass > 1e-12, part / np.maximum(mass, 1e-12), (low <= at) & (at <= high))
    return float(inside.mean())


def width_factor(low: Array, high: Array, seen: Outcomes) -> float:
    """Median ratio of the interval's ends, both capped at the limit."""
    ends = [np.minimum(end, seen.limit) + EPOCH_OFFSET for end in (low, high)]
    return float(math.exp(np.median(np.log(ends[1] / ends[0]))))


def brier(reach: Array, seen: Outcomes) -> float:
    """Mean squared error of the probability that the target is reached within the limit."""
    return float(((reach - ~seen.censored) ** 2).mean())


def auc(reach: Array, seen: Outcomes) -> float | None:
    """Area under the ROC curve of `reach` for "reached"; None where all runs ended alike."""
    if seen.censored.all() or not seen.censored.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(~seen.censored, reach))
