"""`foretoll study run`: the plan first, then the runs with a progress line, then what came of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foretoll.commands.output import warn
from foretoll.engine import Engine, open_engine
from foretoll.errors import UsageError
from foretoll.models import Trust
from foretoll.printing import PlainConsole, error_console
from foretoll.study.cell import Place
from foretoll.study.costing import PlanCost
from foretoll.study.plan import StudyFile, check_code
from foretoll.study.run import StudyPlan, StudyProgress, plan_study, run_study
from foretoll.study.study_file import find_study, read_study
from foretoll.units import human_duration, human_energy
from foretoll.workflows.context import check_out, choose_device


def carry_out_study(
    file: str,
    *,
    out: Path | None,
    engine: str,
    limit: int | None,
    device: str,
    energy: str,
    region: str | None,
    plan_only: bool,
    quiet: bool,
    retry_failed: bool = False,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Plan and carry out; returns counts, failures and where the ledger is."""
    console = error_console(quiet=quiet)
    study = read_study(find_study(file))
    check_code(study, Trust(everything=trust_code))  # before a folder is made or a worker started
    folder = (out or Path(f"study-{study.name}")).resolve()
    if limit is not None and limit < 0:
        raise UsageError(f"--limit {limit} is no number of runs: give 0 or more")
    chosen = choose_device(device)
    place = Place(
        folder,
        str(folder / "ledger.db"),
        energy=energy,
        region=region,
        device=str(chosen),
        trust_code=trust_code,
    )
    place.accounting.check(chosen)
    check_out(folder)
    with ExitStack() as stack:
        workers = None if plan_only else stack.enter_context(open_engine(engine))
        return _carry_out(study, place, workers, limit=limit, retry_failed=retry_failed, console=console)


def _carry_out(
    study: StudyFile,
    place: Place,
    workers: Engine | None,
    *,
    limit: int | None,
    retry_failed: bool,
    console: PlainConsole,
) -> dict[str, Any]:
    """Say what is to be done; do it, unless there is nobody to do it."""
    place.folder.mkdir(parents=True, exist_ok=True)
    plan = plan_study(study, place, limit=limit, retry_failed=retry_failed)
    warn([plan.unread])
    console.say_line(_plan_text(plan))
    cost = plan.cost(place)
    for line in _cost_text(cost).split("\n"):
        console.say_line(line)
    found: dict[str, Any] = {
        "study": study.name,
        "cells": len(plan.cells),
        "todo": len(plan.todo),
        "models_todo": len(plan.models_todo),
        "cost": asdict(cost),
        "ledger": place.ledger,
    }
    if workers is None:
        return found

    def watch(progress: StudyProgress, what: str) -> None:
        left = human_duration(progress.left_s)
        console.say_line(f"  {progress.done} of {progress.total}, about {left} left: {what}")

    progress = run_study(plan, place, workers, watch=watch)
    for failure in progress.failures:
        console.say_line(f"  failed: {failure}")
    console.say_line(
        f"{progress.done - len(progress.failures)} done, {len(progress.failures)} failed; ledger {place.ledger}"
    )
    return {**found, "done": progress.done, "failures": progress.failures}


def _plan_text(plan: StudyPlan) -> str:
    there = len(plan.cells) - len(plan.left)
    return (
        f"{plan.study.name}: {len(plan.cells)} runs wanted, {there} there, {len(plan.todo)} to do now; "
        f"{len(plan.models_todo)} source models to train first"
    )


def _cost_text(cost: PlanCost) -> str:
    """Expected cost, the most it can be, and what that rests on."""
    time = human_duration(cost.duration_s) if cost.duration_s is not None else "unknown time"
    energy = human_energy(cost.energy_kwh) if cost.energy_kwh is not None else "energy not metered"
    most = ""
    if cost.most_duration_s:
        known = f", {human_energy(cost.most_energy_kwh)}" if cost.most_energy_kwh is not None else ""
        most = f" (at most {human_duration(cost.most_duration_s)}{known} on one worker)"
    return f"  cost: about {time}, {energy}{most}\n  rests on: {cost.basis}"
