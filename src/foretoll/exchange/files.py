"""Runs as JSON lines: one `Run` per line, gzip where the name ends in `.gz`."""

from __future__ import annotations

import gzip
import stat
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from foretoll.atomic import replacing
from foretoll.errors import LedgerError, shown
from foretoll.exchange.reading import (
    StoredRun,
    UnreadableError,
    UnreadRecord,
    UnreadRecordWarning,
    read_record,
    unread_text,
)
from foretoll.records import Run

STREAM = "-"  # the standard output
_PART = ".part"
_MAX_LINE = 32 * 2**20  # bytes; a run is some kB, and a few MB with changes by tensor of a very large network
_MAX_RATIO = 100  # of a compressed file; runs come to 10 … 20
_FREE = 16 * 2**20  # bytes that any file may unpack to
_MAX_BLANK = 10_000  # lines
_STREAMS = ("/dev/stdout", "/dev/stderr")


@dataclass(frozen=True)
class FileReading:
    """What a file of runs holds, in its order, and the lines that are no run."""

    stored: list[StoredRun]
    unread: list[UnreadRecord]

    @property
    def runs(self) -> list[Run]:
        """The runs alone."""
        return [stored.run for stored in self.stored]


def read_runs(path: str | Path) -> list[Run]:
    """All runs of a JSON lines file, in its order; blank lines are passed over.

    A whole line that is no run of this version is passed over with an `UnreadRecordWarning`.

    Raises:
        LedgerError: the file is missing, truncated, too large to be one, or holds no run at all; the sentence names
            the line.
    """
    found = read_file(path)
    if found.unread:
        warnings.warn(unread_text(found.unread), UnreadRecordWarning, stacklevel=2)
    return found.runs


def read_file(path: str | Path, *, skip: bool = True) -> FileReading:
    """As `read_runs`, with what was passed over; unless `skip`, a line that is no run is refused (LedgerError)."""
    path = Path(path)
    stored: list[StoredRun] = []
    unread: list[UnreadRecord] = []
    first: LedgerError | None = None
    number, line = 0, b""
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            stored.append(read_record(line))
        except UnreadableError as error:
            problem = LedgerError(
                f"{path} line {number} is no run ({error}): correct that line, "
                "or export the file again if it is truncated"
            )
            if not skip or not line.endswith(b"\n"):  # the last line, cut short: more may be missing
                raise problem from error
            first = first or problem
            unread.append(UnreadRecord(f"line {number}", str(error)))
    if first is not None and not stored:
        raise first
    return FileReading(stored, unread)


def write_runs(path: str | Path, runs: Iterable[Run]) -> int:
    """Write runs as JSON lines, atomically: it is there whole, or as it was before. Returns their number.

    Raises:
        LedgerError: the file cannot be written (no such folder, read-only, disk full, a folder or a device).
    """
    return write_lines(path, (run.model_dump_json(by_alias=True).encode() for run in runs))


def write_lines(path: str | Path, lines: Iterable[bytes]) -> int:
    """Write lines as `write_runs` does; "-", /dev/stdout and a pipe are written as a stream. Returns their number."""
    path = Path(path)
    count = 0
    try:
        with _written(path) as stream:
            for line in lines:
                stream.write(line + b"\n")
                count += 1
    except BrokenPipeError:  # whoever reads the stream has seen enough
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LedgerError(
            f"{shown(path, 120)[1:-1]} cannot be written ({reason}): name a file in a folder that exists and "
            "has space"
        ) from error
    return count


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """A stream into the file: into a part beside it, which takes its place when all is written."""
    if str(path) == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if is_stream(path):
        with path.open("wb") as pipe:
            yield pipe
        return
    with replacing(path, _PART) as raw:
        if path.suffix != ".gz":
            yield raw
            return
        # no time and no name in the gzip header: the same runs give the same bytes
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped:
            yield zipped


def is_stream(path: Path) -> bool:
    """Whether a file is written as a stream: the standard output, an open descriptor, a pipe."""
    if str(path) in (STREAM, *_STREAMS) or str(path.parent) in ("/dev/fd", "/proc/self/fd"):
        return True
    return path.exists() and stat.S_ISFIFO(path.stat().st_mode)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, none longer than a run can be, and no more in all than a file of this size can hold."""
    number, unpacked, blank = 0, 0, 0
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            what = "folder" if stat.S_ISDIR(mode) else "device"
            raise LedgerError(
                f"{path} cannot be read, it is a {what}: name a file that foretoll ledger export wrote"
            )
        with path.open("rb") as raw:
            zipped = path.suffix == ".gz" or raw.peek(2)[:2] == b"\x1f\x8b"
            limit = _FREE + _MAX_RATIO * path.stat().st_size if zipped else None
            file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if zipped else raw
            while line := file.readline(_MAX_LINE + 1):
                number, unpacked, blank = number + 1, unpacked + len(line), blank + (not line.strip())
                if len(line) > _MAX_LINE:
                    raise LedgerError(
                        f"{path} line {number} has more than {_MAX_LINE >> 20} MB, which no run has: "
                        "name a file that foretoll ledger export wrote"
                    )
                if blank > _MAX_BLANK or (limit is not None and unpacked > limit):
                    what = "blank lines" if blank > _MAX_BLANK else "data packed into it"
                    raise LedgerError(
                        f"{path} has more {what} than runs have (line {number}): "
                        "name a file that foretoll ledger export wrote"
                    )
                yield number, line
    except FileNotFoundError as error:
        raise LedgerError(f"{path} is not there: name a file that `foretoll ledger export` wrote") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LedgerError(
            f"{path} is truncated or no gzip file (after line {number}: {error}): export it again"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LedgerError(f"{path} cannot be read ({reason}): check the path and its rights") from error
