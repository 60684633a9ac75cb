"""All options by name, free of torch: what each is called and may do (`OptionTraits`). An option's file says it.

Those of other packages come by the entry points `foretoll.options`, or are handed in as objects.
"""

from __future__ import annotations

from collections.abc import Iterable

from foretoll.errors import UsageError
from foretoll.options.base import Option, OptionTraits, UnknownOption
from foretoll.options.spelling import configured, spelled
from foretoll.registry import Registry, instance_of

DEFAULT = "finetune"
SCRATCH = "scratch"  # what reuse is compared with
_HOMES = {
    "keep": "keep:Keep",
    "recalibrate": "recalibrate:Recalibrate",
    "head": "head:Head",
    "lora": "lora:Lora",
    "partial": "partial:Partial",
    "reprogram": "reprogram:Reprogram",
    "reprogram+head": "reprogram:ReprogramAndHead",
    "distill": "distill:Distill",
    DEFAULT: "finetune:Finetune",
    SCRATCH: "scratch:Scratch",
}
OPTIONS: Registry[Option] = Registry(
    "option",
    "foretoll.options",
    {name: f"foretoll.options.{home}" for name, home in _HOMES.items()},
    made=instance_of(Option),  # type: ignore[type-abstract]  # it is only asked whether an object is one
)
LEARNED_APART = tuple(
    name for name in _HOMES if name != DEFAULT and OPTIONS[name].takes_steps and OPTIONS[name].in_reference
)
"""Options that the forecast tells from the default one by a feature of their own name."""


def get_option(option: str | Option) -> Option:
    """The option of a name, or of a name with settings of its own (`reprogram?program=pad`), or the one handed in.

    Raises UsageError with the nearest names where there is no such option, or it has no such setting.
    """
    if not isinstance(option, str):
        return OPTIONS.part(option)
    name, _, query = option.partition("?")
    plain = OPTIONS.part(name)
    return plain if not query else configured(plain, query)


def named(option: str | Option) -> str:
    """The name, with its settings, by which `get_option` finds an option that is named or handed in; UsageError."""
    found = get_option(option)
    if isinstance(option, str):
        return option
    if OPTIONS.brings(found.name) and found is not OPTIONS[found.name]:
        if type(found) is not type(OPTIONS[found.name]):
            raise UsageError(
                f"the name {found.name!r} is taken by an option of foretoll: give yours another one"
            )
        return spelled(found)
    return found.name


def traits_of(name: str) -> OptionTraits:
    """What is known of the option that a record names, be it installed here or not."""
    plain = name.partition("?")[0]
    return OPTIONS[plain] if plain in OPTIONS else UnknownOption(name)


def compared() -> tuple[str, ...]:
    """Options that are forecast beside any other, without a training step: those that train all weights."""
    return tuple(name for name in _HOMES if OPTIONS[name].trains_all)


def fresh_first(names: Iterable[str]) -> list[str]:
    """Names of options for a list: those that start from fresh weights first, the others in their order."""
    return sorted(names, key=lambda name: traits_of(name).reuses_weights)
