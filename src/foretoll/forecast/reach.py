"""The probability that a run reaches its target, from runs that were forecast without their own data set.

A time-to-event distribution that is read at the budget errs twice: in its location and in its spread. What decides is
the margin alone, the budget less the foretold time, so its meaning is learned directly: a logistic regression of
"reached" on the margin, with an offset for each way of reuse that is shrunk towards none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foretoll.forecast.survival import Array, Flags

FEWEST = 40  # runs, of them
FEWEST_OF_EACH = 8  # that reached their target, and that did not
OFFSET_SHRINKAGE = 1.0  # inverse variance of an option's offset, in units of the logit


class Reach:
    """P(reached | margin, option); margins in logarithms of steps."""

    def __init__(self, margin: Array, reached: Flags, options: Sequence[str]) -> None:
        from sklearn.linear_model import LogisticRegression

        self.options = sorted(set(options))
        self.spread = max(float(np.std(margin)), 1e-6)
        self._model: Any = LogisticRegression(C=1 / OFFSET_SHRINKAGE, max_iter=1000)
        self._model.fit(self._matrix(margin, options), reached)

    @classmethod
    def fit(cls, margin: Array, reached: Flags, options: Sequence[str]) -> Reach | None:
        """Learn from held-out runs; None where there are too few of either outcome."""
        fewest = min(int(reached.sum()), int((~reached).sum()))
        if len(margin) < FEWEST or fewest < FEWEST_OF_EACH:
            return None
        return cls(margin, reached, options)

    def of(self, margin: Array, options: Sequence[str]) -> Array:
        """Probabilities (n,) for margins (n,) and options. One that was never seen has no offset."""
        return np.asarray(self._model.predict_proba(self._matrix(margin, options))[:, 1])

    def _matrix(self, margin: Array, options: Sequence[str]) -> Array:
        flags = np.array([[name == option for name in self.options] for option in options], dtype=float)
        return np.column_stack([margin / self.spread, flags])
