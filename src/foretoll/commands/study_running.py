"""`foretoll study run`: the plan first, then the runs with a progress line, then what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from foretoll.arguments import check_out
from foretoll.commands.flags import StudyFlags
from foretoll.engine import Engine, check_engine, open_engine
from foretoll.errors import ForetollError, UsageError, shown
from foretoll.models import Trust
from foretoll.printing import PlainConsole, error_console
from foretoll.streams import LONGEST, PREFIX, complain
from foretoll.study.cell import Place
from foretoll.study.check import StudyMistakesError
from foretoll.study.costing import PlanCost
from foretoll.study.lock import study_lock
from foretoll.study.places import find_study
from foretoll.study.plan import StudyFile, check_code
from foretoll.study.run import StudyPlan, StudyProgress, plan_study, run_study
from foretoll.study.study_file import read_study
from foretoll.units import human_duration, human_energy
from foretoll.workflows.context import Accounting, choose_device

T = TypeVar("T")


def carry_out_study(asked: StudyFlags, *, quiet: bool) -> dict[str, Any]:
    """Plan and carry out; returns counts, failures and where the ledger is."""
    console = error_console(quiet=quiet)
    study, place = _asked_for(asked)
    check_out(place.folder)
    with ExitStack() as stack:
        workers = None
        if not asked.plan_only:
            if place.folder.is_dir():
                with study_lock(place.folder):  # said before anything is probed; the runs hold it themselves
                    pass
            workers = stack.enter_context(open_engine(asked.engine))
        return _carry_out(
            study, place, workers, limit=asked.limit, retry_failed=asked.retry_failed, console=console
        )


def _asked_for(asked: StudyFlags) -> tuple[StudyFile, Place]:
    """The study and where it goes. All mistakes of its file and of the flags are named at once."""
    refused: list[ForetollError] = []

    def attempt(look: Callable[[], T]) -> T | None:
        try:
            return look()
        except ForetollError as error:
            refused.append(error)
            return None

    def file_read() -> StudyFile:
        study = read_study(find_study(asked.file))
        check_code(study, Trust(everything=asked.trust_code))  # before a folder is made or a worker started
        return study

    study = attempt(file_read)
    if asked.limit is not None and asked.limit < 0:
        refused.append(UsageError(f"--limit {asked.limit} is no number of runs: give 0 or more"))
    attempt(lambda: check_engine(asked.engine))
    chosen = attempt(lambda: choose_device(asked.device))
    attempt(lambda: Accounting(energy=asked.energy, region=asked.region).check(chosen or "cpu"))
    if study is not None and chosen is not None and not refused:
        folder = (asked.out or Path(f"study-{study.name}")).resolve()
        return study, Place(
            folder,
            str(folder / "ledger.db"),
            energy=asked.energy,
            region=asked.region,
            device=str(chosen),
            trust_code=asked.trust_code,
        )
    if len(refused) == 1 and len(f"{PREFIX}{refused[0]}") <= LONGEST:
        raise refused[0]
    for error in refused:  # more than a sentence holds: a line each
        mistakes = error.mistakes if isinstance(error, StudyMistakesError) else [str(error)]
        for mistake in mistakes:
            complain(mistake)
    count = sum(len(e.mistakes) if isinstance(e, StudyMistakesError) else 1 for e in refused)
    raise UsageError(
        f"{shown(asked.file, 100)[1:-1]} cannot be run: it has the {count} mistakes above, correct them"
    )


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
