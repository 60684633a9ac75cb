"""Tokenised texts: input_ids of any lengths, with attention_mask or without, as one tensor of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from foretoll.data.items import item_of, size_of
from foretoll.data.raw import RawData, label_texts, targets_said
from foretoll.data.splits import ArraySplit, item_label
from foretoll.errors import DataError, shown
from foretoll.tasks import read_targets

PADDING = -1  # in place of an id; the model's own padding id is put there when the model reads it


def token_ids(ids: Sequence[Any], masks: Sequence[Any] | None, where: str) -> Tensor:
    """Ids int64 (n, longest), PADDING behind the end of a text and where its mask is 0.

    Raises:
        DataError: a text has no ids, or ids and mask of different lengths.

    """
    rows = []
    for row, value in enumerate(ids):
        tokens = np.asarray([] if value is None else value).reshape(-1)
        if not len(tokens) or tokens.dtype.kind not in "iu":
            raise DataError(f"{where} has no token ids in row {row}: tokenise every text to one id at least")
        tokens = tokens.astype(np.int64)
        if masks is not None:
            mask = np.asarray(masks[row]).reshape(-1)
            if len(mask) != len(tokens):
                raise DataError(
                    f"{where} has {len(tokens)} ids and a mask of {len(mask)} in row {row}: make them equal"
                )
            tokens = np.where(mask != 0, tokens, PADDING)
        rows.append(torch.from_numpy(tokens))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)


def source_of_tokens(data: Any, *, name: str) -> RawData:
    """A source from a Dataset whose items are dicts with input_ids and a label."""
    dataset: Any = data.dataset if isinstance(data, DataLoader) else data
    items: list[Mapping[str, Any]] = [item_of(dataset, row) for row in range(size_of(dataset))]
    masked = all("attention_mask" in item for item in items)
    ids = token_ids(
        [item["input_ids"] for item in items],
        [i["attention_mask"] for i in items] if masked else None,
        shown(name),
    )
    values = [np.asarray(item_label(dict(item))).reshape(-1) for item in items]
    if len({len(value) for value in values}) != 1:
        raise DataError(f"{shown(name)} has items with different numbers of labels: give each as many")
    stacked = np.stack(values)
    labels, classes, task = read_targets(stacked[:, 0] if stacked.shape[1] == 1 else stacked, shown(name))
    return RawData(
        name=name,
        kind="text",
        rows=ArraySplit(ids, labels, ids=np.arange(len(ids))),
        classes=classes,
        task=task,
        shape=(),
        columns=("label",),
        column=lambda _: label_texts(labels, classes),
        reading=f"{len(ids):,} tokenised texts of up to {ids.shape[1]:,} ids, {targets_said(classes, task)}",
    )
