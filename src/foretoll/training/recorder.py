"""The recorder of a training: steps, gradient norms, parameter change, energy by phase, curve and outcome.

It is called with what happens and never drives: `begin`, then `step` and `evaluate` in any order, then `finish`.
Whoever has a loop can be its client; foretoll's own loop is the first. Measurement stays outside of what is measured:
the energy meter is given the phase that begins, and gradient norms stay on the device until the end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from foretoll.models.on_disk import on_disk, rest
from foretoll.records import EvalPoint, GradientNorm, Outcome, PhaseCost, Run, Toll
from foretoll.training.scalars import Scalars
from foretoll.units import emissions_kg

if TYPE_CHECKING:
    from torch import nn

    from foretoll.measure import EnergyMeter, EnergyReading
    from foretoll.training.guard import GuardedMeter
    from foretoll.training.stop import StopRule

Progress = Callable[[EvalPoint], str | None]
PREPARATION, TRAINING, EVALUATION = "preparation", "training", "evaluation"
PIECE = 2**22  # weights that are compared with those of the start at one time
LOOKING = "looking"  # evaluations that the training itself does not make: no part of what it costs


@dataclass
class Recording:
    """What happened; a part that did not happen is None or empty."""

    outcome: Outcome
    reason: str = ""
    steps: int = 0
    steps_per_epoch: int | None = 1
    evaluations: int = 0
    gradient_norm: GradientNorm | None = None
    parameter_change: float | None = None
    parameter_change_by_tensor: dict[str, float] = field(default_factory=dict)
    preparation: PhaseCost | None = None
    training: PhaseCost | None = None
    evaluation: PhaseCost | None = None
    reading: EnergyReading | None = None
    curve: list[EvalPoint] = field(default_factory=list)

    @property
    def epochs(self) -> float | None:
        """Optimisation steps over steps per epoch, fractional; None where the length of an epoch is not known."""
        return None if self.steps_per_epoch is None else self.steps / self.steps_per_epoch

    def recorded_in(self, run: Run) -> Run:
        """The run with all that happened, and its toll at the intensity of its grid."""
        reading, norm, whole = self.reading, self.gradient_norm, self.outcome.complete
        kwh, grid, emitted = reading.energy_kwh if reading else None, run.grid, None
        if kwh is not None and grid is not None:
            emitted = emissions_kg(kwh, grid.intensity_kg_per_kwh, grid.pue)
        return run.model_copy(
            update={
                "outcome": self.outcome,
                "reason": self.reason,
                "toll": Toll(
                    epochs=self.epochs,
                    gradient_norm=norm.mean if norm else None,
                    parameter_change=self.parameter_change if whole else None,
                    energy_kwh=kwh,
                    emissions_kg=emitted,
                    duration_s=reading.duration_s if reading else None,
                ),
                "steps": self.steps,
                "steps_per_epoch": self.steps_per_epoch,
                "evaluations": self.evaluations,
                "gradient_norm": norm,
                "parameter_change_by_tensor": self.parameter_change_by_tensor if whole else {},
                "preparation": self.preparation,
                "training": self.training,
                "evaluation": self.evaluation,
                "curve": tuple(self.curve),
                "energy": reading.basis if reading else None,
            }
        )

    def measured(self, reading: EnergyReading) -> None:
        """Take duration and energy of each phase from a meter's reading."""
        self.reading, phases = reading, reading.phases
        self.preparation = phases.get(PREPARATION)
        self.training = phases.get(TRAINING, PhaseCost(duration_s=0.0, energy_kwh=0.0))
        self.evaluation = phases.get(EVALUATION)


@dataclass(frozen=True)
class Recorded:
    """What a recorder knows of a training that paused; tensors are on the CPU.

    norms, skips (n,): of all steps. losses (m,): of the steps since the last evaluation. phases: what each cost.
    """

    steps: int
    evaluations: int
    curve: tuple[EvalPoint, ...]
    norms: Tensor
    skips: Tensor
    losses: Tensor
    phases: Mapping[str, PhaseCost] = field(default_factory=dict)

    @property
    def steps_tried(self) -> int:
        """Steps with those that were left out."""
        return len(self.norms)

    @property
    def duration_s(self) -> float:
        """Seconds of all phases."""
        return sum(cost.duration_s for cost in self.phases.values())


