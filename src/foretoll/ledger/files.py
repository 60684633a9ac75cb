"""Runs as JSON lines: one `Run` per line, gzip where the name ends in `.gz`."""

from __future__ import annotations

import gzip
import os
import secrets
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from foretoll.errors import LedgerError
from foretoll.records import Run


def read_runs(path: str | Path) -> list[Run]:
    """All runs of a JSON lines file, in its order; blank lines are passed over.

    Raises:
        LedgerError: the file is missing, truncated or a line is no run; the sentence names the line.
    """
    path = Path(path)
    runs: list[Run] = []
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    runs.append(_parse(line, path, number))
    except FileNotFoundError as error:
        raise LedgerError(f"{path} is not there: name a file that `foretoll ledger export` wrote") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LedgerError(
            f"{path} is truncated or no gzip file (after line {number}: {error}): export it again"
        ) from error
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be read ({error.strerror}): check the path and its rights"
        ) from error
    return runs


def write_runs(path: str | Path, runs: Iterable[Run]) -> int:
    """Write runs as JSON lines, atomically: it is there whole, or as it was before. Returns their number.

    Raises:
        LedgerError: the file cannot be written (no such folder, read-only, disk full).
    """
    path = Path(path)
    count = 0
    temporary: Path | None = None
    try:
        part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
        with part.open("xb") as raw:
            temporary = part
            # no time and no name in the gzip header: the same runs give the same bytes
            zipped = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if _is_gzip(path) else None
            stream: IO[bytes] | gzip.GzipFile = zipped or raw
            for run in runs:
                stream.write(run.model_dump_json(by_alias=True).encode() + b"\n")
                count += 1
            if zipped is not None:
                zipped.close()
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
        temporary = None
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be written ({error.strerror}): name a file in a folder that exists and has space"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return count


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as part of a sentence."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _parse(line: bytes, path: Path, number: int) -> Run:
    try:
        return Run.model_validate_json(line)
    except ValidationError as error:
        raise LedgerError(
            f"{path} line {number} is no run ({first_problem(error)}): "
            "correct that line, or export the file again if it is truncated"
        ) from error


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")


def _is_gzip(path: Path) -> bool:
    return path.suffix == ".gz"
