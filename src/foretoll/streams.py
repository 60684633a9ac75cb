"""The standard streams: nothing is lost to their encoding, to a closed pipe or a full disk, and they are ours alone.

What a command writes it writes by `write`, `foretoll.printing` or the progress line. What other people's libraries
say meanwhile (warnings, logs, bars, what C code writes) is kept off the terminal; `FORETOLL_DEBUG=1` shows it.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO

from foretoll.errors import ForetollError, ForetollWarning, one_line

PREFIX = "foretoll: "
LONGEST = 300
"""Characters of a message, with the program's name before it."""
QUIET = {  # what libraries and worker processes read; what the user set stands
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
    # threads that wait for each other sleep: spinning takes a small job several times the processor time of its work
    "OMP_WAIT_POLICY": "PASSIVE",
}
_ALIKE = {
    "µ": "u", "μ": "u", "–": "-", "—": "-", "−": "-", "‑": "-", "×": "x", "·": ".", "≥": ">=", "≤": "<=", "→": "->",
    "▸": ">", "‘": "'", "’": "'", "“": '"', "”": '"', "‖": "||", "Δ": "D", "α": "a", "β": "b", "θ": "theta",
    "λ": "lambda", "ρ": "rho", "σ": "sigma", "τ": "tau", "ß": "ss", "±": "+-", "✓": "x", "•": "*", "°": "deg",
}  # fmt: skip
_IN_PLAIN_LETTERS = "foretoll.plain"


def debugging() -> bool:
    """Whether the user wants to see everything, stack traces too."""
    return bool(os.environ.get("FORETOLL_DEBUG"))


def write(text: str) -> None:
    """Write a text and a line end to the standard output.

    Raises BrokenPipeError where nobody reads any more, ForetollError where it cannot be written.
    """
    with written():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def write_whole(text: str) -> None:
    """Write a text in the letters that the standard output has; of one that nobody reads nothing is left behind.

    What stays in its buffer would make Python end the user's own program with an exit code of its own.
    """
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(LookupError):
        text = text.encode(encoding, _IN_PLAIN_LETTERS).decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _empty(stream)
        raise


@contextmanager
def written() -> Iterator[None]:
    """Say in one sentence that the standard output cannot be written to."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _abandon(sys.stdout)
        raise ForetollError(
            f"the standard output cannot be written ({error.strerror or error}): send it where there is room"
        ) from error


def write_json(data: Any) -> None:
    """Write data as one line of JSON: exact, whatever the encoding; what is not printable is escaped."""
    text = json.dumps(data, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(data)
    if (
        not text.isprintable()
    ):  # outside of strings JSON has nothing else, so that every such character is in one
        text = "".join(
            c if c.isprintable() else json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f" for c in text
        )
    write(text)


def complain(message: str) -> None:
    """One line on the standard error; nothing that happens here may hide why it was called."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(one_line(f"{PREFIX}{message}", LONGEST) + "\n")
        sys.stderr.flush()


def finish() -> str:
    """Flush the standard output; returns what keeps it from being written, or nothing.

    Afterwards the interpreter finds nothing left to complain of.
    """
    try:
        with written():
            sys.stdout.flush()
    except BrokenPipeError:
        _abandon(sys.stdout)
    except (ForetollError, ValueError) as error:
        return str(error)
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    return ""


def abandon() -> None:
    """Nobody reads the standard output any more: what is left goes nowhere."""
    _abandon(sys.stdout)


@contextmanager
def ours() -> Iterator[None]:
    """The streams as a command needs them, for as long as it runs."""
    with ExitStack() as stack:
        stack.enter_context(_open_streams())
        if not debugging():
            stack.enter_context(_others_quiet())
            stack.enter_context(_own_error_stream())
        _set_errors(sys.stdout)
        _set_errors(sys.stderr)
        yield


class _ClosedStream(io.TextIOBase):
    """Stands for a standard stream that was closed when the program began."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")

    def isatty(self) -> bool:
        return False


@contextmanager
def _open_streams() -> Iterator[None]:
    """A stream that is closed says so when it is written to, and its number is not given to the next file opened."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_RDWR)
                if nowhere != number:
                    os.dup2(nowhere, number)
                    os.close(nowhere)
            if number:
                setattr(sys, name, _ClosedStream())
    yield


@contextmanager
def _others_quiet() -> Iterator[None]:
    """No warnings but our own, no logs, no progress bars of libraries."""
    added = {name: value for name, value in QUIET.items() if name not in os.environ}
    os.environ.update(added)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ForetollWarning)
            warnings.showwarning = _shower()
            yield
    finally:
        logging.disable(disabled)
        for name in added:
            os.environ.pop(name, None)


def _shower() -> Any:
    """Shows each warning of our own once."""
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, ForetollWarning) and str(message) not in told:
            told.add(str(message))
            complain(f"warning: {message}")

    return show


@contextmanager
def _own_error_stream() -> Iterator[None]:
    """What C code writes to the standard error goes nowhere; Python's stream keeps its way to the terminal."""
    before = sys.stderr
    number = _number(before)
    if number != 2:  # redirected within Python: not ours to move
        yield
        return
    before.flush()
    kept = os.dup(2)
    stream = io.TextIOWrapper(
        os.fdopen(kept, "wb", closefd=False), before.encoding, before.errors, line_buffering=True
    )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = stream
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            stream.flush()
        sys.stderr = before
        os.dup2(kept, 2)
        os.close(kept)


def _number(stream: Any) -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        return int(stream.fileno())
    return None


def _set_errors(stream: Any) -> None:
    """Characters that the stream's encoding does not have are written as the nearest that it has."""
    with suppress(OSError, ValueError, AttributeError):
        stream.reconfigure(errors=_IN_PLAIN_LETTERS)


def _abandon(stream: TextIO) -> None:
    """What is still to be written to the stream goes nowhere."""
    number = _number(stream)
    if number is not None:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


def _empty(stream: TextIO) -> None:
    """Let what a stream has in its buffer go nowhere; the stream itself stays what it is."""
    number = _number(stream)
    if number is None:
        return
    with suppress(OSError, ValueError):
        kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, number)
            stream.flush()
        finally:
            os.dup2(kept, number)
            os.close(kept)
            os.close(nowhere)


def _plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain_letter, error.object[error.start : error.end])), error.end


def _plain_letter(character: str) -> str:
    if character in _ALIKE:
        return _ALIKE[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"


codecs.register_error(_IN_PLAIN_LETTERS, _plain_letters)