class Recorder:
    """Records one training of `parameters` (by name), which ends by `stop`.

    `meter` measures duration and energy by phase; `progress` is called with every evaluation, and may return why the
    training is to be given up. `steps_per_epoch` None: it is not known (yet; `result.steps_per_epoch` may be set
    later). The weights at the start are kept on the CPU, large ones on disk: memory is the training's own.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        stop: StopRule,
        steps_per_epoch: int | None,
        meter: EnergyMeter | GuardedMeter,
        progress: Progress | None = None,
    ) -> None:
        self.parameters, self.stop, self.meter, self.progress = dict(parameters), stop, meter, progress
        self.result = Recording(Outcome.CENSORED, steps_per_epoch=steps_per_epoch)
        self.over = False
        self._start = dict(zip(self.parameters, on_disk(list(self.parameters.values())), strict=True))
        self._norms = Scalars()
        self._skips = Scalars()  # 1 for a step that turned out to be none; empty where that cannot happen
        self._skipped = 0
        self._losses: list[Tensor] = []
        self._losses_seen = 0
        self._before: Mapping[str, PhaseCost] = {}  # of the part that this one goes on from
        self._phase = ""
        self._began = time.perf_counter()

    def go_on_from(self, before: Recorded) -> None:
        """Record what follows on a part that paused; to be called before the first step."""
        self.result.steps, self.result.evaluations = before.steps, before.evaluations
        self.result.curve = list(before.curve)
        for series, values in ((self._norms, before.norms), (self._skips, before.skips)):
            for value in values:
                series.append(value)
        self._skipped = int((before.skips != 0).sum())
        self._losses, self._losses_seen = list(before.losses), 0
        self._before = before.phases
        self._began -= before.duration_s

    def recorded(self) -> Recorded:
        """What was recorded up to here, but for what it cost, which the meter tells when it stops."""
        self._count()
        recent = self._losses[self._losses_seen :]
        losses = torch.stack(recent).cpu() if recent else torch.empty(0)
        result = self.result
        return Recorded(
            result.steps,
            result.evaluations,
            tuple(result.curve),
            self._norms.all(),
            self._skips.all(),
            losses,
        )

    def begin(self, phase: str = EVALUATION) -> None:
        """Start the meter with this phase."""
        self.meter.start(phase)
        self._phase, self._began = phase, time.perf_counter()

    def enter(self, phase: str) -> None:
        """What follows belongs to this phase; one that is entered again goes on adding up."""
        if phase != self._phase:
            self.meter.switch(phase)
            self._phase = phase

    def step(
        self, gradient_norm: Tensor | None, loss: Tensor | None = None, *, skipped: Tensor | None = None
    ) -> None:
        """An optimisation step was taken, with this gradient and this batch's mean loss; scalars on their device.

        `skipped`: not 0 where the optimiser will have left this step out, as a loss scaler makes it do; it is read
        when the steps are counted, so that nothing waits for the device.
        """
        self.result.steps += 1
        if gradient_norm is not None:
            self._norms.append(gradient_norm)
        if skipped is not None:
            self._skips.append(skipped)
        if loss is not None:
            self._losses.append(loss)

    @property
    def budget_spent(self) -> bool:
        """Whether the budget is used up, so that the next evaluation is the last."""
        return self.stop.spent(self.result.steps, self.result.epochs or 0.0)

    def _count(self) -> None:
        """Take the steps that were skipped off the count."""
        if self._skips:
            skipped = int((self._skips.all() != 0).sum())
            self.result.steps -= skipped - self._skipped
            self._skipped = skipped

    def diverged(self) -> bool:
        """Whether the mean loss of the steps since the last evaluation is not finite, which ends it as `failed`."""
        loss = self._recent_loss()
        if loss is None or math.isfinite(loss):
            return False
        self._diverged(loss)
        return True

    def evaluate(self, quality: float, loss: float | None = None) -> bool:
        """The model was evaluated on data that stop the training; True when it is over and its outcome is known.

        A loss that is not finite, of the steps or of the evaluation, ends it as `failed`: the quality of outputs
        that are NaN is that of always naming one class.
        """
        result = self.result
        self._count()
        if self.diverged():
            return True
        train_loss, self._losses_seen = self._recent_loss(), len(self._losses)
        result.evaluations += 1
        if loss is not None and not math.isfinite(loss):
            self._diverged(loss)
            return True
        point = EvalPoint(
            step=result.steps,
            epochs=result.epochs,
            quality=quality,
            loss=loss,
            train_loss=train_loss,
            duration_s=time.perf_counter() - self._began,
        )
        result.curve.append(point)
        hopeless = self.progress(point) if self.progress is not None else None
        if self.stop.ends(result.curve, result.steps, result.epochs or 0.0):
            reached = any(self.stop.meets(p.quality) for p in result.curve)
            self.end(Outcome.REACHED if reached else Outcome.CENSORED)
        elif hopeless:
            self.end(Outcome.GIVEN_UP, hopeless)
        return self.over

    def _recent_loss(self) -> float | None:
        recent = self._losses[self._losses_seen :]
        return float(torch.stack(recent).mean()) if recent else None

    def end(self, outcome: Outcome, reason: str = "") -> None:
        """The training is over for another reason than its stop rule's."""
        self.result.outcome, self.result.reason, self.over = outcome, reason, True

    def finish(self) -> Recording:
        """Stop the meter and give what was recorded."""
        result = self.result
        if self.meter.running:  # not where it was stopped before it ran
            result.measured(_added(self.meter.stop(), self._before))
        self._count()
        result.gradient_norm = self._gradient_norm()
        self._measure_change()
        return result

    def _diverged(self, loss: float) -> None:
        steps = self.result.steps
        self.end(
            Outcome.FAILED,
            f"the loss became {loss} by step {steps}: try a smaller --lr"
            if steps
            else f"the loss is {loss} before the first step: check the model's weights and its input",
        )

    def _gradient_norm(self) -> GradientNorm | None:
        if not self._norms:
            return None
        every = self._norms.all().double()
        if self._skipped and len(self._skips) == len(every):
            every = every[self._skips.all() == 0]
        per_epoch = self.result.steps_per_epoch
        ends = every[:0] if per_epoch is None else every[per_epoch - 1 :: per_epoch]
        norms, ends = every[torch.isfinite(every)], ends[torch.isfinite(ends)]
        if not len(norms):
            return None
        return GradientNorm(
            mean=float(norms.mean()),
            std=float(norms.std(correction=0)),
            first=float(norms[0]),
            last=float(norms[-1]),
            epoch_last=float(ends.mean()) if len(ends) else None,
        )

    def _measure_change(self) -> None:
        """‖θ_end − θ_start‖₂ / √n, over all trained parameters and per tensor."""
        result, total, count = self.result, 0.0, 0
        for name, parameter in self.parameters.items():
            square = _squared_distance(parameter.detach(), self._start[name])
            rest([self._start[name]])
            result.parameter_change_by_tensor[name] = math.sqrt(square / parameter.numel())
            total += square
            count += parameter.numel()
        change = math.sqrt(total / count) if count else None
        if change is not None and not math.isfinite(change):
            change, result.parameter_change_by_tensor = None, {}
        result.parameter_change = change


