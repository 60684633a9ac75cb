"""The optimiser of a training: which one, with which learning rate and decay for which weights.

Groups follow from names: `lr_multipliers` by the beginning of a weight's name (the longest that fits counts), and
`decay_norms=false` takes biases and normalisation out of the weight decay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.errors import UsageError, unknown_name
from foretoll.options.names import named_by
from foretoll.training.optimizers import light

if TYPE_CHECKING:
    from foretoll.models import Model
    from foretoll.options.base import Option, Training
    from foretoll.records import TrainingSettings

STEP_COUNT_BYTES = 4
OWN_RATE = (
    1e-3  # fresh weights, a head alone, an input program, and foretoll's small networks, which train with it
)
KEPT_RATE = 1e-4  # adam, where the weights of a network that came from elsewhere are moved
Groups = list[dict[str, Any]]


def usual_rate(option: Option, arch: str, optimizer: str) -> float:
    """The learning rate where none is named; the option's own factor comes on top (`Option.lr_factor`)."""
    kept = option.moves_weights and optimizer != "sgd" and not arch.startswith("foretoll:")
    return KEPT_RATE if kept else OWN_RATE


@dataclass(frozen=True)
class Kind:
    """An optimiser: how it is made of groups, and the bytes that it keeps for a parameter after its first step."""

    make: Callable[[Groups, TrainingSettings], torch.optim.Optimizer]
    state_bytes: Callable[[Tensor, TrainingSettings], int]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _factored_bytes(tensor: Tensor, _: TrainingSettings) -> int:
    """Adafactor: row and column means of a matrix, of anything else as many numbers as it has."""
    if tensor.ndim < 2:
        return STEP_COUNT_BYTES + _bytes(tensor)
    numbers = tensor.numel() // tensor.shape[-1] + tensor.numel() // tensor.shape[-2]
    return STEP_COUNT_BYTES + numbers * tensor.element_size()


OPTIMIZERS: dict[str, Kind] = {
    "adam": Kind(
        lambda groups, s: light(torch.optim.Adam)(groups, betas=s.betas),
        lambda p, _: 2 * _bytes(p) + STEP_COUNT_BYTES,
    ),
    "adamw": Kind(
        lambda groups, s: light(torch.optim.AdamW)(groups, betas=s.betas),
        lambda p, _: 2 * _bytes(p) + STEP_COUNT_BYTES,
    ),
    "sgd": Kind(
        lambda groups, s: light(torch.optim.SGD)(groups, momentum=s.momentum, nesterov=s.nesterov),
        lambda p, s: _bytes(p) if s.momentum else 0,
    ),
    "rmsprop": Kind(
        lambda groups, _: light(torch.optim.RMSprop)(groups), lambda p, _: _bytes(p) + STEP_COUNT_BYTES
    ),
    "nadam": Kind(
        lambda groups, s: light(torch.optim.NAdam)(groups, betas=s.betas),
        lambda p, _: 2 * _bytes(p) + 2 * STEP_COUNT_BYTES,
    ),
    "adafactor": Kind(lambda groups, _: light(torch.optim.Adafactor)(groups), _factored_bytes),
}


def optimizer_named(name: str) -> Kind:
    """The optimiser of that name; UsageError where foretoll's own loop has none."""
    if name not in OPTIMIZERS:
        raise UsageError(unknown_name("optimizer", name, OPTIMIZERS))
    return OPTIMIZERS[name]


def make_optimizer(training: Training, option: Option, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Build the optimiser that the settings name, at the option's multiple of their learning rate.

    Raises UsageError for a name, or the beginning of one in `lr_multipliers`, that there is not.
    """
    groups = parameter_groups(training.trainable, training.model, settings, lr=settings.lr * option.lr_factor)
    return optimizer_named(settings.optimizer).make(groups, settings)


def parameter_groups(
    trainable: dict[str, nn.Parameter], model: Model, settings: TrainingSettings, *, lr: float
) -> Groups:
    """The trained weights by learning rate and weight decay, in the order in which they first come."""
    factors = {
        name: factor
        for prefix, factor in sorted(settings.lr_multipliers.items(), key=lambda item: len(item[0]))
        for name in named_by(prefix, trainable, model, where="lr_multipliers")
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        spared = not settings.decay_norms and is_bias_or_norm(name, parameter)
        key = (lr * factors.get(name, 1.0), 0.0 if spared else settings.weight_decay)
        groups.setdefault(key, []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def is_bias_or_norm(name: str, parameter: Tensor) -> bool:
    """Whether a weight is a bias or belongs to a normalisation: those are vectors, or named bias."""
    return parameter.ndim <= 1 or name.rpartition(".")[2] == "bias"
