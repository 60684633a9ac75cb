"""Ways to reuse a model. One file per option; one training loop that they share. Nothing heavy is loaded by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretoll.options.base import Option, OptionTraits, Training, check_classes
from foretoll.options.table import OPTIONS, get_option, traits_of

if TYPE_CHECKING:
    from foretoll.options.loop import train_to_target

__all__ = [
    "OPTIONS",
    "Option",
    "OptionTraits",
    "Training",
    "check_classes",
    "get_option",
    "train_to_target",
    "traits_of",
]


def __getattr__(name: str) -> Any:
    if name != "train_to_target":
        raise AttributeError(f"module 'foretoll.options' has no attribute {name!r}")
    return import_module("foretoll.options.loop").train_to_target
