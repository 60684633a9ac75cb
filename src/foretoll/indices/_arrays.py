"""Checks and conversions that the peer scores share, on top of `_validate`: float64 tensors on the CPU come out.

Float64 on the CPU is on purpose: the scores are small linear algebra on a sample, float32 covariances lose the
small eigenvalues that several of them invert, and some accelerators have no float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._validate import (
    Array,
    as_tensor,
    check_choice,
    check_known_labels,
    check_labels,
    check_representations,
)

SIDES = ("source", "target")


def matrix(values: Array, name: str, *, rows: int = 1) -> Tensor:
    """`values` as a finite float64 tensor of shape (n, d) on the CPU with at least `rows` rows."""
    return _enough(check_representations(as_tensor(values).cpu(), name), name, rows)


def batch_matrix(values: Tensor, name: str = "representations") -> Tensor:
    """The same for a batch of an accumulator: it stays on its device where that has float64."""
    tensor = as_tensor(values)
    return check_representations(tensor.cpu() if tensor.device.type == "mps" else tensor, name)


def vector(values: Array, name: str, *, rows: int = 1) -> Tensor:
    """`values` as a finite float64 tensor of shape (n,) on the CPU with at least `rows` entries."""
    tensor = as_tensor(values).cpu()
    if tensor.ndim != 1:
        raise DataError(f"{name} has shape {tuple(tensor.shape)}: needed is one number a sample, (samples,)")
    if tensor.numel() == 0:
        raise DataError(f"{name} is empty: pass at least {rows} samples")
    return _enough(check_representations(tensor[:, None], name)[:, 0], name, rows)


def as_probabilities(outputs: Array, *, from_logits: bool) -> Tensor:
    """Rows of probabilities, shape (n, classes), on the device of `outputs`: checked, or the softmax of logits."""
    tensor = batch_matrix(as_tensor(outputs), "logits" if from_logits else "probabilities")
    if from_logits:
        return tensor.softmax(1)
    if bool((tensor < 0).any()) or bool(((tensor.sum(1) - 1).abs() > 1e-3).any()):
        raise DataError(
            "probabilities has rows that are negative or do not sum to 1: apply a softmax to logits first"
        )
    return tensor


def class_labels(labels: Array, samples: int, name: str = "labels", *, classes: int | None = None) -> Tensor:
    """Class numbers as int64 (samples,) on their device, −1 for unknown, below `classes` where that is given."""
    y = check_labels(labels, samples, name)
    if classes is not None and samples and int(y.max()) >= classes:
        raise DataError(
            f"{name} holds {int(y.max())}, and there are {classes} classes: number them 0 to {classes - 1}"
        )
    return y


def labelled(features: Array, labels: Array) -> tuple[Tensor, Tensor, int]:
    """Representations (n, d) of known class, the position of each one's class among those present, and their number.

    Raises `DataError` for fewer than two classes.
    """
    x = matrix(features, "features", rows=2)
    x, y = check_known_labels(x, check_labels(as_tensor(labels).cpu(), len(x)))
    present, position = torch.unique(y, return_inverse=True)
    return x, position, len(present)


def sums_by_class(values: Tensor, position: Tensor, classes: int) -> Tensor:
    """Sums of the rows of `values`, shape (n, …), by class: shape (classes, …)."""
    return values.new_zeros(classes, *values.shape[1:]).index_add_(0, position, values)


def same_width(x: Tensor, y: Tensor, names: str) -> None:
    """Refuse two tables of different dimension."""
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"{names} have {x.shape[1]} and {y.shape[1]} dimensions: represent both with the same model and layer"
        )


def check_side(side: str) -> str:
    """`side` if it is "source" or "target"."""
    check_choice("side", side, SIDES)
    return side


def _enough(tensor: Tensor, name: str, rows: int) -> Tensor:
    if len(tensor) < rows:
        raise DataError(f"{name} has {len(tensor)} samples: pass at least {rows}")
    return tensor
