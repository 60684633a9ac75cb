"""A few real training steps on this machine: seconds and joules per step, and of one evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
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


def probe_steps(
    step: Callable[[], object] | None,
    evaluate: Callable[[], int],
    *,
    device: torch.device | str,
    meter_factory: Callable[[], EnergyMeter],
    min_steps: int = 3,
    budget_s: float = 10.0,
    repeats: int = 3,
    warmup: int = 2,
    evaluation_samples: int | None = None,
    clock: Clock = time.perf_counter,
) -> tuple[StepProbe, EnergyBasis]:
    """Carry out real training steps and an evaluation, and say what one of each costs.

    Args:
        step: one optimisation step (it changes the model: give a clone's); None where no step is ever taken.
        evaluate: one evaluation pass; returns the number of samples it processed.
        device: synchronised before every reading of the clock.
        meter_factory: gives a fresh energy meter.
        min_steps: steps of one repeat, at least.
        budget_s: seconds to spend, set-up of the meter apart. One warm-up step, one repeat of `min_steps` and
            one evaluation are always carried out; more warm-up and repeats only while they fit.
        repeats: repeats of the timed steps; their spread gives the low and high ends.
        warmup: untimed steps before them (memory, kernels, caches).
        evaluation_samples: size of the whole validation split, when `evaluate` processes a part of it.

    Returns:
        seconds_per_step: median over the repeats, between the fastest and the slowest repeat.
        joules_per_step: joules of all timed steps / their number; None without an energy meter.
        seconds_per_evaluation, joules_per_evaluation: of one evaluation of `evaluation_samples` samples.
    """
    if min_steps < 1 or repeats < 1 or not budget_s > 0:
        raise MeasureError(
            f"a step probe of {repeats} repeats of {min_steps} steps in {budget_s:g} s is impossible: give at least "
            "one step, one repeat and some time"
        )
    place = str(device)
    with meter_factory() as meter:
        deadline = clock() + budget_s
        steps, times = 0, list[float]()
        if step is not None:
            one_s = warm_up(step, place, warmup, deadline, clock)
            steps = steps_per_repeat(one_s, min_steps, repeats, 0.6 * budget_s)
        meter.start(STEPS)
        while step is not None and len(times) < repeats:
            if times and clock() + steps * max(times) > deadline:
                break
            times.append(timed(step, place, steps, clock) / steps)
        meter.switch(EVALUATION)
        samples, evaluations = _evaluate(evaluate, place, EVALUATION_SHARE * budget_s, deadline, clock)
        reading = meter.stop()
    scale = (evaluation_samples if evaluation_samples is not None else samples / evaluations) / samples
    joules_steps, joules_evaluation = joules(reading, STEPS), joules(reading, EVALUATION)
    probe = StepProbe(
        steps=steps * len(times),
        repeats=len(times),
        seconds_per_step=median(times or [0.0]),
        seconds_per_step_low=min(times, default=0.0),
        seconds_per_step_high=max(times, default=0.0),
        joules_per_step=None if joules_steps is None else joules_steps / max(steps * len(times), 1),
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


def warm_up(step: Callable[[], object], device: str, count: int, deadline: float, clock: Clock) -> float:
    """At least one step; the seconds of the last one, which is the warmest."""
    seconds = timed(step, device, 1, clock)
    for _ in range(count - 1):
        if clock() + seconds > deadline:
            break
        seconds = timed(step, device, 1, clock)
    return seconds


def steps_per_repeat(one_s: float, min_steps: int, repeats: int, budget_s: float) -> int:
    """Enough steps to fill the window, as far as the budget goes, never fewer than `min_steps`."""
    if one_s <= 0:
        return min_steps
    return max(min_steps, math.ceil(min(WINDOW_S, budget_s) / repeats / one_s))


def _evaluate(
    evaluate: Callable[[], int], device: str, share_s: float, deadline: float, clock: Clock
) -> tuple[int, int]:
    """One evaluation, more while they are short; (samples of all, evaluations)."""
    began = clock()
    samples = evaluations = 0
    while True:
        done = evaluate()
        synchronise(device)
        if done < 1:
            raise MeasureError(
                "the probe's evaluation processed no sample: give a validation split that is not empty"
            )
        samples, evaluations = samples + done, evaluations + 1
        spent = clock() - began
        mean = spent / evaluations
        if spent + mean > min(share_s, WINDOW_S / 3) or clock() + mean > deadline:
            return samples, evaluations


def joules(reading: EnergyReading, phase: str) -> float | None:
    """Joules of one phase; None without an energy meter."""
    energy = reading.phases[phase].energy_kwh
    return None if energy is None else joules_from_kwh(energy)
