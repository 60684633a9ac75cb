"""Data URIs: `scheme:path?key=value&key=value`, parsed and checked without opening anything.

All mistakes of one URI are reported together, with the valid names. Values are percent-decoded (`%26` is
an ampersand). A path may hold a question mark where it is there by that name: the longest path that exists is
taken. Where none is there as it stands, the path is percent-decoded too (`%3F` is a question mark).
"""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from foretoll.data.address import DataUri, Where, expanded
from foretoll.data.schemes import OWN_KEYS, SCHEMES
from foretoll.data.shifts.registry import SHIFTS, check_level
from foretoll.errors import ForetollError, UsageError, shown, unknown_name
from foretoll.records import DataCard, Shift
from foretoll.tasks import TASKS

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
    "task",
    "seed",
    "time",
    "every",
)
REPEATABLE = ("shift", "where")
COLUMN_KEYS = ("columns", "drop", "inputs")  # names that may hold a comma of their own, as %2C
_NO_PATH = ("digits", "torchvision")  # what follows the colon is nothing, or a name
_MOST_MARKS = 20  # question marks that may be part of a path
_MOST_TEXT = 210  # characters of all mistakes together
MOST_ROWS, MOST_PARTS, MOST_SIDE, MOST_PIXELS = 10**12, 10_000, 8192, 4096**2


_SUFFIXES = {".npz": "npz", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".tar": "tar"}


def parse_uri(text: str) -> DataUri:
    """Parse and check a data URI; UsageError names everything that is wrong with it at once."""
    head, _, query = text.partition("?")
    scheme, _, path = head.partition(":")
    errors: list[str] = []
    known = SCHEMES.get(scheme)
    if known is None:
        errors.append(unknown_name("scheme", scheme, SCHEMES))
    elif not path and known.follows:
        errors.append(f"{scheme}: needs {known.follows} after the colon")
    elif path and not known.follows:
        errors.append(f"{scheme} takes no path, and {shown(path)} was given")
    elif known.follows and scheme not in _NO_PATH:
        path, query = _path_and_query(text[len(scheme) + 1 :])
    valid = COMMON_KEYS + (OWN_KEYS if known is None else known.keys)
    fields: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        key, equals, value = item.partition("=")
        if key not in valid:
            errors.append(unknown_name("key", key, valid))
        elif not equals or not value:
            errors.append(f"{key} has no value: write {key}=…")
        elif (key in fields or key in fields.get("own", ())) and key not in REPEATABLE:
            errors.append(f"{key} stands twice")
        else:
            try:
                plain = value if key in COLUMN_KEYS else unquote(value)
                _store(fields, key, _READERS[key](plain) if key in _READERS else plain)
            except _BadValueError as error:
                errors.append(str(error))
    if errors:
        raise UsageError(f"data URI {shown(text, 80 if len(errors) == 1 else 40)}:{_together(errors)}")
    return DataUri(text=_without_surrogates(text), scheme=scheme, path=path, **fields)


def file_of(text: str) -> Path | None:
    """The file or folder of this machine that a data URI, or a plain path, names; None where there is none."""
    try:
        path = Path(expanded(text.partition("?")[0]))
        if not path.exists():
            path = parse_uri(text).file
            if not path.exists() or str(path) == ".":
                return None
        return path.absolute()
    except (OSError, ValueError, ForetollError):  # a name that no file can have
        return None


def _path_and_query(rest: str) -> tuple[str, str]:
    """The longest path that exists as it is written, else the percent-decoded text before the first question mark."""
    marks = [at for at, sign in enumerate(rest) if sign == "?"][:_MOST_MARKS]
    for cut in reversed([*marks, len(rest)] if len(marks) < _MOST_MARKS else marks):
        if rest[:cut] and os.path.exists(expanded(rest[:cut])):  # noqa: PTH110  (pathlib raises on odd names)
            return rest[:cut], rest[cut + 1 :]
    path, _, query = rest.partition("?")
    return unquote(path, errors="surrogateescape"), query


def _without_surrogates(text: str) -> str:
    """The URI as UTF-8 can hold it: bytes of a path that are no text stand as %FF, which means the same."""
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)


def _together(errors: list[str]) -> str:
    if len(errors) == 1:
        return f" {errors[0]}"
    errors = [error.partition(" (valid: ")[0] for error in errors]  # of several only what was meant
    told: list[str] = []
    for error in errors[:100]:
        if not told or sum(map(len, told)) + len(error) <= _MOST_TEXT:
            told.append(error)
    more = [f"and {len(errors) - len(told):,} more"] if len(told) < len(errors) else []
    return f" {len(errors):,} mistakes: {'; '.join([*told, *more])}"


def with_scheme(text: str) -> str:
    """The text as it is; UsageError that says what is missing where it is a bare path instead of a URI."""
    path = text.partition("?")[0]
    if ":" not in path and path not in SCHEMES:
        folder = os.path.isdir(path)  # noqa: PTH112  (pathlib raises on odd names)
        scheme = _SUFFIXES.get(Path(path).suffix) or ("folder" if folder else None)
        if scheme:
            raise UsageError(
                f"{shown(text)} is a path and not a data URI: write {scheme}:{shown(text)[1:-1]}"
            )
    return text


class _BadValueError(ValueError):
    """One value of a URI cannot be read; collected, never shown alone."""


