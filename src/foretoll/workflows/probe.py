"""What one step, one evaluation and the preparation of an option cost on this machine: a few real ones, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foretoll.data import TaskData
from foretoll.measure import Work, count_work, find_device, probe_on, probe_steps
from foretoll.models import Model
from foretoll.options import Option
from foretoll.options.memory import training_state_bytes
from foretoll.records import EnergyBasis, StepProbe, TrainingSettings
from foretoll.training import PREPARATION
from foretoll.units import joules_from_kwh
from foretoll.workflows.context import Accounting, seeded
from foretoll.workflows.pilot import SEED, STEPS, Pilot

PROBE_S = 1.0  # ten updates of the slowest counter; more would only cost more


@dataclass(frozen=True)
class ProbeResult:
    """What a few real steps of an option told; `served` is the model they made, which is thrown away."""

    step: StepProbe
    energy: EnergyBasis
    pilot: dict[str, float | None]
    trainable_parameters: int
    training_state_bytes: int
    served: Model


def probe_option(
    option: Option,
    model: Model,
    target: TaskData,
    settings: TrainingSettings,
    *,
    task_shift: bool,
    device: torch.device,
    accounting: Accounting,
    budget_s: float = PROBE_S,
) -> ProbeResult:
    """What a step, an evaluation and the preparation of an option cost, from the steps of its pilot.

    The pilot's steps are the ones that are timed; more follow where they are too short to be. An option that prepares
    something first (a pass over the data) does so for a part of them; the cost is given for the whole target. The
    given model is left untouched.
    """
    with seeded(SEED, device):
        pilot = Pilot(option, model, target, settings, task_shift=task_shift, device=device)
        training, scale = pilot.training, _times_the_part(target, pilot.part)
        prepared_s, prepared_j = _prepare(pilot, accounting)
        pilot.look_before()
        probe, basis = probe_steps(
            pilot.step if option.takes_steps else None,
            pilot.look,
            looks=STEPS,
            device=device,
            meter_factory=lambda: accounting.meter(device),
            evaluation_samples=len(target.validation),
            budget_s=budget_s,
        )
        held = training_state_bytes(option, training, settings)
        cached = training.cache_bytes
        trainable = sum(p.numel() for p in training.trainable.values())
        served = training.finish()
    return ProbeResult(
        probe.model_copy(
            update={
                "seconds_of_preparation": prepared_s * scale,
                "joules_of_preparation": None if prepared_j is None else prepared_j * scale,
            }
        ),
        basis,
        pilot.signals,
        trainable,
        held + round(cached * (scale - 1)),
        served,
    )


def probe_elsewhere(
    option: Option,
    model: Model,
    target: TaskData,
    settings: TrainingSettings,
    *,
    task_shift: bool,
    device: torch.device,
    hardware: str,
) -> tuple[StepProbe, EnergyBasis]:
    """What `probe_option` would measure on hardware that is not at hand: the work is counted here.

    Raises UsageError for hardware that is not in the catalogue.
    """
    there = find_device(hardware)
    with seeded(SEED, device):
        pilot = Pilot(option, model, target, settings, task_shift=task_shift, device=device)
        prepared = count_work(pilot.prepare).times(_times_the_part(target, pilot.part))
        step = count_work(pilot.step) if option.takes_steps else Work(0.0, 0.0)
        evaluated = count_work(pilot.look).times(len(target.validation) / len(pilot.part.validation))
    return probe_on(there, step=step, evaluation=evaluated, preparation=prepared)


def _times_the_part(target: TaskData, part: TaskData) -> float:
    """Samples of the whole target over those of the part."""
    return (len(target.train) + len(target.validation)) / (len(part.train) + len(part.validation))


def _prepare(pilot: Pilot, accounting: Accounting) -> tuple[float, float | None]:
    """Seconds and joules that the option's preparation takes on the pilot's part of the target; 0 for none."""
    if not pilot.training.prepares:
        pilot.prepare()  # what it opens belongs to the first evaluation
        return 0.0, 0.0
    with accounting.meter(pilot.device) as meter:
        meter.start(PREPARATION)
        pilot.prepare()
        reading = meter.stop()
    energy = reading.energy_kwh
    return reading.duration_s, None if energy is None else joules_from_kwh(energy)
