"""Token ids handed over in Python for a language model: arrays, lists, data sets of `input_ids`, whole or by split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from foretoll.data.blocks import next_ids, padded
from foretoll.data.items import item_of, size_of
from foretoll.data.raw import ROLES, RawData, role_of, targets_said
from foretoll.data.splits import ArraySplit
from foretoll.errors import DataError
from foretoll.tasks import read_targets
from foretoll.tasks.dense import UNKNOWN

IntArray = npt.NDArray[np.int64]


class _Ids(NamedTuple):
    inputs: IntArray
    targets: IntArray


def source_of_ids(data: Any, task: str) -> RawData:
    """A source of sequences of ids (n, L), each of which is predicted from those before it.

    `data`: an array or tensor (n, L), or lists of ids; (x, y) with the next ids as y; a Dataset of dicts or a data set
    of the `datasets` library with input_ids, and attention_mask or labels (−100 leaves a token out) where they are;
    or a dict of these by split, or a tuple of Datasets. Raises DataError where they hold no ids.
    """
    parts = _parts(data)
    found = {role: _ids(part, role or "the data") for role, part in parts.items()}
    longest = max(part.inputs.shape[1] for part in found.values())
    inputs, targets = (
        np.concatenate([_to(getattr(part, name), longest) for part in found.values()])
        for name in ("inputs", "targets")
    )
    most = int(max(inputs.max(), targets.max())) + 1
    names = tuple(str(i) for i in range(most))
    values, classes, _ = read_targets(targets, "the ids", names=names, task=task)
    given = None
    if len(found) > 1:
        given = np.repeat(list(found), [len(part.inputs) for part in found.values()])
    return RawData(
        name="ids",
        kind="text",
        rows=ArraySplit(torch.from_numpy(inputs), values, ids=np.arange(len(inputs))),
        classes=classes,
        shape=(),
        task=task,
        given=given,
        reading=f"{len(inputs):,} sequences of up to {longest:,} token ids, {targets_said(classes, task)}"
        + ("" if given is None else f", {' and '.join(found)} given"),
    )


def _parts(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping):
        roles = {str(key): role_of(str(key)) for key in data}
        if roles and set(roles.values()) <= set(ROLES):
            if "train" not in roles.values():
                raise DataError(f"the splits are {', '.join(roles)}: one of them must be train")
            return {roles[str(key)]: part for key, part in data.items()}
    if isinstance(data, tuple) and len(data) in (2, 3) and all(_is_dataset(part) for part in data):
        return dict(zip(ROLES if len(data) == 3 else ("train", "test"), data, strict=True))
    return {"": data}


def _is_dataset(value: Any) -> bool:
    if isinstance(value, DataLoader):
        return True
    plain = isinstance(value, np.ndarray | Tensor | list | tuple | Mapping)
    return not plain and hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _ids(part: Any, where: str) -> _Ids:
    if isinstance(part, tuple) and len(part) == 2:
        inputs, targets = (_matrix(value, where) for value in part)
        if inputs.shape != targets.shape:
            raise DataError(
                f"{where} has ids of shape {inputs.shape} and next ids of {targets.shape}: make them equal"
            )
        return _Ids(inputs, targets)
    if isinstance(part, tuple) and len(part) == 1:
        part = part[0]
    if _is_dataset(part):
        return _of_items(part, where)
    inputs = _matrix(part, where)
    return _Ids(inputs, next_ids(inputs))


def _of_items(part: Any, where: str) -> _Ids:
    dataset = part.dataset if isinstance(part, DataLoader) else part
    rows, truth = [], []
    for number in range(size_of(dataset)):
        item = item_of(dataset, number)
        if not isinstance(item, Mapping):
            rows.append(_plain(item[0] if isinstance(item, tuple | list) and len(item) == 2 else item))
            truth.append(rows[-1])
            continue
        if "input_ids" not in item:
            raise DataError(f"item {number} of {where} has no input_ids: give token ids, or texts by text:")
        ids = _plain(item["input_ids"])
        mask = item.get("attention_mask")
        rows.append(ids if mask is None else np.where(_plain(mask) != 0, ids, UNKNOWN))
        labels = item.get("labels")
        truth.append(rows[-1] if labels is None else np.where(_plain(labels) < 0, UNKNOWN, rows[-1]))
    inputs = padded(rows, where)
    return _Ids(inputs, next_ids(_to(padded(truth, where), inputs.shape[1])))


def _plain(value: Any) -> npt.NDArray[Any]:
    return np.asarray(value.cpu() if isinstance(value, Tensor) else value).reshape(-1)


def _matrix(value: Any, where: str) -> IntArray:
    if isinstance(value, list | tuple):
        return padded([_plain(row) for row in value], where)
    found = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
    if found.ndim != 2 or found.dtype.kind not in "iu" or not found.size:
        raise DataError(
            f"{where} has shape {found.shape} and type {found.dtype}: token ids are whole numbers (sequences, tokens)"
        )
    ids = found.astype(np.int64)
    ids[ids < 0] = UNKNOWN
    return ids


def _to(ids: IntArray, length: int) -> IntArray:
    """The same ids with UNKNOWN behind them."""
    missing = length - ids.shape[1]
    return np.pad(ids, ((0, 0), (0, missing)), constant_values=UNKNOWN) if missing else ids
