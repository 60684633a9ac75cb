"""Carrying out the tiny study, and what of its runs must be the same however often it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foretoll.engine import Engine, open_engine
from foretoll.ledger import Ledger
from foretoll.records import Outcome, Run
from foretoll.study.cell import Place
from foretoll.study.plan import StudyFile
from foretoll.study.run import StudyProgress, plan_study, run_study
from foretoll.study.study_file import read_study

TINY = Path(__file__).with_name("tiny.toml")
MEASURED = {
    "id",
    "started_at",
    "finished_at",
    "preparation",
    "inference",
    "training",
    "evaluation",
    "energy",
    "lineage",
    "checkpoint",
}


def tiny() -> StudyFile:
    return read_study(TINY)


def place_of(folder: Path) -> Place:
    return Place(folder, str(folder / "ledger.db"), energy="none")


def carry_out(folder: Path, engine: str | Engine = "local", *, limit: int | None = None) -> StudyProgress:
    folder.mkdir(parents=True, exist_ok=True)
    place = place_of(folder)
    plan = plan_study(tiny(), place, limit=limit)
    if isinstance(engine, Engine):
        return run_study(plan, place, engine)
    with open_engine(engine) as workers:
        return run_study(plan, place, workers)


def all_runs(folder: Path) -> list[Run]:
    return Ledger.open(folder / "ledger.db").runs(newest_first=False)


def ended(folder: Path) -> list[Run]:
    return [run for run in all_runs(folder) if run.outcome in (Outcome.REACHED, Outcome.CENSORED)]


def essence(runs: list[Run]) -> list[str]:
    """Everything of the runs but times, ids and energy, in an order that does not depend on when they ran."""
    return sorted(json.dumps(_essence(run), sort_keys=True) for run in runs)


def _essence(run: Run) -> dict[str, Any]:
    data = {name: value for name, value in run.model_dump(mode="json").items() if name not in MEASURED}
    for name in ("run_id", "parent_run_id"):
        data["model"].pop(name)
    for name in ("duration_s", "energy_kwh", "emissions_kg"):
        data["toll"].pop(name)
    for point in data["curve"]:
        point.pop("duration_s")
    return data
