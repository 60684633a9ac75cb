"""The exceptions of foretoll.

::

    ForetollError           every error that foretoll raises on purpose; exit code 1
    ├── UsageError          the call is wrong (an unknown name, a contradictory flag); exit code 2
    ├── DataError           the data cannot be used as they are
    ├── ModelError          the model or its weights cannot be used as they are
    ├── MeasureError        energy, grid intensity or time cannot be measured as asked
    ├── LedgerError         the ledger cannot be read or written
    └── MissingExtraError   an optional library is needed: names the install command

Every message is one sentence that names the offending thing and says what to do instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ForetollError(Exception):
    """Base of all errors that foretoll raises on purpose."""

    exit_code = 1


class UsageError(ForetollError):
    """The call itself is wrong: an unknown name, a missing or contradictory argument."""

    exit_code = 2


class DataError(ForetollError):
    """The data cannot be used as they are."""


class ModelError(ForetollError):
    """The model or its weights cannot be used as they are."""


class MeasureError(ForetollError):
    """Energy, grid intensity or time cannot be measured as asked."""


class LedgerError(ForetollError):
    """The ledger cannot be read or written."""


class MissingExtraError(ForetollError):
    """An optional library is needed for what was asked."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs an optional library: pip install "foretoll[{extra}]"')


# torch says that a CPU has no memory left by a RuntimeError like any other
_NO_MEMORY = (
    "defaultcpuallocator",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "storage size calculation overflowed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, numpy's and Arrow's own, torch's on a GPU and on a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


SHOWN = 80  # characters of a name that a message repeats


def shown(value: object, limit: int = SHOWN) -> str:
    """Text from a user or a file as a message may repeat it: quoted, printable, on one line, cut after `limit`.

    Control characters, line ends, bidirectional marks and lone surrogates are written as escapes.
    """
    text = str(value)
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[:limit]
    )
    return f"'{safe}'" if len(text) <= limit and len(safe) <= limit else f"'{safe[: limit - 1]}…'"


MOST_NAMES = 40  # of a longer list only the beginning is shown


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, with the nearest valid names first."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = ", ".join(names if len(names) <= MOST_NAMES else [*names[:10], "…"])
    if near:
        return f"unknown {kind} {name!r}: did you mean {' or '.join(map(repr, near))}? (valid: {shown})"
    return f"unknown {kind} {name!r}: valid are {shown}"
