"""From a source's rows to TaskData: choose rows, divide them, limit, relabel, shift.

The law that keeps test data unseen: whether a row is train, validation or test, and in which part, depends on
the file, `split=` and the URI's own `seed=` only; never on limit, classes, where, rows, shift, or on the seed
of a run. So two URIs of one file agree on it, and `part=1/2` and `part=2/2` never share a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.address import TIME, DataUri, Where
from foretoll.data.checks import few, tell_labels, tell_unseen
from foretoll.data.choosing import CLASSES, MOST_NAMES, ONE_LOGIT, Targets, as_one_logit, chosen
from foretoll.data.moments import moments
from foretoll.data.partition import (
    VALIDATION_SHARE,
    IntArray,
    choose_within,
    in_order,
    part_of,
    strata,
    three_way,
)
from foretoll.data.splits import ArraySplit, DatasetSplit
from foretoll.data.taskdata import TaskData, check_shift, reference_of
from foretoll.errors import DataError, UsageError, shown, unknown_name
from foretoll.records import DataCard, InputPart, TableLayout
from foretoll.tasks import TargetScale, get_task

ROLES = ("train", "validation", "test")
_ROLE_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
ENOUGH_TO_STOP = 20_000  # validation samples: more would only cost more at every evaluation
IN_MEMORY_BYTES = 500_000_000  # a source that may be held in memory is, up to this size


@dataclass(frozen=True)
class Fault:
    """Rows that cannot be used, and the sentence that says so; no fault where none of them is chosen."""

    rows: npt.NDArray[np.bool_]
    sentence: str


@dataclass
class RawData:
    """All rows of an opened source, before anything is chosen.

    given: name of the file's own split per row, or None. column: values of an extra column by name.
    eager: read the chosen rows into memory when they fit. reading, notes, layout: as on the card (`DataCard`).
    faults: rows that cannot be used, which is an error where one of them is chosen.
    task: what the rows' targets are of; `classes` are the names of its outputs.
    """

    name: str
    kind: str
    rows: ArraySplit | DatasetSplit
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    task: str = "classification"
    given: npt.NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    column: Callable[[str], npt.NDArray[Any]] = field(default=lambda name: np.empty(0))
    eager: bool = False
    reading: str = ""
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    layout: TableLayout | None = None
    parts: tuple[InputPart, ...] = ()


def role_of(name: str) -> str:
    """The usual name of a split: train, validation or test; other names stay as they are."""
    plain = re.sub(r"[ _-]?(set|data|images)$", "", name.strip().lower())  # training_set, testset
    return _ROLE_NAMES.get(plain, name)


def writable(text: str) -> str:
    """A name as files in UTF-8 can hold it: bytes that are no text (lone surrogates) are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def assemble(source: RawData, uri: DataUri, *, seed: int, whole: bool = False) -> TaskData:
    """Choose and divide the rows of a source as its URI says; `whole`: for all rows, whatever the parts hold."""
    source = replace(
        source, name=writable(source.name), classes=tuple(writable(name) for name in source.classes)
    )
    _check_places(source)
    for shift in uri.shifts:
        check_shift(shift, source.kind, source.parts)
    partition_seed = 0 if uri.seed is None else uri.seed
    sample_seed = seed if uri.seed is None else uri.seed
    targets = None if source.rows.labels is None else source.rows.labels.numpy()
    labels = None if targets is None else strata(targets)
    kept = np.ones(len(source.rows), dtype=bool)
    if uri.rows is not None:
        kept[: uri.rows[0]] = False
        if uri.rows[1] is not None:
            kept[uri.rows[1] :] = False
    for condition in uri.where:
        kept &= _holds(source, condition)
    of_all, kept = _targets(source, uri, kept)
    classes, task = of_all.names, of_all.task
    parts = _in_time(source, uri, kept) if uri.in_time_order else divide(source, labels, uri, partition_seed)
    if uri.part is not None:
        parts = {r: part_of(labels, rows, *uri.part, seed=partition_seed) for r, rows in parts.items()}
    parts = {role: rows[kept[rows]] for role, rows in parts.items()}
    for fault in source.faults:
        if any(fault.rows[rows].any() for rows in parts.values()):
            raise DataError(fault.sentence)
    if uri.limit is not None:
        parts = _limited(labels, parts, uri.limit, sample_seed)
    sampled = ""
    if not (whole or uri.in_time_order) and len(parts["validation"]) > ENOUGH_TO_STOP:
        sampled = (
            f"{source.name}: {ENOUGH_TO_STOP:,} of its {len(parts['validation']):,} validation samples are used, by "
            "class: the standard error of a share is below 0.4 points on them"
        )
        parts["validation"], _ = choose_within(
            labels, parts["validation"], ENOUGH_TO_STOP, seed=partition_seed, purpose="validation sample"
        )
    values = None if labels is None else of_all.values
    splits = {role: _take(source, values, rows) for role, rows in parts.items()}
    of_classes = task == "classification"
    if not whole:
        _check_parts(uri, splits, classes if labels is not None and of_classes else ())
    reading = source.reading or _reading(source, uri, classes if labels is not None else ())
    taken = sum(len(split) for split in splits.values())
    if taken < len(source.rows):
        reading += f", {taken:,} of them used"
    layout = source.layout
    if task != source.task:
        reading += f", {get_task(task).said(classes)}"
        layout = None if layout is None else layout.model_copy(update={"task": task})
    card = DataCard(
        uri=uri.text,
        name=source.name,
        kind=source.kind,  # type: ignore[arg-type]  # checked by pydantic
        shape=source.shape,
        classes=classes if labels is not None else (),
        train=len(splits["train"]),
        validation=len(splits["validation"]),
        test=len(splits["test"]),
        labelled=labels is not None,
        reading=reading,
        notes=(
            *source.notes,
            *([sampled] if sampled else ()),
            *(_label_notes(source, splits, classes) if of_classes else ()),
        ),
        task=task,
        targets=_scale_of(task, splits["train"]),
        layout=layout,
        parts=source.parts,
    )
    # of rows on disk only where a shift asks for them
    needed = uri.shifts or not (isinstance(source.rows, DatasetSplit) and source.rows.in_groups)
    reference = reference_of(source.rows, source.kind) if needed else None
    return TaskData(card, **splits, reference=reference).shifted(uri.shifts, seed=sample_seed)


