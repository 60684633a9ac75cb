"""A model that comes without the data it was trained on: how it is opened, and what its outputs mean for a target.

With the source's data its names of classes go as well: what is left are those of the model, which for weights alone
are the numbers of its outputs. Names that tell decide whether the target is a new task; where none does, the user says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foretoll.data import TaskData, match_names
from foretoll.errors import DataError, UsageError, shown
from foretoll.models import Model
from foretoll.options import check_classes
from foretoll.records import ModelCard
from foretoll.tasks import get_task
from foretoll.workflows.classes import are_numbers, as_in, told

NONE = "none"


def named_source(source: Any) -> Any:
    """The source that was given; None where it is `none` or nothing."""
    return None if isinstance(source, str) and source.strip().lower() in ("", NONE) else source


def check_target(target: Any) -> None:
    """Refuse a call without a target (UsageError)."""
    if named_source(target) is None:
        raise UsageError("no target was named: give the data that the model must now serve")


def unsaid(data: TaskData) -> TaskData:
    """The same samples, but nothing of what their labels are called: a model is not named after its target."""
    card = data.card.model_copy(update={"classes": (), "labelled": False})
    return replace(data, card=card)


def settle_without_source(
    model: Model, target: TaskData, clean: TaskData | None, said: bool | None
) -> tuple[TaskData, TaskData | None, bool]:
    """Target and clean target with labels in the model's numbers, and whether the target is a new task.

    `said`: what the user says of the task; None: decided by the names of the classes.

    Raises:
        DataError: the target has classes that the model has no output for, and is said to be of the same task.
        UsageError: the names do not tell whether it is a new task.

    """
    if not target.card.labelled:
        return target, clean, bool(said)
    if model.card.task == target.card.task == "classification":
        names = None if said else _same_names(model, target, said)
    else:
        names = None if said else _same_outputs(model, target, said)
    new = names is None
    check_classes(model, target, task_shift=new)
    if names is None:
        return told(target, "treated as a new task"), clean, True
    if target.card.task == "classification":
        target = as_in(model.classes, target, names)
        clean = None if clean is None else as_in(model.classes, clean, names)
    return told(target, "treated as the same task"), clean, False


def _same_names(model: Model, target: TaskData, said: bool | None) -> dict[str, str] | None:
    """The model's name of each class of the target; None where it is a new task."""
    ours, theirs, uri = model.classes, target.classes, shown(target.card.uri)
    known = match_names(theirs, ours)
    counted = are_numbers(ours) and model.card.trained_on is None  # the outputs' numbers, and no names
    whole = len(known) == len(theirs)
    if whole and (said is False or not counted):
        return known
    if said is False:
        if len(theirs) != len(ours):
            raise DataError(
                f"the target {uri} has {len(theirs)} classes and the model {len(ours)} outputs: choose among them "
                "with classes=, or say --task if it is a new task"
            )
        return dict(zip(theirs, ours, strict=True))
    if counted and (whole or len(theirs) == len(ours)):
        raise UsageError(
            f"the model names none of its {len(ours)} outputs, and there is no source to tell what they are: say "
            f"--same-task if they are the classes of {uri} in their order, or --task if these are new"
        )
    if known and not counted:
        raise UsageError(
            f"{uri} has {len(known)} of the model's classes and {len(theirs) - len(known)} others: choose the known "
            "ones with classes= for the same task, or say --task for a new one"
        )
    return None


def _same_outputs(model: Model, target: TaskData, said: bool | None) -> dict[str, str] | None:
    """Of another task than classification: an empty match where the outputs may be the same, None of a new task."""
    same = model.card.task == target.card.task and model.num_classes == target.num_classes
    title = get_task(target.card.task).title
    if said is None and same:
        raise UsageError(
            f"there is no source to tell what the model's outputs are: say --same-task if it serves this {title} "
            "already, or --task if that is new"
        )
    if said is False and not same:
        raise DataError(
            f"the target {shown(target.card.uri)} is a {title} with {target.num_classes:,} outputs, and the model a "
            f"{get_task(model.card.task).title} with {model.num_classes:,}: say --task if that is a new task"
        )
    return {} if same else None


def noted_without_source(card: ModelCard) -> ModelCard:
    """The card of a model that was opened without its source, with what the target had to stand in for."""
    if card.run_id is not None or not card.arch.startswith("foretoll:") or not card.preprocessing.mean:
        return card
    note = (
        "there is no source, so that inputs are normalised by the mean and deviation of the target: name mean= and "
        "std= in the model's spec where its weights were trained with others"
    )
    return card.model_copy(update={"notes": (*card.notes, note)})
