"""The one training loop that all options share: a client of the recorder, as any other loop can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretoll.errors import DataError, is_out_of_memory
from foretoll.interruption import why_stopped
from foretoll.quality import check_batch_of_one, evaluate
from foretoll.records import Outcome, TrainingSettings
from foretoll.training import EVALUATION, PREPARATION, TRAINING, Recorder, Recording, StopRule, epochs, until
from foretoll.training.optimizers import light

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretoll.data import Batch, Split
    from foretoll.measure import EnergyMeter
    from foretoll.options.base import Option, Training
    from foretoll.training.recorder import Progress


def make_optimizer(training: Training, option: Option, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Build the optimiser that the settings name, at the option's multiple of their learning rate."""
    params, lr = list(training.trainable.values()), settings.lr * option.lr_factor
    if settings.optimizer == "sgd":
        sgd = light(torch.optim.SGD)
        return sgd(params, lr=lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    kind = light(torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam)
    return kind(params, lr=lr, weight_decay=settings.weight_decay)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimisation steps in one epoch; a last batch of one sample is left out (`training_batches`)."""
    full, rest = divmod(samples, batch_size)
    return max(full + (rest > 1), 1)


def training_batches(split: Split, batch_size: int, order: int) -> Iterator[Batch]:
    """The shuffled batches of one epoch; a last one of one sample is left out (batch norm has no variance).

    Raises DataError where there is none: no loop goes on without a step.
    """
    steps = 0
    for batch in split.batches(batch_size, shuffle_seed=order):
        if len(batch.labels) > 1 or batch_size == 1 or len(split) == 1:
            steps += 1
            yield batch
    if not steps:
        raise DataError(f"an epoch of {len(split)} samples has no step to take: give more data")


def take_step(
    training: Training, optimizer: torch.optim.Optimizer, batch: Batch, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """One optimisation step; returns the batch's mean loss and the global gradient norm, both on the device."""
    inputs = batch.inputs.to(device) if isinstance(batch.inputs, Tensor) else batch.inputs
    labels = batch.labels.to(device)
    if len(labels) == 1:
        check_batch_of_one(training.model)
    optimizer.zero_grad(set_to_none=True)
    loss = training.model.loss(training.model(inputs), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    optimizer.step()
    training.after_batch(labels)
    return loss.detach(), norm.detach()


def stop_rule(settings: TrainingSettings) -> StopRule:
    """The rule that the settings name: their quality target, within their budget of epochs."""
    budget = epochs(settings.max_epochs)
    return budget if settings.until is None else until(settings.until) | budget


def train_to_target(
    option: Option,
    training: Training,
    settings: TrainingSettings,
    *,
    meter: EnergyMeter,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Recording:
    """Train until the validation quality first reaches `settings.until`, or the epoch budget is spent.

    The training's model is changed in place. With `until` None the whole budget is trained and the outcome is
    `reached`. An option that takes no steps is judged after its preparation, and is `censored` where that was not
    enough. Ctrl-C ends the run as `interrupted`, a loss that is not finite as `failed`, each with what was
    measured up to there; neither is raised.
    """
    if training.train.labels is None:
        raise DataError("the data to retrain on have no labels: retraining needs them")
    trained = {id(parameter) for parameter in training.trainable.values()}
    for parameter in training.model.network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    recorder = Recorder(
        training.trainable,
        stop=stop_rule(settings),
        steps_per_epoch=steps_per_epoch(len(training.train), settings.batch_size),
        meter=meter,
        progress=progress,
    )
    try:
        recorder.begin(EVALUATION)
        _Loop(option, training, settings, recorder, device).run()
    except KeyboardInterrupt as stop:
        recorder.end(Outcome.INTERRUPTED, why_stopped(stop))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        recorder.end(
            Outcome.FAILED, f"out of memory on {device}: try a smaller --batch-size, or smaller images"
        )
    finally:
        recording = recorder.finish()
    return recording


class _Loop:
    def __init__(
        self,
        option: Option,
        training: Training,
        settings: TrainingSettings,
        recorder: Recorder,
        device: torch.device | str,
    ) -> None:
        self.option, self.training, self.settings = option, training, settings
        self.recorder, self.device = recorder, device

    def run(self) -> None:
        settings, recorder, training = self.settings, self.recorder, self.training
        training.open()
        if self._evaluate():  # already good enough: nothing to pay
            return
        if training.prepares:
            recorder.enter(PREPARATION)
            changed = training.begin()
            recorder.enter(EVALUATION)
            if changed and self._evaluate():
                return
        if not self.option.takes_steps:
            if settings.until is None:  # all that there is to do is done
                recorder.end(Outcome.REACHED)
            else:
                reason = f"{self.option.name} did not reach the target, and takes no steps towards it"
                recorder.end(Outcome.CENSORED, reason)
            return
        optimizer = make_optimizer(training, self.option, settings)
        epoch = 0
        while not self._epoch(optimizer, epoch):
            epoch += 1

    def _epoch(self, optimizer: torch.optim.Optimizer, epoch: int) -> bool:
        """One pass over the training data; True when the run is over."""
        settings, recorder, training = self.settings, self.recorder, self.training
        checks, per_epoch = settings.evals_per_epoch, recorder.result.steps_per_epoch or 1
        # One order per epoch, from the seed and the epoch alone.
        order = (settings.seed * 1_000_003 + epoch) % 2**63  # what torch's generators take
        self._go_on()  # reading the data is part of a step
        batches = training_batches(training.train, settings.batch_size, order)
        for position, batch in enumerate(batches, start=1):
            loss, norm = take_step(training, optimizer, batch, self.device)
            recorder.step(norm, loss)
            if position == per_epoch:
                training.after_epoch()
            due = position * checks // per_epoch > (position - 1) * checks // per_epoch
            if due or recorder.budget_spent:
                recorder.enter(EVALUATION)
                if self._evaluate():
                    return True
                self._go_on()
        return False

    def _go_on(self) -> None:
        """Go on training."""
        self.recorder.enter(TRAINING)
        self.training.train_mode()

    def _evaluate(self) -> bool:
        """Evaluate on the validation split; True when the run is over."""
        if self.recorder.diverged():
            return True
        found = evaluate(
            self.training.model, self.training.validation, metric=self.settings.metric, device=self.device
        )
        return self.recorder.evaluate(found.quality, found.loss)
