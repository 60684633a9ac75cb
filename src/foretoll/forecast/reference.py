"""The reference ledger that ships with foretoll: a fresh install forecasts from it at once.

`reference.jsonl.gz` holds trimmed runs of the study `reference`; `reference_held_out.json.gz` holds what each of
them was off by when it was forecast without its own group of runs, so that intervals need no refitting. Both are
written by `foretoll study pack`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.exchange.files import read_runs, write_runs
from foretoll.forecast.case import OF_STUDIES, without_pilot, without_source
from foretoll.forecast.forecaster import Forecaster
from foretoll.forecast.kept import OF_RUNS, ArrayStore, key_of
from foretoll.forecast.learned import ALL_TASKS, CostModels, HeldOut, HeldOutTable, table_key
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import COSTS, lessons_of
from foretoll.forecast.own_lessons import OwnLessons
from foretoll.forecast.regressor import CostModel
from foretoll.forecast.trimming import trimmed
from foretoll.forecast.unseen import KnownSettings, distinct_settings
from foretoll.records import Run, TrainingSettings

RUNS = Path(__file__).with_name("reference.jsonl.gz")
HELD_OUT = Path(__file__).with_name("reference_held_out.json.gz")
FEWEST = 20  # cases with a set of known features before residuals for that set are kept


@cache
def reference_runs() -> tuple[Run, ...]:
    """The runs that ship with foretoll; empty where the file is absent."""
    return tuple(read_runs(RUNS)) if RUNS.exists() else ()


def reference_forecaster(own: OwnLessons | None = None) -> Forecaster:
    """The forecaster of the runs that ship with foretoll and of the user's `own`.

    What was read and fitted is kept for the next process (`foretoll.forecast.kept`).
    """
    own = own or OwnLessons()
    return Forecaster(
        before=reference_lessons() + Lessons.of(own.lessons),
        held_out=reference_held_out(),
        store=ArrayStore.of_user(),
        of_model=own.of_model,
    )


def reference_lessons() -> Lessons:
    """What the runs that ship with foretoll teach."""
    return _digested()[0]


def reference_settings() -> tuple[KnownSettings, ...]:
    """The different settings that they were trained with."""
    return _digested()[1]


@cache
def _digested() -> tuple[Lessons, tuple[KnownSettings, ...]]:
    """What is read of the runs that ship; their records are parsed only where their columns do not ship too."""
    if not RUNS.exists():
        return Lessons.of(()), ()
    store, key = ArrayStore.of_user(), columns_key(RUNS.read_bytes())
    found = store.get(key)
    if found is not None:
        try:
            return Lessons(found), _known(found["settings"].tolist())
        except (KeyError, ValueError):  # damaged: made anew
            pass
    made = columns_of(reference_runs())
    store.put(key, made)
    return Lessons(made), _known(made["settings"].tolist())


def columns_key(packed: bytes) -> str:
    """The name under which the columns of the runs in a packed file are kept."""
    return key_of("runs", OF_RUNS, hashlib.sha256(packed).digest())


def columns_of(runs: Sequence[Run]) -> dict[str, NDArray[Any]]:
    """The lessons of runs by column, and the settings that they were trained with."""
    settings = np.array(distinct_settings(runs), dtype=np.str_)
    return {**Lessons.of(lessons_of(runs)).columns, "settings": settings}


def _known(settings: Iterable[str]) -> tuple[KnownSettings, ...]:
    return tuple(KnownSettings(TrainingSettings.model_validate_json(text)) for text in settings)


@cache
def reference_held_out() -> HeldOut:
    """Residuals of the reference runs, held out; none where the file is absent."""
    if not HELD_OUT.exists():
        return HeldOut()
    return held_out_in(HELD_OUT.read_bytes())


def held_out_in(packed: bytes) -> HeldOut:
    """The residuals in a packed file."""
    return HeldOut(cache(lambda: _unpacked(packed)), hashlib.sha256(packed).hexdigest())


def _packed(table: HeldOutTable) -> bytes:
    """The residuals in columns, in the order of the runs' ids, which stand there once."""
    ids = sorted({run for sets in table.values() for told in sets.values() for run in told})
    columns = {
        cost: {key: [told.get(run) for run in ids] for key, told in sets.items()}
        for cost, sets in table.items()
    }
    text = json.dumps({"runs": ids, "residuals": columns}, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), mtime=0)  # mtime 0: the same runs give the same bytes


def _unpacked(packed: bytes) -> HeldOutTable:
    found = json.loads(gzip.decompress(packed))
    ids = found["runs"]
    return {
        cost: {
            key: {run: value for run, value in zip(ids, values, strict=True) if value is not None}
            for key, values in sets.items()
        }
        for cost, sets in found["residuals"].items()
    }


def pack(runs: Iterable[Run], *, into: Path | None = None) -> tuple[int, int]:
    """Write the reference files from a study's runs; returns the number of runs and the bytes written."""
    folder = into or RUNS.parent
    kept = sorted((trimmed(run) for run in runs), key=lambda run: run.id)
    write_runs(folder / RUNS.name, kept)
    (folder / HELD_OUT.name).write_bytes(_packed(held_out_of(kept)))
    return len(kept), sum((folder / name).stat().st_size for name in (RUNS.name, HELD_OUT.name))


def held_out_of(runs: Iterable[Run]) -> HeldOutTable:
    """Residuals of each run when its group is left out, for every set of known features that is common.

    Times also without what a pilot tells: so the options that stand beside the one that is asked about are forecast.
    All of them for classification also without what the source's data tell: models come without these.
    """
    learned = CostModels(runs)
    sets: dict[tuple[str, frozenset[str]], int] = defaultdict(int)
    for lesson in learned.lessons:
        if not lesson.decided:
            known = frozenset(name for name, value in lesson.features.items() if value is not None)
            known -= OF_STUDIES  # no user's case has them
            sets[learned.pool(lesson.option, lesson.task), known] += 1
    found: dict[str, dict[str, dict[str, float]]] = {cost: {} for cost in COSTS}
    for (pool, known), count in sorted(sets.items(), key=lambda item: table_key(*item[0])):
        if count < FEWEST:
            continue
        for kept in (known,) if pool == ALL_TASKS else dict.fromkeys((known, without_source(known))):
            for cost in COSTS:
                found[cost][table_key(pool, kept)] = _held_out(learned, cost, pool, kept)
            fewer = without_pilot(kept)
            found["epochs"][table_key(pool, fewer)] = _held_out(learned, "epochs", pool, fewer)
    return {cost: {key: told for key, told in sets.items() if told} for cost, sets in found.items()}


def _held_out(learned: CostModels, cost: str, pool: str, known: frozenset[str]) -> dict[str, float]:
    """The residuals by the run's id; empty where there are too few runs."""
    table, kept = learned.table(cost, pool, known)
    held = CostModel(table).held_out if len(table) else None
    if held is None:
        return {}
    return {
        learned.lessons[kept[int(row)]].run_id: round(float(value), 3)
        for row, value in zip(held.rows, held.residual, strict=True)
        if np.isfinite(value)
    }
