"""Memory that a network may write into: never the data that foretoll or the user holds.

Networks may work in place: ``x -= mean`` in a `forward`, a first ReLU(inplace=True). What a network is given shares no
memory with anything that is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def owned(batch: Any, given: Any) -> Any:
    """`batch` (a tensor, or a dict of tensors) in memory of its own; `given` is what it was made from.

    A tensor that shares memory with `given`, or whose elements share memory with each other (`expand`), is copied;
    any other, which is nobody else's already, is handed on as it is.
    """
    held = {_address(tensor) for tensor in _tensors(given)}

    def own(tensor: Any) -> Any:
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            return tensor
        overlaps = any(
            step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
        )
        return tensor.clone() if overlaps or _address(tensor) in held else tensor

    return {key: own(value) for key, value in batch.items()} if isinstance(batch, Mapping) else own(batch)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.layout is torch.strided:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
