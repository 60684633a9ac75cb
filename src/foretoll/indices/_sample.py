"""A bounded, seeded sample of a stream: for indices that need the representations themselves and not their sums.

Bottom-k sampling: every sample's id is hashed to a key, and the smallest keys stay. What is kept is a function
of the set of samples seen, so it is the same for any batch size, order or split, and merging keeps the
smallest keys of both. Classes keep their natural proportions (so an accuracy on the sample estimates the
accuracy on the data); the `per_class` smallest keys of each class stay besides, so that rare classes do not
vanish. All samples are kept while there are at most `capacity` of them.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._accumulator import Accumulator, Value
from foretoll.indices._bootstrap import hash_ids
from foretoll.indices._validate import check_ids, check_labels


class Sample:
    """Samples sorted by id: `ids` int64 (n,), `labels` int64 (n,) with -1 unknown, `tensors` each (n, ...).

    `seen` counts the rows fed, a repeated id each time.
    """

    __slots__ = ("ids", "labels", "seen", "tensors")

    def __init__(self, ids: Tensor, labels: Tensor, tensors: dict[str, Tensor], seen: int) -> None:
        self.ids, self.labels, self.tensors, self.seen = ids, labels, tensors, seen

    def __len__(self) -> int:
        return len(self.ids)


class BoundedSample(Accumulator[Sample]):
    """Keeps at most `capacity` samples, or a little more where `per_class` of every class ask for it.

    An id stands for one sample: fed twice, it counts once. Once the sample is full, rows whose key is too large
    to stay are not stored at all, so a long stream costs little. Memory: at most a quarter more than what is kept,
    and a batch. The tensors keep their dtype and live on the device of the first batch.
    """

    keys: list[Tensor]
    ids: list[Tensor]
    labels: list[Tensor]
    seen: Tensor

    def __init__(self, capacity: int = 2000, seed: int = 0, *, per_class: int = 5) -> None:
        super().__init__()
        if capacity < 1 or per_class < 0:
            raise UsageError(
                f"capacity is {capacity} and per_class {per_class}: pass at least 1 and at least 0"
            )
        self.capacity, self.seed, self.per_class = capacity, seed, per_class
        self._held = self._kept = 0  # rows in the lists: now, and after the last cut
        self._bars: tuple[Tensor, Tensor] | None = None  # keys above which a row cannot stay
        for name in ("keys", "ids", "labels"):
            self._add_state(name, None, "cat")
        self._add_state("seen", torch.zeros((), dtype=torch.int64), "sum")

    def _settings(self) -> tuple[Any, ...]:
        return (self.capacity, self.seed, self.per_class)

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        self.seen = self.seen.to(device)
        for name, _ in key:
            self._add_state(f"kept_{name}", None, "cat")

    def _names(self) -> list[str]:
        return [name for name, _ in self._sized or ()]

    def update(self, ids: Tensor, labels: Tensor, **tensors: Tensor) -> None:
        """Add a batch: `ids` int64 (B,), unique to each sample; `labels` (B,); named tensors (B, ...)."""
        n = len(labels)
        ids, labels = check_ids(ids, n), check_labels(labels, n)
        for name, rows in tensors.items():
            if rows.shape[0] != n:
                raise DataError(f"{name} has {rows.shape[0]} rows for {n} ids: pass one row a sample")
        key = tuple((name, tuple(rows.shape[1:])) for name, rows in sorted(tensors.items()))
        first = next((rows for _, rows in sorted(tensors.items())), ids)
        self._size(key, first.device)
        self.seen = self.seen + n
        ids, labels = self._at_home(ids), self._at_home(labels)
        keys = hash_ids(ids, self.seed)
        hopeful = self._hopeful(keys, labels)
        new = {"keys": keys, "ids": ids, "labels": labels}
        new |= {f"kept_{name}": self._at_home(rows.detach()) for name, rows in tensors.items()}
        for name, rows in new.items():
            getattr(self, name).append(rows if hopeful is None else rows[hopeful])
        self._hold(n if hopeful is None else len(hopeful))

    def merge_state(self, other: Self) -> None:
        """Take in another sampler's samples; the smallest keys of both stay."""
        super().merge_state(other)
        self._hold(other._held)

    def _hold(self, rows: int) -> None:
        """Note that so many rows came in; cut where too many are held."""
        self._held += rows
        if self._held > max(self._kept, self.capacity) + self.capacity // 8:
            self._cut()

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._held, self._kept, self._bars = 0, 0, None

    def _hopeful(self, keys: Tensor, labels: Tensor) -> Tensor | None:
        """Positions of the rows of a batch that may stay; None for all, while the sample is not full."""
        if self._bars is None:
            return None
        bar, of_class = (self._at_home(bars) for bars in self._bars)
        known = labels + 1 < len(of_class)
        place = torch.where(known, labels + 1, 0)
        return ((keys <= bar) | ~known | (keys <= of_class[place])).nonzero().squeeze(1)

    def _cut(self) -> None:
        """Keep the smallest keys, each key once, sorted by key; note which keys are too large from now on."""
        if not self.keys:
            return
        rows = self._chosen(torch.cat(self.keys), torch.cat(self.labels))
        for name in ("keys", "ids", "labels", *(f"kept_{name}" for name in self._names())):
            setattr(self, name, [torch.cat(getattr(self, name))[rows]])
        self._held = self._kept = len(rows)
        self._bars = self._make_bars(self.keys[0], self.labels[0]) if len(rows) >= self.capacity else None

    def _make_bars(self, keys: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The largest key that may still enter: of all, and of each class (label + 1); keys come sorted.

        A class with fewer than `per_class` samples has no bar yet.
        """
        of_class = torch.full((int(labels.max()) + 2,), torch.iinfo(torch.int64).max, device=keys.device)
        if self.per_class == 0:
            return keys[self.capacity - 1], of_class.fill_(torch.iinfo(torch.int64).min)
        by_class = torch.argsort(labels, stable=True)
        found, sizes = torch.unique_consecutive(labels[by_class], return_counts=True)
        full = sizes >= self.per_class
        last = (torch.cumsum(sizes, 0) - sizes + self.per_class - 1)[full]
        of_class[found[full] + 1] = keys[by_class[last]]
        return keys[self.capacity - 1], of_class

    def _chosen(self, keys: Tensor, labels: Tensor) -> Tensor:
        """Positions of the samples that stay, by key."""
        keys, order = torch.sort(keys, stable=True)
        first = torch.ones_like(keys, dtype=torch.bool)
        first[1:] = keys[1:] != keys[:-1]
        order = order[first]
        if len(order) <= self.capacity:
            return order
        # rank of each sample within its class, in the order of the keys
        labels = labels[order]
        by_class = torch.argsort(labels, stable=True)
        _, sizes = torch.unique_consecutive(labels[by_class], return_counts=True)
        starts = torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
        position = torch.arange(len(order), device=order.device)
        rank = torch.empty_like(position)
        rank[by_class] = position - starts
        return order[(position < self.capacity) | (rank < self.per_class)]

    def _value(self) -> Sample:
        """The sample, sorted by id, so that nothing computed from it depends on the order of the stream."""
        self._require_data()
        if not self.seen:  # after a reset
            raise DataError("BoundedSample has seen no data: call update first")
        keys, labels = torch.cat(self.keys), torch.cat(self.labels)
        ids = torch.cat(self.ids)
        rows = self._chosen(keys, labels)
        rows = rows[torch.argsort(ids[rows])]
        tensors = {name: torch.cat(getattr(self, f"kept_{name}"))[rows] for name in self._names()}
        return Sample(ids[rows], labels[rows], tensors, int(self.seen))


class SampleAccumulator(Accumulator[Value]):
    """Base of accumulators whose index needs the representations themselves: they hold bounded samples.

    `samples` has one `BoundedSample` a side. The value is a function of what the samplers keep, so it obeys
    their laws, and up to `capacity` samples a side it is the pure function's value of all the data.
    """

    def __init__(self, sides: tuple[str, ...], capacity: int, seed: int) -> None:
        super().__init__()
        self.samples = {side: BoundedSample(capacity, seed) for side in sides}

    def sampler(self, side: str) -> BoundedSample:
        """The sampler of a side."""
        return self.samples[side]

    def _sample(self, side: str) -> Sample:
        """What the sampler of a side kept.

        Raises:
            DataError: it has seen nothing.

        """
        try:
            return self.sampler(side)._value()
        except DataError as error:
            raise DataError(f"no {side} sample was seen: update it before compute") from error

    def _settings(self) -> tuple[Any, ...]:
        return tuple(sampler._settings() for sampler in self.samples.values())

    def to(self, device: torch.device | str) -> Self:
        """Move the samples to a device."""
        for sampler in self.samples.values():
            sampler.to(device)
        return super().to(device)

    def merge_state(self, other: Self) -> None:
        """Take in the samples of another accumulator of the same kind and settings."""
        self._check_kin(other)
        for side, sampler in self.samples.items():
            sampler.merge_state(other.sampler(side))

    def reset(self) -> None:
        """Forget all samples."""
        for sampler in self.samples.values():
            sampler.reset()
