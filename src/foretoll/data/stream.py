"""Streams: data in the order in which they were served, cut into batches.

A stream is a data set in time order (`parquet:elec2.parquet?every=336`, with `time=COLUMN` where the file is not in
order), or a list of data sets, one a batch. An update is made on a window of batches, of which the *last* rows are its
validation and test data: random splits leak through time, and promise a quality that is not there when it is served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretoll.data.opening import open_in_order, open_rows
from foretoll.data.partition import in_order
from foretoll.data.splits import Inputs, Split
from foretoll.data.taskdata import TaskData, reference_of
from foretoll.errors import DataError, UsageError
from foretoll.records import DataCard, TableLayout

_DIGEST_ROWS = 64  # of a batch that its name is made of; with the number of rows
LEAST_ROWS = 10  # of a window: fewer cannot be divided into three parts


class JoinedSplit(Split):
    """Several splits one after the other; nothing is copied or read before it is asked for."""

    def __init__(self, parts: Sequence[Split], positions: Tensor | None = None) -> None:
        if not parts:
            raise UsageError("no splits were given to be joined: give one at least")
        self.parts = tuple(parts)
        sizes = torch.tensor([len(part) for part in self.parts])
        self._ends = sizes.cumsum(0)
        self.positions = torch.arange(int(self._ends[-1])) if positions is None else positions
        labels = None
        if all(part.labels is not None for part in self.parts):
            labels = torch.cat([part.labels for part in self.parts if part.labels is not None])[
                self.positions
            ]
        every = torch.cat([part.ids for part in self.parts])
        if len(torch.unique(every)) < len(every):  # parts of several sources number their rows alike
            every = torch.arange(len(every))
        self._set_rows(len(self.positions), labels, every[self.positions])
        self.explicit_ids = all(part.explicit_ids for part in self.parts)

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, indices: Tensor) -> JoinedSplit:
        """The samples at these positions; nothing is read."""
        chosen = self._checked(indices)
        split = JoinedSplit(self.parts, self.positions[chosen])
        split.labels = None if self.labels is None else self.labels[chosen]
        split.ids = self.ids[chosen]
        return split

    def _read(self, positions: Tensor) -> Inputs:
        rows = self.positions[positions]
        numbers = torch.searchsorted(self._ends, rows, right=True)
        texts: list[str] = [""] * len(rows)
        inputs: Tensor | None = None
        for number in torch.unique(numbers).tolist():
            there = (numbers == number).nonzero().squeeze(1)
            start = int(self._ends[number]) - len(self.parts[number])
            found = next(self.parts[number].batches(len(there), indices=rows[there] - start)).inputs
            if isinstance(found, Tensor):
                if inputs is None:
                    inputs = found.new_empty((len(rows), *found.shape[1:]))
                if inputs.shape[1:] != found.shape[1:]:
                    raise DataError(
                        f"a batch of the stream has samples of shape {tuple(found.shape[1:])}, another one "
                        f"{tuple(inputs.shape[1:])}: all of them need one shape"
                    )
                inputs[there] = found
            else:
                for at, text in zip(there.tolist(), found, strict=True):
                    texts[at] = text
        return texts if inputs is None else inputs


def all_rows(data: TaskData) -> Split:
    """All samples of a data set in order: train, then validation, then test."""
    return JoinedSplit([part for part in (data.train, data.validation, data.test) if len(part)])


def digest_of(split: Split) -> str:
    """A name for the contents of a batch: of its inputs, not of its labels, which may come later."""
    rows = torch.linspace(0, len(split) - 1, min(len(split), _DIGEST_ROWS)).long()
    found = next(split.batches(len(rows), indices=rows)).inputs
    content = found.contiguous().numpy().tobytes() if isinstance(found, Tensor) else "\0".join(found).encode()
    return hashlib.blake2b(content + str(len(split)).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class StreamBatch:
    """One batch that was served: its place in the stream, and its samples."""

    number: int
    rows: Split

    @cached_property
    def name(self) -> str:
        """A digest of its contents: the same batch has the same name wherever it stands."""
        return digest_of(self.rows)


@dataclass(frozen=True)
class Stream:
    """Batches in time order. `data` says what the samples are (kind, shape, classes); `edges` where batches begin."""

    data: TaskData
    rows: Split
    edges: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def batch(self, number: int) -> StreamBatch:
        """The batch of this number, from 0."""
        if not 0 <= number < len(self):
            raise UsageError(f"the stream has no batch {number}: it has 0 to {len(self) - 1}")
        return StreamBatch(number, self.rows.take(torch.arange(self.edges[number], self.edges[number + 1])))

    def window(self, last: int, batches: int) -> TaskData:
        """The data for an update after batch `last`: at most so many batches, divided in time order, 60/20/20."""
        first = max(0, last + 1 - batches)
        rows = np.arange(self.edges[first], self.edges[last + 1], dtype=np.int64)
        if len(rows) < LEAST_ROWS:
            raise DataError(
                f"a window of {len(rows)} samples cannot be divided into three: give more batches or rows"
            )
        train, validation, test = (self.rows.take(torch.from_numpy(part)) for part in in_order(rows))
        card = self.data.card.model_copy(
            update={
                "train": len(train),
                "validation": len(validation),
                "test": len(test),
                "labelled": self.rows.labels is not None,
                "reading": f"{self.data.card.name}, batches {first} to {last}, splits in time order",
            }
        )
        return TaskData(card, train, validation, test, reference=reference_of(train, card.kind))


def cut(data: TaskData, every: int) -> Stream:
    """A data set in time order as batches of `every` rows; a rest of fewer than half of that joins the last one."""
    if every < 2:
        raise UsageError(f"batches of {every} samples say nothing: cut the stream into batches of 2 or more")
    rows = all_rows(data)
    edges = [*range(0, len(rows), every), len(rows)]
    if len(edges) > 2 and edges[-1] - edges[-2] < every / 2:
        del edges[-2]
    return Stream(data, rows, tuple(edges))


def chain(parts: Sequence[TaskData]) -> Stream:
    """One batch for each data set, in this order; all of one kind, shape and classes.

    Raises DataError where they differ.
    """
    if not parts:
        raise UsageError("a stream needs at least one batch: give its data")
    first = parts[0]
    for part in parts[1:]:
        if (part.kind, part.shape, part.classes) != (first.kind, first.shape, first.classes):
            raise DataError(
                f"the batches {first.card.name} and {part.card.name} of a stream differ in kind, shape or classes: "
                "give data of one task"
            )
    splits = [all_rows(part) for part in parts]
    edges = np.cumsum([0, *(len(split) for split in splits)]).tolist()
    return Stream(first, JoinedSplit(splits), tuple(edges))


def open_batch(
    source: Any, *, layout: TableLayout | None = None, task: str | None = None
) -> tuple[DataCard, Split]:
    """One served batch: its card and all its samples, in their own order, labelled or not.

    source: anything that `open_data` takes. A batch may be of one class alone, and as small as one sample. task: what
    its labels are of, where their form does not tell.
    """
    data = open_rows(source, layout=layout, task=task)
    return data.card, all_rows(data)


def open_stream(
    source: Any,
    *,
    every: int | None = None,
    seed: int = 0,
    layout: TableLayout | None = None,
    task: str | None = None,
) -> Stream:
    """Open a stream: a data URI with `every=`, anything that `open_data` takes with `every` given, or a list of them.

    A list is one batch for each of its members. A source is put in time order, by `time=` or as it stands; of data that
    are open already (TaskData) the parts follow each other as they are. task: what its labels are of, where their form
    does not tell.
    Raises UsageError where neither says how many rows are a batch, and what `open_data` raises.
    """
    if isinstance(source, list):
        return chain([open_in_order(part, seed=seed, layout=layout, task=task)[0] for part in source])
    data, every = open_in_order(source, every=every, seed=seed, layout=layout, task=task)
    if every is None:
        raise UsageError(
            "a stream is cut into batches: say how many rows are one, for example ?every=500 at the end of its URI"
        )
    return cut(data, every)
