"""One distribution of the quality afterwards that agrees with the probability of reaching the target.

The two are learned apart, and each may err: a target of 0.5 reached with 90 % beside an expected quality of 0.29 says
two things of which one is wrong. The probability of reaching is the better calibrated one (docs/forecasts.md), so it
decides how much of the quality's distribution lies where runs end that reached their target, and how much where those
end that did not; what was learned of the quality says how it is distributed on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.forecast.predictive import PredictiveDistribution

NOTHING = 1e-3  # less mass than this on a side says nothing of how it is distributed


@dataclass(frozen=True)
class Agreement:
    """Quality less the target: `reach` of its mass from −`slack` up, the rest below.

    slack: how far below the target the test quality of a run that reached it on the validation samples may lie
    """

    learned: PredictiveDistribution
    reach: float
    slack: float

    def at_least(self, value: float) -> float:
        """Probability that quality less target is `value` or more."""
        if value < -self.slack:
            below = self.learned.cdf(-self.slack)
            # without anything learned of it: just below what counts as reached
            under = self.learned.cdf(value) / below if below > NOTHING else 1.5 + value / (2 * self.slack)
            return 1 - (1 - self.reach) * min(max(under, 0.0), 1.0)
        above = 1 - min(max(self.learned.cdf(-self.slack), 0.0), 1.0)
        if above > NOTHING:
            return self.reach * min(max((1 - self.learned.cdf(value)) / above, 0.0), 1.0)
        # without anything learned of it: anywhere about what counts as reached
        return self.reach * min(max((self.slack - value) / (2 * self.slack), 0.0), 1.0)

    def quantile(self, level: float) -> float:
        """The value that quality less target stays below with probability `level`."""
        below = min(max(self.learned.cdf(-self.slack), 0.0), 1.0)
        missed = 1 - self.reach
        if level < missed:
            part = level / missed
            found = self.learned.quantile(part * below) if below > NOTHING else None
            # without anything learned of it: just below what counts as reached
            return min(-self.slack * (3 - 2 * part) if found is None else found, -self.slack)
        part = (level - missed) / self.reach
        found = self.learned.quantile(below + part * (1 - below)) if below < 1 - NOTHING else None
        return max(self.slack * (2 * part - 1) if found is None else found, -self.slack)
