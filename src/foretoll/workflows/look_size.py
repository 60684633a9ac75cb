"""How many samples an estimate looks at: the usual number, or fewer where the look alone would be dear."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from foretoll.indices.collect import DEFAULT_SAMPLES
from foretoll.records.evaluations import BACKWARD
from foretoll.representation import sweep
from foretoll.workflows.pilot import STEPS

if TYPE_CHECKING:
    from foretoll.records import TrainingSettings
    from foretoll.workflows.context import Update

CHEAP_S = 20.0  # a look that takes no longer is a whole one
LEAST = 256  # samples of either side: a batch
PER_CLASS = 10
WARM, TIMED = 4, 32  # samples that the model is run on first, and those that are timed


@dataclass(frozen=True)
class LookSize:
    """How many samples of either side are looked at, at most, and what is said where they are fewer than usual."""

    samples: int = DEFAULT_SAMPLES
    said: tuple[str, ...] = ()


def look_size(update: Update, settings: TrainingSettings, spend: float) -> LookSize:
    """As many samples as keep the look and the shortest pilot within a share of an epoch of the retraining.

    Both are counted in passes of a sample through the model, a training step as BACKWARD of them: how many samples are
    looked at does not depend on the machine, but for whether the whole look takes over `CHEAP_S`, by a first few.
    """
    train = len(update.target.train)
    least = max(LEAST, PER_CLASS * len(update.target.classes))
    usual = min(DEFAULT_SAMPLES, max(train, 0 if update.source is None else len(update.source.train)))
    if usual <= least or _passes(update, usual) * _seconds(update) <= CHEAP_S:
        return LookSize()
    pilot = max(STEPS) * settings.samples_per_step
    allowed = BACKWARD * (spend * train - pilot)
    samples = usual
    while samples > least and _passes(update, samples) > allowed:
        samples = max(samples // 2, least)
    if samples == usual:
        return LookSize()
    return LookSize(
        samples,
        (
            f"looked at {samples:,} of {usual:,} samples of either side, so that look and pilot keep as near as they "
            f"can to {100 * spend:g}% of an epoch of the retraining (--spend): the indices' intervals are those of so "
            f"few, and --samples {usual} looks at all",
        ),
    )


def _passes(update: Update, samples: int) -> int:
    """Samples that a look at so many of either side runs through the model."""
    there = min(samples, len(update.target.train))
    here = 0 if update.source is None else min(samples, len(update.source.train))
    again = update.model.card.has_batch_norm + (update.clean is not None)
    return here + there * (1 + again)


def _seconds(update: Update) -> float:
    """What reading a sample of the larger side and running the model on it takes, once it is warm."""
    sides = [side.train for side in (update.target, update.source) if side is not None]
    split = max(sides, key=len)
    rows = torch.arange(min(WARM + TIMED, len(split)))
    sweep(update.model, split.take(rows[:WARM]), [], device=update.device)
    timed = split.take(rows[WARM:])
    began = time.perf_counter()
    sweep(update.model, timed, [], device=update.device)
    return (time.perf_counter() - began) / len(timed)