def _store(fields: dict[str, Any], key: str, value: Any) -> None:
    if key == "shift":
        fields["shifts"] = (*fields.get("shifts", ()), value)
    elif key == "where":
        fields["where"] = (*fields.get("where", ()), value)
    elif key in _READERS:
        fields[key] = value
    else:
        fields["own"] = {**fields.get("own", {}), key: value}


def _number(value: str) -> int | None:
    """A whole number of usual length; None for everything else."""
    return int(value) if value.isdecimal() and len(value) <= 30 else None


def _whole(key: str, least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        number = _number(value)
        if number is None or not least <= number <= most:
            raise _BadValueError(
                f"{key}={shown(value, 40)[1:-1]} is not a whole number of at least {least}"
                + (f" and at most {most:,}" if number is not None and number > most else "")
            )
        return number

    return read


def _names(key: str, what: str) -> Callable[[str], tuple[str, ...]]:
    def read(value: str) -> tuple[str, ...]:
        parts = [part.strip() for part in value.split(",")]
        names = tuple(unquote(part) if key in COLUMN_KEYS else part for part in parts)
        if not all(names) or len(set(names)) != len(names):
            raise _BadValueError(f"{key}={shown(value, 40)} must be different {what}, separated by commas")
        return names

    return read


def uri_value(name: str) -> str:
    """A column's name or value as it is written in a URI, so that a message can say how to."""
    return "".join(f"%{ord(c):02X}" if c in "%&,|?#" else c for c in name)


def _encoding(value: str) -> str:
    try:
        "".encode(value)
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise _BadValueError(
            f"encoding={shown(value, 40)[1:-1]} is no encoding of texts, such as cp1252, cp932, latin-1 or utf-16"
        ) from None


def _sep(value: str) -> str:
    found = {"tab": "\t", "comma": ",", "semicolon": ";"}.get(value, value)
    if len(found) != 1 or found in '"\r\n' or found.isalnum():
        raise _BadValueError(f"sep={shown(value, 40)} must be one character, or tab (%26 is an ampersand)")
    return found


def _shift(value: str) -> Shift:
    head, _, level_text = value.partition(":")
    part, _, kind = head.rpartition(".")
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
            f"shift={shown(value, 40)[1:-1]} needs a level: write shift={kind}:LEVEL ({spec.unit}; usual {usual})"
        )
    try:
        check_level(kind, level)
    except UsageError as error:
        raise _BadValueError(str(error)) from None
    return Shift(kind=kind, level=level, part=part)


def _part(value: str) -> tuple[int, int]:
    first, _, second = value.partition("/")
    i, k = _number(first), _number(second)
    if i is None or k is None or not 1 <= i <= k <= MOST_PARTS:
        raise _BadValueError(
            f"part={shown(value, 40)[1:-1]} must be I/K with 1 ≤ I ≤ K ≤ {MOST_PARTS:,}, such as part=1/2"
        )
    return i, k


def _where(value: str) -> Where:
    marks = [(value.find(mark), mark) for mark in ":!" if mark in value]
    if marks:
        at, mark = min(marks)
        column, values = value[:at], tuple(value[at + 1 :].split("|"))
        if column and all(values):
            return Where(column, values, negated=mark == "!")
    raise _BadValueError(
        f"where={shown(value, 40)[1:-1]} must be COLUMN:VALUE or COLUMN!VALUE (several values: A|B)"
    )


def _rows(value: str) -> tuple[int, int | None]:
    first, colon, second = value.partition(":")
    start, stop = _number(first or "0"), _number(second)
    if colon and start is not None and (stop is not None or not second) and (stop is None or stop > start):
        return start, stop
    raise _BadValueError(
        f"rows={shown(value, 40)[1:-1]} must be START:STOP with START < STOP, such as rows=0:20000"
    )


def _kind(value: str) -> str:
    if value not in KINDS:
        raise _BadValueError(unknown_name("kind", value, KINDS))
    return value


def _task(value: str) -> str:
    if value not in TASKS:
        raise _BadValueError(unknown_name("task", value, TASKS))
    return value


def _flag(key: str) -> Callable[[str], bool]:
    def read(value: str) -> bool:
        if value.lower() not in {"0", "1", "false", "true"}:
            raise _BadValueError(f"{key}={shown(value, 40)[1:-1]} must be true or false")
        return value.lower() in {"1", "true"}

    return read


def _size(value: str) -> tuple[int, int]:
    first, cross, second = value.partition("x")
    height = _number(first)
    width = _number(second) if cross else height
    if height and width and max(height, width) <= MOST_SIDE and height * width <= MOST_PIXELS:
        return height, width
    raise _BadValueError(
        f"size={shown(value, 40)[1:-1]} must be PIXELS or HEIGHTxWIDTH, {MOST_PIXELS:,} pixels at most"
    )


_READERS: dict[str, Callable[[str], Any]] = {
    "split": str,
    "limit": _whole("limit", 2, MOST_ROWS),
    "classes": _names("classes", "names or numbers"),
    "columns": _names("columns", "names"),
    "drop": _names("drop", "names"),
    "inputs": _names("inputs", "names"),
    "sep": _sep,
    "encoding": _encoding,
    "shift": _shift,
    "part": _part,
    "where": _where,
    "rows": _rows,
    "kind": _kind,
    "label": str,
    "task": _task,
    "seed": _whole("seed", 0, 2**63 - 1),
    "root": str,
    "download": _flag("download"),
    "config": str,
    "size": _size,
    "skip_unreadable": _flag("skip_unreadable"),
    "time": str,
    "every": _whole("every", 2, MOST_ROWS),
}