def _check_places(source: RawData) -> None:
    """Refuse masks of another size than their images."""
    labels = source.rows.labels
    if get_task(source.task).places != 2 or labels is None:
        return
    if tuple(labels.shape[1:]) != tuple(source.shape[1:]):
        raise DataError(
            f"{source.name} has masks of {' × '.join(map(str, labels.shape[1:]))} pixels and images of "
            f"{' × '.join(map(str, source.shape[1:]))}: bring both to one size"
        )


def _scale_of(task: str, train: ArraySplit | DatasetSplit) -> TargetScale | None:
    """How the numbers to be predicted lie in the training part; None where there are none."""
    return get_task(task).scale(train.labels) if train.labels is not None and len(train) else None


def _label_notes(
    source: RawData, splits: Mapping[str, ArraySplit | DatasetSplit], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """What there is to tell of the labels: of the whole source, and of the splits that were made of it."""
    if source.rows.labels is None:
        return ()
    parts = {role: split.labels.numpy() for role, split in splits.items() if split.labels is not None}
    whole = tell_labels(source.rows.labels.numpy(), source.classes, source.name)
    return (*whole, *tell_unseen(parts, classes, source.name))


_SAMPLES = {"image": "images", "vector": "rows of numbers", "series": "series", "text": "texts"}


def _reading(source: RawData, uri: DataUri, classes: tuple[str, ...]) -> str:
    """How the rows were read, where the opener says nothing of its own."""
    said = [
        f"{len(source.rows):,} {_SAMPLES[source.kind]}",
        targets_said(classes, source.task) if classes else "no labels",
    ]
    if source.shape:
        said[0] += f" of {' × '.join(f'{side:,}' for side in source.shape)}"
    return ", ".join([*said, splits_said(source, uri)])


def splits_said(source: RawData, uri: DataUri) -> str:
    """Where the splits come from, as it stands in a reading: the source's own, or drawn here."""
    if uri.in_time_order:
        return "splits in time order" + (f" by {shown(uri.time)}" if uri.time else "")
    own = [] if source.given is None or uri.split is not None else [r for r in ROLES if r in source.given]
    if "train" not in own:
        return "splits drawn 60/20/20"
    return f"its own {'train split' if len(own) == 1 else ' and '.join(own) + ' splits'}"


def _in_time(source: RawData, uri: DataUri, kept: npt.NDArray[np.bool_]) -> dict[str, IntArray]:
    """Rows of train, validation and test that follow each other in time, of those that are kept.

    Random splits leak through time: what is judged is always what came last. Here the parts do depend on `rows=` and
    `where=`, which say what the window is.
    """
    rows = np.flatnonzero(kept).astype(np.int64)
    if uri.split not in {None, TIME}:
        raise UsageError(
            f"data URI {shown(uri.text)}: with time= the splits follow time: leave split={uri.split} out"
        )
    if uri.time is not None:
        if uri.time not in source.columns:
            known = source.columns or ("none: this source has no columns",)
            raise UsageError(unknown_name(f"column of {source.name}", uri.time, known))
        when = moments(
            np.asarray(source.column(uri.time))[rows], f"{source.name}: the time column {shown(uri.time)}"
        )
        rows = rows[np.argsort(when, kind="stable")]
    return dict(zip(ROLES, in_order(rows), strict=True))


def divide(source: RawData, labels: npt.NDArray[Any] | None, uri: DataUri, seed: int) -> dict[str, IntArray]:
    """Rows of train, validation and test.

    The file's own test split stays the test split, and its validation split the validation split. Where the
    file has train and validation but no test, its validation split is the test split. Without a validation
    split 20 % of the train rows become it; without any split, or with `split=` given, 60/20/20.
    """
    everything = np.arange(len(source.rows), dtype=np.int64)
    given = source.given
    if uri.split is not None:
        names = () if given is None else tuple(sorted({str(name) for name in given}))
        if given is None:
            raise UsageError(
                f"data URI {uri.text!r}: split={uri.split}, and this source has no splits of its own"
            )
        if role_of(uri.split) not in names:
            raise UsageError(f"data URI {uri.text!r}: {unknown_name('split', uri.split, names)}")
        everything = everything[given == role_of(uri.split)]
        given = None
    if given is None:
        return dict(zip(ROLES, three_way(labels, everything, seed=seed), strict=True))
    train, validation, test = (everything[given == role] for role in ROLES)
    if len(train) == 0:
        return dict(zip(ROLES, three_way(labels, everything, seed=seed), strict=True))
    if len(test) == 0 and len(validation):
        test, validation = validation, everything[:0]
    if len(test) == 0:
        return dict(zip(ROLES, three_way(labels, train, seed=seed), strict=True))
    if len(validation) == 0:
        n = round(VALIDATION_SHARE * len(train))
        validation, train = choose_within(labels, train, n, seed=seed, purpose="validation")
    return {"train": train, "validation": validation, "test": test}


def _limited(
    labels: npt.NDArray[Any] | None, parts: dict[str, IntArray], limit: int, seed: int
) -> dict[str, IntArray]:
    both = len(parts["train"]) + len(parts["validation"])
    sizes = {"test": max(limit // 4, 1)}
    if limit < both:
        sizes["validation"] = max(1, round(limit * len(parts["validation"]) / both))
        sizes["train"] = limit - sizes["validation"]
    return {
        role: choose_within(labels, rows, sizes.get(role, len(rows)), seed=seed, purpose=f"limit {role}")[0]
        for role, rows in parts.items()
    }


def _take(source: RawData, labels: Tensor | None, rows: IntArray) -> ArraySplit | DatasetSplit:
    positions = torch.from_numpy(rows)
    split = source.rows.take(positions)
    split.labels = None if labels is None else labels[positions]
    split.explicit_ids = True
    if isinstance(split, DatasetSplit) and source.eager and len(split):
        size = int(np.prod(source.shape)) if source.shape else 1
        if size * len(split) <= IN_MEMORY_BYTES:
            return split.in_memory()
    return split


def _targets(
    source: RawData, uri: DataUri, kept: npt.NDArray[np.bool_]
) -> tuple[Targets, npt.NDArray[np.bool_]]:
    """The targets of all rows as the URI wants them, and the rows that are kept: those of the classes that it names."""
    if source.rows.labels is None:
        if uri.classes:
            raise UsageError(f"{source.name} is unlabelled: classes= cannot choose among its classes")
        return Targets(torch.empty(0), source.classes, source.task), kept
    found = Targets(source.rows.labels, source.classes, source.task)
    if uri.classes:
        found = chosen(found, uri.classes, source.name)
        if found.task == CLASSES:
            kept = kept & (found.values >= 0).numpy()
    if uri.task == ONE_LOGIT and found.task == CLASSES:
        found = as_one_logit(found, torch.from_numpy(kept), source.name)
    return found, kept


def _holds(source: RawData, condition: Where) -> npt.NDArray[np.bool_]:
    if condition.column not in source.columns:
        known = source.columns or ("none: this source has no columns",)
        raise UsageError(unknown_name(f"column of {source.name}", condition.column, known))
    values = source.column(condition.column)
    texts = values.astype(str) if values.dtype.kind != "f" else np.array([f"{v:g}" for v in values])
    present = set(np.unique(texts).tolist())
    for value in condition.values:
        if value not in present:
            raise UsageError(
                unknown_name(
                    f"value of column {condition.column} of {source.name}",
                    value,
                    sorted(present)[:MOST_NAMES],
                )
            )
    held = np.isin(texts, condition.values)
    return ~held if condition.negated else held


def _check_parts(
    uri: DataUri, splits: Mapping[str, ArraySplit | DatasetSplit], classes: tuple[str, ...]
) -> None:
    """Refuse a split without samples, or with those of one class; the way out is one that the URI allows."""
    narrowed = [key for key in ("where", "rows", "classes", "part") if getattr(uri, key)]
    ways = [
        "a larger limit" if uri.limit is not None else "",
        f"a wider {' or '.join(narrowed)}" if narrowed else "",
    ]
    way = " or ".join(way for way in ways if way)
    for role, split in splits.items():
        if len(split) == 0:
            raise DataError(
                f"data {shown(uri.text)}: the {role} split is empty: it needs {way or 'more samples'}"
            )
        if not classes or split.labels is None or bool((split.labels != split.labels[0]).any()):
            continue
        only = classes[int(split.labels[0])]
        raise DataError(
            f"data {shown(uri.text)}: the {role} split has the single class {shown(only, 40)}: it needs "
            f"{way or _more_of(splits, classes, only)}"
        )


def _more_of(splits: Mapping[str, ArraySplit | DatasetSplit], classes: tuple[str, ...], only: str) -> str:
    """What is missing beside a single class: samples of another, of which there may be a few."""
    labels = torch.cat([part.labels for part in splits.values() if part.labels is not None])
    counts = dict(zip(classes, torch.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    rare = min(
        (name for name in classes if name != only and counts[name]), key=lambda name: counts[name], default=""
    )
    return (
        f"more samples of other classes (of {shown(rare, 30)} there are {counts[rare]} in all)"
        if rare
        else ("samples of another class")
    )


def label_texts(targets: npt.NDArray[Any], names: Sequence[str]) -> npt.NDArray[Any]:
    """The labels as a column of values: names of classes, or the first of the numbers that are predicted."""
    if targets.ndim > 1 and targets.dtype.kind in "iu":  # a class at each place has no name
        return np.full(len(targets), "")
    return np.asarray(names)[targets] if targets.ndim == 1 else targets[:, 0].astype(np.float64)


def targets_said(names: tuple[str, ...], task: str) -> str:
    """The targets as they stand in a reading."""
    return classes_said(names) if task == "classification" else get_task(task).said(names)


def classes_said(classes: tuple[str, ...]) -> str:
    """The classes as they stand in a reading; numbers that are names are shown, so that this is seen."""
    numbers = all(name.removeprefix("-").isdecimal() for name in classes)
    if numbers and classes != tuple(str(i) for i in range(len(classes))):
        return f"{len(classes):,} classes named by their numbers ({few([shown(c, 20) for c in classes], 3)})"
    return f"{len(classes):,} classes"
