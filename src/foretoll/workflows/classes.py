"""Whether a target is a new task, and the same class under the same number on both sides.

Classes are recognised by their names, and the model's names and numbers win: data number their classes anew when one is
missing (a folder that is not there), and in the order of the alphabet. Names that differ in case or white space are
the same; where names do not tell, the user is asked (`--same-task`, `--task`), and what was taken is said.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data import Split, TaskData, match_names
from foretoll.data.spelling import spelled
from foretoll.errors import DataError, UsageError, shown
from foretoll.models import Model
from foretoll.options import check_classes
from foretoll.records import DataCard, ModelCard
from foretoll.tasks import TargetScale, get_task

STRAY_SHARE = 0.1  # of the samples: with fewer of unknown classes it is doubtful that the task is new
_ASK = "say --same-task if {same}, or --task if {other}"


@dataclass(frozen=True)
class _Match:
    """What each class of some data is called by the model, and how that was found where names did not tell."""

    names: Mapping[str, str]
    note: str = ""


def settle_classes(
    model: Model, source: TaskData, target: TaskData, clean: TaskData | None, said: bool | None
) -> tuple[TaskData, TaskData, TaskData | None, bool]:
    """Source, target and clean target with labels in the model's numbers, and whether the target is a new task.

    `said`: what the user says of the task; None: decided by the names of the classes. What was taken stands in the
    notes and in the target's reading.

    Raises:
        DataError: the source, or a target of the same task, has classes that the model has no output for.
        UsageError: the names do not tell whether it is a new task.

    """
    if (model.card.task, source.card.task) != ("classification", "classification") or (
        target.card.labelled and target.card.task != "classification"
    ):
        return _settle_outputs(model, source, target, clean, said)
    if source.num_classes > model.num_classes:
        raise DataError(
            f"the source {source.card.uri} has {source.num_classes} classes but the model {model.num_classes} "
            "outputs: give the data that the model was trained on"
        )
    ours = _match_source(model.classes, source, said)
    theirs = _match_target(model.classes, source, ours, target, said)
    new = said if said is not None else theirs is None
    if theirs is None and not new:
        raise _no_output(model.classes, target, _known(model.classes, source, ours, target))
    check_classes(model, target, task_shift=new)
    source = _as_in(model.classes, source, ours)
    if not target.card.labelled:
        return source, target, clean, new
    if new or theirs is None:
        note = "" if said else _told_new(model.classes, source, target, ours)
        return source, told(target, "treated as a new task", note), clean, True
    clean = None if clean is None else _as_in(model.classes, clean, theirs)
    return source, told(_as_in(model.classes, target, theirs), "treated as the same task"), clean, False


def served_targets(
    model: ModelCard, card: DataCard, labels: npt.NDArray[Any]
) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
    """The targets (n, …) of served data as the model has them: of classes its numbers, −1 where there is none.

    Classes are found by name, else by number; several targets by name, else in their order. Raises DataError where the
    data are of another task, or have a class that the model has no output for, or another number of targets.
    """
    if card.task != model.task:
        raise DataError(
            f"what was served is a {get_task(card.task).title}, and the model is of {get_task(model.task).title}: say "
            f"what its labels are with task={model.task}"
        )
    if labels.ndim == 1:
        return _served_labels(model.classes, card, labels)
    if len(card.classes) != model.num_classes:
        raise DataError(
            f"what was served has {len(card.classes)} targets, and the model {model.num_classes} outputs: give the "
            "targets that it was trained on"
        )
    ours, theirs = ([spelled(name) for name in names] for names in (model.classes, card.classes))
    order = [theirs.index(name) for name in ours] if sorted(ours) == sorted(theirs) else [*range(len(ours))]
    return np.ascontiguousarray(labels[:, order], dtype=np.float32)


def _served_labels(
    classes: Sequence[str], card: DataCard, labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    known = match_names(card.classes, classes)
    missing = [name for name in card.classes if name not in known]
    if missing and are_numbers(card.classes) and max(map(int, card.classes)) < len(classes):
        known = {name: classes[int(name)] for name in card.classes}
    elif missing:
        raise DataError(
            f"what was served has the class {shown(missing[0], 40)}, which the model has no output for: choose the "
            "others with classes=, or update the model for the new task and begin a new life"
        )
    numbers = np.array([list(classes).index(known[name]) for name in card.classes], dtype=np.int64)
    return np.where(labels >= 0, numbers[labels], -1)


def _settle_outputs(
    model: Model, source: TaskData, target: TaskData, clean: TaskData | None, said: bool | None
) -> tuple[TaskData, TaskData, TaskData | None, bool]:
    """The same where source or target are of another task than classification: names decide what outputs are."""
    if get_task(model.card.task).places or get_task(target.card.task).places:
        source, target = _with_places(model, source, target)
        clean = clean and _as_known(model, clean)
    if source.card.task != model.card.task or source.num_classes != model.num_classes:
        raise DataError(
            f"the source {shown(source.card.uri)} is a {get_task(source.card.task).title} with {source.num_classes:,} "
            f"outputs, and the model serves a {get_task(model.card.task).title} with {model.num_classes:,}: give the "
            "data that it was trained on"
        )
    if not target.card.labelled:
        return source, target, clean, bool(said)
    of = get_task(target.card.task).title
    if target.card.task != source.card.task:
        if said is False:
            raise UsageError(
                f"{shown(target.card.uri)} is a {of}, and the source a {get_task(source.card.task).title}: that is a "
                "new task (--task)"
            )
        return source, told(target, "treated as a new task"), clean, True
    same = target.num_classes == source.num_classes
    ours, theirs = ([spelled(name) for name in names] for names in (source.classes, target.classes))
    new = said if said is not None else not same
    if not new and not same:
        raise DataError(
            f"the target {shown(target.card.uri)} has {target.num_classes:,} outputs and the model "
            f"{model.num_classes:,}: say --task if it is a new task (the head is then replaced)"
        )
    note = ""
    if not new and ours != theirs:
        if sorted(ours) == sorted(theirs) and not get_task(target.card.task).places:
            order = torch.tensor([theirs.index(name) for name in ours])
            target, clean = _reordered(target, order, source), clean and _reordered(clean, order, source)
        else:
            note = (
                f"{target.name}: treated as the same {of}, {_some(target.classes, 3)} for {_some(source.classes, 3)}; "
                "say --task if it is another"
            )
    return source, told(target, f"treated as {'a new' if new else 'the same'} task", note), clean, bool(new)


def _with_places(model: Model, source: TaskData, target: TaskData) -> tuple[TaskData, TaskData]:
    """Source and target of a task with a class at each place, which no other task can take the place of."""
    of = get_task(model.card.task)
    for data in (source, target):
        if data.card.task != of.name and data.card.labelled:
            raise UsageError(
                f"{shown(data.card.uri)} is a {get_task(data.card.task).title}, and the model serves {of.title}: a new "
                f"head cannot turn one into the other; give data with task={of.name}, or another model"
            )
    return _as_known(model, source), _as_known(model, target)


def _as_known(model: Model, data: TaskData) -> TaskData:
    """Data whose numbers are ids of the model's own vocabulary, of which they may have the first ones alone."""
    if data.classes == model.classes or get_task(data.card.task).places == 0:
        return data
    if not get_task(data.card.task).names_are_numbers:
        first = model.classes[: data.num_classes] == data.classes  # masks without the last classes
        return replace(data, card=data.card.model_copy(update={"classes": model.classes})) if first else data
    if data.num_classes > model.num_classes:
        raise DataError(
            f"{shown(data.card.uri)} has {data.num_classes:,} tokens and the model {model.num_classes:,}: make the ids "
            "with the model's own tokenizer (tokenizer=FOLDER)"
        )
    return replace(data, card=data.card.model_copy(update={"classes": model.classes}))


