"""Correlation of every index and signal with every cost: pooled, within a model, within a kind of shift.

The form is that of RESQUE and PreIndex. Runs that did not reach their target stay in: for epochs they are tied
at the limit, for what they had spent of other costs they stand where they stopped (ranks), and the concordance
index knows that they are lower bounds. Every figure says how many runs, and how many censored ones, it is of.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.forecast.survival import concordance
from foretoll.options.table import DEFAULT
from foretoll.records import Run
from foretoll.research.columns import COSTS, CUMULATED, REPEAT, StudyColumn, columns, cost_of, title_of
from foretoll.research.correlate import (
    draws_of,
    mean_interval,
    midranks,
    pearson,
    spearman,
    spearman_interval,
)
from foretoll.research.findings import Association, KindAssociation, Section, SeedSpread, StudyTables
from foretoll.research.leave_out import Row, rows_of

DRAWS = 400
FEWEST_SETTINGS = 3  # a correlation within fewer settings than this says nothing
FEWEST_RUNS = 8
POOLED, MODEL, KIND, KIND_AND_MODEL, TARGET = (
    "pooled",
    "within a model",
    "within a kind",
    "within a kind and model",
    "within a target",
)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _KnownRuns:
    """The runs of which signal and cost are known, as arrays."""

    x: Array
    y: Array
    censored: NDArray[np.bool_]
    rows: list[Row]


def shift_of(row: Row) -> str:
    """What sort of shift a run was: task, distribution (computed), or natural."""
    if row.case.task_shift:
        return "task"
    return "distribution" if row.run.target.shift else "natural"


def model_of(row: Row) -> str:
    """The source model's architecture and data: models of one architecture trained on other data are others."""
    options = ",".join(f"{k}={v}" for k, v in sorted(row.run.model.arch_options.items()))
    return f"{row.case.arch}?{options}|{row.case.source_name}"


def study_tables(
    runs: Iterable[Run],
    *,
    option: str = DEFAULT,
    everything: bool = False,
    trained: bool = False,
    seed: int = 0,
) -> StudyTables:
    """All tables of the runs of one option; sections with too few runs are left out.

    trained: leave out the runs that met their target before the first step. That is a choice by the outcome: it
    shows what orders the cost of those that cost something, and is no estimate of how a forecast will do.
    """
    rows = [row for row in rows_of(runs, option=option) if row.epochs > 0 or not trained]
    sections = []
    for shift in ("distribution", "natural", "task"):
        chosen = [row for row in rows if shift_of(row) == shift]
        if len(chosen) >= FEWEST_RUNS:
            sections.append(_section(shift, chosen, everything=everything, seed=seed))
    return StudyTables(option, len(rows), sum(row.censored for row in rows), tuple(sections))


def _section(shift: str, rows: list[Row], *, everything: bool, seed: int) -> Section:
    scopes: dict[str, Callable[[Row], str]] = {POOLED: lambda row: "", MODEL: model_of}
    if shift == "distribution":
        scopes[KIND] = lambda row: row.case.shift_kind
        scopes[KIND_AND_MODEL] = lambda row: f"{row.case.shift_kind}|{model_of(row)}"
    if shift == "task":
        scopes[TARGET] = lambda row: f"{row.case.target_name}|{row.case.arch}"
    signals = columns(rows, everything=everything)
    found: list[Association] = []
    kinds: list[KindAssociation] = []
    pooled = _PooledBootstrap(seed)
    for cost in COSTS:
        if sum(cost_of(row.run, cost) is not None for row in rows) < FEWEST_RUNS:
            continue
        for signal in [*signals, StudyColumn(REPEAT, title_of(REPEAT), _repeated(rows, cost))]:
            for scope, group in scopes.items():
                entry = _association(rows, signal, cost, scope, group, pooled, seed)
                if entry is not None:
                    found.append(entry)
            if shift == "distribution":
                kinds += _kinds(rows, signal, cost)
    return Section(
        shift,
        len(rows),
        sum(row.censored for row in rows),
        sum(row.epochs == 0 for row in rows),
        len({row.setting for row in rows}),
        tuple(scopes),
        tuple(found),
        tuple(kinds),
        _spread(rows),
    )


