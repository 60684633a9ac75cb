"""A short pilot: a few real training steps of a copy, and what they did to loss and quality.

It knows what no look at the frozen model knows: whether this learning rate and batch size move this model.
The copy is thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from foretoll.data import Batch, Split, TaskData
from foretoll.errors import DataError
from foretoll.options import Option, get_option
from foretoll.options.reading import step_batches
from foretoll.options.stepper import Stepper
from foretoll.quality import evaluate
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Update, seeded

STEPS = (8, 24)
SCORED = 400
SEED = 90_001  # apart from every run's own order of the data


class Pilot:
    """An option at work on a part of the target, on a copy; to be made and stepped under `seeded(SEED)`.

    Its steps are those of the training that is planned: the same optimiser, groups, precision, accumulation, clipping,
    augmentation and loss, and the first part of the same schedule.

    `prepare` comes first, then `look_before` and `step`; `look` after one of `STEPS` steps adds to the `signals`.
    """

    def __init__(self, option: Option, update: Update, settings: TrainingSettings) -> None:
        self.option, self.settings, self.device = option, settings, update.device
        self.part = part_of_target(update.target, max(STEPS) * settings.samples_per_step)
        self._samples = len(update.target.train)
        fixed = settings.model_copy(update={"seed": SEED})
        self.training = option.start(
            update.model, self.part, fixed, task_shift=update.task_shift, device=update.device
        )
        self.signals: dict[str, float | None] = {}
        self._norms: list[Tensor] = []

    def prepare(self) -> None:
        """What the option does before its first step."""
        self.training.open()
        self.training.begin()

    def look_before(self) -> None:
        """The loss before any step, on the samples that `look` sees."""
        if self.option.takes_steps:
            self.look()

    def step(self) -> None:
        """One optimisation step."""
        if not self._norms:  # made here: the first optimiser of a process takes seconds, and prepares nothing
            self._stepper = Stepper(
                self.training, self.option, self.settings, device=self.device, samples=self._samples
            )
            self._batches = endless_batches(self.training.train, self.settings, SEED)
        self.training.into_training()
        _, norm = self._stepper.take(next(self._batches))
        self._norms.append(norm)

    def look(self) -> int:
        """Evaluate on samples that no step is taken on; how many they are. A loss that is not finite is None."""
        seen = evaluate(
            self.training.model, self.training.validation, metric=self.settings.metric, device=self.device
        )
        step = len(self._norms)
        if step == 0 and self.option.takes_steps:
            self.signals["pilot0_loss"] = seen.loss if math.isfinite(seen.loss) else None
        if step in STEPS:
            self.signals[f"pilot{step}_loss"] = seen.loss if math.isfinite(seen.loss) else None
            self.signals[f"pilot{step}_quality"] = self.settings.progress(seen.quality)
        if step == max(STEPS):
            norms = torch.stack(self._norms)
            if self.settings.precision == "fp16":  # a gradient that overflowed took no step
                norms = norms[torch.isfinite(norms)]
            mean = float(norms.mean())
            self.signals["pilot_gradient_norm"] = mean if math.isfinite(mean) else None
        return seen.samples


def pilot_signals(update: Update, option: str, settings: TrainingSettings) -> dict[str, float | None]:
    """Loss and quality on held-back training samples after 8 and 24 steps: `pilot8_loss`, `pilot24_quality`, …

    Also `pilot0_loss`, before them, and `pilot_gradient_norm`, the mean over them. Empty for an option that takes no
    step.
    """
    chosen = get_option(option)
    if not chosen.takes_steps:
        return {}
    with seeded(SEED, update.device):
        pilot = Pilot(chosen, update, settings)
        pilot.prepare()
        pilot.look_before()
        for step in range(1, max(STEPS) + 1):
            pilot.step()
            if step in STEPS:
                pilot.look()
    return pilot.signals


def endless_batches(split: Split, settings: TrainingSettings, seed: int) -> Iterator[list[Batch]]:
    """The batches of one step after the other, without end, each epoch in another order."""
    if len(split) < 2:
        raise DataError("one sample cannot be trained on: give at least two")
    epoch = 0
    while True:
        yield from step_batches(split, settings, seed + epoch)
        epoch += 1


def part_of_target(target: TaskData, trained: int) -> TaskData:
    """Training samples only: `trained` of them, as far as there are, and a fifth, at most `SCORED`, to score on."""
    order = torch.randperm(len(target.train), generator=torch.Generator().manual_seed(SEED))
    count = max(min(len(order) // 5, SCORED), 1)
    return TaskData(
        target.card,
        train=target.train.take(order[count : count + max(trained, 2)]).held(),
        validation=target.train.take(order[:count]).held(),
        test=target.test,
        reference=target.reference,
    )
