"""Runs of other tasks change nothing for classification; those tasks rest on all runs, and are told apart."""

from __future__ import annotations

from foretoll.forecast.case import TASK, case_of_run, features
from foretoll.forecast.learned import CostModels
from foretoll.forecast.reference import reference_runs
from foretoll.records import Run

CLASSES = [run for run in reference_runs()[::20] if run.option == "finetune"]


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
        assert a.rows == b.rows
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
