"""Arrays that lie on disk as they are in memory: `.npy` files, and what `np.savez` wrote without compression.

They are mapped for as long as a read takes, so that what was read does not stay in the process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.reader import IntArray, RowReader
from foretoll.data.stored import Span, stored_array
from foretoll.errors import DataError, shown

_LOOK, _LOOK_BYTES = 512, 64_000_000  # samples, evenly spaced, that tell what all are like


@dataclass(frozen=True)
class ArrayOnDisk:
    """Where the values of an array lie in a file, one row after the other."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, numbers: IntArray) -> npt.NDArray[Any]:
        """A copy of some rows, in this order."""
        return np.array(self.whole()[numbers])

    def whole(self) -> npt.NDArray[Any]:
        """All of it, mapped."""
        if not self.nbytes:  # nothing can be mapped
            return np.empty(self.shape, self.dtype)
        try:
            return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)
        except (OSError, ValueError) as error:  # it was replaced by a shorter one
            raise DataError(
                f"{shown(self.path)} cannot be read any more: it has changed since it was opened; run this again"
            ) from error

    def some(self) -> npt.NDArray[Any]:
        """A few rows, evenly spaced."""
        each = max(self.nbytes // max(self.shape[0], 1), 1)
        count = min(_LOOK, max(_LOOK_BYTES // each, 1), self.shape[0])
        return self.rows(np.unique(np.linspace(0, self.shape[0] - 1, count).astype(np.int64)))


class ArrayRows(RowReader):
    """Samples of one or more arrays, one after the other, as `stored_array` stores them; `shape` of a sample."""

    def __init__(
        self,
        arrays: Sequence[ArrayOnDisk],
        where: str,
        kind: str,
        span: Span | None,
        shape: tuple[int, ...],
    ) -> None:
        self.arrays, self.where, self.kind, self.span = tuple(arrays), where, kind, span
        self.shape = shape
        self.starts = np.cumsum([0, *(array.shape[0] for array in self.arrays)])
        self.rows_read = 0

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, rows: IntArray) -> Tensor:
        """The samples at these rows."""
        self.rows_read += len(rows)
        of, out = np.searchsorted(self.starts, rows, side="right") - 1, None
        for number in np.unique(of).tolist():
            there = np.flatnonzero(of == number)
            values = self.arrays[number].rows(rows[there] - self.starts[number])
            found, _ = stored_array(values, f"{self.where}, a part of it,", self.kind, span=self.span)
            if len(there) == len(rows):
                return found
            if out is None:
                out = found.new_empty((len(rows), *found.shape[1:]))
            out[torch.from_numpy(there)] = found
        assert out is not None  # noqa: S101  (for the type checker: no batch is empty)
        return out

    def gather(self, rows: IntArray, *, lenient: bool = False) -> Tensor:
        """The same: what is read does not stay. Values that cannot be used are refused in any case."""
        return self.read(rows)
