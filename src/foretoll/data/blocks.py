"""Texts as blocks of tokens with the token that comes next at each place: what a language model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError
from foretoll.tasks.dense import UNKNOWN

BLOCK = 64  # tokens
IntArray = npt.NDArray[np.int64]


def blocks(texts: Sequence[Sequence[int]], length: int, where: str) -> tuple[IntArray, IntArray, IntArray]:
    """Ids and next ids (blocks, length), UNKNOWN behind the end of a text, and the text (blocks,) of each block.

    Every token but a text's first is predicted once, from what stands before it in its block. A text of one token has
    nothing to predict and is left out. Raises DataError where that is all of them.
    """
    counts = [-(-(len(ids) - 1) // length) if len(ids) > 1 else 0 for ids in texts]
    total = sum(counts)
    if not total:
        raise DataError(f"{where} has no text of two tokens or more: there is no next token to predict")
    length = min(length, max(len(ids) for ids in texts) - 1)
    inputs, targets = (np.full((total, length), UNKNOWN, dtype=np.int64) for _ in range(2))
    of_text = np.repeat(np.arange(len(texts), dtype=np.int64), counts)
    row = 0
    for ids, count in zip(texts, counts, strict=True):
        whole = np.asarray(ids, dtype=np.int64)
        for block in range(count):
            part = whole[block * length : (block + 1) * length + 1]
            inputs[row, : len(part) - 1] = part[:-1]
            targets[row, : len(part) - 1] = part[1:]
            row += 1
    return inputs, targets, of_text


def next_ids(ids: IntArray) -> IntArray:
    """The next ids (n, L) of blocks that were cut already: the last one of each block is not known."""
    last = np.full((len(ids), 1), UNKNOWN, dtype=np.int64)
    return np.concatenate([ids[:, 1:], last], axis=1)


def padded(rows: Sequence[Any], where: str) -> IntArray:
    """Rows of ids of several lengths as (n, longest), UNKNOWN behind the end; DataError where they are no ids."""
    found = []
    for number, row in enumerate(rows):
        ids = np.asarray([] if row is None else row).reshape(-1)
        if not len(ids) or ids.dtype.kind not in "iu":
            raise DataError(
                f"{where} has no token ids in row {number}: give whole numbers from 0, at least one a row"
            )
        found.append(ids.astype(np.int64))
    whole = np.full((len(found), max(len(ids) for ids in found)), UNKNOWN, dtype=np.int64)
    for row, ids in zip(whole, found, strict=True):
        row[: len(ids)] = ids
    return whole
