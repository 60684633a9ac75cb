"""Functions that the engine tests run in workers: top-level, picklable, some of them deadly."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from foretoll.engine import worker_cache
from foretoll.errors import DataError
from foretoll.interruption import recording, why_stopped


class Marked(NamedTuple):
    """A number and a folder for marker files."""

    number: int
    folder: str


def square(number: int) -> int:
    return number * number


def noisy_mean(seed: int) -> float:
    """A value that needs many roundings, from the task alone."""
    import numpy as np

    return float(np.random.default_rng(seed).normal(size=1000).mean())


def fail_on_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is\n odd")
    return number


def refuse(name: str) -> NoReturn:
    if name == "foretoll":
        raise DataError("there are no rows: give more data")
    if name == "exit":
        sys.exit(3)
    raise RuntimeError


def die_once(task: Marked) -> int:
    """Kill the worker by SIGKILL at number 3, the first time only."""
    marker = Path(task.folder) / f"died-{task.number}"
    if task.number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number


def die_always(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave_at_once(number: int) -> int:
    if number == 1:
        os._exit(7)
    return number


def sleep_and_tell(task: Marked) -> int:
    """Say who works, then work for longer than any test waits."""
    (Path(task.folder) / f"pid-{os.getpid()}").touch()
    time.sleep(600)
    return task.number


def wait_for_a_sleeper(task: Marked) -> int:
    """The first task ends when another one is at work, and that one never ends."""
    if task.number > 0:
        return sleep_and_tell(task)
    while not list(Path(task.folder).glob("pid-*")):
        time.sleep(0.02)
    return task.number


def fork_and_die(number: int) -> int:
    """Die but leave a child behind that holds the pipe open."""
    if number == 0:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def count_loads(_: int) -> tuple[int, int]:
    """How often this worker made the thing that it caches, and which worker it is."""
    loads = worker_cache().once("loads", list[int])
    worker_cache().once("model", lambda: loads.append(1))
    return os.getpid(), len(loads)


def threads(_: int) -> tuple[str | None, int]:
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


def unpicklable(_: int) -> object:
    return lambda: None


class RefusesToBeRestored:
    """Pickles well; fails when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("not a number",)


def unrestorable(_: int) -> object:
    return RefusesToBeRestored()


def with_processes_of_its_own(number: int) -> int:
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=square, args=(number,))
    child.start()
    child.join()
    return int(child.exitcode or 0)


def big(number: int) -> bytes:
    return bytes(number)


def reverse(data: bytes) -> bytes:
    return data[::-1]


def nothing(_: int) -> None:
    return None


class Unsendable:
    """Cannot be pickled, and says so in its own way."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("stays here")

    def __str__(self) -> str:
        return "the bad one"


def square_of(number: object) -> int:
    assert isinstance(number, int)
    return number**2


def variable(name: str) -> str | None:
    return os.environ.get(name)


def write_down_when_stopped(task: Marked) -> str:
    """Number 0 returns once the other is at work, which goes on until it is stopped, and then writes that down."""
    folder = Path(task.folder)
    with recording():
        try:
            if task.number == 0:
                while not (folder / "began").exists():
                    time.sleep(0.01)
                return "seen"
            (folder / "began").touch()
            time.sleep(100)
        except KeyboardInterrupt as stop:
            (folder / "record").write_text(why_stopped(stop))
            raise
    return "never"
