"""Checks of values and labels: each refuses with one sentence that names the first offender."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError

MAX_CLASSES = 10_000


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

    Integers are class numbers 0 … k − 1, named by `names` where given; texts and truth values are the class
    names themselves, in sorted order. Everything else is refused.
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
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        row = int(np.argmax(labels < 0))
        raise DataError(f"{where} has the negative label {int(labels[row])} in row {row}: labels run from 0")
    limit = len(names) if names is not None else MAX_CLASSES
    if high >= limit:
        row = int(np.argmax(labels >= limit))
        raise DataError(
            f"{where} has the label {int(labels[row])} in row {row}, out of range: labels run from 0 to {limit - 1}"
        )
    classes_out = tuple(names) if names is not None else tuple(str(i) for i in range(high + 1))
    return labels.astype(np.int64), classes_out
