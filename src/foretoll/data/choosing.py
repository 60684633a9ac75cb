"""Which classes or labels of a source are kept (`classes=`), and two of them as one logit (`task=binary`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foretoll.data.checks import few
from foretoll.errors import UsageError, shown, unknown_name
from foretoll.tasks import get_task

CLASSES, LABELS, ONE_LOGIT = "classification", "multilabel", "binary"
MOST_NAMES = 40  # in a message, so that it stays readable


class Targets(NamedTuple):
    """The targets of all rows as they are stored, the names of the outputs, and the task that they are of."""

    values: Tensor
    names: tuple[str, ...]
    task: str


def chosen(targets: Targets, wanted: Sequence[str], where: str) -> Targets:
    """The targets with the wanted classes, by name or number, as 0, 1, …, and −1 for all others.

    Of several labels a sample the wanted ones are kept, in this order, of every sample. Raises UsageError where the
    targets are neither classes nor labels, and for names that are unknown or stand there twice.
    """
    values, names, task = targets
    if task not in (CLASSES, LABELS):
        raise UsageError(
            f"{where} holds {get_task(task).said(names)}: classes= chooses among classes; choose rows with where=, or "
            "say task=classification"
        )
    order: list[int] = []
    for name in wanted:
        if name in names:
            old = names.index(name)
        elif name.isdecimal() and int(name) < len(names):
            old = int(name)
        else:
            raise UsageError(unknown_name(f"class of {where}", name, names[:MOST_NAMES]))
        if old in order:
            raise UsageError(f"classes= names the class {names[old]!r} of {where} twice")
        order.append(old)
    left = tuple(names[i] for i in order)
    if task == LABELS:
        if len(order) < 2:
            raise UsageError(f"classes= names one label of {where}: name two or more of {few(names)}")
        return Targets(values[:, order], left, task)
    numbers = np.full(len(names), -1, dtype=np.int64)
    numbers[order] = np.arange(len(order))
    return Targets(torch.from_numpy(numbers)[values], left, task)


def as_one_logit(targets: Targets, kept: Tensor, where: str) -> Targets:
    """Classes as a binary classification; the second of the two that the kept rows (bool) have is the positive one.

    Raises UsageError where they have more or fewer.
    """
    values, names, _ = targets
    left = torch.unique(values[kept & (values >= 0)]).tolist()
    if len(left) != 2:
        said = few([shown(names[i], 30) for i in left]) if left else "no class"
        raise UsageError(
            f"{where} has {said} in the rows that are chosen: a binary classification has two classes; choose them "
            "with classes=, or leave task=binary out"
        )
    positive = left[1]
    return Targets((values == positive).float()[:, None], (names[positive],), ONE_LOGIT)
