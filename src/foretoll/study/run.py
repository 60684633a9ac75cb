"""Carries out a study: plans, says what it will cost, resumes where it was stopped, writes to the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from foretoll.data.uri import file_of
from foretoll.engine import Engine, Shared, check_nodes
from foretoll.ledger import Ledger, RunSummary
from foretoll.records import Outcome
from foretoll.study.cell import Place, run_cell, train_source
from foretoll.study.costing import PlanCost, cost_of_plan
from foretoll.study.lock import study_lock
from foretoll.study.plan import Cell, SourceModel, StudyFile, cells_of, check_code, keys_of, source_models
from foretoll.study.reading import DONE, once_each


@dataclass(frozen=True)
class StudyPlan:
    """What a study still has to do."""

    study: StudyFile
    cells: list[Cell]
    left: list[Cell]  # not there yet
    todo: list[Cell]  # of these, what is to be done now
    models: list[SourceModel]
    models_todo: list[SourceModel]
    runs: list[RunSummary]  # the study's runs so far, each cell's first that ended

    def cost(self, place: Place) -> PlanCost:
        """What is left will cost; takes some seconds where it has to be probed."""
        return cost_of_plan(self.todo, self.models_todo, self.runs, place)


@dataclass
class StudyProgress:
    """How a study goes; `failures` are sentences."""

    total: int
    done: int = 0
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Expected seconds to the end, from the pace so far."""
        if not self.done:
            return None
        return (time.monotonic() - self.began) / self.done * (self.total - self.done)


def plan_study(
    study: StudyFile, place: Place, *, limit: int | None = None, retry_failed: bool = False
) -> StudyPlan:
    """Compare a study with its ledger: what is wanted, what is there, what is left (the first `limit` of it).

    Raises ModelError, before anything else, where the study names code to import and the user does not trust it.
    A run that failed counts as there, since the same would fail again; with `retry_failed` it is done again.
    """
    check_code(study, place.trust)
    cells = cells_of(study)
    runs, there = _known(Ledger.open(place.ledger), f"study:{study.name}", retry_failed=retry_failed)
    models = source_models(cells)
    left = [cell for cell, key in zip(cells, keys_of(cells), strict=True) if f"cell:{key}" not in there]
    todo = left[:limit]
    needed = {model.key for model in source_models(todo)}
    models_todo = [m for m in models if m.key in needed and not place.has_model(m)]
    return StudyPlan(study, cells, left, todo, models, models_todo, runs)


def _known(ledger: Ledger, tag: str, *, retry_failed: bool) -> tuple[list[RunSummary], set[str]]:
    """The runs of a study, and the tags of cells that are there; no record is parsed for it."""
    ended = DONE if retry_failed else (*DONE, Outcome.FAILED)
    cells = ledger.tags("cell:", tag=tag)

    def cell_of(run: RunSummary) -> str | None:
        return next(iter(cells.get(run.id, ())), None)

    every = list(ledger.summaries(tag=tag, newest_first=False))
    runs, _ = once_each(every, cell_of)
    return runs, {cell for run in every if run.outcome in ended and (cell := cell_of(run)) is not None}


def run_study(
    plan: StudyPlan,
    place: Place,
    engine: Engine,
    *,
    watch: Callable[[StudyProgress, str], None] | None = None,
) -> StudyProgress:
    """Carry out what is left. A cell that fails is reported; the others go on.

    The folder is held meanwhile; what another process did since the plan was made is not done again.

    Raises:
        ForetollError: another process carries out studies in this folder, or a node of a cluster does not see it.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    with study_lock(place.folder):
        check_nodes(engine, shared_by(plan, place))
        return _run(plan, place, engine, watch)


def shared_by(plan: StudyPlan, place: Place) -> Shared:
    """What all workers of a study must see: its folder, and the files of its data."""
    uris = {uri for cell in plan.todo for uri in (cell.source, cell.target, cell.reference)}
    files = {file for uri in uris if (file := file_of(uri)) is not None}
    return Shared((place.folder,), tuple(sorted(files)))


def _run(
    plan: StudyPlan,
    place: Place,
    engine: Engine,
    watch: Callable[[StudyProgress, str], None] | None,
) -> StudyProgress:
    progress = StudyProgress(total=len(plan.models_todo) + len(plan.todo))
    stages: list[tuple[Callable[..., str], Iterable[object]]] = [
        (train_source, [(model, place) for model in plan.models_todo]),
        (run_cell, [(cell, place) for cell in plan.todo]),
    ]
    for function, tasks in stages:
        for result in engine.run(function, tasks):
            progress.done += 1
            if result.error is not None:
                progress.failures.append(f"{_what(result.task)}: {result.error}")
            if watch is not None:
                watch(progress, _what(result.task))
    return progress


def _what(task: object) -> str:
    item = task[0] if isinstance(task, tuple) else task
    if isinstance(item, Cell):
        shift = f" {item.shift.kind} {item.shift.level:g}" if item.shift else ""
        return f"{item.option} {item.arch} {item.source_name} → {item.target_name}{shift} (seed {item.settings.seed})"
    if isinstance(item, SourceModel):
        return f"source model {item.arch} on {item.data}"
    return str(item)
