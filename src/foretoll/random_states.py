"""The random numbers of the process, which belong to its user: they go on after a call as if it had not been made.

Python, numpy and torch each have one generator for all threads. What foretoll draws it seeds itself; so that the
answer is the same where two threads ask at once, they take turns.
"""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class _Calls:
    """The calls under way in this process, and the states from before the first of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    turn: Any = field(default_factory=threading.RLock)
    under_way: int = 0
    before: tuple[Any, ...] = ()


_calls = _Calls()


def _alone_again() -> None:
    """After a fork no other thread is there to release what it held."""
    global _calls  # noqa: PLW0603
    _calls = _Calls()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone_again)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Give the random states of Python, numpy and torch back afterwards, on every device in use.

    Of several such blocks that overlap, in one thread or several, the last to end gives back what was before the first.
    """
    calls = _calls
    with calls.lock:
        if not calls.under_way:
            calls.before = _states()
        calls.under_way += 1
    try:
        yield
    finally:
        with calls.lock:
            calls.under_way -= 1
            if not calls.under_way:
                _restore(*calls.before)
                calls.before = ()


def keeps_random_states(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb after which the user's random numbers go on as before it."""

    @functools.wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with random_states_kept():
            return verb(*args, **kwargs)

    return call


def takes_turns(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb like that, of which one thread waits for the other: each answer is as if it had been asked alone.

    For what takes minutes at most: no thread shall wait for another's training.
    """

    @functools.wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _calls.turn, random_states_kept():
            return verb(*args, **kwargs)

    return call


def _states() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _restore(python: Any, numpy: Any, cpu: torch.Tensor, cuda: list[torch.Tensor] | None) -> None:
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
