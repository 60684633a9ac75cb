"""Splits: the parts of a data set, in memory or lazy, read in batches.

The law of every split: `batches` depends on (contents, batch_size, shuffle_seed, indices) only, and the rows
that it yields are the same, in the same order, whatever the batch size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foretoll.data.items import KeptDataset, item_of
from foretoll.data.limits import samples_at_once
from foretoll.data.partition import choose, strata
from foretoll.data.reader import RowReader
from foretoll.errors import DataError, UsageError

Inputs = Tensor | list[str]
_CHUNK = 4096  # samples that are read at once where all are read


class Batch(NamedTuple):
    """Some samples: inputs as stored, and labels.

    Images uint8 (B, C, H, W); vectors float32 (B, d); series float32 (B, C, L); text list[str], or int64
    token ids (B, L) once tokenised. Labels int64 (B,), −1 where unknown; numbers to predict float32 (B, k); of a class
    at each place, int64 (B, L) of tokens and (B, H, W) of pixels, −1 where none counts.
    """

    inputs: Any  # Tensor or list[str]
    labels: Tensor


class Split(ABC):
    """A part of a data set. `ids` are the rows' numbers in it; `labels` int64 (n, …), float32 (n, k), or None."""

    labels: Tensor | None
    ids: Tensor
    explicit_ids: bool

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def take(self, indices: Tensor) -> Split:
        """The split of the samples at these positions, in this order."""

    @abstractmethod
    def _read(self, positions: Tensor) -> Inputs:
        """The stored inputs at these positions; all of them lie inside the split."""

    def batches(
        self, batch_size: int, *, shuffle_seed: int | None = None, indices: Tensor | None = None
    ) -> Iterator[Batch]:
        """Yield all samples (or those at `indices`) once, in order, or shuffled by `shuffle_seed`."""
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}: it must be at least 1")
        positions = None if indices is None else self._checked(indices)
        count = len(self) if positions is None else len(positions)
        if shuffle_seed is not None:
            # seeds are stable across processes; torch takes 64 bits
            positions = (
                self.order(shuffle_seed)
                if positions is None
                else positions[torch.randperm(count, generator=torch.Generator().manual_seed(shuffle_seed))]
            )
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            if positions is None:
                yield self._range(start, stop)
            else:
                yield self._batch(positions[start:stop])

    def order(self, seed: int) -> Tensor:
        """The positions of all samples, each once, in the order in which an epoch of this seed takes them."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))

    def held(self) -> Split:
        """The same samples in memory, where reading them later, a batch at a time, would cost far more; else itself.

        To be asked of few samples that lie far apart in a file.
        """
        return self

    def portable(self) -> Split:
        """The same samples as another process, or another machine, can read them once they are sent there."""
        return self

    def all(self) -> Batch:
        """All samples as one batch: only where they fit into memory."""
        return self._range(0, len(self))

    def _range(self, start: int, stop: int) -> Batch:
        return self._batch(torch.arange(start, stop))

    def _batch(self, positions: Tensor) -> Batch:
        return Batch(self._read(positions), self._labels(positions))

    def _labels(self, positions: Tensor) -> Tensor:
        if self.labels is None:
            return torch.full((len(positions),), -1, dtype=torch.int64)
        return self.labels[positions]

    def _checked(self, indices: Tensor) -> Tensor:
        positions = torch.as_tensor(indices)
        if positions.dtype == torch.bool or positions.is_floating_point() or positions.ndim != 1:
            raise UsageError(
                f"indices must be a 1-D integer tensor, not {positions.dtype} {positions.ndim}-D"
            )
        positions = positions.to(dtype=torch.int64, device="cpu")
        if len(positions) and (int(positions.min()) < 0 or int(positions.max()) >= len(self)):
            raise UsageError(f"indices must lie in 0 … {len(self) - 1} for this split of {len(self)} samples")
        return positions

    def _set_rows(self, size: int, labels: Any, ids: Any) -> None:
        self.labels = None if labels is None else _stored_targets(torch.as_tensor(labels))
        self.explicit_ids = ids is not None
        self.ids = torch.arange(size) if ids is None else torch.as_tensor(ids).to(torch.int64).cpu()
        most = (
            2 if self.labels is not None and self.labels.is_floating_point() else 3
        )  # pixels are whole numbers
        if self.labels is not None and (self.labels.shape[:1] != (size,) or self.labels.ndim > most):
            raise DataError(
                f"{size} samples but labels of shape {tuple(self.labels.shape)}: one label a sample"
            )
        if self.ids.shape != (size,):
            raise DataError(f"{size} samples but ids of shape {tuple(self.ids.shape)}: one id a sample")


def _stored_targets(targets: Tensor) -> Tensor:
    """Class numbers as int64 (n,), numbers as float32 (n, k)."""
    if not targets.is_floating_point():
        return targets.to(torch.int64).cpu()
    return (targets[:, None] if targets.ndim == 1 else targets).to(torch.float32).cpu()


class ArraySplit(Split):
    """A split in memory; reading a batch is one `index_select`."""

    def __init__(self, inputs: Tensor | Sequence[str], labels: Any = None, *, ids: Any = None) -> None:
        self.inputs: Inputs = inputs if isinstance(inputs, Tensor) else list(inputs)
        self._set_rows(len(self.inputs), labels, ids)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Tensor) -> ArraySplit:
        """The samples at these positions (copied)."""
        positions = self._checked(indices)
        labels = None if self.labels is None else self.labels[positions]
        return ArraySplit(self._read(positions), labels, ids=self.ids[positions])

    def _read(self, positions: Tensor) -> Inputs:
        if isinstance(self.inputs, Tensor):
            return self.inputs.index_select(0, positions)
        return [self.inputs[i] for i in positions.tolist()]

    def _range(self, start: int, stop: int) -> Batch:
        labels = (
            torch.full((stop - start,), -1, dtype=torch.int64)
            if self.labels is None
            else self.labels[start:stop]
        )
        return Batch(self.inputs[start:stop], labels)


class DatasetSplit(Split):
    """A lazy split over any torch map-style Dataset, or a `RowReader`: samples are read when a batch asks for them.

    `convert` turns one stored item's input into a tensor as stored (see Batch) or a string; `rows` are the
    items of the Dataset that belong to this split; `transform` is applied to each batch with the ids of its
    samples (a shift). `threads` > 1 reads the items of a batch in a thread pool: only for Datasets whose
    `__getitem__` may run in several threads at once.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        rows: Tensor | None = None,
        labels: Any = None,
        ids: Any = None,
        convert: Callable[[Any], Tensor | str] | None = None,
        transform: Callable[[Inputs, Tensor], Inputs] | None = None,
        threads: int = 1,
    ) -> None:
        self.dataset = dataset
        self.rows = torch.arange(len(dataset)) if rows is None else rows.to(torch.int64)
        self.convert = convert
        self.transform = transform
        self.threads = threads
        self._held: ArraySplit | None = None
        self._set_rows(len(self.rows), labels, ids)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def in_groups(self) -> bool:
        """Whether its samples are read by groups of those that lie together (`RowReader.in_groups`)."""
        return isinstance(self.dataset, RowReader) and self.dataset.in_groups

    def take(self, indices: Tensor) -> DatasetSplit:
        """The samples at these positions; nothing is read."""
        positions = self._checked(indices)
        rows = self.rows[positions]
        return DatasetSplit(
            self.dataset,
            rows=rows,
            labels=None if self.labels is None else self.labels[positions],
            ids=rows if self.ids is self.rows else self.ids[positions],
            convert=self.convert,
            transform=self.transform,
            threads=self.threads,
        )

    def with_transform(self, transform: Callable[[Inputs, Tensor], Inputs]) -> DatasetSplit:
        """The same samples with one more transform after those that it has."""
        split = self.take(torch.arange(len(self)))
        before = self.transform
        split.transform = (
            transform if before is None else lambda inputs, ids: transform(before(inputs, ids), ids)
        )
        return split

    def order(self, seed: int) -> Tensor:
        """As in memory; of a file that is larger than what may be held, window by window (`foretoll.data.reader`)."""
        if isinstance(self.dataset, RowReader):
            return self.dataset.order(self.rows.numpy(), seed)
        return super().order(seed)

    def held(self) -> Split:
        """Samples that are read by groups are gathered at once; those of other data sets cost the same at any time."""
        if not self.in_groups or not len(self):
            return self
        known = self._held
        if known is None or known.labels is not self.labels:  # of a copy that was relabelled since
            self._held = known = self.in_memory()
        return known

    def portable(self) -> Split:
        """In memory, where the data set lies in files of this process; else the data set goes with them."""
        return self.in_memory() if isinstance(self.dataset, KeptDataset) else self

    def all(self) -> Batch:
        """All samples as one batch."""
        if isinstance(self.dataset, RowReader) and len(self):
            return self.in_memory().all()
        return super().all()

    def in_memory(self) -> ArraySplit:
        """Read everything once."""
        if isinstance(self.dataset, RowReader):
            inputs: Inputs = self.dataset.gather(self.rows.numpy())
            inputs = inputs if self.transform is None else self.transform(inputs, self.ids)
            kept = ArraySplit(inputs, self.labels, ids=self.ids)
            kept.explicit_ids = self.explicit_ids
            return kept
        positions = torch.arange(len(self))
        first = self._read(positions[:1])
        if not isinstance(first, Tensor):
            texts = [
                text
                for start in range(0, len(self), _CHUNK)
                for text in self._read(positions[start : start + _CHUNK])
            ]
            return ArraySplit(texts, self.labels, ids=self.ids)
        whole = torch.empty((len(self), *first.shape[1:]), dtype=first.dtype)
        chunk = samples_at_once(
            first.numel() * first.element_size(), _CHUNK
        )  # bounds the work beside the whole
        for start in range(0, len(self), chunk):
            whole[start : start + chunk] = torch.as_tensor(self._read(positions[start : start + chunk]))
        return ArraySplit(whole, self.labels, ids=self.ids)

    def _read(self, positions: Tensor) -> Inputs:
        if isinstance(self.dataset, RowReader):
            found = self.dataset.read(self.rows[positions].numpy())
            return found if self.transform is None else self.transform(found, self.ids[positions])
        rows = self.rows[positions].tolist()
        if self.threads > 1 and len(rows) > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                items = list(pool.map(self._item, rows, chunksize=max(1, len(rows) // (8 * self.threads))))
        else:
            items = [self._item(row) for row in rows]
        texts = bool(items) and isinstance(items[0], str)
        inputs: Inputs = [str(item) for item in items] if texts else _stack(items, rows)
        return inputs if self.transform is None else self.transform(inputs, self.ids[positions])

    def _item(self, row: int) -> Tensor | str:
        value = item_input(item_of(self.dataset, row))
        if self.convert is not None:
            return self.convert(value)
        return value if isinstance(value, str) else torch.as_tensor(np.asarray(value))


INPUT_KEYS = ("image", "img", "pixel_values", "x", "input", "inputs", "features", "text", "sentence")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "fine_label")


def item_input(item: Any) -> Any:
    """The input of one item of a Dataset: (x, y), (x,), a dict with a usual key, or x itself.

    Of more than two values all but the last are its several inputs.
    """
    if isinstance(item, dict):
        if not any(name in item for name in INPUT_KEYS):
            inputs = {key: value for key, value in item.items() if key not in LABEL_KEYS}
            if len(inputs) > 1 and all(hasattr(value, "shape") for value in inputs.values()):
                return inputs  # several inputs, see foretoll.data.parts
        return item[_key(item, INPUT_KEYS, "input")]
    if not isinstance(item, (tuple, list)):
        return item
    return tuple(item[:-1]) if len(item) > 2 else item[0]


def item_label(item: Any) -> Any:
    """The label of one item of a Dataset, the last of its values; None when it has none."""
    if isinstance(item, dict):
        return next((item[key] for key in LABEL_KEYS if key in item), None)
    return item[-1] if isinstance(item, (tuple, list)) and len(item) > 1 else None


def stratified_sample(split: Split, n: int, *, seed: int) -> Split:
    """`n` samples of a split, seeded and stratified by label, in the split's order; all when n ≥ len.

    Each class gives its proportional share, rounded up or down; of numbers each part of their range does.
    """
    if n < 1:
        raise UsageError(f"a sample of {n} was asked for: n must be at least 1")
    if n >= len(split):
        return split.held()
    labels = None if split.labels is None else strata(split.labels.numpy())
    mask = choose(labels, len(split), n, seed=seed, purpose="sample")
    return split.take(torch.from_numpy(np.flatnonzero(mask))).held()


def _key(item: dict[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in item:
            return name
    raise DataError(
        f"an item has the keys {', '.join(map(str, item))} and none is its {what}: name it {names[0]!r}"
    )


def _stack(items: list[Any], rows: list[int]) -> Tensor:
    if not items:
        raise UsageError("an empty selection of a lazy split was read: ask for at least one sample")
    first = items[0].shape
    for item, row in zip(items, rows, strict=True):
        if item.shape != first:
            raise DataError(
                f"sample {row} has shape {tuple(item.shape)}, sample {rows[0]} {tuple(first)}: "
                "all samples need one shape"
            )
    return torch.stack(items)