def _reordered(data: TaskData, order: torch.Tensor, like: TaskData) -> TaskData:
    """The same data with their targets in the order of `like`."""

    def twin(split: Split) -> Split:
        other = copy.copy(split)
        other.labels = None if split.labels is None else split.labels[:, order]
        return other

    scale = data.card.targets
    if scale is not None:
        i = order.tolist()
        scale = TargetScale(
            mean=tuple(scale.mean[k] for k in i),
            std=tuple(scale.std[k] for k in i),
            edges=tuple(scale.edges[k] for k in i),
        )
    card = data.card.model_copy(update={"classes": like.classes, "targets": scale})
    return replace(
        data, card=card, train=twin(data.train), validation=twin(data.validation), test=twin(data.test)
    )


def _match_source(classes: tuple[str, ...], source: TaskData, said: bool | None) -> _Match:
    names = source.classes
    known = match_names(names, classes)
    if len(known) == len(names):
        return _Match(known, _respelled(source.name, known))
    if are_numbers(names) and not are_numbers(classes) and max(map(int, names)) < len(classes):
        return _by_number(source.name, classes, names)
    unnamed = are_numbers(classes) or are_numbers(names)
    if not known and len(names) == len(classes):
        if unnamed or said is not None:
            return _by_order(source.name, classes, names)
        raise UsageError(
            f"the source {shown(source.card.uri)} names its classes {_some(names, 3)}, and the model "
            f"{_some(classes, 3)}: name them as the model does, or say --same-task or --task to take the order"
        )
    raise DataError(
        f"the source {shown(source.card.uri)} has {_unknown(source, known)}, which the model does not know ("
        f"{_some(classes, 3)}): give the data that it was trained on, or choose among its classes with classes="
    )


