"""Reads settings that are given as a text, as flags give them: `flip,crop:4`, `head=10,layer1=0.1`, `0.9,0.95`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def listed(value: Any) -> Any:
    """`a,b` as ("a", "b"), also within a list; one callable as a tuple of it; anything else as it is."""
    if callable(value):
        return (value,)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(x for part in value for x in (listed(part) if isinstance(part, str) else (part,)))
    return value


def by_name(value: Any) -> Any:
    """`a=1,b=2` as {"a": 1.0, "b": 2.0}, also from a list of such texts; anything else as it is.

    Raises ValueError for a text that is no number by name.
    """
    if value is None:
        return {}
    if not isinstance(value, str | list | tuple):
        return dict(value) if isinstance(value, Mapping) else value
    found: dict[str, float] = {}
    for part in listed(value):
        name, equals, number = str(part).rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ValueError(f"{str(part)[:40]!r} is no number by name: write name=2,other=0.5")
    return found


def numbered(value: Any) -> Any:
    """`0.9,0.95` as (0.9, 0.95); anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(float(part) for part in listed(value))
    except ValueError:
        raise ValueError(f"{value[:40]!r} are no numbers: write 0.9,0.999") from None


def chance(value: Any) -> float:
    """`5%` or 0.05 as 0.05; ValueError for what is no chance between 0 and 1."""
    text = str(value).strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = math.nan
    if isinstance(value, bool) or not 0 < found < 1:
        raise ValueError("give a chance above 0 % and below 100 %, such as 5% or 0.05")
    return found


def is_amount(text: str) -> bool:
    """Whether a text is a number above 0 that an image can be changed by."""
    try:
        return 0 < float(text) <= 1000
    except ValueError:
        return False
