"""Finished runs that their ledger could not take: kept in files, and taken in when it can be reached again."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from foretoll.errors import LedgerError
from foretoll.exchange.files import write_runs
from foretoll.ledger.database import user_folder
from foretoll.records import Run


def spool_folder(where: str) -> Path:
    """The user's own folder for runs that wait for the ledger at this path or URL; LedgerError without a home."""
    place = where if "://" in where else str(Path(where).absolute())
    return user_folder() / "spool" / hashlib.sha256(place.encode()).hexdigest()[:16]


def waiting(where: str) -> list[Path]:
    """The files of runs that wait for this ledger."""
    try:
        return sorted(spool_folder(where).glob("foretoll-run-*.jsonl"))
    except (LedgerError, OSError):
        return []


def rescue(run: Run, where: str | None = None) -> Path | None:
    """Keep a run in a file that `foretoll ledger import` takes in: in the first folder that can be written to.

    That is the folder of what waits for the ledger `where`, which takes it in by itself when it can be written again;
    else the one for temporary files, the current one or home. None where it can be kept in none of them.
    """
    name = f"foretoll-run-{''.join(c if c.isalnum() else '-' for c in run.id)}.jsonl"
    for folder in _folders(where):
        try:
            path = folder / name
            write_runs(path, [run])
        except (LedgerError, OSError):  # no such folder, a full disk
            continue
        return path
    return None


def _folders(where: str | None) -> Iterator[Path]:
    places: tuple[Callable[[], Path | None], ...] = (
        lambda: _made(spool_folder(where or "")) if where else None,
        lambda: Path(tempfile.gettempdir()),
        Path.cwd,
        Path.home,
    )
    for folder in places:
        try:
            found = folder()
        except (LedgerError, OSError, RuntimeError):  # it cannot be made; there is no home
            continue
        if found is not None:
            yield found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