def _match_target(
    classes: tuple[str, ...], source: TaskData, ours: _Match, target: TaskData, said: bool | None
) -> _Match | None:
    """The model's names of a target of the same task; None where it is a new one, or has classes without an output.

    Raises:
        UsageError: nobody says which it is, and the names do not tell.

    """
    names = target.classes
    if not target.card.labelled or said:
        return _Match({}) if not target.card.labelled else None
    known = _known(classes, source, ours, target)
    uri = shown(target.card.uri)
    if len(known) == len(names):
        part = set(names) < set(source.classes)
        if said is None and part and _count_from_0(names):
            raise UsageError(
                f"{uri} has {len(names)} of the source's {len(source.classes)} classes by their numbers: "
                + _ASK.format(same="a number means the same class on both sides", other="it does not")
            )
        return _Match(known, _respelled(target.name, known))
    if said is False:
        return _same_task(classes, source, target, known)
    sides = f"{uri} has the classes {_some(names, 3)}, and the source {_some(source.classes, 3)}: "
    in_order = _ASK.format(same="they are the same in their order", other="not")
    shifted = are_numbers(names) and len(known) < len(source.classes) == len(names)
    if known and shifted:
        raise UsageError(f"{sides}numbers do not decide it; {in_order}")
    if known and _share(target, known) < STRAY_SHARE:
        raise UsageError(
            f"{uri} has {_unknown(target, known)} besides {len(known)} classes of the model: choose these with "
            "classes= for the same task, or say --task for a new one"
        )
    mixed = _are_counted(names) != _are_counted(source.classes) and not (
        are_numbers(names) and are_numbers(source.classes)
    )
    if not known and mixed and len(names) <= len(classes):
        raise UsageError(f"{sides}names and numbers do not decide it; {in_order}")
    return None


def _known(classes: tuple[str, ...], source: TaskData, ours: _Match, target: TaskData) -> dict[str, str]:
    """The model's name of each class of the target that it knows, by its own name or by the source's."""
    by_source = {
        name: ours.names[match] for name, match in match_names(target.classes, source.classes).items()
    }
    return match_names(target.classes, classes) | by_source


def _same_task(
    classes: tuple[str, ...], source: TaskData, target: TaskData, known: Mapping[str, str]
) -> _Match | None:
    """What the user means by the same task where names do not tell: numbers, or the order; None where neither can."""
    names = target.classes
    if are_numbers(names) and len(names) == len(classes) and are_numbers(classes):
        return _by_order(target.name, classes, names)
    if known:
        return None
    if are_numbers(names) and not are_numbers(classes) and max(map(int, names)) < len(classes):
        return _by_number(target.name, classes, names)
    return _by_order(target.name, classes, names) if len(names) == len(classes) else None


def _by_number(name: str, classes: Sequence[str], names: Sequence[str]) -> _Match:
    match = {number: classes[int(number)] for number in names}
    return _Match(match, f"{name}: labels are taken as the numbers of the model's outputs: {_equal(match)}")


def _by_order(name: str, classes: Sequence[str], names: Sequence[str]) -> _Match:
    match = dict(zip(names, classes, strict=True))
    return _Match(
        match,
        f"{name}: names do not tell which class is which, so they are taken in their order: {_equal(match)}",
    )


def _respelled(name: str, match: Mapping[str, str]) -> str:
    other = {theirs: ours for theirs, ours in match.items() if theirs != ours}
    return f"{name}: labels read as the model's: {_equal(other)}" if other else ""


