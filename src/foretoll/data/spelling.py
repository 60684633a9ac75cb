"""The same name spelled another way: case, surrounding white space, a carriage return left by a text file.

Names are only taken for each other where there is no doubt: one name on the other side, and no exact one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_TRUTH = {"false": "0", "true": "1", "no": "0", "yes": "1"}


def match_names(theirs: Iterable[str], ours: Sequence[str]) -> dict[str, str]:
    """Which of `ours` each of `theirs` means: exactly, else by its spelling; a name that means none is left out.

    Where both sides are a pair of truth values, `False` and `0` are the same, too.
    """
    names = list(theirs)
    exact = set(ours)
    found = {name: name for name in names if name in exact}
    for key in (spelled, _as_number, *([_as_truth] if _are_truth(names) and _are_truth(ours) else [])):
        by_key: dict[str, list[str]] = {}
        for name in ours:
            by_key.setdefault(key(name), []).append(name)
        for name in names:
            same = by_key.get(key(name), [])
            if name not in found and len(same) == 1:
                found[name] = same[0]
    return found


def spelled(name: str) -> str:
    """A name without what a text editor, a database or another program may have changed of it."""
    return " ".join(unicodedata.normalize("NFKC", name).replace("\ufeff", "").split()).casefold()


def _as_number(name: str) -> str:
    """A whole number in one spelling: 1.0, 01 and 1 are the same."""
    text = spelled(name)
    whole, point, rest = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if digits.isascii() and digits.isdecimal() and (not point or not rest.strip("0")):
        return f"{sign}{int(digits[:300])}"
    return text


def _as_truth(name: str) -> str:
    text = _as_number(name)
    return _TRUTH.get(text, text)


def _are_truth(names: Iterable[str]) -> bool:
    return {_as_truth(name) for name in names} <= {"0", "1"}