class _PooledBootstrap:
    """Bootstrap intervals over all runs; the draws and ranks that many signals share are made once."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._weights: dict[tuple[str, ...], Array] = {}
        self._ranks: dict[tuple[str, tuple[str, ...]], Array] = {}

    def interval(self, known: _KnownRuns, cost: str) -> tuple[float | None, float | None]:
        runs = tuple(row.run.id for row in known.rows)
        if runs not in self._weights:
            self._weights[runs] = draws_of([row.setting for row in known.rows], draws=DRAWS, seed=self._seed)
        weights = self._weights[runs]
        if (cost, runs) not in self._ranks:
            self._ranks[cost, runs] = midranks(known.y, weights)
        return spearman_interval(midranks(known.x, weights), self._ranks[cost, runs], weights)


def _association(
    rows: list[Row],
    signal: StudyColumn,
    cost: str,
    scope: str,
    group: Callable[[Row], str],
    pooled: _PooledBootstrap,
    seed: int,
) -> Association | None:
    known = _known(rows, signal, cost)
    parts = [part for part in _grouped(known, group).values() if _enough(part)]
    if not parts or (scope == POOLED and len(known.rows) < FEWEST_RUNS):
        return None
    ranked = [value for part in parts if (value := spearman(part.x, part.y)) is not None]
    low, high = (
        pooled.interval(known, cost)
        if scope == POOLED
        else mean_interval(np.array(ranked), draws=DRAWS, seed=seed)
    )
    ordered = [concordance(part.x, part.y, part.censored) for part in parts]
    return Association(
        signal.name,
        signal.title,
        cost,
        scope,
        runs=sum(len(part.rows) for part in parts),
        censored=sum(row.censored for part in parts for row in part.rows),
        groups=len(parts),
        pearson=_mean(pearson(part.x, part.y) for part in parts),
        spearman=_mean(ranked),
        low=low,
        high=high,
        concordance=_mean(ordered),
    )


def _kinds(rows: list[Row], signal: StudyColumn, cost: str) -> list[KindAssociation]:
    found = []
    for kind, part in sorted(_grouped(_known(rows, signal, cost), lambda row: row.case.shift_kind).items()):
        if not _enough(part):
            continue
        models = [p for p in _grouped(part, model_of).values() if _enough(p)]
        within = [value for p in models if (value := spearman(p.x, p.y)) is not None]
        found.append(
            KindAssociation(
                kind,
                signal.name,
                cost,
                runs=len(part.rows),
                censored=sum(row.censored for row in part.rows),
                pearson=pearson(part.x, part.y),
                spearman=spearman(part.x, part.y),
                within_models=_mean(within),
                models=len(within),
            )
        )
    return found


def _known(rows: Sequence[Row], signal: StudyColumn, cost: str) -> _KnownRuns:
    pairs = [(signal.of(row), cost_of(row.run, cost), row) for row in rows]
    kept = [(x, y, row) for x, y, row in pairs if x is not None and y is not None]
    bound = cost in CUMULATED
    return _KnownRuns(
        np.array([x for x, _, _ in kept], dtype=np.float64),
        np.array([y for _, y, _ in kept], dtype=np.float64),
        np.array([row.censored and bound for _, _, row in kept], dtype=bool),
        [row for _, _, row in kept],
    )


def _grouped(known: _KnownRuns, group: Callable[[Row], str]) -> dict[str, _KnownRuns]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(known.rows):
        places[group(row)].append(place)
    return {
        name: _KnownRuns(known.x[at], known.y[at], known.censored[at], [known.rows[i] for i in at])
        for name, at in places.items()
    }


def _enough(part: _KnownRuns) -> bool:
    """Enough settings, and something that varies: a group whose runs all cost the same has no order."""
    varies = float(np.ptp(part.y)) > 0 and float(np.ptp(part.x)) > 0
    return varies and len({row.setting for row in part.rows}) >= FEWEST_SETTINGS


def _repeated(rows: Sequence[Row], cost: str) -> Callable[[Row], float | None]:
    """The same cost of another seed of the very same setting: what no forecast of a single run can pass."""
    seeds: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.run.settings.seed, row.run.id)):
        seeds[row.setting].append(row)
    other = {
        row.run.id: cost_of(group[place - 1].run, cost)
        for group in seeds.values()
        if len(group) > 1
        for place, row in enumerate(group)
    }
    return lambda row: other.get(row.run.id)


def _spread(rows: Sequence[Row]) -> SeedSpread:
    seeds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        seeds[row.setting].append(row)
    repeated = [group for group in seeds.values() if len(group) > 1]
    factor: dict[str, float | None] = {}
    for cost in COSTS:
        offset = EPOCH_OFFSET if cost == "epochs" else 0.0
        apart = []
        for group in repeated:
            values = [v + offset for row in group if (v := cost_of(row.run, cost)) is not None]
            if len(values) == len(group) and min(values) > 0 and not any(row.censored for row in group):
                apart.append(math.log(max(values) / min(values)))
        factor[cost] = math.exp(median(apart)) if apart else None
    disagree = sum(len({row.censored for row in group}) > 1 for group in repeated)
    return SeedSpread(len(repeated), disagree, factor)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
