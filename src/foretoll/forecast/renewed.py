"""A forecast made anew from the first steps of the run itself, on the scale that forecasts before a run have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretoll.forecast.case import epochs_of, log_steps
from foretoll.forecast.live import LEVEL, Course, Seen, TimeLeft, shipped
from foretoll.records import Coverage


@dataclass(frozen=True)
class RenewedTime:
    """The log of the steps to the target, given the steps so far (`foretoll.forecast.live`)."""

    left: TimeLeft
    steps_per_epoch: int

    def quantile(self, level: float) -> float | None:
        """The value that is stayed below with probability `level`; None: beyond the budget."""
        if level > self.left.within(self.left.budget):
            return None
        return log_steps(self.left.now + self.left.at(level), self.steps_per_epoch)

    def cdf(self, value: float) -> float:
        """P(log steps ≤ value)."""
        epochs = min(epochs_of(value, self.steps_per_epoch), self.left.budget)
        return 0.0 if epochs <= self.left.now else self.left.within(epochs)


@dataclass(frozen=True)
class SeenTime:
    """The log of the steps of a run that has met its target: nothing is left to forecast."""

    value: float

    def quantile(self, level: float) -> float:
        """The value itself."""
        return self.value

    def cdf(self, value: float) -> float:
        """1 from there on."""
        return float(value >= self.value - 1e-9)


def renewed_time(
    course: Course, curve: Sequence[Seen], *, met: bool
) -> tuple[RenewedTime | SeenTime, Coverage]:
    """The time to the target after these evaluations, the last of them after a step, and what it rests on.

    `met`: the last of them met the target.
    """
    if met:
        seen = SeenTime(log_steps(curve[-1].epochs, course.steps_per_epoch))
        return seen, Coverage(level=LEVEL, empirical=None, runs=0, method="the pilot met the target itself")
    model = shipped().model(course)
    found = RenewedTime(model.time_left(course, curve), course.steps_per_epoch)
    method = "held out by source data set; renewed by the run's own first steps"
    return found, Coverage(level=LEVEL, empirical=model.held, runs=model.runs, method=method)
