"""The memory that a training holds between two steps: one formula for all options.

::

    bytes = weights and buffers of the network that is held (adapters and trained additions included)
          + gradients          1 × the trained parameters
          + optimiser state    adam, adamw: 2 × the trained parameters and a 4-byte step count for each tensor;
                               sgd: 1 × them with momentum, 0 without; others: optimizer.py
          + caches             what the option keeps of the data (head: its inputs, of all training and
                               validation samples)

Without an option that takes steps there are no gradients and no optimiser state. Activations, which are there during a
step only and grow with the batch, and the data themselves are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foretoll.options.optimizer import optimizer_named

if TYPE_CHECKING:
    from torch import Tensor

    from foretoll.options.base import Option, Training
    from foretoll.records import TrainingSettings


def training_state_bytes(option: Option, training: Training, settings: TrainingSettings) -> int:
    """Bytes by the formula above; to be asked before `training.finish()`."""
    network, trained = training.held(), list(training.trainable.values())
    held = {id(t): t for t in (*network.parameters(), *network.buffers(), *trained)}
    total = sum(_bytes(tensor) for tensor in held.values()) + training.cache_bytes
    if option.takes_steps:
        total += sum(_bytes(tensor) for tensor in trained) + optimizer_bytes(trained, settings)
    return total


def optimizer_bytes(trained: Sequence[Tensor], settings: TrainingSettings) -> int:
    """What the optimiser keeps for these parameters after its first step."""
    kind = optimizer_named(settings.optimizer)
    return sum(kind.state_bytes(tensor, settings) for tensor in trained)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
