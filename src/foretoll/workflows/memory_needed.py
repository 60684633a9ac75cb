"""The memory that an estimate's pilot takes, and whether it is there: said before any of it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from foretoll.data.limits import memory_left, size_text
from foretoll.errors import ForetollError
from foretoll.models.activations import activation_bytes
from foretoll.options.memory import optimizer_bytes

if TYPE_CHECKING:
    from foretoll.options import Option
    from foretoll.records import TrainingSettings
    from foretoll.workflows.context import Update, Watcher

WORTH_SAYING = 10**9  # bytes; less is said only where it is not there


@dataclass(frozen=True)
class MemoryNeeded:
    """Bytes of a pilot, beside the model that is loaded, and those that are there.

    weights: of the copy that is trained. training: their gradients, what the optimiser keeps, and what it works with
    within a step, at most as much as the largest tensor. activations: that a batch keeps for the backward pass.
    """

    weights: int
    training: int
    activations: int
    there: int

    @property
    def needed(self) -> int:
        """All of it at one time."""
        return self.weights + self.training + self.activations

    @property
    def note(self) -> str:
        """What is needed and what is there; empty where both are beyond question."""
        if self.needed < WORTH_SAYING and self.needed <= self.there:
            return ""
        return (
            f"the pilot needs about {size_text(self.needed)} of memory ({size_text(self.weights)} for a copy of the "
            f"weights, {size_text(self.training)} to train it, {size_text(self.activations)} for a batch), and "
            f"{size_text(self.there)} is there"
        )

    @property
    def warning(self) -> str | None:
        """That it is not there, and what takes less; None where it is."""
        if self.needed <= self.there:
            return None
        return f"{self.note}: try a smaller --batch-size, --optimizer sgd, or an option that trains less, such as head"


def memory_needed(option: Option, update: Update, settings: TrainingSettings) -> MemoryNeeded | None:
    """What the pilot of an option takes by the formula of `foretoll.options.memory`, with the activations of a batch.

    Those are measured on two samples, since not every network takes one; what it raises passes. None where the option
    has nothing to train in such a network, which the pilot will say. What an option adds to the network (adapters, a
    program) is not in it.
    """
    model = update.model
    held = {id(t): t for t in (*model.network.parameters(), *model.network.buffers())}
    try:
        trained = (
            [p for p in option.trainable(model).values() if p.requires_grad] if option.takes_steps else []
        )
    except (ForetollError, RuntimeError, ValueError):
        return None
    count = min(2, len(update.target.train))
    few = next(iter(update.target.train.batches(count))).inputs
    of_few = activation_bytes(model, few) if trained else 0
    training = sum(_bytes(p) for p in trained) + optimizer_bytes(trained, settings)
    training += max((_bytes(p) for p in trained), default=0)
    activations = of_few * min(settings.batch_size, len(update.target.train)) // count
    there = memory_left()
    if update.device.type == "cuda":
        there = torch.cuda.mem_get_info(update.device)[0]
    return MemoryNeeded(sum(_bytes(t) for t in held.values()), training, activations, there)


def said_beforehand(
    option: Option, update: Update, settings: TrainingSettings, watcher: Watcher
) -> list[str]:
    """Say what a pilot needs, where that is much or not there; a warning where it is not."""
    if update.target.train.labels is None:
        return []
    found = memory_needed(option, update, settings)
    if found is None or not found.note:
        return []
    watcher.note(found.note)
    return [] if found.warning is None else [found.warning]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
