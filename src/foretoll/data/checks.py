"""Checks of values and labels: each refuses with one sentence that names the first offender."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.spelling import spelled
from foretoll.errors import DataError, shown

MAX_CLASSES = 10_000
FEWEST_ROWS = 100  # of fewer rows any number of classes is possible
MOST_DIFFERENT = 0.5
STRAY, STRAY_SHARE = 10, 0.1  # samples of a class, and what they are of the usual number: no more is told


def check_finite(values: npt.NDArray[Any], where: str) -> None:
    """Refuse NaN and infinite values."""
    if values.dtype.kind not in "fc":
        return
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(
            f"{where} has {int(bad.sum())} NaN or infinite values, the first in row {row}: "
            "remove or fill them before"
        )


def read_labels(
    values: Any, where: str, *, names: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels as class numbers with the names of the classes.

    Integers are class numbers, named by `names` where given; without, they are numbered as they stand where they are
    0 … k − 1 without a gap, and are the names of the classes otherwise (years, codes, a part of a model's numbers).
    Texts and truth values are the class names themselves, in sorted order. Everything else is refused.
    """
    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{where} has shape {labels.shape}: labels are one class number a sample, not one-hot"
        )
    if labels.dtype.kind == "O":
        if any(
            value is None or (isinstance(value, float) and math.isnan(value)) for value in labels.tolist()
        ):
            raise DataError(f"{where} has missing labels: remove those rows, or leave all labels out")
        labels = labels.astype(str)
    if labels.dtype.kind == "U":
        classes, numbers = np.unique(labels, return_inverse=True)
        _check_count(len(classes), len(labels), where)
        return numbers.astype(np.int64), tuple(str(name) for name in classes)
    if labels.dtype.kind == "b":
        return labels.astype(np.int64), ("False", "True")
    if labels.dtype.kind == "f":
        nan = int(np.isnan(labels).sum())
        what = f"{nan} NaN labels" if nan else f"labels of type {labels.dtype}"
        raise DataError(f"{where} has {what}: labels are class numbers; store them as integers from 0")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where} has labels of type {labels.dtype}: labels are integers from 0, or texts")
    if len(labels) == 0:
        return labels.astype(np.int64), tuple(names or ())
    present, numbers = np.unique(labels, return_inverse=True)
    low, high = int(present[0]), int(present[-1])
    if low < 0 and (names is not None or present.tolist() != [-1, 1]):
        row = int(np.argmax(labels < 0))
        raise DataError(f"{where} has the negative label {int(labels[row])} in row {row}: labels run from 0")
    if names is None:
        _check_count(len(present), len(labels), where)
        return numbers.astype(np.int64), tuple(str(label) for label in present.tolist())
    if high >= len(names):
        row = int(np.argmax(labels >= len(names)))
        raise DataError(
            f"{where} has the label {int(labels[row])} in row {row}, out of range: labels run from 0 to "
            f"{len(names) - 1}"
        )
    return labels.astype(np.int64), tuple(names)


def _check_count(classes: int, rows: int, where: str) -> None:
    """Refuse what no classes are: too many, or measurements and ids, of which nearly every row has its own."""
    if classes > MAX_CLASSES or (rows >= FEWEST_ROWS and classes > MOST_DIFFERENT * rows):
        raise DataError(
            f"{where} has {classes:,} different labels in {rows:,} rows, which are no classes: name the labels among "
            "the columns or keys"
        )


def tell_labels(labels: npt.NDArray[np.int64], classes: Sequence[str], name_of: str) -> tuple[str, ...]:
    """What is odd about the labels of a whole source: classes without a sample, and labels that hardly occur."""
    counts = np.bincount(labels, minlength=len(classes))
    told = []
    empty = [shown(classes[i], 30) for i in np.flatnonzero(counts == 0).tolist()]
    if empty:
        told.append(f"{name_of}: {len(empty):,} of {len(classes):,} classes have no sample: {few(empty)}")
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(spelled(name), []).append(name)
    if twice := [" and ".join(shown(n, 30) for n in names) for names in alike.values() if len(names) > 1]:
        told.append(
            f"{name_of}: classes that differ in case or white space alone: {few(twice)}; mend the labels"
        )
    usual = len(labels) / max(len(classes) - len(empty), 1)
    stray = [i for i in np.flatnonzero(counts).tolist() if counts[i] <= min(STRAY, STRAY_SHARE * usual)]
    if stray:
        said = [f"{shown(classes[i], 30)} ({counts[i]} of {len(labels):,})" for i in stray]
        told.append(
            f"{name_of}: labels that hardly occur, mistakes perhaps: {few(said)}; choose the others with classes="
        )
    return tuple(told)


def tell_unseen(
    splits: Mapping[str, npt.NDArray[np.int64]], classes: Sequence[str], name: str
) -> tuple[str, ...]:
    """Labels of the other splits that the train split does not have, with their counts."""
    train = set(np.unique(splits["train"]).tolist())
    told = []
    for role, labels in splits.items():
        found, counts = np.unique(labels, return_counts=True)
        new = [
            f"{shown(classes[i], 30)} ({n} of {len(labels):,})"
            for i, n in zip(found.tolist(), counts.tolist(), strict=True)
            if i not in train
        ]
        if new:
            told.append(f"{name}: labels of the {role} split that no training sample has: {few(new)}")
    return tuple(told)


def few(names: Sequence[str], most: int = 5) -> str:
    """A few of these, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
