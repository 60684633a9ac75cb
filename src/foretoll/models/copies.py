"""Copies of networks that somebody else holds."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foretoll.models.on_disk import rest

_OF_EVERY_MODULE = set(vars(nn.Module())) - {"_buffers"}
_Module = TypeVar("_Module", bound=nn.Module)


def deep_copy(module: _Module) -> _Module:
    """Independent weights, the same values; of activations that the network keeps, their values without their graph."""
    kept = {
        id(tensor): tensor.detach().clone()
        for part in module.modules()
        for key, value in vars(part).items()
        if key not in _OF_EVERY_MODULE
        for tensor in _graph_tensors(value)
    }
    made = copy.deepcopy(module, kept)
    rest((*module.parameters(), *module.buffers()))
    return made


def in_float32(network: nn.Module) -> tuple[nn.Module, str]:
    """A copy of the network in float32, and the narrowest precision of the original; of one in float32 itself and "".

    float16 is no precision to train in, and inputs are made in float32.
    """
    kinds = {value.dtype for value in itertools.chain(network.parameters(), network.buffers())}
    others = {kind for kind in kinds if kind.is_floating_point} - {torch.float32}
    if not others:
        return network, ""
    narrowest = min(others, key=lambda kind: (kind.itemsize, str(kind)))
    return deep_copy(network).float(), str(narrowest).removeprefix("torch.")


def _graph_tensors(value: Any) -> Iterator[Tensor]:
    """Tensors with a gradient graph, which cannot be copied with it: activations that a network keeps."""
    if isinstance(value, Tensor) and not value.is_leaf:
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _graph_tensors(item)
