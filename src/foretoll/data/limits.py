"""How much memory data may take: asked before it is taken.

A file says how large its contents are, and may lie in both directions. So three questions are asked: whether what it
declares fits into a share of the memory that is left, whether it unpacks to more than any data do, and, by the
readers, whether as much comes as was declared.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from foretoll.errors import DataError, UsageError, shown

SHARE = 0.5  # of the memory that is left, for one array: it is converted, divided and batched besides
BOMB_BYTES = 256_000_000  # below this no file is a bomb, however well it was packed
BOMB_RATIO = 200  # zeros reach 1,000; pictures, texts and sparse tables stay below 100
BATCH_BYTES = 64_000_000  # of float32 inputs, or of one layer's outputs, that go through a network at once

HELD_SHARE = 0.25  # of the memory that is left: what of data on disk is held where nobody says how much
MEMORY = "FORETOLL_MEMORY"
_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_held: ContextVar[int | None] = ContextVar("memory that data may be held in", default=None)

_CGROUPS = (  # limit and use, of version 2 and of version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def memory_left() -> int:
    """Bytes that this process may still take: the machine's, its container's and its own limit, the least of them."""
    import psutil

    left = [int(psutil.virtual_memory().available)]
    for limit, use in _CGROUPS:
        try:
            left.append(int(Path(limit).read_text()) - int(Path(use).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    try:
        import resource
    except ImportError:  # Windows
        return max(min(left), 0)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        left.append(soft - int(psutil.Process().memory_info().vms))
    return max(min(left), 0)


def memory_bytes(text: str) -> int:
    """Bytes that are written as 4GB, 500MB or 2GiB; UsageError for anything else."""
    plain = text.strip().replace(" ", "")
    number = plain.rstrip("BbGgIiKkMmTt")
    try:
        found = float(number) * _UNITS[plain[len(number) :].upper()]
    except (KeyError, ValueError):
        found = math.nan
    if not 1 <= found < 2**60:
        raise UsageError(f"--memory {shown(text, 40)} is no amount of memory: write 4GB, 500MB or 2GiB")
    return int(found)


@contextmanager
def memory_for_data(memory: str | None) -> Iterator[None]:
    """Within the block, hold at most so much of data that lie on disk ("4GB"); None: as it was before."""
    token = _held.set(_held.get() if memory is None else memory_bytes(memory))
    try:
        yield
    finally:
        _held.reset(token)


def held_bytes() -> int:
    """How much of a source on disk may be held: as was said, or by FORETOLL_MEMORY, or a quarter of what is left."""
    said = _held.get()
    if said is None and os.environ.get(MEMORY):
        said = memory_bytes(os.environ[MEMORY])
    return int(HELD_SHARE * memory_left()) if said is None else said


def check_memory(need: int, what: str, way_out: str) -> None:
    """Refuse what takes more than a share of the memory that is left; `what` and `way_out` go into the sentence."""
    may = int(SHARE * memory_left())
    if need > may:
        raise DataError(
            f"{what} takes {size_text(need)} in memory, and {size_text(may)} may be used: {way_out}"
        )


def check_unpacked(packed: int, unpacked: int, what: str) -> None:
    """Refuse a compressed file or part of one that unpacks to far more than data do."""
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * max(packed, 1):
        raise DataError(
            f"{what} unpacks from {size_text(packed)} to {size_text(unpacked)}, which no data do: "
            "save it without compression if it is meant"
        )


def samples_at_once(sample_bytes: int, most: int, budget: int = BATCH_BYTES) -> int:
    """How many samples of this size stay within `budget` bytes: at least 1, at most `most`."""
    return max(1, min(most, budget // max(sample_bytes, 1)))


def size_text(number: int) -> str:
    """Bytes in words, to two or three digits."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= one:
            value = number / one
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{number} bytes"


class Room:
    """Memory that threads share: each waits until what it needs is free; what needs more than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size, self._taken, self._changed = size, 0, threading.Condition()

    @contextmanager
    def taken(self, need: int) -> Iterator[None]:
        """Have so many bytes of it within the block."""
        need = min(need, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + need <= self._size)
            self._taken += need
        try:
            yield
        finally:
            with self._changed:
                self._taken -= need
                self._changed.notify_all()
