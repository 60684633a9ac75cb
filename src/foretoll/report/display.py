"""Records as they may be shown: their names come from files, from flags and from other people's ledgers.

Every text in a record becomes one printable line and is cut where it is very long, and paths are named from the
current folder or from home; the record itself is left as it is.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from foretoll.errors import printable
from foretoll.sharing import short_text

LONGEST = 300
"""Characters of a text that are shown."""
MOST_ITEMS = 10_000
"""Entries of a list of texts (class names) that are looked at; more are never shown."""

T = TypeVar("T")


def displayed(value: T) -> T:
    """The same value with every text in it printable, on one line and not too long; itself where it is so already."""
    changed: Any = _changed(value)
    return value if changed is None else changed


def _changed(value: Any) -> Any:
    """The changed value; None where nothing is to be changed."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, BaseModel):
        found = {
            name: new
            for name in type(value).model_fields
            if (new := _changed(getattr(value, name))) is not None
        }
        return value.model_copy(update=found) if found else None
    if type(value) in (tuple, list):
        items = [_changed(item) for item in value[:MOST_ITEMS]]
        if all(item is None for item in items):
            return None
        changed = (old if new is None else new for old, new in zip(value, items, strict=False))
        return type(value)((*changed, *value[MOST_ITEMS:]))
    if isinstance(value, dict):
        pairs = [(key, _changed(key), item, _changed(item)) for key, item in value.items()]
        if all(key is None and item is None for _, key, _, item in pairs):
            return None
        return {
            (key if new is None else new): (item if made is None else made) for key, new, item, made in pairs
        }
    return None


def _text(long: str) -> str | None:
    text = short_text(long)
    if text.isprintable() and len(text) <= LONGEST:
        return None if text == long else text
    shown = printable(text[:LONGEST].replace("\N{NO-BREAK SPACE}", " "))
    shown = shown if len(text) <= LONGEST and len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
    return None if shown == long else shown
