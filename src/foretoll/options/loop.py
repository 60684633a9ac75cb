"""The one training loop that all options share: a client of the recorder, as any other loop can be."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from foretoll.errors import DataError, is_out_of_memory
from foretoll.interruption import why_stopped
from foretoll.options.reading import step_batches
from foretoll.options.stepper import Stepper
from foretoll.quality import evaluate
from foretoll.records import Outcome, TrainingSettings
from foretoll.training import (
    EVALUATION,
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
        steps_per_epoch=settings.steps_per_epoch(len(training.train)),
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
        stepper = Stepper(training, self.option, settings, device=self.device)
        epoch = 0
        while not self._epoch(stepper, epoch):
            epoch += 1

    def _epoch(self, stepper: Stepper, epoch: int) -> bool:
        """One pass over the training data; True when the run is over."""
        settings, recorder, training = self.settings, self.recorder, self.training
        checks, per_epoch = settings.evals_per_epoch, recorder.result.steps_per_epoch or 1
        # One order per epoch, from the seed and the epoch alone.
        order = (settings.seed * 1_000_003 + epoch) % 2**63  # what torch's generators take
        self._go_on()  # reading the data is part of a step
        with closing(step_batches(training.train, settings, order)) as groups:
            for position, batches in enumerate(groups, start=1):
                loss, norm = stepper.take(batches)
                recorder.step(norm, loss, skipped=stepper.skipped)
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
        self.training.into_training()

    def _evaluate(self) -> bool:
        """Evaluate on the validation split; True when the run is over."""
        if self.recorder.diverged():
            return True
        found = evaluate(
            self.training.model, self.training.validation, metric=self.settings.metric, device=self.device
        )
        return self.recorder.evaluate(found.quality, found.loss)
