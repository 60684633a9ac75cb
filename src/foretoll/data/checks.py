"""Checks of values and labels: each refuses with one sentence that names the first offender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.spelling import spelled
from foretoll.errors import DataError, shown

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
    train = set(np.flatnonzero(np.bincount(splits["train"])).tolist())
    told = []
    for role, labels in splits.items():
        counted = np.bincount(labels)
        found, counts = np.flatnonzero(counted), counted[counted > 0]
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
    return ", ".join(name or "''" for name in names[:most]) + more
