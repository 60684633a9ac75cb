"""An option with settings of its own as text: `reprogram?program=pad&mapping=linear`.

The settings are the keyword arguments of the option's class, which are numbers, texts or flags; an object keeps each
under its own name.
"""

from __future__ import annotations

import inspect
from typing import Any

from foretoll.errors import UsageError, shown, unknown_name
from foretoll.options.base import Option


def configured(option: Option, query: str) -> Option:
    """An option of the same class with these settings; UsageError names what is wrong with them."""
    known = _settings(option)
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
        given[key] = _read(value, known[key].default, f"{option.name}: {key}")
    return type(option)(**given)


def spelled(option: Option) -> str:
    """The text that `configured` makes the same option from."""
    changed = {
        key: getattr(option, key)
        for key, parameter in _settings(option).items()
        if getattr(option, key, parameter.default) != parameter.default
    }
    query = "&".join(f"{key}={value}" for key, value in changed.items())
    return f"{option.name}?{query}" if query else option.name


def _settings(option: Option) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(type(option)).parameters.values()
    return {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


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
