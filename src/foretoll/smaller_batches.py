"""A batch in halves where memory runs out: a smaller one does not change what a pass without gradients gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from foretoll.errors import is_out_of_memory

T = TypeVar("T")


class SmallerBatches:
    """Runs parts of batches, as large as memory has allowed so far.

    most: samples that go through at once; None: as many as come. It is halved for good where memory runs out.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def parts(self, count: int, work: Callable[[slice], T]) -> list[T]:
        """What `work` gives for the rows of a batch of so many samples, in one part or several, in their order.

        What runs out of memory with a single sample is raised.
        """
        found: list[T] = []
        start = 0
        while start < count:
            size = min(count - start, self.most or count)
            part = self._tried(slice(start, start + size), work)
            if part is None:
                self.most = size // 2
                continue
            found.append(part[0])
            start += size
        return found

    def _tried(self, rows: slice, work: Callable[[slice], T]) -> tuple[T] | None:
        """What was computed; None where memory ran out. What the failed try held is free when this has returned."""
        try:
            return (work(rows),)
        except (RuntimeError, MemoryError) as error:
            if rows.stop - rows.start < 2 or not is_out_of_memory(error):
                raise
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # untyped in torch
            torch.cuda.empty_cache()  # in pieces of other sizes it would be of no use
        return None
