"""UPF: update when the forecast errors say with enough confidence that it is worth its cost."""

# Regol, Schwinn, Sprague, Coates and Markovich, "When to retrain a machine learning model", ICML 2025 (PMLR 267), arXiv
# 2505.14903. The error pe(i, j) of the model made after batch i on batch j is forecast with its uncertainty, and an
# update is made when a quantile of the cost of keeping, less that of updating, is above 0. How this one differs:
# 1. The forecast is a Bayesian linear regression on the age j − i and the time j, learned from the errors that the life
#    itself has seen; the paper also gives it shift features, and learns on an offline first part where all pairs (i, j)
#    are known. A life knows the pairs that were served.
# 2. Errors are Gaussian around their mean, clipped to [0, 1]; the paper's Beta distribution has the same two moments.
# 3. The costs are compared over the window in place of the rest of a horizon, since a life has no known end.
# Written from the paper's abstract and what others tell of its method, not checked line by line against its full text.

from __future__ import annotations

import math

import numpy as np

from foretoll.decide.policies.base import Choice, Policy, Verdict, View

PRIOR = 0.1  # standard deviation of a slope, a batch: before anything is seen an error may rise by a tenth
LEAST = 2  # errors that the forecast needs


class Upf(Policy):
    """Update when P(keeping costs more than updating, over the window) ≥ confidence."""

    name = "upf"
    title = "UPF: update when forecast errors make it worth its cost (Regol et al. 2025)"
    needs = ("labels",)

    def __init__(self, confidence: float = 0.5) -> None:
        self.confidence = confidence

    def _due(self, view: View, choice: Choice) -> Verdict:
        if view.worth is None:
            return Verdict(False, "UPF weighs a worth against a cost: give a worth in place of a floor")
        found = saved(view)
        if found is None:
            return Verdict(False, f"UPF forecasts from {LEAST} labelled batches on")
        mean, deviation = found
        cost = choice.offer.cost
        gain = mean * view.worth
        spread = deviation * view.worth
        chance = _normal((gain - cost) / spread) if spread > 0 else float(gain > cost)
        figures: dict[str, float | None] = {"gain": gain, "chance": chance}
        said = f"updating is forecast to cost less than keeping with probability {chance:.2f}"
        if gain > 0 and chance >= self.confidence:
            return Verdict(True, said, "", figures)
        return Verdict(False, f"{said}, and {self.confidence:g} is asked for", "", figures)

    def __str__(self) -> str:
        return f"{self.name}:{self.confidence:g}"


def saved(view: View) -> tuple[float, float] | None:
    """Wrong answers that an update would save over the window, forecast: mean and standard deviation.

    Of a metric with a unit what it would save in that unit times samples; errors are shares of a trivial model's. None
    of fewer than LEAST labelled batches.
    """
    rows, errors, noise = [], [], []
    made = sorted(view.updated)
    for batch in view.batches:
        if batch.quality is None or not batch.labelled:
            continue
        since = max((number for number in made if number < batch.number), default=-1)
        rows.append((1.0, batch.number - since, batch.number))
        errors.append(view.served.lost(batch.quality))
        noise.append(view.served.lost_variance(batch.quality, batch.labelled))
    if len(rows) < LEAST:
        return None
    x, y = np.array(rows, dtype=np.float64), np.array(errors)
    middle = y.mean()
    prior = np.diag([1.0, 1 / PRIOR**2, 1 / PRIOR**2])
    variance = float(np.mean(noise))
    for _ in range(2):  # what batches differ by beyond sampling, which the first fit leaves, is noise, too
        inverse = np.linalg.inv(x.T @ x / variance + prior)
        weights = inverse @ (x.T @ (y - middle)) / variance
        variance = max(variance, float(np.mean((y - middle - x @ weights) ** 2)))
    samples = sum(b.samples for b in view.since) / len(view.since) * view.served.unit
    served = max(view.updated, default=-1)
    saves, slopes = 0.0, np.zeros(3)
    for step in range(1, view.window + 1):
        later = view.now + step
        keep, update = (np.array([1.0, later - made, later]) for made in (served, view.now))
        errors_then = [min(max(middle + float(row @ weights), 0.0), 1.0) for row in (keep, update)]
        saves += errors_then[0] - errors_then[1]
        slopes += keep - update
    doubt = float(slopes @ inverse @ slopes) + 2 * view.window * variance
    return saves * samples, math.sqrt(max(doubt, 0.0)) * samples


def _normal(value: float) -> float:
    """Probability that a standard normal variable is at most this."""
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))
