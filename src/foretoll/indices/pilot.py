"""Pilot epochs: fit a power law to the first epochs of a real training and read off when it meets the target.

loss(t) = a + b t^(−c) with a ≥ 0, b ≥ 0, c > 0, t in epochs; T(ε) = (b/(ε − a))^(1/c), never when ε ≤ a. Sources: the
power-law form of learning curves goes back to Cortes et al., "Learning Curves: Asymptotic Values and Rate of
Convergence", NeurIPS 1993. The pilot's own energy is charged to it.

Deviations: none. For given c the best a and b are a non-negative least-squares problem, so only c is searched: no
starting values, no local minima in a and b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretoll.errors import DataError, UsageError, unknown_name

RATES = (0.01, 10.0)  # the exponents c that are searched
MAX_EPOCHS = 1e9  # beyond it the answer is "never"


class PilotCurve(NamedTuple):
    """A fitted loss(t) = a + b t^(−c), and the root mean square of its residuals."""

    a: float
    b: float
    c: float
    residual: float

    def loss(self, epochs: float) -> float:
        """The fitted loss after `epochs` > 0."""
        return self.a + self.b * math.pow(epochs, -self.c)

    def epochs_to(self, loss: float) -> float | None:
        """T(ε) in epochs; None for never: the curve stays above `loss`, or meets it after a billion epochs only."""
        if loss <= self.a:
            return None
        if self.b == 0:
            return 0.0
        logarithm = math.log(self.b / (loss - self.a)) / self.c
        return math.exp(logarithm) if logarithm < math.log(MAX_EPOCHS) else None


class PilotForecast(NamedTuple):
    """What a pilot forecasts. None: never reached, or not known."""

    curve: PilotCurve
    epochs: float | None
    energy_kwh: float | None  # T × mean epoch energy
    own_energy_kwh: float | None  # what the pilot itself has cost


def fit_pilot(epochs: Sequence[float], losses: Sequence[float]) -> PilotCurve:
    """Least-squares fit of loss = a + b t^(−c).

    Args:
        epochs: points of time t > 0, in epochs; at least three different ones.
        losses: the loss at each, not negative.

    Raises:
        DataError: fewer than three points of time, lengths that differ, NaN, or a negative time or loss.
    """
    from scipy.optimize import minimize_scalar

    t, y = _curve(epochs, losses)
    grid = np.geomspace(*RATES, 61)
    scores = [_amplitudes(t, y, rate)[2] for rate in grid]
    best = int(np.argmin(scores))
    low, high = np.log(grid[max(best - 1, 0)]), np.log(grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(
        lambda log_rate: _amplitudes(t, y, math.exp(log_rate))[2],
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-10},
    )
    rate = math.exp(float(found.x)) if float(found.fun) < scores[best] else float(grid[best])
    a, b, squares = _amplitudes(t, y, rate)
    return PilotCurve(a, b, rate, math.sqrt(squares / len(t)))


def pilot_forecast(
    epochs: Sequence[float],
    values: Sequence[float],
    *,
    target: float,
    kind: Literal["loss", "accuracy"] = "loss",
    epoch_energy_kwh: Sequence[float] | None = None,
) -> PilotForecast:
    """Epochs and energy until `target`, from the curve of a few real epochs.

    Args:
        epochs: as in `fit_pilot`.
        values: loss, or accuracy in [0, 1], at each of them; of an accuracy the error 1 − accuracy is fitted.
        target: loss or accuracy to reach.
        kind: of `values` and `target`.
        epoch_energy_kwh: energy of each pilot epoch; None where it was not measured.

    Raises:
        DataError: as in `fit_pilot`; an accuracy outside [0, 1]; a negative energy.
        UsageError: an unknown kind.
    """
    if kind not in ("loss", "accuracy"):
        raise UsageError(unknown_name("kind", kind, ("loss", "accuracy")))
    if kind == "accuracy":
        if not all(0 <= value <= 1 for value in (*values, target)):
            raise DataError(
                "accuracies and their target must be shares between 0 and 1: divide percentages by 100"
            )
        curve = fit_pilot(epochs, [1 - value for value in values])
        reached = curve.epochs_to(1 - target)
    else:
        if not math.isfinite(target):
            raise DataError(f"target is {target}: pass a finite loss")
        curve = fit_pilot(epochs, values)
        reached = curve.epochs_to(target)
    if epoch_energy_kwh is None or len(epoch_energy_kwh) == 0:
        return PilotForecast(curve, reached, None, None)
    if not all(0 <= energy < math.inf for energy in epoch_energy_kwh):
        raise DataError(
            "epoch_energy_kwh holds a negative or missing energy: pass None where it was not measured"
        )
    own = math.fsum(epoch_energy_kwh)
    return PilotForecast(
        curve, reached, None if reached is None else reached * own / len(epoch_energy_kwh), own
    )


def _amplitudes(t: NDArray[np.float64], y: NDArray[np.float64], rate: float) -> tuple[float, float, float]:
    """The best a and b for a given c, and their sum of squared residuals."""
    from scipy.optimize import nnls

    basis = np.stack((np.ones_like(t), (t / t.min()) ** -rate), axis=1)  # scaled: its largest entry is 1
    (a, b), length = nnls(basis, y)
    return float(a), float(b * t.min() ** rate), float(length) ** 2


def _curve(
    epochs: Sequence[float], losses: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t, y = np.asarray(epochs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if t.ndim != 1 or t.shape != y.shape:
        raise DataError(f"a pilot curve needs one value per point of time, not {y.shape} for {t.shape}")
    if len(np.unique(t)) < 3:
        raise DataError(
            f"a pilot curve needs at least 3 points of time, not {len(np.unique(t))}: train longer"
        )
    if not (np.isfinite(t).all() and np.isfinite(y).all()):
        raise DataError("the pilot curve holds NaN or infinity: the pilot diverged; lower its learning rate")
    if t.min() <= 0 or y.min() < 0:
        raise DataError("a pilot curve needs times above 0 and losses of at least 0")
    return t, y
