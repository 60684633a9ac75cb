"""The one training loop that all options share: a client of the recorder, as any other loop can be."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from foretoll.errors import DataError, is_out_of_memory
from foretoll.interruption import why_stopped
from foretoll.options.part import Part, TrainingState
from foretoll.options.reading import step_batches
from foretoll.options.stepper import Stepper
from foretoll.quality import Evaluation, evaluate
from foretoll.records import Outcome, TrainingSettings
from foretoll.training import (
    EVALUATION,
    LOOKING,
    PREPARATION,
    TRAINING,
    Recorder,
    Recording,
    StopRule,
    epochs,
    first_of,
    patience,
    steps,
    until,
)

if TYPE_CHECKING:
    import torch

    from foretoll.measure import EnergyMeter
    from foretoll.options.base import Option, Training
    from foretoll.training.guard import GuardedMeter
    from foretoll.training.recorder import Progress


def stop_rule(settings: TrainingSettings) -> StopRule:
    """The rule that the settings name: their quality target and their patience, within their budgets."""
    rules = [epochs(settings.max_epochs)]
    if settings.until is not None:
        rules.append(until(settings.until, scale=settings.known_scale))
    if settings.max_steps is not None:
        rules.append(steps(settings.max_steps))
    if settings.patience is not None:
        rules.append(patience(settings.patience, scale=settings.known_scale))
    return first_of(*rules)


def train_to_target(
    option: Option,
    training: Training,
    settings: TrainingSettings,
    *,
    meter: EnergyMeter | GuardedMeter,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    part: Part | None = None,
) -> Recording:
    """Train until the validation quality first reaches `settings.until`, or the epoch budget is spent.

    The training's model is changed in place. With `until` None the whole budget is trained and the outcome is
    `reached`. An option that takes no steps is judged after its preparation, and is `censored` where that was not
    enough. Ctrl-C ends the run as `interrupted`, a loss that is not finite as `failed`, each with what was
    measured up to there; neither is raised. With a `part` it may go on from where an earlier one paused, and pause
    itself, which is the outcome `running`.
    """
    if training.train.labels is None:
        raise DataError("the data to retrain on have no labels: retraining needs them")
    trained = {id(parameter) for parameter in training.trainable.values()}
    for parameter in training.model.network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    recorder = Recorder(
        training.trainable,
        stop=stop_rule(settings),
        steps_per_epoch=settings.steps_per_epoch(len(training.train)),
        meter=meter,
        progress=progress,
    )
    part = part or Part()
    try:
        recorder.begin(EVALUATION)
        _Loop(option, training, settings, recorder, device, part).run()
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
    if part.paused is not None:
        costs = {
            PREPARATION: recording.preparation,
            TRAINING: recording.training,
            EVALUATION: recording.evaluation,
        }
        phases = {name: cost for name, cost in costs.items() if cost is not None}
        part.paused = replace(part.paused, recorded=replace(part.paused.recorded, phases=phases))
    return recording


class _Loop:
    def __init__(
        self,
        option: Option,
        training: Training,
        settings: TrainingSettings,
        recorder: Recorder,
        device: torch.device | str,
        part: Part,
    ) -> None:
        self.option, self.training, self.settings = option, training, settings
        self.recorder, self.device, self.part = recorder, device, part

    def run(self) -> None:
        settings, recorder, training, begun = self.settings, self.recorder, self.training, self.part.begun
        training.open()
        if begun is not None:
            recorder.go_on_from(begun.recorded)
            stepper = Stepper(training, self.option, settings, device=self.device)
            begun.restore(training, stepper)
            self._epochs(stepper, begun.epoch, begun.position)
            return
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
        self._epochs(Stepper(training, self.option, settings, device=self.device))

    def _epochs(self, stepper: Stepper, epoch: int = 0, taken: int = 0) -> None:
        """Train until the run is over or paused, from step `taken` of an epoch."""
        while not self._epoch(stepper, epoch, taken):
            epoch, taken = epoch + 1, 0

    def _epoch(self, stepper: Stepper, epoch: int, taken: int) -> bool:
        """One pass over the training data, but for the steps of it that were taken; True when the run is over."""
        settings, recorder, training = self.settings, self.recorder, self.training
        per_epoch = recorder.result.steps_per_epoch or 1
        schedule = settings.evaluations(per_epoch)
        # One order per epoch, from the seed and the epoch alone.
        order = (settings.seed * 1_000_003 + epoch) % 2**63  # what torch's generators take
        self._go_on()  # reading the data is part of a step
        with closing(step_batches(training.train, settings, order)) as groups:
            for position, batches in enumerate(islice(groups, taken, None), start=taken + 1):
                loss, norm = stepper.take(batches)
                recorder.step(norm, loss, skipped=stepper.skipped)
                if position == per_epoch:
                    training.after_epoch()
                if schedule.due(epoch * per_epoch + position) or recorder.budget_spent:
                    recorder.enter(EVALUATION)
                    if self._evaluate():
                        return True
                    self._go_on()
                elif self.part.due(recorder.result.steps):
                    recorder.enter(LOOKING)
                    self.part.looked(recorder.result.steps, self._quality().quality)
                    self._go_on()
                if self.part.over:
                    self.part.paused = TrainingState.of(
                        training, stepper, recorder.recorded(), (epoch, position)
                    )
                    recorder.end(Outcome.RUNNING)
                    return True
        return False

    def _go_on(self) -> None:
        """Go on training."""
        self.recorder.enter(TRAINING)
        self.training.into_training()

    def _evaluate(self) -> bool:
        """Evaluate on the validation split; True when the run is over."""
        if self.recorder.diverged():
            return True
        found = self._quality()
        return self.recorder.evaluate(found.quality, found.loss)

    def _quality(self) -> Evaluation:
        return evaluate(
            self.training.model, self.training.validation, metric=self.settings.metric, device=self.device
        )
