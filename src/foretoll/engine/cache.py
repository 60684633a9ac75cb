"""What a worker keeps between tasks: a model or a data set is loaded once, then reused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any, TypeVar

from foretoll.errors import UsageError

T = TypeVar("T")


class WorkerCache(MutableMapping[Hashable, Any]):
    """A dict of at most `max_entries` things that forgets the one used longest ago.

    >>> cache = WorkerCache(max_entries=2)
    >>> cache["a"], cache["b"] = 1, 2
    >>> cache["a"]
    1
    >>> cache["c"] = 3
    >>> sorted(cache)
    ['a', 'c']
    """

    def __init__(self, max_entries: int = 8) -> None:
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self.max_entries = max_entries

    @property
    def max_entries(self) -> int:
        """How many things are kept; lowering it forgets at once."""
        return self._max_entries

    @max_entries.setter
    def max_entries(self, number: int) -> None:
        if number < 1:
            raise UsageError(f"max_entries is {number}: a cache keeps at least 1 thing")
        self._max_entries = number
        self._shrink()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `key`; made with `make` and kept if nothing is."""
        if key not in self._entries:
            self[key] = make()
        kept: T = self[key]
        return kept

    def __getitem__(self, key: Hashable) -> Any:
        value = self._entries[key]
        self._entries.move_to_end(key)
        return value

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        self._shrink()

    def __delitem__(self, key: Hashable) -> None:
        del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Hashable]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def _shrink(self) -> None:
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


_of_this_process = WorkerCache()


def worker_cache() -> WorkerCache:
    """The cache of the process that a task runs in: `worker_cache().once(("model", path), load)`."""
    return _of_this_process
