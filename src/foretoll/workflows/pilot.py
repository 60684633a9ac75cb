"""A short pilot: a few real training steps of a copy, and what they did to loss and quality.

It knows what no look at the frozen model knows: whether this learning rate and batch size move this model.
The copy is thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from foretoll.data import Batch, Split, TaskData
from foretoll.errors import DataError
from foretoll.options import get_option
from foretoll.options.loop import make_optimizer, take_step
from foretoll.quality import evaluate
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Job, seeded

STEPS = (8, 24)
SCORED = 400
SEED = 90_001  # apart from every run's own order of the data


def pilot_signals(job: Job, option: str, settings: TrainingSettings) -> dict[str, float | None]:
    """Loss and quality on held-back training samples after 8 and 24 steps: `pilot8_loss`, `pilot24_quality`, …

    Also `pilot_gradient_norm`, the mean over the steps. A loss that is not finite is None.
    """
    found: dict[str, float | None] = {}
    if not get_option(option).takes_steps:
        return found
    with seeded(SEED, job.device):
        chosen, part = get_option(option), part_of_target(job.target, max(STEPS) * settings.batch_size)
        fixed = settings.model_copy(update={"seed": SEED})
        training = chosen.start(job.model, part, fixed, task_shift=job.task_shift, device=job.device)
        training.open()
        training.begin()
        optimizer = make_optimizer(training, chosen, settings)
        batches = endless_batches(training.train, settings.batch_size, SEED)
        norms = []
        for step in range(1, max(STEPS) + 1):
            training.train_mode()
            _, norm = take_step(training, optimizer, next(batches), job.device)
            norms.append(float(norm))
            if step in STEPS:
                seen = evaluate(
                    training.model, training.validation, metric=settings.metric, device=job.device
                )
                found[f"pilot{step}_loss"] = seen.loss if math.isfinite(seen.loss) else None
                found[f"pilot{step}_quality"] = seen.quality
        mean = sum(norms) / len(norms)
        found["pilot_gradient_norm"] = mean if math.isfinite(mean) else None
    return found


def endless_batches(split: Split, batch_size: int, seed: int) -> Iterator[Batch]:
    """Shuffled batches without end, each epoch in another order; a last batch of one sample is left out."""
    if len(split) < 2:
        raise DataError("one sample cannot be trained on: give at least two")
    epoch = 0
    while True:
        for batch in split.batches(batch_size, shuffle_seed=seed + epoch):
            if len(batch.labels) > 1:
                yield batch
        epoch += 1


def part_of_target(target: TaskData, trained: int, *, scored: int = SCORED) -> TaskData:
    """Training samples only: `trained` of them, as far as there are, and a fifth, at most `scored`, to score on."""
    order = torch.randperm(len(target.train), generator=torch.Generator().manual_seed(SEED))
    count = max(min(len(order) // 5, scored), 1)
    return TaskData(
        target.card,
        train=target.train.take(order[count : count + max(trained, 2)]),
        validation=target.train.take(order[:count]),
        test=target.test,
        reference=target.reference,
    )
