"""An option with settings of its own as text: `reprogram?program=pad&mapping=linear`.

The settings are the keyword arguments of the option's class, which are numbers, texts or flags; an object keeps each
under its own name. An "&" within a value is written %26.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foretoll.errors import UsageError, shown, unknown_name
from foretoll.options.base import Option, own_settings

AMPERSAND = "%26"


def configured(option: Option, query: str) -> Option:
    """An option of the same class with these settings; UsageError names what is wrong with them."""
    known = own_settings(option)
    given: dict[str, Any] = {}
    for item in query.split("&"):
        key, equals, value = item.partition("=")
        if key not in known:
            if not known:
                raise UsageError(
                    f"the option {option.name} has no settings of its own: write {option.name} alone"
                )
            raise UsageError(unknown_name(f"setting of the option {option.name}", key, known))
        if not equals or not value:
            raise UsageError(f"{option.name}: {key} has no value: write {key}=…")
        given[key] = _read(value.replace(AMPERSAND, "&"), known[key].default, f"{option.name}: {key}")
    return type(option)(**given)


def spelled(option: Option) -> str:
    """The text that `configured` makes the same option from."""
    changed = {
        key: getattr(option, key)
        for key, parameter in own_settings(option).items()
        if getattr(option, key, parameter.default) != parameter.default
    }
    return f"{option.name}?{_query(changed)}" if changed else option.name


def in_words(spelled_option: str) -> str:
    """An option with the settings that were named, as people say it: reprogram with program pad, mapping linear."""
    name, _, query = spelled_option.partition("?")
    named = [item.replace("=", " ", 1).replace("_", " ") for item in query.split("&") if item]
    return f"{name} with {', '.join(named)}".replace(AMPERSAND, "&") if named else name


def with_flags(options: Sequence[Option], given: Mapping[str, str]) -> list[str]:
    """The options, spelled with those of the `given` settings that each has a flag for.

    Raises UsageError where none of them takes a setting, or one has another value for it already.
    """
    for key in given:
        if not any(key in option.flags for option in options):
            names = ", ".join(dict.fromkeys(option.name for option in options))
            raise UsageError(f"--{key} is a setting of other options, not of {names}: leave it out")
    return [_with(option, {k: v for k, v in given.items() if k in option.flags}) for option in options]


def _with(option: Option, given: Mapping[str, str]) -> str:
    for key, value in given.items():
        there, plain = getattr(option, key), own_settings(option)[key].default
        if there not in (plain, value):
            raise UsageError(
                f"{option.name}: {key} is {shown(there, 40)} and --{key} {shown(value, 40)}: say it once"
            )
    if not given:
        return spelled(option)
    return spelled(
        configured(option, "&".join(filter(None, [spelled(option).partition("?")[2], _query(given)])))
    )


def _query(values: Mapping[str, Any]) -> str:
    return "&".join(f"{key}={str(value).replace('&', AMPERSAND)}" for key, value in values.items())


def _read(value: str, default: Any, what: str) -> Any:
    """The value as its default is typed; a text where that is a text or None."""
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise UsageError(f"{what} is {shown(value, 40)}: say true or false")
        return value == "true"
    if isinstance(default, int | float):
        try:
            return type(default)(value)
        except ValueError:
            raise UsageError(f"{what} is {shown(value, 40)}, which is no {type(default).__name__}") from None
    return value
