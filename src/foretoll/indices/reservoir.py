"""A bounded, seeded sample of what was served, with its labels: to measure what an update forgot, and to rehearse it.

Every labelled sample has a place in the life: how many were served before it. The places are hashed, and those with
the smallest hashes stay (bottom-k sampling), as many as fit into a number of samples and of bytes. So what is kept
follows from the samples and the capacity alone: it is the same however the stream was cut into batches and in
whichever order labels came, each sample is as likely to be kept as any other, and nothing later than a time changes
what was kept then. Vitter (1985, ACM TOMS 11) draws the same by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data import Split
from foretoll.data.splits import ArraySplit, Inputs
from foretoll.errors import DataError, UsageError
from foretoll.indices._bootstrap import hash_ids

MOST_BYTES = 32_000_000  # of all samples that are kept
_SEED = 20_12
Places = npt.NDArray[np.int64]


class _Part(NamedTuple):
    """The samples that are kept of one batch."""

    places: Places
    keys: Places
    sizes: Places  # bytes of each input
    inputs: Inputs
    labels: npt.NDArray[Any]  # a target each, as the task stores them

    def take(self, rows: npt.NDArray[np.bool_]) -> _Part:
        """Those samples alone."""
        chosen = np.flatnonzero(rows)
        inputs = (
            self.inputs[torch.from_numpy(chosen)]
            if isinstance(self.inputs, Tensor)
            else [self.inputs[i] for i in chosen]
        )
        return _Part(self.places[rows], self.keys[rows], self.sizes[rows], inputs, self.labels[rows])


class Reservoir:
    """At most `capacity` samples of all that were added, and at most MOST_BYTES of inputs. Batches are known by name.

    Raises UsageError for a negative capacity; with 0 nothing is kept.
    """

    def __init__(self, capacity: int, *, most_bytes: int = MOST_BYTES) -> None:
        if capacity < 0:
            raise UsageError(f"a sample of {capacity} cannot be kept: give 0 or more")
        self.capacity, self.most_bytes = capacity, most_bytes
        self._parts: dict[str, _Part] = {}

    def __len__(self) -> int:
        return sum(len(part.places) for part in self._parts.values())

    def add(
        self,
        name: str,
        first: int,
        rows: Split,
        labels: npt.NDArray[Any],
        there: npt.NDArray[np.bool_] | None = None,
    ) -> bool:
        """Add a batch whose first sample has the place `first`; labels (n, …) are its targets.

        there: which samples have one, bool (n,); all without it. A batch that was added before adds nothing.
        Returns whether anything is kept of it.
        """
        known = np.arange(len(labels)) if there is None else np.flatnonzero(there)
        if name in self._parts or not len(known) or not self.capacity:
            return False
        places = first + known.astype(np.int64)
        keys = hash_ids(torch.from_numpy(places), _SEED).numpy()
        there = np.sort(np.concatenate([keys, *(part.keys for part in self._parts.values())]))
        hopeful = keys <= there[: self.capacity][-1]  # others cannot stay, and are not read
        if not hopeful.any():
            return False
        chosen = torch.from_numpy(known[hopeful])
        inputs: Inputs = next(rows.batches(len(chosen), indices=chosen)).inputs
        self._parts[name] = _Part(
            places[hopeful], keys[hopeful], _sizes(inputs), inputs, labels[known[hopeful]]
        )
        self._cut()
        return True

    def _cut(self) -> None:
        """Keep the smallest keys, up to the first sample with which they are too many or too large."""
        keys = np.concatenate([part.keys for part in self._parts.values()])
        sizes = np.concatenate([part.sizes for part in self._parts.values()])
        order = np.argsort(keys)
        fits = (np.arange(len(keys)) < self.capacity) & (np.cumsum(sizes[order]) <= self.most_bytes)
        if fits.all():
            return
        bar = keys[order][np.argmin(fits)]
        for name, part in list(self._parts.items()):
            stays = part.keys < bar
            if not stays.any():
                del self._parts[name]
            elif not stays.all():
                self._parts[name] = part.take(stays)

    def before(self, place: int, *, half: int | None = None) -> list[ArraySplit]:
        """What is kept of samples with a smaller place, a split for each batch, in the order of the names added.

        half: 0 or 1, one of two halves by chance, which are always the same.
        """
        found = []
        for part in sorted(self._parts.values(), key=lambda each: int(each.places[0])):
            rows = part.places < place
            if half is not None:
                rows = rows & (part.keys % 2 == half)
            if rows.any():
                some = part.take(rows)
                found.append(ArraySplit(some.inputs, torch.from_numpy(some.labels)))
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays from which `from_state` makes the same; for an .npz file without pickles."""
        state: dict[str, npt.NDArray[Any]] = {"names": np.array(list(self._parts), dtype=np.str_)}
        for number, part in enumerate(self._parts.values()):
            state |= {f"{number}.places": part.places, f"{number}.labels": part.labels}
            if isinstance(part.inputs, Tensor):
                state[f"{number}.inputs"] = part.inputs.numpy()
            else:
                texts = [text.encode() for text in part.inputs]
                state[f"{number}.texts"] = np.frombuffer(b"".join(texts), dtype=np.uint8)
                state[f"{number}.ends"] = np.cumsum([len(text) for text in texts])
        return state

    @classmethod
    def from_state(
        cls, state: Mapping[str, npt.NDArray[Any]], capacity: int, *, most_bytes: int = MOST_BYTES
    ) -> Self:
        """What `state` says; DataError where it is none."""
        found = cls(capacity, most_bytes=most_bytes)
        try:
            for number, name in enumerate(state["names"]):
                places = np.asarray(state[f"{number}.places"], dtype=np.int64)
                labels = np.asarray(state[f"{number}.labels"])
                if labels.dtype not in (np.int64, np.float32):
                    raise ValueError("labels")
                if f"{number}.inputs" in state:
                    inputs: Inputs = torch.from_numpy(state[f"{number}.inputs"])
                else:
                    inputs = list(_texts(state[f"{number}.texts"], state[f"{number}.ends"]))
                if not len(places) == len(labels) == len(inputs) > 0:
                    raise ValueError("sizes")
                keys = hash_ids(torch.from_numpy(places), _SEED).numpy()
                found._parts[str(name)] = _Part(places, keys, _sizes(inputs), inputs, labels)
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"this is no sample of earlier batches ({error}): remove it, and a new one begins with the next batch"
            ) from error
        return found


def _sizes(inputs: Inputs) -> Places:
    """Bytes of each input (n,)."""
    if isinstance(inputs, Tensor):
        return np.full(len(inputs), inputs[0].numel() * inputs.element_size(), dtype=np.int64)
    return np.array([len(text.encode()) for text in inputs], dtype=np.int64)


def _texts(content: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Iterable[str]:
    start, whole = 0, content.tobytes()
    for end in ends.tolist():
        yield whole[start:end].decode()
        start = end
