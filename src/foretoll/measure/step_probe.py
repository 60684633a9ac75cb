"""A few real training steps on this machine: seconds and joules per step, and of one evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from foretoll.errors import MeasureError
from foretoll.measure.meter import Clock, EnergyMeter, EnergyReading, synchronise
from foretoll.records import EnergyBasis, StepProbe
from foretoll.units import joules_from_kwh

if TYPE_CHECKING:
    import torch

WINDOW_S = 1.5  # time to spend on the timed steps (all repeats): many updates of any counter
EVALUATION_SHARE = 0.3  # of the budget, at most, for evaluations beyond the first
STEPS, EVALUATION = "steps", "evaluation"


@dataclass(frozen=True)
class Timing:
    """How something short is timed.

    budget_s: seconds to spend, set-up of the meter apart. repeats: of what is timed; their spread gives the low and
    high ends. warmup: untimed times before them (memory, kernels, caches). least: times in one repeat. clock: seconds.
    """

    budget_s: float
    repeats: int = 3
    warmup: int = 2
    least: int = 3
    clock: Clock = time.perf_counter


def probe_steps(
    step: Callable[[], object] | None,
    evaluate: Callable[[], int],
    *,
    device: torch.device | str,
    meter_factory: Callable[[], EnergyMeter],
    timing: Timing = Timing(budget_s=10.0),
    looks: Sequence[int] = (),
    evaluation_samples: int | None = None,
) -> tuple[StepProbe, EnergyBasis]:
    """Carry out real training steps and an evaluation, and say what one of each costs.

    Args:
        step: one optimisation step (it changes the model: give a clone's); None where no step is ever taken.
        evaluate: one evaluation pass; returns the number of samples it processed.
        device: synchronised before every reading of the clock.
        meter_factory: gives a fresh energy meter.
        timing: one warm-up step, one repeat of the least number of steps and one evaluation are always carried
            out; more warm-up and repeats only while they fit.
        looks: numbers of steps, warm-up included, after which an evaluation is made whatever the budget is. The
            steps up to there count as repeats where it leaves no room for others.
        evaluation_samples: size of the whole validation split, when `evaluate` processes a part of it.

    Returns:
        seconds_per_step: median over the repeats, between the fastest and the slowest repeat.
        joules_per_step: joules of all timed steps / their number; None without an energy meter.
        seconds_per_evaluation, joules_per_evaluation: of one evaluation of `evaluation_samples` samples.
    """
    budget_s, repeats, clock = timing.budget_s, timing.repeats, timing.clock
    if timing.least < 1 or repeats < 1 or not budget_s > 0:
        raise MeasureError(
            f"a step probe of {repeats} repeats of {timing.least} steps in {budget_s:g} s is impossible: give at least "
            "one step, one repeat and some time"
        )
    place = str(device)
    with meter_factory() as meter:
        deadline = clock() + budget_s
        looked = _Evaluations(evaluate, place, clock)
        taken, steps, early, times = 0, 0, list[float](), list[float]()
        if step is not None:
            taken, one_s = warm_up(step, place, timing.warmup, deadline, clock)
            steps = steps_per_repeat(one_s, timing.least, repeats, 0.6 * budget_s)
        warmed = taken
        meter.start(STEPS)
        if step is not None:
            for look in looks:
                if look > taken:
                    early.append(timed(step, place, look - taken, clock) / (look - taken))
                    taken = look
                meter.switch(EVALUATION)
                looked.once()
                meter.switch(STEPS)
            while len(times) < repeats:
                known = early + times
                if known and clock() + steps * max(known) > deadline:
                    break
                times.append(timed(step, place, steps, clock) / steps)
                taken += steps
        meter.switch(EVALUATION)
        looked.more(EVALUATION_SHARE * budget_s, deadline)
        reading = meter.stop()
    if len(times) < repeats:
        times = early + times
    samples, timed_steps = looked.samples, taken - warmed
    scale = (evaluation_samples if evaluation_samples is not None else samples / looked.count) / samples
    joules_steps, joules_evaluation = joules(reading, STEPS), joules(reading, EVALUATION)
    probe = StepProbe(
        steps=timed_steps,
        repeats=len(times),
        seconds_per_step=median(times or [0.0]),
        seconds_per_step_low=min(times, default=0.0),
        seconds_per_step_high=max(times, default=0.0),
        joules_per_step=None if joules_steps is None else joules_steps / max(timed_steps, 1),
        seconds_per_evaluation=reading.phases[EVALUATION].duration_s * scale,
        joules_per_evaluation=None if joules_evaluation is None else joules_evaluation * scale,
    )
    return probe, reading.basis


def timed(step: Callable[[], object], device: str, count: int, clock: Clock) -> float:
    """Seconds of `count` steps, synchronised with the device."""
    synchronise(device)
    began = clock()
    for _ in range(count):
        step()
    synchronise(device)
    return clock() - began


def warm_up(
    step: Callable[[], object], device: str, count: int, deadline: float, clock: Clock
) -> tuple[int, float]:
    """At least one step; how many, and the seconds of the last one, which is the warmest."""
    taken, seconds = 1, timed(step, device, 1, clock)
    while taken < count and clock() + seconds <= deadline:
        taken, seconds = taken + 1, timed(step, device, 1, clock)
    return taken, seconds


def steps_per_repeat(one_s: float, min_steps: int, repeats: int, budget_s: float) -> int:
    """Enough steps to fill the window, as far as the budget goes, never fewer than `min_steps`."""
    if one_s <= 0:
        return min_steps
    return max(min_steps, math.ceil(min(WINDOW_S, budget_s) / repeats / one_s))


class _Evaluations:
    """Evaluations so far: how many, of how many samples, in how much time."""

    def __init__(self, evaluate: Callable[[], int], device: str, clock: Clock) -> None:
        self._evaluate, self._device, self._clock = evaluate, device, clock
        self.samples = self.count = 0
        self.spent_s = 0.0

    def once(self) -> None:
        """One more."""
        began = self._clock()
        done = self._evaluate()
        synchronise(self._device)
        if done < 1:
            raise MeasureError(
                "the probe's evaluation processed no sample: give a validation split that is not empty"
            )
        self.samples, self.count = self.samples + done, self.count + 1
        self.spent_s += self._clock() - began

    def more(self, share_s: float, deadline: float) -> None:
        """One at least in all, and more while they are short."""
        while not self.count or (
            self.spent_s + (mean := self.spent_s / self.count) <= min(share_s, WINDOW_S / 3)
            and self._clock() + mean <= deadline
        ):
            self.once()


def joules(reading: EnergyReading, phase: str) -> float | None:
    """Joules of one phase; None without an energy meter."""
    energy = reading.phases[phase].energy_kwh
    return None if energy is None else joules_from_kwh(energy)
