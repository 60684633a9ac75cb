"""The predictive distribution of one log cost: a calibrated shape around a location, with an end at the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from foretoll.forecast.survival import Distribution


class TimeDistribution(Protocol):
    """The distribution of the log of the steps to a target, of which some lies beyond the budget."""

    def quantile(self, level: float) -> float | None:
        """The value that is stayed below with probability `level`; None: beyond the budget."""

    def cdf(self, value: float) -> float:
        """P(log steps ≤ value)."""


@dataclass(frozen=True)
class PredictiveDistribution:
    """The predictive distribution of one log cost.

    With a `limit` and the probability `reach` of staying within it, values up to the limit are distributed as
    location, scale and shape say of such values, and the rest of the probability lies beyond it.
    """

    location: float
    scale: float
    shape: Distribution | None
    freedom: float
    limit: float | None = None
    reach: float = 1.0

    def quantile(self, level: float) -> float | None:
        """The value that the log cost stays below with probability `level`; None: beyond all that was seen."""
        if self.limit is None:
            return self._quantile(level)
        within = self._cdf(self.limit)
        if level > self.reach:
            return None
        found = self._quantile(level / self.reach * within) if within > 0 else self.limit
        return self.limit if found is None else min(found, self.limit)

    def cdf(self, value: float) -> float:
        """P(log cost ≤ value)."""
        if self.limit is None:
            return self._cdf(value)
        within = self._cdf(self.limit)
        if value >= self.limit:
            return self.reach
        return self.reach * self._cdf(value) / within if within > 0 else 0.0

    def _quantile(self, level: float) -> float | None:
        if self.shape is None:
            from scipy.special import stdtrit

            return self.location + self.scale * float(stdtrit(self.freedom, level))
        unit = self.shape.quantile(level)
        return None if unit is None else self.location + self.scale * unit

    def _cdf(self, value: float) -> float:
        unit = (value - self.location) / self.scale
        if self.shape is not None:
            return self.shape.cdf(unit)
        from scipy.special import stdtr

        return float(stdtr(self.freedom, unit))
