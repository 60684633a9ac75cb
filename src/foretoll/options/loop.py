"""The one training loop that all options share. It records the toll of a run (design: the toll of a run).

Measurement wraps the loop from outside: the energy meter is told which phase begins, nothing else. Gradient
norms are read from the gradients that the step needs anyway, and stay on the device until the run ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.errors import DataError
from foretoll.quality import evaluate
from foretoll.records import EvalPoint, GradientNorm, Outcome, PhaseCost, TrainingSettings
from foretoll.stopping import why_stopped

if TYPE_CHECKING:
    from foretoll.data import Batch
    from foretoll.measure import EnergyMeter, EnergyReading
    from foretoll.options.base import Option, Training

Progress = Callable[[EvalPoint], None]
PREPARATION, TRAINING, EVALUATION = "preparation", "training", "evaluation"


@dataclass
class LoopResult:
    """What happened; a part that did not happen is None or empty."""

    outcome: Outcome
    reason: str = ""
    steps: int = 0
    steps_per_epoch: int = 1
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
    def epochs(self) -> float:
        """Optimisation steps over steps per epoch, fractional."""
        return self.steps / self.steps_per_epoch


def make_optimizer(training: Training, option: Option, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Build the optimiser that the settings name, at the option's multiple of their learning rate."""
    params, lr = list(training.trainable.values()), settings.lr * option.lr_factor
    if settings.optimizer == "sgd":
        return torch.optim.SGD(params, lr=lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(params, lr=lr, weight_decay=settings.weight_decay)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimisation steps in one epoch; a last batch of one sample is left out (batch norm has no variance)."""
    full, rest = divmod(samples, batch_size)
    return max(full + (rest > 1), 1)


def take_step(
    training: Training, optimizer: torch.optim.Optimizer, batch: Batch, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """One optimisation step; returns the batch's mean loss and the global gradient norm, both on the device."""
    inputs = batch.inputs.to(device) if isinstance(batch.inputs, Tensor) else batch.inputs
    labels = batch.labels.to(device)
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(training.model(inputs), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    optimizer.step()
    training.after_batch(labels)
    return loss.detach(), norm.detach()


def train_to_target(
    option: Option,
    training: Training,
    settings: TrainingSettings,
    *,
    meter: EnergyMeter,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> LoopResult:
    """Train until the validation quality first reaches `settings.until`, or the epoch budget is spent.

    The training's model is changed in place. With `until` None the whole budget is trained and the outcome is
    `reached`. An option that takes no steps is judged after its preparation, and is `censored` where that was not
    enough. Ctrl-C ends the run as `interrupted`, a loss that is not finite as `failed`, each with what was
    measured up to there; neither is raised.
    """
    if training.train.labels is None:
        raise DataError("the data to retrain on have no labels: retraining needs them")
    return _Loop(option, training, settings, meter, device, progress)()


class _Loop:
    def __init__(
        self,
        option: Option,
        training: Training,
        settings: TrainingSettings,
        meter: EnergyMeter,
        device: torch.device | str,
        progress: Progress | None,
    ) -> None:
        self.option, self.training, self.settings = option, training, settings
        self.meter, self.device, self.progress = meter, device, progress
        self.start = {name: p.detach().clone() for name, p in training.trainable.items()}
        self.norms: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.seen_losses = 0
        self.began = time.perf_counter()
        self.per_epoch = steps_per_epoch(len(training.train), settings.batch_size)
        # without the small tolerance 1.1 epochs of 10 steps would be 12 steps (1.1 × 10 is above 11 in floats)
        self.budget = max(math.ceil(settings.max_epochs * self.per_epoch - 1e-9), 1)
        self.result = LoopResult(Outcome.CENSORED, steps_per_epoch=self.per_epoch)

    def __call__(self) -> LoopResult:
        result = self.result
        trained = {id(parameter) for parameter in self.training.trainable.values()}
        for parameter in self.training.model.network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        try:
            self.meter.start(EVALUATION)
            self._run()
        except KeyboardInterrupt as stop:
            result.outcome, result.reason = Outcome.INTERRUPTED, why_stopped(stop)
        except torch.OutOfMemoryError:
            result.outcome = Outcome.FAILED
            result.reason = f"out of memory on {self.device}: try a smaller --batch-size"
        finally:
            if self.meter.running:  # not where it was stopped before it ran
                result.reading = self.meter.stop()
        if result.reading is not None:
            phases = result.reading.phases
            result.preparation = phases.get(PREPARATION)
            result.training = phases.get(TRAINING, PhaseCost(duration_s=0.0, energy_kwh=0.0))
            result.evaluation = phases.get(EVALUATION)
        result.gradient_norm = self._gradient_norm()
        self._measure_change()
        return result

    def _run(self) -> None:
        settings, result, training = self.settings, self.result, self.training
        training.open()
        if self._evaluate():  # already good enough: nothing to pay
            return
        if training.prepares:
            self.meter.switch(PREPARATION)
            changed = training.begin()
            self.meter.switch(EVALUATION)
            if changed and self._evaluate():
                return
        if not self.option.takes_steps:
            if settings.until is None:  # all that there is to do is done
                result.outcome = Outcome.REACHED
            else:
                result.reason = f"{self.option.name} did not reach the target, and takes no steps towards it"
            return
        optimizer = make_optimizer(training, self.option, settings)
        checks = max(settings.evals_per_epoch, 1)
        while True:
            self.meter.switch(TRAINING)
            training.train_mode()
            # One order per epoch, from the seed and the epoch alone.
            epoch = result.steps // self.per_epoch
            order = (settings.seed * 1_000_003 + epoch) % 2**63  # what torch's generators take
            for batch in training.train.batches(settings.batch_size, shuffle_seed=order):
                if len(batch.labels) < 2 and len(training.train) > 1:
                    continue
                loss, norm = take_step(training, optimizer, batch, self.device)
                self.losses.append(loss)
                self.norms.append(norm)
                result.steps += 1
                position = result.steps % self.per_epoch or self.per_epoch
                if position == self.per_epoch:
                    training.after_epoch()
                due = position * checks // self.per_epoch > (position - 1) * checks // self.per_epoch
                last = result.steps >= self.budget
                if due or last:
                    self.meter.switch(EVALUATION)
                    if self._evaluate() or last:
                        return
                    self.meter.switch(TRAINING)
                    training.train_mode()

    def _evaluate(self) -> bool:
        """Evaluate on the validation split; True when the run is over and its outcome is known.

        `reached` where the target is met (or, without one, the budget spent), `failed` where the loss diverged.
        """
        settings, result = self.settings, self.result
        recent = self.losses[self.seen_losses :] if self.losses else []
        train_loss = float(torch.stack(recent).mean()) if recent else None
        self.seen_losses = len(self.losses)
        if train_loss is not None and not math.isfinite(train_loss):
            return self._diverged(train_loss)
        measured = evaluate(
            self.training.model, self.training.validation, metric=settings.metric, device=self.device
        )
        result.evaluations += 1
        if not math.isfinite(measured.loss):  # the quality of NaN outputs is that of always naming one class
            return self._diverged(measured.loss)
        point = EvalPoint(
            step=result.steps,
            epochs=result.epochs,
            quality=measured.quality,
            loss=measured.loss,
            train_loss=train_loss,
            duration_s=time.perf_counter() - self.began,
        )
        result.curve.append(point)
        if self.progress is not None:
            self.progress(point)
        spent = result.steps >= self.budget
        if spent if settings.until is None else measured.quality >= settings.until:
            result.outcome = Outcome.REACHED
            return True
        return False

    def _diverged(self, loss: float) -> bool:
        result = self.result
        result.outcome = Outcome.FAILED
        result.reason = (
            f"the loss became {loss} by step {result.steps}: try a smaller --lr"
            if result.steps
            else f"the loss is {loss} before the first step: check the model's weights and its input"
        )
        return True

    def _gradient_norm(self) -> GradientNorm | None:
        if not self.norms:
            return None
        every = torch.stack(self.norms).double().cpu()
        ends = every[self.per_epoch - 1 :: self.per_epoch]
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
        """‖θ_end − θ_start‖₂ / √n, over all trainable parameters and per tensor."""
        result, total, count = self.result, 0.0, 0
        for name, parameter in self.training.trainable.items():
            square = float((parameter.detach() - self.start[name]).double().square().sum())
            result.parameter_change_by_tensor[name] = math.sqrt(square / parameter.numel())
            total += square
            count += parameter.numel()
        change = math.sqrt(total / count) if count else None
        if change is not None and not math.isfinite(change):
            change, result.parameter_change_by_tensor = None, {}
        result.parameter_change = change
