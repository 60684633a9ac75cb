"""Runs of other tasks change nothing for classification; those tasks rest on all runs, and are told apart."""

from __future__ import annotations

import pytest

from foretoll.forecast import forecaster
from foretoll.forecast.case import TASK, case_of_run, decided, features
from foretoll.forecast.forecaster import Forecaster
from foretoll.forecast.learned import CostModels
from foretoll.forecast.reference import reference_runs
from foretoll.records import Run

CLASSES = [
    run for run in reference_runs()[::20] if run.option == "finetune" and run.target.task == "classification"
]


def of_task(run: Run, task: str) -> Run:
    target = run.target.model_copy(update={"task": task})
    return run.model_copy(update={"id": f"{run.id}-{task}", "target": target})


NUMBERS = [of_task(run, "regression") for run in CLASSES]


def test_classification_is_learned_from_classification_alone() -> None:
    alone, mixed = CostModels(CLASSES), CostModels([*CLASSES, *NUMBERS])
    case = case_of_run(CLASSES[0])
    assert case is not None
    known = frozenset(name for name, value in features(case).items() if value is not None)
    pool = mixed.pool("finetune")
    assert alone.pool("finetune") == pool
    for cost in ("epochs", "quality"):
        a, b = alone.table(cost, pool, known)[0], mixed.table(cost, pool, known)[0]
        assert list(a.rows) == list(b.rows)
        assert a.y.tolist() == b.y.tolist()


def test_runs_that_take_no_step_are_not_learned_from() -> None:
    kept = [run.model_copy(update={"id": f"{run.id}-kept", "option": "keep"}) for run in NUMBERS]
    learned = CostModels([*NUMBERS, *kept])
    asked = learned.in_pool(learned.pool("finetune", "regression"))
    assert {learned.lessons[i].option for i in asked} == {"finetune"}


def test_another_task_is_learned_from_all_tasks_and_told_apart() -> None:
    mixed = CostModels([*CLASSES, *NUMBERS])
    case = case_of_run(NUMBERS[0])
    assert case is not None
    table, kept = mixed.table("epochs", mixed.pool(case.option, case.task), frozenset(features(case)))
    tasks = [mixed.lessons[i].task for i in kept]
    assert {*tasks} == {"classification", "regression"}
    for task, row in zip(tasks, table.rows, strict=True):
        assert row.get(f"{TASK}regression") == (1.0 if task == "regression" else None)
    assert not any(name.startswith(TASK) for name in features(case_of_run(CLASSES[0]) or case))


def test_a_task_that_the_ledger_hardly_knows_has_wider_intervals_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = next(c for c in map(case_of_run, NUMBERS) if c is not None and not decided(c))
    asked = Forecaster(CLASSES)
    few = asked.foretell(case)
    monkeypatch.setattr(forecaster, "FEW_OF_TASK", 0)
    enough = asked.foretell(case)
    assert "the ledger holds 0 runs of regression" in " ".join(few.warnings)
    assert "rests on other tasks" not in " ".join(enough.warnings)
    wide, narrow = few.forecast.gradient_norm, enough.forecast.gradient_norm
    assert wide is not None and narrow is not None
    assert wide.low and wide.high and narrow.low and narrow.high
    assert wide.high / wide.low > 1.1 * narrow.high / narrow.low
