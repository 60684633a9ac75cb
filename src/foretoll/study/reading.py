"""The runs of a study, wherever they are: its folder, a ledger, an export, or the ledger that ships."""

from __future__ import annotations

from pathlib import Path

from foretoll.errors import UsageError
from foretoll.forecast.reference import RUNS
from foretoll.ledger import Ledger, read_runs
from foretoll.records import Run

LEDGER = "ledger.db"


def runs_of(where: str) -> list[Run]:
    """All runs of a study's folder, a ledger file, an export (.jsonl, .jsonl.gz) or a database URL, oldest first.

    "reference" is the ledger that ships with foretoll.

    Raises UsageError where there is no such thing, LedgerError where it cannot be read.
    """
    if where == "reference":
        return sorted(read_runs(RUNS), key=lambda run: run.started_at)
    if "://" in where:
        return Ledger.open(where).runs(newest_first=False)
    path = Path(where).expanduser()
    if path.is_dir():
        path = path / LEDGER
    if not path.is_file():
        raise UsageError(
            f"{str(path)!r} is no ledger: give the folder of a study, a ledger (.db) or an export (.jsonl, .jsonl.gz)"
        )
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return sorted(read_runs(path), key=lambda run: run.started_at)
    return Ledger.open(path).runs(newest_first=False)
