"""Samples that lie on disk and are read by their numbers: few of them at once, or in pieces that stay for a while.

An epoch visits every sample once. Where all of them may be held, its order is that of a source in memory. Where they
may not, the pieces of the file (its row groups) are shuffled by the epoch's seed and cut into windows of as many as
may be held, and the samples of each window are shuffled among themselves: a file is best written in a random order.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.limits import held_bytes

IntArray = npt.NDArray[np.int64]


class RowReader(ABC):
    """What a `DatasetSplit` reads many samples at once from. Threads may read at the same time.

    in_groups: a sample comes with many others of its group, so that few that lie far apart are gathered once.
    """

    in_groups: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, rows: IntArray) -> Tensor:
        """The stored samples (see `Batch`) at these rows, in this order, of which others beside them come next."""

    @abstractmethod
    def gather(self, rows: IntArray, *, lenient: bool = False) -> Tensor:
        """The same, where no other samples follow: nothing but these is kept.

        `lenient`: with values that stand in for those that cannot be used, which are an error else.
        """

    def order(self, rows: IntArray, seed: int) -> Tensor:
        """The positions of `rows` in the order in which an epoch of this seed takes them: each of them once."""
        return torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))


class Pieces:
    """Consecutive pieces of a file, of which as many are held as memory is given: the latest that were used.

    starts (k + 1,): the first row of each piece, and the number of all rows. load: a piece's stored samples.
    """

    def __init__(
        self, starts: Sequence[int], row_bytes: int, load: Callable[[int], Tensor], *, most: int | None = None
    ) -> None:
        self.starts = np.asarray(starts, dtype=np.int64)
        self._row_bytes, self._load = max(row_bytes, 1), load
        self._most = held_bytes() if most is None else most
        self._held: OrderedDict[int, Tensor] = OrderedDict()
        self._whole: Tensor | None = None
        self._lock = threading.Lock()

    @property
    def fit(self) -> bool:
        """Whether all pieces may be held at once."""
        return int(self.starts[-1]) * self._row_bytes <= self._most

    def of(self, rows: IntArray) -> IntArray:
        """The piece that each row lies in."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def read(self, rows: IntArray) -> Tensor:
        """The samples at these rows."""
        with self._lock:
            if self.fit:
                if self._whole is None:
                    self._whole = self._all()
                return self._whole[torch.from_numpy(rows)]
            pieces, out = self.of(rows), None
            for number in np.unique(pieces).tolist():
                there = np.flatnonzero(pieces == number)
                found = self._piece(number)[torch.from_numpy(rows[there] - self.starts[number])]
                if out is None:
                    out = found.new_empty((len(rows), *found.shape[1:]))
                out[torch.from_numpy(there)] = found
        assert out is not None  # noqa: S101  (for the type checker: no batch is empty)
        return out

    def order(self, rows: IntArray, seed: int) -> Tensor:
        """Each position of `rows` once: at random where all pieces fit, else window by window of random pieces."""
        random = torch.Generator().manual_seed(seed)
        if self.fit:
            return torch.randperm(len(rows), generator=random)
        pieces = torch.from_numpy(self.of(rows))
        sizes = np.diff(self.starts) * self._row_bytes
        mixed = torch.randperm(len(sizes), generator=random)
        window_of, window, filled = torch.empty(len(sizes), dtype=torch.int64), 0, 0
        for number in mixed.tolist():
            if filled and filled + sizes[number] > self._most:
                window, filled = window + 1, 0
            window_of[number], filled = window, filled + int(sizes[number])
        among = torch.randperm(len(rows), generator=random)
        return among[torch.argsort(window_of[pieces[among]], stable=True)]

    def _all(self) -> Tensor:
        whole: Tensor | None = None
        for number, (start, stop) in enumerate(itertools.pairwise(self.starts.tolist())):
            part = self._load(number)
            if whole is None:  # filled part by part: nothing is there twice
                whole = part.new_empty((int(self.starts[-1]), *part.shape[1:]))
            whole[start:stop] = part
        assert whole is not None  # noqa: S101  (for the type checker: a table has rows)
        return whole

    def _piece(self, number: int) -> Tensor:
        if number not in self._held:
            size = int(np.diff(self.starts)[number]) * self._row_bytes
            held = sum(part.numel() * part.element_size() for part in self._held.values())
            while self._held and held + size > self._most:
                _, gone = self._held.popitem(last=False)
                held -= gone.numel() * gone.element_size()
            self._held[number] = self._load(number)
        self._held.move_to_end(number)
        return self._held[number]
