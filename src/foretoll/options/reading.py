"""The batches of an epoch, in the groups that make one step each, read ahead where that is asked for."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import torch

from foretoll.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from foretoll.data import Batch, Split
    from foretoll.records import TrainingSettings

AHEAD = 2  # batches that each worker has read or is reading beyond the one that is trained on


def step_batches(split: Split, settings: TrainingSettings, order: int) -> Generator[list[Batch], None, None]:
    """The shuffled batches of one epoch, `accumulate` of them for each step (what is left over makes a last one).

    A last batch of one sample is left out (batch norm has no variance). The batches are the same whatever `workers`
    is. Raises DataError where there is none: no loop goes on without a step.
    """
    batches = training_batches(split, settings.batch_size, order, workers=settings.workers)
    while group := list(islice(batches, settings.accumulate)):
        yield group


def training_batches(split: Split, batch_size: int, order: int, *, workers: int = 0) -> Iterator[Batch]:
    """The shuffled batches of one epoch, as `step_batches` groups them."""
    if workers:
        batches = _read_ahead(split, batch_size, order, workers)
    else:
        batches = split.batches(batch_size, shuffle_seed=order)
    steps = 0
    for batch in batches:
        if len(batch.labels) > 1 or batch_size == 1 or len(split) == 1:
            steps += 1
            yield batch
    if not steps:
        raise DataError(f"an epoch of {len(split)} samples has no step to take: give more data")


def _read_ahead(split: Split, batch_size: int, order: int, workers: int) -> Iterator[Batch]:
    """What `split.batches` gives, in its order, read by several threads."""
    mixed = split.order(order)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="foretoll-read")
    waiting: deque[Future[Batch]] = deque()
    try:
        for start in range(0, len(mixed), batch_size):
            waiting.append(pool.submit(_batch_of, split, mixed[start : start + batch_size]))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batch_of(split: Split, rows: torch.Tensor) -> Batch:
    return next(split.batches(len(rows), indices=rows))
