"""The rows that forecasts are scored on, and the ways to leave whole groups of them out."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from foretoll.forecast.case import Case, case_of_run, usable
from foretoll.forecast.early import counted_run
from foretoll.records import Run
from foretoll.research.metrics import Outcomes

PAIR_FOLDS = 10
SIZES = ((400, "up to 400 samples"), (2000, "401 to 2,000"), (5000, "2,001 to 5,000"))
LARGEST = "over 5,000"
PRETRAINED = "pretrained models"  # forecast by what was learned from those that began with random weights
WITH_WEIGHTS = "hf:"  # begins an architecture whose weights stand in its folder


@dataclass(frozen=True)
class Row:
    """A run with its case and what it repeats."""

    run: Run
    case: Case
    setting: str

    @property
    def censored(self) -> bool:
        """Whether it ended, by its budget or given up, before the target was met."""
        return self.run.outcome.short

    @property
    def epochs(self) -> float:
        """Epochs, at the limit where censored."""
        return self.run.toll.epochs or 0.0


@dataclass(frozen=True)
class Fold:
    """One way to leave runs out: the fold a row is tested in (None: it is only learned from)."""

    name: str
    fold: Callable[[Row], str | None]
    also_out: Callable[[Row, str], bool] = lambda row, fold: False  # learned from neither


def _level(row: Row) -> str | None:
    shifts = row.run.target.shift
    return f"{shifts[0].kind}:{shifts[0].level:g}" if len(shifts) == 1 else None


def level_grades(rows: Iterable[Row]) -> dict[str, str]:
    """Grade of each kind's levels in a ledger, mildest first: "grade 1", "grade 2", …"""
    levels: dict[str, set[float]] = defaultdict(set)
    for row in rows:
        for shift in row.run.target.shift:
            levels[shift.kind].add(shift.level)
    return {
        f"{kind}:{level:g}": f"grade {rank + 1}"
        for kind, values in levels.items()
        for rank, level in enumerate(sorted(values))
    }


def splits_of(rows: Sequence[Row]) -> list[Fold]:
    """The ways to leave out that these rows allow."""
    grades = level_grades(rows)
    return [
        Fold("levels", lambda r: grades.get(_level(r) or "")),
        Fold("kinds of shift", lambda r: r.case.shift_kind or None),
        Fold(
            "data sets",
            lambda r: r.case.source_name,
            also_out=lambda r, fold: fold in (r.case.source_name, r.case.target_name),
        ),
        Fold("architecture families", lambda r: r.case.family),
        Fold("task pairs", _pair_fold),
        Fold("sizes", _size),
        Fold("kinds of data", lambda r: r.run.target.kind if r.run.target.kind != "image" else None),
        Fold(PRETRAINED, lambda r: PRETRAINED if of_others(r.run) else None),
    ]


def of_others(run: Run) -> bool:
    """Whether others trained the source model: no run made it, or only the head on a folder of transformers."""
    return run.model.parent_run_id is None or run.model.arch.startswith(WITH_WEIGHTS)


def _size(row: Row) -> str:
    samples = row.case.train_samples
    return next((name for most, name in SIZES if samples <= most), LARGEST)


def _pair_fold(row: Row) -> str | None:
    """Pairs of data sets, a tenth of them left out at a time."""
    pair = (row.case.source_name, row.case.target_name)
    if not row.case.task_shift and pair[0] == pair[1]:
        return None
    return f"pairs {zlib.crc32(' → '.join(pair).encode()) % PAIR_FOLDS}"


def rows_of(runs: Iterable[Run], *, option: str | None = None, task: str | None = None) -> list[Row]:
    """Usable runs as rows; `option` keeps one way of reuse, `task` one task."""
    rows = []
    for run in map(counted_run, runs):
        case = case_of_run(run)
        if (
            case is None
            or not usable(run)
            or (option and run.option != option)
            or (task and case.task != task)
        ):
            continue
        setting = next((t for t in run.tags if t.startswith("setting:")), run.id)
        rows.append(Row(run, case, f"{setting}:{run.option}"))
    return rows


def outcomes(rows: Sequence[Row]) -> Outcomes:
    """What happened to these rows."""
    return Outcomes(
        np.array([r.epochs for r in rows]),
        np.array([r.case.max_epochs for r in rows]),
        np.array([r.censored for r in rows], dtype=bool),
    )
