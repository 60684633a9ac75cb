"""One call of a function on a task, with its failure as data; the same here, in a process, on a cluster."""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback as tracebacks
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic

from foretoll.engine.base import Result, TaskT, ValueT
from foretoll.errors import ForetollError, printable

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_SENTENCE_LENGTH = 500


@dataclass(frozen=True)
class Reply(Generic[ValueT]):
    """How a call ended: a value, or an error and where it came from."""

    value: ValueT | None
    error: str | None
    duration_s: float
    traceback: str | None = None

    def result(self, index: int, task: TaskT, attempts: int) -> Result[TaskT, ValueT]:
        """The reply as the result of a task."""
        return Result(index, task, self.value, self.error, attempts, self.duration_s, self.traceback)


def sentence(error: BaseException) -> str:
    """An exception as one sentence: foretoll's own message as it is, others after the name of their type."""
    text = printable(" ".join(str(error).split()))
    if isinstance(error, ForetollError) and text:
        return text
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _SENTENCE_LENGTH else text[: _SENTENCE_LENGTH - 1] + "…"


def call(function: Callable[[TaskT], ValueT], task: TaskT) -> Reply[ValueT]:
    """Call `function` on `task`. What it raises is data in the reply, except a Ctrl-C of this process."""
    began = time.perf_counter()
    try:
        value = function(task)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # even sys.exit() in a task ends that task alone
        return Reply(None, sentence(error), time.perf_counter() - began, tracebacks.format_exc())
    return Reply(value, None, time.perf_counter() - began)


def call_pickled(function: bytes, task: bytes) -> Reply[bytes]:
    """Call a pickled function on a pickled task in a worker; the value in the reply is pickled too.

    Nothing is raised: neither a task that cannot be unpickled here nor a value that cannot be pickled.
    The pickles come from the process that started this one, never from a file.
    """
    began = time.perf_counter()
    try:
        reply = call(_unpickled(function), pickle.loads(task))  # noqa: S301  # from our own parent process
    except BaseException as error:  # noqa: BLE001  # a worker lives on, whatever a task does
        return Reply(None, sentence(error), time.perf_counter() - began, tracebacks.format_exc())
    try:
        value = None if reply.error is not None else pickle.dumps(reply.value, pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001
        message = f"the value cannot be sent back, it cannot be pickled: {sentence(error)}"
        return Reply(None, message, time.perf_counter() - began, tracebacks.format_exc())
    return Reply(value, reply.error, reply.duration_s, reply.traceback)


def opened(reply: Reply[bytes]) -> Reply[object]:
    """A worker's reply with its value unpickled; a value that cannot be is an error in the reply."""
    if reply.value is None:
        return Reply(None, reply.error, reply.duration_s, reply.traceback)
    try:
        value = pickle.loads(reply.value)  # noqa: S301  # from our own worker
    except Exception as error:  # noqa: BLE001  # a class may raise anything when it is restored
        return Reply(None, f"the value could not be restored: {sentence(error)}", reply.duration_s)
    return Reply(value, None, reply.duration_s)


@lru_cache(maxsize=1)
def _unpickled(function: bytes) -> Callable[[object], object]:
    restored: Callable[[object], object] = pickle.loads(function)  # noqa: S301  # from our own parent process
    return restored


def limit_threads(threads: int) -> None:
    """Let this process compute with `threads` threads: libraries loaded later, and torch if it is loaded."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
