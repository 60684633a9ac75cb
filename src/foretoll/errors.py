"""The exceptions of foretoll.

::

    ForetollError           every error that foretoll raises on purpose; exit code 1
    ├── UsageError          the call is wrong (an unknown name, a contradictory flag); exit code 2
    ├── DataError           the data cannot be used as they are
    ├── ModelError          the model or its weights cannot be used as they are
    ├── MeasureError        energy, grid intensity or time cannot be measured as asked
    ├── LedgerError         the ledger cannot be read or written
    │   └── WrongLedgerError    what was named can be no ledger of this foretoll, now or later
    └── MissingExtraError   an optional library is needed: names the install command

Every message is one sentence that names the offending thing and says what to do instead.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path, PurePath


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
    """The ledger cannot be read or written. `saved`: the file in which the run was kept instead."""

    def __init__(self, message: str = "", *, saved: Path | None = None) -> None:
        super().__init__(message)
        self.saved = saved


class WrongLedgerError(LedgerError):
    """What was named can be no ledger of this foretoll: another file or kind of database, a newer version."""


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


class ForetollWarning(UserWarning):
    """Something about the input that the user should know, and that does not stop the work."""


_REFUSALS = {
    getattr(errno, name, None)
    for name in (
        "EACCES",
        "EPERM",
        "ELOOP",
        "ENAMETOOLONG",
        "EIO",
        "EMFILE",
        "ENOENT",
        "EISDIR",
        "ESTALE",
        "ENXIO",
    )
} - {None}


def check_refused(error: BaseException, where: str, kind: type[ForetollError] = ForetollError) -> None:
    """Raise `kind` where the system keeps a file from being read, which is no damage of its content."""
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        raise kind(
            f"{where} cannot be read ({error.strerror}): check the path and its permissions"
        ) from error


def read_small(path: Path, most: int = 16_000_000) -> bytes:
    """The content of a file that is read whole. OSError where it is none (a device, a pipe) or longer than `most`."""
    if not os.path.isfile(path):  # noqa: PTH113  (pathlib raises on odd names)
        there = os.path.lexists(path)
        raise OSError(
            errno.EINVAL if there else errno.ENOENT, "it is no file" if there else "No such file or directory"
        )
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return content


SHOWN = 80  # characters of a name that a message repeats


def printable(text: str) -> str:
    """The text on one line: control characters, line ends, bidirectional marks and lone surrogates as escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def shown(value: object, limit: int = SHOWN) -> str:
    """Text from a user or a file as a message may repeat it: quoted, printable, on one line, of at most `limit`.

    What is longer loses its end; a path (a `pathlib.Path`) its beginning, so that the file's name stays.
    """
    text = str(value)
    if isinstance(value, PurePath):
        safe = printable(text[-limit:])
        cut = len(text) > limit or len(safe) > limit
        return f"'…{safe[len(safe) - limit + 1 :]}'" if cut else f"'{safe}'"
    safe = printable(text[:limit])
    return f"'{safe}'" if len(text) <= limit and len(safe) <= limit else f"'{safe[: limit - 1]}…'"


def one_line(text: str, limit: int) -> str:
    """A message as one printable line of at most `limit` characters: what is too long loses its middle.

    The beginning names the thing and the end the way out.
    """
    safe = printable(" ".join(text[: 100 * limit].split()))  # of a text of megabytes only the beginning
    if len(safe) <= limit:
        return safe
    end = limit // 3
    return f"{safe[: limit - end - 3]} … {safe[-end:]}"


MOST_LISTED = 180  # characters of a list of valid names: of a longer one only the beginning is shown
MOST_BESIDE = 100  # and beside near names it is shown whole or not at all


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, with the nearest valid names first."""
    names = sorted(valid)
    near = difflib.get_close_matches(name[: 2 * SHOWN], names, n=3, cutoff=0.5)
    if near:
        meant = " or ".join(map(shown, near))
        whole = ", ".join(names)
        valid_names = f" (valid: {whole})" if len(whole) <= MOST_BESIDE else ""
        return f"unknown {kind} {shown(name, 40)}: did you mean {meant}?{valid_names}"
    return f"unknown {kind} {shown(name, 40)}: valid are {listed(names)}"


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """An unknown name with the nearest valid one alone: there may be many such sentences."""
    known = list(valid)
    near = difflib.get_close_matches(name[: 2 * SHOWN], known, n=1, cutoff=0.5)
    return f"{shown(name, 40)}: " + (f"did you mean {near[0]!r}?" if near else f"valid are {listed(known)}")


def listed(names: Iterable[str], limit: int = MOST_LISTED) -> str:
    """Names from a user or a file as a list for a message: printable, of a long one only the beginning."""
    text, several = "", list(names)
    for place, name in enumerate(several):
        added = printable(name) if len(name) <= 40 else shown(name, 40)
        if len(text) + len(added) > limit and place:
            return f"{text}, …"
        text = f"{text}, {added}" if place else added
    return text
