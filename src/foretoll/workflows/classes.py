"""Whether a target is a new task, and the same class under the same number on both sides.

Classes are told by their names. Data number their classes anew when one of them is missing (a folder that is
not there, a file whose highest label does not occur), so labels are brought to the model's numbers by name.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from foretoll.data import Split, TaskData
from foretoll.errors import DataError, UsageError
from foretoll.models import Model
from foretoll.options import check_classes


def settle_classes(
    model: Model, source: TaskData, target: TaskData, clean: TaskData | None, said: bool | None
) -> tuple[TaskData, TaskData, TaskData | None, bool]:
    """Source, target and clean target with labels in the model's numbers, and whether the target is a new task.

    `said`: what the user says of the task; None: decided by `is_new_task`.

    Raises:
        DataError: the source is unlabelled, or it (or a target of the same task) has classes that the model has
            no output for.
        UsageError: the names do not tell whether it is a new task.

    """
    if source.train.labels is None:
        raise DataError(
            f"the source {source.card.uri} has no labels: give the labelled data that the model was trained on"
        )
    if source.num_classes > model.num_classes:
        raise DataError(
            f"the source {source.card.uri} has {source.num_classes} classes but the model {model.num_classes} "
            "outputs: give the data that the model was trained on"
        )
    new = is_new_task(source, target) if said is None else said
    check_classes(model, target, task_shift=new)
    source = _as_in(model.classes, source)
    if not new:
        target = _as_in(model.classes, target)
        clean = None if clean is None else _as_in(model.classes, clean)
    return source, target, clean, new


def is_new_task(source: TaskData, target: TaskData) -> bool:
    """Whether the names of the classes say that the target is a new task; an unlabelled one is not.

    Raises:
        UsageError: the target has a part of the source's classes, named by plain numbers, which do not tell.

    """
    ours, theirs = set(source.classes), set(target.classes)
    if not target.card.labelled or ours == theirs:
        return False
    if not theirs < ours:
        return True
    if all(name.isdecimal() for name in theirs):
        raise UsageError(
            f"{target.card.uri} has {len(theirs)} of the source's {len(ours)} classes by their numbers: say "
            "--same-task if a number means the same class on both sides, or --task if it does not"
        )
    return False


def _as_in(classes: tuple[str, ...], data: TaskData) -> TaskData:
    """The same data with its labels numbered as in `classes`; as it is where it has names of its own."""
    if data.train.labels is None or data.classes == classes or not set(data.classes) <= set(classes):
        return data
    numbers = torch.tensor([classes.index(name) for name in data.classes])

    def renumbered(split: Split) -> Split:
        twin = copy.copy(split)
        twin.labels = None if split.labels is None else numbers[split.labels]
        return twin

    return replace(
        data,
        card=data.card.model_copy(update={"classes": classes}),
        train=renumbered(data.train),
        validation=renumbered(data.validation),
        test=renumbered(data.test),
    )
