"""A short pilot: a few real training steps of a copy, and what they did to loss and quality.

It knows what no look at the frozen model knows: whether this learning rate and batch size move this model.
The copy is thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from foretoll.data import Batch, Split
from foretoll.errors import DataError
from foretoll.options import get_option
from foretoll.options.loop import make_optimizer, training_step
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
    with seeded(SEED, job.device):
        model = get_option(option).prepare(job.model, job.target, task_shift=job.task_shift, seed=SEED)
        model.to(job.device)
        trained, scored = _parts(job.target.train)
        optimizer = make_optimizer(get_option(option).trainable(model).values(), settings)
        batches = endless_batches(trained, settings.batch_size, SEED)
        norms = []
        for step in range(1, max(STEPS) + 1):
            model.train()
            inputs, labels = next(batches)
            moved = inputs.to(job.device) if isinstance(inputs, Tensor) else inputs
            _, norm = training_step(model, optimizer, moved, labels.to(job.device))
            norms.append(float(norm))
            if step in STEPS:
                seen = evaluate(model, scored, metric=settings.metric, device=job.device)
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


def _parts(train: Split) -> tuple[Split, Split]:
    """What is trained on, and a fifth of the samples, at most 400, that are only scored."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SEED))
    count = max(min(len(train) // 5, SCORED), 1)
    return train.take(order[count:]), train.take(order[:count])