def _squared_distance(now: Tensor, start: Tensor) -> float:
    """‖now − start‖², float64; of a large tensor a piece at a time, so that it takes little memory beside both."""
    if now.numel() <= PIECE:
        return float((now - start.to(now.device)).double().square().sum())
    whole = (now.reshape(-1), start.reshape(-1))
    pieces = zip(*(one.split(PIECE) for one in whole), strict=True)  # type: ignore[no-untyped-call]
    return math.fsum(float((a - b.to(a.device)).double().square().sum()) for a, b in pieces)


def _added(reading: EnergyReading, before: Mapping[str, PhaseCost]) -> EnergyReading:
    """A reading together with what an earlier part of the same training cost."""
    if not before:
        return reading
    phases = dict(reading.phases)
    for name, cost in before.items():
        now = phases.get(name, PhaseCost(duration_s=0.0, energy_kwh=0.0))
        both = now.energy_kwh, cost.energy_kwh
        phases[name] = PhaseCost(
            duration_s=now.duration_s + cost.duration_s,
            energy_kwh=None if None in both else sum(energy or 0.0 for energy in both),
        )
    energies = [cost.energy_kwh for cost in phases.values()]
    return replace(
        reading,
        phases=phases,
        energy_kwh=None if None in energies else sum(energy or 0.0 for energy in energies),
        duration_s=sum(cost.duration_s for cost in phases.values()),
    )
