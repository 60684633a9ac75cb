"""What one step, one evaluation and the preparation of an option cost on this machine: a few real ones, measured."""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.data import TaskData
from foretoll.measure import Timing, Work, count_work, probe_steps
from foretoll.models import Model
from foretoll.options import Option
from foretoll.options.memory import training_state_bytes
from foretoll.records import EnergyBasis, StepProbe, TrainingSettings
from foretoll.training import PREPARATION
from foretoll.units import joules_from_kwh
from foretoll.workflows.context import Accounting, Update, seeded
from foretoll.workflows.pilot import SEED, STEPS, Pilot

PROBE_S = 1.0  # ten updates of the slowest counter; more would only cost more


@dataclass(frozen=True)
class ProbeResult:
    """What a few real steps of an option showed; `served` is the model they made, which is thrown away.

    For hardware that is not at hand: what its `work`, counted here, says of a step there; nothing is served.
    """

    step: StepProbe
    energy: EnergyBasis
    pilot: dict[str, float | None]
    trainable_parameters: int
    training_state_bytes: int
    served: Model | None
    work: OptionWork | None = None


def probe_option(
    option: Option,
    update: Update,
    settings: TrainingSettings,
    accounting: Accounting,
    *,
    budget_s: float = PROBE_S,
) -> ProbeResult:
    """What a step, an evaluation and the preparation of an option cost, from the steps of its pilot.

    The pilot's steps are the ones that are timed; more follow where they are too short to be. An option that prepares
    something first (a pass over the data) does so for a part of them; the cost is given for the whole target. The
    given model is left untouched.
    """
    target, device = update.target, update.device
    with seeded(SEED, device):
        pilot = Pilot(option, update, settings)
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
            timing=Timing(budget_s),
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


@dataclass(frozen=True)
class OptionWork:
    """What a step, one evaluation and the preparation of an option consist of, counted here for other hardware.

    training_state_bytes: what is held between two steps, gradients included; trainable_bytes: these.
    """

    step: Work
    evaluation: Work
    preparation: Work
    training_state_bytes: int
    trainable_parameters: int
    trainable_bytes: int

    @property
    def memory_bytes(self) -> float:
        """The most that tensors take up at one time: within a step, or an evaluation."""
        held = self.training_state_bytes - self.trainable_bytes  # a step begins without gradients
        return held + max(self.step.peak_bytes, self.evaluation.peak_bytes)


def count_option(option: Option, update: Update, settings: TrainingSettings) -> OptionWork:
    """Carry out one step, evaluation and preparation of an option on a copy of the model, and count them."""
    target, device = update.target, update.device
    with seeded(SEED, device):
        pilot = Pilot(option, update, settings)
        scale = _times_the_part(target, pilot.part)
        prepared = count_work(pilot.prepare).times(scale)
        step = Work(0.0, 0.0)
        if option.takes_steps:
            pilot.step()  # the optimiser's state is made in the first
            step = count_work(pilot.step)
        evaluated = count_work(pilot.look).times(len(target.validation) / len(pilot.part.validation))
        training = pilot.training
        trained = list(training.trainable.values())
        held = training_state_bytes(option, training, settings)
        return OptionWork(
            step,
            evaluated,
            prepared,
            held + round(training.cache_bytes * (scale - 1)),
            sum(p.numel() for p in trained),
            sum(p.numel() * p.element_size() for p in trained) if option.takes_steps else 0,
        )


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
