"""Memory is asked for before it is taken; what ran out of it is recognised."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from foretoll.data.limits import Room, check_memory, check_unpacked, memory_left, samples_at_once
from foretoll.errors import DataError, is_out_of_memory


def test_what_fits_passes_and_what_does_not_is_told() -> None:
    check_memory(1000, "x", "leave it")
    left = memory_left()
    assert left > 0
    with pytest.raises(
        DataError, match=r"^x takes [\d,.]+ GB in memory, and [\d,.]+ [GM]B may be used: leave it$"
    ):
        check_memory(1000 * left, "x", "leave it")


def test_the_process_own_limit_counts() -> None:
    code = (
        "import resource, psutil; from foretoll.data.limits import memory_left;"
        "vms = psutil.Process().memory_info().vms; resource.setrlimit(resource.RLIMIT_AS, (vms + 10**8,) * 2);"
        "assert memory_left() <= 10**8, memory_left()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_bomb_is_told_by_its_ratio_and_small_or_plain_files_are_none() -> None:
    check_unpacked(1, 200_000_000, "x")
    check_unpacked(10_000_000, 1_500_000_000, "x")
    with pytest.raises(DataError, match=r"x unpacks from 6\.0 MB to 6\.0 GB, which no data do"):
        check_unpacked(6_000_000, 6_000_000_000, "x")


def test_samples_at_once_are_at_least_one_and_at_most_as_many_as_asked_for() -> None:
    assert samples_at_once(10**12, 512) == 1
    assert samples_at_once(0, 512) == samples_at_once(4, 512) == 512
    assert samples_at_once(1_000_000, 512, budget=64_000_000) == 64


def test_running_out_of_memory_is_recognised_whoever_says_it() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**60)
    with pytest.raises(MemoryError) as of_numpy:
        np.ones(2**58)
    for error in (
        of_torch.value,
        of_numpy.value,
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
    ):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_room_holds_no_more_than_it_has_and_lets_everyone_in_at_last() -> None:
    room, counted, inside, most = Room(100), threading.Lock(), [], []

    def visit(need: int) -> int:
        with room.taken(need):
            with counted:
                inside.append(need)
                most.append((sum(min(n, 100) for n in inside), len(inside), max(inside)))
            for _ in range(1000):
                pass
            with counted:
                inside.remove(need)
        return need

    needs = [10, 60, 500, 100, 1, 40, 0] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, needs)) == needs
    assert max(taken for taken, _, _ in most) <= 100
    assert all(taken == 100 for taken, _, largest in most if largest == 500)


def test_a_room_is_free_again_after_an_error() -> None:
    room = Room(100)
    with pytest.raises(ValueError, match="no"), room.taken(100):
        raise ValueError("no")
    with room.taken(100):
        pass
