"""Networks of a user's factory that loads weights itself: made untrained, for training from scratch."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, shown
from foretoll.models.heads import resets_itself


@torch.no_grad()
def without_loaded_weights(
    network: nn.Module, other: nn.Module, source: str, tokens: re.Pattern[str]
) -> nn.Module:
    """The network, with fresh weights from torch's generator where its factory loaded them; in place.

    `other` comes from the same factory with another seed: what is equal in both and varies within was not drawn, but
    loaded (or computed). A layer with such values is initialised by its own `reset_parameters`, and so is the rest of
    a layer; parameters whose names match `tokens` get small normal noise. Values that are frozen and belong to no such
    layer are constants, and stay. Raises ModelError for loaded weights that would be trained and that no layer can
    initialise.
    """
    twins = dict(other.named_modules())
    left = []
    for name, module in network.named_modules():
        twin = twins.get(name)
        loaded = [] if twin is None else [key for key, mine, its in _pairs(module, twin) if _same(mine, its)]
        if not loaded:
            continue
        reset = resets_itself(module)
        if reset is not None:
            reset()
            continue
        own = dict(module.named_parameters(recurse=False))
        for key in loaded:
            if key in own and tokens.search(key):
                nn.init.trunc_normal_(own[key], std=0.02)
            elif key in own and own[key].requires_grad:
                left.append(f"{name}.{key}".lstrip("."))
    if left:
        raise ModelError(
            f"{shown(source, 60)} cannot be trained from scratch: it loads weights itself, and no layer can "
            f"initialise {shown(left[0], 60)} anew; give a factory that builds the network without them"
        )
    return network


def frozen_notes(network: nn.Module) -> tuple[str, ...]:
    """A sentence on how many weights are frozen, where some are."""
    every = list(network.parameters())
    frozen = sum(p.numel() for p in every if not p.requires_grad)
    if not frozen:
        return ()
    total = sum(p.numel() for p in every)
    return (
        f"{frozen:,} of {total:,} weights are frozen (requires_grad=False), and every option leaves them so",
    )


def thaw_fresh_layers(network: nn.Module) -> None:
    """Let all layers with fresh weights be trained: a frozen layer that has learnt nothing would serve nobody."""
    for module in network.modules():
        if initialises_itself(module):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(parameter.is_floating_point())


def initialises_itself(module: nn.Module) -> bool:
    """Whether a module can give its own parameters fresh values."""
    methods = ("reset_parameters", "_reset_parameters", "init_weights")
    return any(resets_itself(module, method) is not None for method in methods)


def constants(network: nn.Module) -> set[int]:
    """Ids of the parameters that are frozen and that no layer draws: tables of positions, fixed filters."""
    return {
        id(parameter)
        for module in network.modules()
        if not initialises_itself(module)
        for parameter in module.parameters(recurse=False)
        if not parameter.requires_grad
    }


def _pairs(module: nn.Module, twin: nn.Module) -> Iterable[tuple[str, Tensor, Tensor]]:
    for named in ("named_parameters", "named_buffers"):
        its = dict(getattr(twin, named)(recurse=False))
        for key, mine in getattr(module, named)(recurse=False):
            if key in its and its[key].shape == mine.shape:
                yield key, mine, its[key]


def _same(mine: Tensor, its: Tensor) -> bool:
    """Whether two builds have the very same values, and not those that layers begin with (all 0, all 1)."""
    if not mine.is_floating_point() or mine.numel() < 2 or not torch.equal(mine, its):
        return False
    return bool((mine != mine.flatten()[0]).any())
