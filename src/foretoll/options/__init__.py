"""Ways to reuse a model. One file per option; one training loop that they share."""

from __future__ import annotations

from foretoll.errors import UsageError, unknown_name
from foretoll.options.base import Option, Training, check_classes
from foretoll.options.finetune import Finetune
from foretoll.options.head import Head
from foretoll.options.keep import Keep
from foretoll.options.loop import train_to_target
from foretoll.options.lora import Lora
from foretoll.options.partial import Partial
from foretoll.options.recalibrate import Recalibrate
from foretoll.options.reprogram import Reprogram, ReprogramAndHead
from foretoll.options.scratch import Scratch

OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Keep(),
        Recalibrate(),
        Head(),
        Lora(),
        Partial(),
        Reprogram(),
        ReprogramAndHead(),
        Finetune(),
        Scratch(),
    )
}


def get_option(name: str) -> Option:
    """Return the option of that name; raise UsageError with the nearest names otherwise."""
    if name not in OPTIONS:
        raise UsageError(unknown_name("option", name, OPTIONS))
    return OPTIONS[name]


__all__ = ["OPTIONS", "Option", "Training", "check_classes", "get_option", "train_to_target"]