def _told_new(classes: Sequence[str], source: TaskData, target: TaskData, ours: _Match) -> str:
    """That some classes are the model's own after all, where a target is treated as a new task unasked."""
    known = _known(tuple(classes), source, ours, target)
    if not known:
        if len(target.classes) != len(source.classes):
            return ""
        return (
            f"{target.name}: treated as a new task with a new head, for it calls its classes "
            f"{_some(target.classes, 2)} and the source {_some(source.classes, 2)}; say --same-task if they are the "
            "same in their order"
        )
    return (
        f"{target.name}: treated as a new task with a new head, for it has {_unknown(target, known)} besides "
        f"{len(known)} classes of the model; choose these with classes= if the task is the same"
    )


def _no_output(classes: Sequence[str], target: TaskData, known: Mapping[str, str]) -> DataError:
    return DataError(
        f"the target {shown(target.card.uri)} has {_unknown(target, known)}, which the model has no output for ("
        f"{_some(classes, 3)}): choose the others with classes=, or say --task if it is a new task"
    )


def _unknown(data: TaskData, known: Mapping[str, str]) -> str:
    """The classes of some data that are not known, with their counts."""
    counts = _counts(data)
    names = [name for name in data.classes if name not in known]
    what = "the class" if len(names) == 1 else f"{len(names)} classes:"
    whole = sum(counts.values())
    said = ", ".join(f"{shown(name, 30)} ({counts[name]:,} of {whole:,} samples)" for name in names[:2])
    return f"{what} {said}{', …' if len(names) > 2 else ''}"


def _share(data: TaskData, known: Mapping[str, str]) -> float:
    """The share of samples whose class is not known."""
    counts = _counts(data)
    return sum(n for name, n in counts.items() if name not in known) / max(sum(counts.values()), 1)


def _counts(data: TaskData) -> dict[str, int]:
    labels = [split.labels for split in (data.train, data.validation, data.test) if split.labels is not None]
    counts = torch.bincount(torch.cat(labels), minlength=len(data.classes)).tolist()
    return dict(zip(data.classes, counts, strict=True))


def are_numbers(names: Sequence[str]) -> bool:
    """Whether names of classes are whole numbers, all of them."""
    return all(name.isascii() and name.isdecimal() for name in names)


def _are_counted(names: Sequence[str]) -> bool:
    """Whether classes have numbers in place of names: they count from 0 or 1 without a gap."""
    return any(set(names) == {str(i + first) for i in range(len(names))} for first in (0, 1))


def _count_from_0(names: Sequence[str]) -> bool:
    return set(names) == {str(i) for i in range(len(names))}


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(shown(name, 20) for name in names[:most]) + (", …" if len(names) > most else "")


def _equal(match: Mapping[str, str]) -> str:
    pairs = [f"{shown(theirs, 20)} = {shown(ours, 20)}" for theirs, ours in match.items()]
    return ", ".join(pairs[:4]) + (", …" if len(pairs) > 4 else "")


def told(data: TaskData, reading: str, note: str = "") -> TaskData:
    """The same data, whose reading says besides what was taken of their task."""
    card = data.card
    said = f"{card.reading}, {reading}" if card.reading else reading
    notes = (*card.notes, note) if note else card.notes
    return replace(data, card=card.model_copy(update={"reading": said, "notes": notes}))


def _as_in(classes: tuple[str, ...], data: TaskData, match: _Match) -> TaskData:
    return as_in(classes, data, match.names, match.note)


def as_in(classes: tuple[str, ...], data: TaskData, names: Mapping[str, str], note: str = "") -> TaskData:
    """The same data with its labels numbered as in `classes`, and a note of how, and of classes without a sample."""
    if data.train.labels is None:
        return data
    notes = [note] if note else []
    absent = [name for name in classes if name not in names.values()]
    if absent:
        notes.append(
            f"{data.name} has {len(classes) - len(absent)} of the model's {len(classes)} classes, and no sample of "
            f"{_some(absent, 3)}"
        )
    card = data.card.model_copy(update={"classes": classes, "notes": (*data.card.notes, *notes)})
    numbers = torch.tensor([classes.index(names[name]) for name in data.classes])
    if numbers.tolist() == list(range(len(classes))):
        return replace(data, card=card)

    def renumbered(split: Split) -> Split:
        twin = copy.copy(split)
        twin.labels = None if split.labels is None else numbers[split.labels]
        return twin

    return replace(
        data,
        card=card,
        train=renumbered(data.train),
        validation=renumbered(data.validation),
        test=renumbered(data.test),
    )
