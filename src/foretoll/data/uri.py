"""Data URIs: `scheme:path?key=value&key=value`, parsed and checked without opening anything.

All mistakes of one URI are reported together, with the valid names. Values are percent-decoded (`%26` is
an ampersand); the path is taken as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import unquote

from foretoll.data.shifts import SHIFTS, check_level
from foretoll.errors import UsageError, unknown_name
from foretoll.records import DataCard, Shift

SCHEMES: dict[str, tuple[str, ...]] = {  # scheme → keys of its own
    "digits": (),
    "npz": (),
    "parquet": ("size",),
    "folder": ("size",),
    "torchvision": ("root", "download", "config", "size"),
    "hf": ("config", "size"),
}
KINDS: tuple[str, ...] = get_args(DataCard.model_fields["kind"].annotation)
COMMON_KEYS = (
    "split",
    "limit",
    "classes",
    "shift",
    "part",
    "where",
    "rows",
    "kind",
    "label",
    "seed",
)
REPEATABLE = ("shift", "where")


@dataclass(frozen=True)
class Where:
    """A condition on a column: its value is one of `values`, or, negated, none of them."""

    column: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True)
class DataUri:
    """A parsed data URI. Everything that was not said is None or empty.

    split: use only this split of the file, and split it anew. limit: total of train and validation samples;
    the test split then has at most max(limit // 4, 1). classes: names or numbers, relabelled 0, 1, … in this
    order. shifts: applied one after the other. part: (i, k), the i-th of k disjoint stratified parts.
    where: conditions, all of which hold. rows: (start, stop) of the file's rows, order kept. kind: override.
    label: the label column. seed: of splits, parts, limits and shifts. size: (height, width) of images.
    """

    text: str
    scheme: str
    path: str = ""
    split: str | None = None
    limit: int | None = None
    classes: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()
    part: tuple[int, int] | None = None
    where: tuple[Where, ...] = ()
    rows: tuple[int, int | None] | None = None
    kind: str | None = None
    label: str | None = None
    seed: int | None = None
    root: str | None = None
    download: bool = False
    config: str | None = None
    size: tuple[int, int] | None = None


def parse_uri(text: str) -> DataUri:
    """Parse and check a data URI; UsageError names everything that is wrong with it at once."""
    head, _, query = text.partition("?")
    scheme, _, path = head.partition(":")
    errors: list[str] = []
    if scheme not in SCHEMES:
        errors.append(unknown_name("scheme", scheme, SCHEMES))
    elif not path and scheme != "digits":
        what = "a name" if scheme in {"torchvision", "hf"} else "a path"
        errors.append(f"{scheme}: needs {what} after the colon")
    elif path and scheme == "digits":
        errors.append(f"digits takes no path, and {path!r} was given")
    own_keys = SCHEMES.get(scheme, tuple(sorted({key for keys in SCHEMES.values() for key in keys})))
    valid = COMMON_KEYS + own_keys
    fields: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        key, equals, value = item.partition("=")
        if key not in valid:
            errors.append(unknown_name("key", key, valid))
        elif not equals or not value:
            errors.append(f"{key} has no value: write {key}=…")
        elif key in fields and key not in REPEATABLE:
            errors.append(f"{key} stands twice")
        else:
            try:
                _store(fields, key, _READERS[key](unquote(value)))
            except _BadValueError as error:
                errors.append(str(error))
    if errors:
        count = "" if len(errors) == 1 else f" {len(errors)} mistakes:"
        raise UsageError(f"data URI {text!r}:{count} {'; '.join(errors)}")
    return DataUri(text=text, scheme=scheme, path=path, **fields)


class _BadValueError(ValueError):
    """One value of a URI cannot be read; collected, never shown alone."""


def _store(fields: dict[str, Any], key: str, value: Any) -> None:
    if key == "shift":
        fields["shifts"] = (*fields.get("shifts", ()), value)
    elif key == "where":
        fields["where"] = (*fields.get("where", ()), value)
    else:
        fields[key] = value


def _whole(key: str, least: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least:
            raise _BadValueError(f"{key}={value} is not a whole number of at least {least}")
        return number

    return read


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise _BadValueError(f"classes={value} must be different names or numbers, separated by commas")
    return names


def _shift(value: str) -> Shift:
    kind, _, level_text = value.partition(":")
    if kind not in SHIFTS:
        raise _BadValueError(unknown_name("shift", kind, SHIFTS))
    spec = SHIFTS[kind]
    try:
        level = float(level_text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        usual = ", ".join(f"{x:g}" for x in spec.default_levels)
        raise _BadValueError(
            f"shift={value} needs a level: write shift={kind}:LEVEL ({spec.unit}; usual {usual})"
        )
    try:
        check_level(kind, level)
    except UsageError as error:
        raise _BadValueError(str(error)) from None
    return Shift(kind=kind, level=level)


def _part(value: str) -> tuple[int, int]:
    first, _, second = value.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise _BadValueError(f"part={value} must be I/K with 1 ≤ I ≤ K, such as part=1/2")
    return int(first), int(second)


def _where(value: str) -> Where:
    marks = [(value.find(mark), mark) for mark in ":!" if mark in value]
    if marks:
        at, mark = min(marks)
        column, values = value[:at], tuple(value[at + 1 :].split("|"))
        if column and all(values):
            return Where(column, values, negated=mark == "!")
    raise _BadValueError(f"where={value} must be COLUMN:VALUE or COLUMN!VALUE (several values: A|B)")


def _rows(value: str) -> tuple[int, int | None]:
    first, colon, second = value.partition(":")
    if colon and all(text == "" or text.isdecimal() for text in (first, second)):
        start, stop = int(first or 0), int(second) if second else None
        if stop is None or stop > start:
            return start, stop
    raise _BadValueError(f"rows={value} must be START:STOP with START < STOP, such as rows=0:20000")


def _kind(value: str) -> str:
    if value not in KINDS:
        raise _BadValueError(unknown_name("kind", value, KINDS))
    return value


def _flag(value: str) -> bool:
    if value not in {"0", "1"}:
        raise _BadValueError(f"download={value} must be 0 or 1")
    return value == "1"


def _size(value: str) -> tuple[int, int]:
    first, cross, second = value.partition("x")
    if first.isdecimal() and int(first) > 0 and (not cross or (second.isdecimal() and int(second) > 0)):
        return int(first), int(second) if cross else int(first)
    raise _BadValueError(f"size={value} must be PIXELS or HEIGHTxWIDTH")


_READERS: dict[str, Callable[[str], Any]] = {
    "split": str,
    "limit": _whole("limit", 2),
    "classes": _names,
    "shift": _shift,
    "part": _part,
    "where": _where,
    "rows": _rows,
    "kind": _kind,
    "label": str,
    "seed": _whole("seed", 0),
    "root": str,
    "download": _flag,
    "config": str,
    "size": _size,
}
