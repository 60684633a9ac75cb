"""The runs of a study, wherever they are: its folder, a ledger, an export, or the ledger that ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from foretoll.exchange.files import read_file
from foretoll.exchange.reading import unread_text
from foretoll.forecast.reference import RUNS
from foretoll.ledger import Ledger, RunSummary, Selection, read_runs
from foretoll.records import Outcome, Run
from foretoll.study.places import REFERENCE, ledger_file

R = TypeVar("R", Run, RunSummary)
DONE = tuple(outcome for outcome in Outcome if outcome.complete)


@dataclass(frozen=True)
class StudyRuns:
    """Runs, oldest first, each wanted run once; `notes` are sentences on what was passed over."""

    runs: list[Run]
    notes: tuple[str, ...] = ()


def study_runs(where: str) -> StudyRuns:
    """All runs of a study's folder, a ledger file, an export (.jsonl, .jsonl.gz) or a database URL, oldest first.

    "reference" is the ledger that ships with foretoll. A wanted run (a cell) that was carried out twice, as two
    processes on one folder once could, counts once: the first that ended.

    Raises UsageError where there is no such thing, LedgerError where it cannot be read.
    """
    runs, unread = _read(where)
    kept, repeated = once_each(runs, cell_of)
    said = [f"{repeated} runs repeat a cell that is there already: each counts once"] if repeated > 1 else []
    said += ["1 run repeats a cell that is there already: it counts once"] if repeated == 1 else []
    return StudyRuns(kept, tuple(filter(None, (unread, *said))))


def runs_of(where: str) -> list[Run]:
    """The runs of `study_runs` alone."""
    return study_runs(where).runs


def once_each(runs: Iterable[R], cell_of: Callable[[R], str | None]) -> tuple[list[R], int]:
    """The runs without repetitions of a cell, and how many these were. Runs that did not end are all kept."""
    seen: set[str] = set()
    kept: list[R] = []
    repeated = 0
    for run in runs:
        cell = cell_of(run)
        if cell is not None and run.outcome in DONE:
            if cell in seen:
                repeated += 1
                continue
            seen.add(cell)
        kept.append(run)
    return kept, repeated


def cell_of(run: Run) -> str | None:
    """The tag of the cell that a run carried out."""
    return next((tag for tag in run.tags if tag.startswith("cell:")), None)


def _read(where: str) -> tuple[list[Run], str]:
    """The runs of a place, oldest first, and a line on what could not be read."""
    if where == REFERENCE:
        return sorted(read_runs(RUNS), key=lambda run: run.started_at), ""
    if "://" in where:
        return _selected(Ledger.open(where).select(newest_first=False))
    path = ledger_file(where)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        found = read_file(path)
        return sorted(found.runs, key=lambda run: run.started_at), unread_text(found.unread)
    return _selected(Ledger.open(path).select(newest_first=False))


def _selected(found: Selection) -> tuple[list[Run], str]:
    return found.runs, found.warning
