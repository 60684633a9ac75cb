"""One place of each sample: a token of a text, a pixel of an image, so that samples are rows again.

Indices and probes work on one row a sample. Of a model that says something of every token or pixel, a sample's row is
what it makes of one place: one that counts, drawn by a hash of the sample's id, the same in any batch, order or split.
Rows are then as independent as the samples are, which the places of one sample are not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError
from foretoll.models.anatomy import channels_last
from foretoll.tasks.dense import UNKNOWN

_MIX = (-49064778989728563, -4265267296055464877)  # the constants of splitmix64, as signed numbers


def choose_places(targets: Tensor, ids: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Where to look at samples (B, axes), each axis from 0 to below 1, and the targets (B,) there.

    `targets` int64 (B, *places); without any, (B,) of UNKNOWN, places are drawn from all.
    """
    share = _shares(ids.to(targets.device))
    if targets.ndim == 1:
        return torch.stack([share, _shares(ids.to(targets.device) + 1)][:axes], dim=1), targets
    known = (targets != UNKNOWN).flatten(1)
    wanted = (share * known.sum(dim=1)).long() + 1
    found = ((known.long().cumsum(dim=1) == wanted[:, None]) & known).long().argmax(dim=1)
    there = targets.flatten(1).gather(1, found[:, None]).squeeze(1)
    sides = targets.shape[1:]
    at = [found] if len(sides) == 1 else [found // sides[1], found % sides[1]]
    return torch.stack([(i.double() + 0.5) / side for i, side in zip(at, sides, strict=True)], dim=1), there


def rows_at(values: Tensor, where: Tensor, module: nn.Module | None = None) -> Tensor:
    """The vectors (B, d) of a map (B, d, *places) at places (B, axes); of a layer's own as its channels lie.

    A map of other sides than the targets' (a smaller one, within a network) is read where the place lies in it.
    Raises ModelError where the map has no such places.
    """
    axes = where.shape[1]
    if values.ndim != axes + 2:
        raise ModelError(
            f"the layer gives shape {tuple(values.shape)}, which says nothing of single "
            f"{'tokens' if axes == 1 else 'pixels'}: name another one with --embedding-layer"
        )
    last = module is not None and channels_last(values, module)
    sides = values.shape[1:-1] if last else values.shape[2:]
    rows = torch.arange(len(values), device=values.device)
    at: tuple[Any, ...] = tuple(
        (where[:, i].to(values.device) * side).long().clamp(max=side - 1) for i, side in enumerate(sides)
    )
    index: tuple[Any, ...] = (rows, *at) if last else (rows, slice(None), *at)
    return values[index]


def _shares(ids: Tensor) -> Tensor:
    """A number from 0 to below 1 for each id."""
    x = ids.to(torch.int64)
    for shift, mix in zip((30, 27), _MIX, strict=True):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * mix
    x = x ^ ((x >> 31) & ((1 << 33) - 1))
    return ((x >> 11) & ((1 << 53) - 1)).double() / (1 << 53)
