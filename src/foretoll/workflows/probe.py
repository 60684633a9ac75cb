"""What one step, one evaluation and the preparation of an option cost on this machine: a few real ones, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foretoll.data import TaskData
from foretoll.measure import Work, count_work, find_device, probe_on, probe_steps
from foretoll.models import Model
from foretoll.options import Option, Training
from foretoll.options.loop import PREPARATION, make_optimizer, take_step
from foretoll.options.memory import training_state_bytes
from foretoll.quality import evaluate
from foretoll.records import EnergyBasis, StepProbe, TrainingSettings
from foretoll.units import joules_from_kwh
from foretoll.workflows.context import Accounting, seeded
from foretoll.workflows.pilot import endless_batches, part_of_target


@dataclass(frozen=True)
class Probed:
    """What a few real steps of an option told; `served` is the model they made, which is thrown away."""

    step: StepProbe
    energy: EnergyBasis
    trainable_parameters: int
    training_state_bytes: int
    served: Model


PROBE_S = 1.5  # a few updates of any counter; more would only cost more
EVALUATED = 1024
PREPARED = 512  # samples; what an option prepares costs in proportion to the samples


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
) -> Probed:
    """A few real training steps of a copy that is thrown away, and one evaluation, for one option.

    An option that prepares something first (a pass over the data) does so for a part of them; the cost is given for
    the whole target. The given model is left untouched.
    """
    with seeded(settings.seed, device):
        part = part_of_target(target, max(PREPARED, 4 * settings.batch_size), scored=EVALUATED)
        training = option.start(model, part, settings, task_shift=task_shift, device=device)
        prepared_s, prepared_j = _prepare(training, target, part, accounting, device)
        optimizer = make_optimizer(training, option, settings) if option.takes_steps else None
        batches = endless_batches(training.train, settings.batch_size, settings.seed)

        def step() -> None:
            if optimizer is not None:
                training.train_mode()
                take_step(training, optimizer, next(batches), device)

        def evaluated() -> int:
            return evaluate(
                training.model, training.validation, metric=settings.metric, device=device
            ).samples

        probe, basis = probe_steps(
            step if optimizer is not None else None,
            evaluated,
            device=device,
            meter_factory=lambda: accounting.meter(device),
            evaluation_samples=len(target.validation),
            budget_s=budget_s,
        )
        held = training_state_bytes(option, training, settings)
        cached = training.cache_bytes
        scale = _times_the_part(target, part)
        trainable = sum(p.numel() for p in training.trainable.values())
        served = training.finish()
    return Probed(
        probe.model_copy(update={"seconds_of_preparation": prepared_s, "joules_of_preparation": prepared_j}),
        basis,
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
    with seeded(settings.seed, device):
        part = part_of_target(target, max(PREPARED, 4 * settings.batch_size), scored=EVALUATED)
        training = option.start(model, part, settings, task_shift=task_shift, device=device)

        def prepare() -> None:
            training.open()
            training.begin()

        prepared = count_work(prepare).times(_times_the_part(target, part))
        step = Work(0.0, 0.0)
        if option.takes_steps:
            optimizer = make_optimizer(training, option, settings)
            batch = next(endless_batches(training.train, settings.batch_size, settings.seed))
            training.train_mode()
            step = count_work(lambda: take_step(training, optimizer, batch, device))
        evaluated = count_work(
            lambda: evaluate(training.model, training.validation, metric=settings.metric, device=device)
        ).times(len(target.validation) / len(part.validation))
    return probe_on(there, step=step, evaluation=evaluated, preparation=prepared)


def _times_the_part(target: TaskData, part: TaskData) -> float:
    """Samples of the whole target over those of the part."""
    return (len(target.train) + len(target.validation)) / (len(part.train) + len(part.validation))


def _prepare(
    training: Training, target: TaskData, part: TaskData, accounting: Accounting, device: torch.device
) -> tuple[float, float | None]:
    """Seconds and joules that the option's preparation takes on the whole target."""
    with accounting.meter(device) as meter:
        meter.start(PREPARATION)
        training.open()
        training.begin()
        reading = meter.stop()
    scale = _times_the_part(target, part)
    energy = reading.energy_kwh
    return reading.duration_s * scale, None if energy is None else joules_from_kwh(energy) * scale
