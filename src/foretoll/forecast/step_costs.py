"""One cost that follows from optimisation steps, such as the energy: of any number of epochs, and its quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretoll.records import StepProbe
from foretoll.records.evaluations import EvaluationSchedule
from foretoll.units import kwh_from_joules

# Log deviation of a step's time from one run to the next of the very same setting, which no probe of seconds can see:
# 90 % of 992 pairs of the ledger that ships lie within (evaluations: 852 pairs, 0.19 too).
BETWEEN_RUNS = 0.19


@dataclass(frozen=True)
class StepCosts:
    """cost = preparation + steps × cost per step + evaluations × cost per evaluation; one evaluation comes first.

    spread: log deviations, down and up, of the cost of a step at the ends of the interval.
    """

    preparation: float
    per_step: float
    per_evaluation: float
    schedule: EvaluationSchedule
    spread: tuple[float, float]

    @classmethod
    def of_seconds(cls, probe: StepProbe, schedule: EvaluationSchedule) -> StepCosts:
        """The duration (s)."""
        parts = probe.seconds_of_preparation, probe.seconds_per_step, probe.seconds_per_evaluation
        return cls(*parts, schedule, _spread(probe))

    @classmethod
    def of_energy(cls, probe: StepProbe, schedule: EvaluationSchedule) -> StepCosts | None:
        """The energy (kWh); None where the probe measured none."""
        if probe.joules_per_step is None:
            return None
        parts = (
            kwh_from_joules(probe.joules_of_preparation or 0.0),
            kwh_from_joules(probe.joules_per_step),
            kwh_from_joules(probe.joules_per_evaluation or 0.0),
        )
        return cls(*parts, schedule, _spread(probe))

    def of(self, epochs: float) -> float:
        """The cost of so many epochs."""
        steps = math.ceil(epochs * self.schedule.steps_per_epoch - 1e-9)
        evaluations = 1 + self.schedule.needed(epochs)
        return self.preparation + steps * self.per_step + evaluations * self.per_evaluation

    def quantile(self, median: float, epochs: float, share: float) -> float:
        """The cost's quantile, from the median of the epochs and their quantile at the same level.

        `share`: how far the level lies from the median, in deviations of a normal distribution, as a share of that of
        the interval's end; below 0 for levels below the median. Both deviations are taken as independent.
        """
        middle, end = self.of(median), self.of(epochs)
        spread = (self.spread[1] if share > 0 else self.spread[0]) * abs(share)
        if not middle or not end or not share:
            return end
        return middle * math.exp(math.copysign(math.hypot(math.log(end / middle), spread), share))


def _spread(probe: StepProbe) -> tuple[float, float]:
    """Log deviations, down and up, of the time of a step: within the probe, and from one hour to the next."""
    one = probe.seconds_per_step
    within = [abs(math.log(end / one)) if one > 0 and end > 0 else 0.0
              for end in (probe.seconds_per_step_low, probe.seconds_per_step_high)]  # fmt: skip
    return math.hypot(within[0], BETWEEN_RUNS), math.hypot(within[1], BETWEEN_RUNS)
