"""Networks that give several outputs: which of them a task is served by, found by its name or by its head's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from foretoll.errors import ModelError, shown
from foretoll.reprogram import unwrap_logits


def outputs_of(raw: Any) -> dict[str, Tensor]:
    """What may be logits among several outputs, (B, C) floats by name; those of a tuple by their numbers.

    Empty for a tensor and for outputs with `logits`, which are clear.
    """
    if isinstance(raw, Tensor) or isinstance(getattr(raw, "logits", None), Tensor):
        return {}
    if isinstance(raw, Mapping):
        if isinstance(raw.get("logits"), Tensor):
            return {}
        named = {str(key): value for key, value in raw.items()}
    elif is_dataclass(raw) and not isinstance(raw, type):
        named = {field.name: getattr(raw, field.name) for field in fields(raw)}
    elif isinstance(raw, tuple | list):
        names = getattr(raw, "_fields", range(len(raw)))
        named = {str(name): value for name, value in zip(names, raw, strict=True)}
    else:
        return {}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, Tensor) and value.ndim == 2 and value.is_floating_point()
    }


def logits_in(raw: Any, name: str | None = None) -> Tensor:
    """The output of this name; without one the only one that may be logits, of a plain tuple the first.

    Raises ModelError, with the names that there are, where it is not there or unclear.
    """
    several = outputs_of(raw)
    if name is not None:
        if name not in several:
            raise ModelError(f"the network gives no output {shown(name, 40)}: {_there(several)}")
        return several[name]
    if len(several) > 1 and not all(name.isdecimal() for name in several):
        raise ModelError(
            f"the network gives several outputs that may be logits: {_there(several)}; name one, or the layer that "
            "makes it, with --head NAME (head= in Python)"
        )
    return next(iter(several.values())) if len(several) == 1 else unwrap_logits(raw)


def made_by(several: Mapping[str, Tensor], head: Tensor) -> str | None:
    """The name of the output that a head's own output is; None where it is none of them."""
    for name, value in several.items():
        if value.shape == head.shape and torch.allclose(value.float(), head.float(), rtol=1e-4, atol=1e-5):
            return name
    return None


def _there(several: Mapping[str, Tensor]) -> str:
    told = [
        f"{shown(name, 30)[1:-1]} ({value.shape[1]:,} numbers)" for name, value in list(several.items())[:6]
    ]
    return ", ".join(told) or "it gives one output"
