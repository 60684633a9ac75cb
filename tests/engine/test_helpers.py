"""Names of engines, shards, merging, the worker's cache."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.engine import (
    InProcess,
    LocalProcesses,
    WorkerCache,
    merge_tree,
    open_engine,
    shards,
    worker_cache,
)
from foretoll.errors import MissingExtraError, UsageError


def test_engines_by_name() -> None:
    with open_engine() as engine:
        assert isinstance(engine, InProcess)
    with open_engine("processes") as engine:
        assert isinstance(engine, LocalProcesses)
        assert engine.workers >= 1
    with open_engine("processes:3") as engine:
        assert isinstance(engine, LocalProcesses)
        assert engine.workers == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("proceses", "unknown engine 'proceses': did you mean 'processes'"),
        ("local:2", "unknown engine 'local:2': did you mean 'local'"),
        ("", "unknown engine '': valid are local, processes"),
        ("processes:", "'processes:' needs a number of workers after the colon, such as processes:4"),
        ("processes:0", "'processes:0' needs a number"),
        ("ray:many", "'ray:many' needs a number of workers after the colon, such as ray:4"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine(name)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretoll.engine.ray_engine._is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r'pip install "foretoll\[ray\]"'):
        open_engine("ray:2")


def test_ctrl_c_goes_through_in_process() -> None:
    def press(task: int) -> int:
        if task == 1:
            raise KeyboardInterrupt
        return task

    results = InProcess().run(press, range(3))
    assert next(results).value == 0
    with pytest.raises(KeyboardInterrupt):
        next(results)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 200), parts=st.integers(1, 50))
def test_shards_cover_all_once_and_evenly(n: int, parts: int) -> None:
    ranges = shards(n, parts)
    assert [i for part in ranges for i in part] == list(range(n))
    assert len(ranges) == min(n, parts)
    if ranges:
        assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_impossible_cuts_are_refused() -> None:
    for n, parts in ((-1, 2), (3, 0)):
        with pytest.raises(UsageError, match=f"cannot cut {n} into {parts}"):
            shards(n, parts)


@settings(max_examples=30, deadline=None)
@given(states=st.lists(st.text(max_size=3), min_size=1, max_size=40))
def test_merging_keeps_the_order(states: list[str]) -> None:
    assert merge_tree(states, str.__add__) == "".join(states)


def test_merging_is_a_balanced_tree() -> None:
    depth = merge_tree([0] * 1000, lambda a, b: 1 + max(a, b))
    assert depth == 10
    values = [0.1] * 10_000
    tree_error = abs(merge_tree(values, float.__add__) - math.fsum(values))
    assert tree_error < abs(sum_in_a_row(values) - math.fsum(values)) / 10


def sum_in_a_row(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def test_nothing_to_merge() -> None:
    with pytest.raises(UsageError, match="nothing to merge"):
        merge_tree([], str.__add__)


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache = WorkerCache(max_entries=2)
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    assert cache.once("a", lambda: make("a")) == "A"
    assert cache.once("b", lambda: make("b")) == "B"
    assert cache.get("a") == "A"  # used: now "b" is the oldest
    cache["c"] = "C"
    assert dict(cache) == {"a": "A", "c": "C"}
    assert cache.once("b", lambda: make("b")) == "B"
    assert made == ["a", "b", "b"]
    cache.max_entries = 1
    assert list(cache) == ["b"]
    del cache["b"]
    assert len(cache) == 0
    with pytest.raises(UsageError, match="max_entries is 0"):
        cache.max_entries = 0


def test_a_failed_load_is_not_kept() -> None:
    cache = WorkerCache()
    with pytest.raises(OSError, match="gone"):
        cache.once("model", _fail)
    assert "model" not in cache


def _fail() -> None:
    raise OSError("gone")


def test_one_cache_per_process() -> None:
    assert worker_cache() is worker_cache()
