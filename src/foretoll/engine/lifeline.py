"""What tasks on Ray hang on: an actor that knows which loops over tasks were left before their end."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

_ASK_EVERY_S = 0.5
_ANSWER_WITHIN_S = 60.0


class Lifeline:
    """A Ray actor without resources; one for each engine. If Ray must begin it again, it has forgotten."""

    def __init__(self) -> None:
        self._cut: set[int] = set()

    def cut(self, loop: int) -> None:
        """Say that the tasks of `loop` shall end."""
        self._cut.add(loop)

    def holds(self, loop: int) -> bool:
        """Whether the tasks of `loop` may go on."""
        return loop not in self._cut


@contextlib.contextmanager
def held_by(lifeline: Any, loop: int) -> Iterator[bool]:
    """Run a block in a Ray worker while `lifeline` holds `loop`: once it is cut, this process ends at once.

    Gives whether the block may begin. A lifeline that is out of reach ends nothing.
    """
    watch = _Watch(lifeline, loop)
    # a thread of its own: while the main thread of a task waits for Ray, Ray gives its CPU to another task
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    watch.asked.wait()
    try:
        yield watch.holds
    finally:
        watch.done.set()


class _Watch:
    """Asks the lifeline before a task begins, and again and again until it is done."""

    def __init__(self, lifeline: Any, loop: int) -> None:
        self.asked, self.done, self.holds = threading.Event(), threading.Event(), True
        self._lifeline, self._loop = lifeline, loop

    def __call__(self) -> None:
        try:
            self.holds = self._ask()
        finally:
            self.asked.set()  # the task waits for it
        while self.holds and not self.done.wait(_ASK_EVERY_S):
            if not self._ask() and not self.done.is_set():
                os._exit(1)

    def _ask(self) -> bool:
        import ray

        try:
            return bool(ray.get(self._lifeline.holds.remote(self._loop), timeout=_ANSWER_WITHIN_S))
        except ray.exceptions.RayError:
            return True
