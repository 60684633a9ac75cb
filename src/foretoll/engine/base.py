"""The contract of an engine: where calls run, and what comes back from each."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from foretoll.errors import UsageError

TaskT = TypeVar("TaskT")
ValueT = TypeVar("ValueT")

_LABEL_LENGTH = 80


@dataclass(frozen=True)
class Result(Generic[TaskT, ValueT]):
    """What became of one task.

    index: the task's place in the order in which the tasks were given, from 0
    task: the task itself, the very object that was given
    value: what the function returned; None where it failed
    error: None where it succeeded, else one sentence; a function may return None, so look here, not at value
    attempts: how often the task was begun; above 1 only where a worker died under it
    duration_s: seconds of the last attempt, measured where it ran; where the worker died, seen from outside
    traceback: where in the function the error came from, if it was an exception
    """

    index: int
    task: TaskT
    value: ValueT | None
    error: str | None
    attempts: int
    duration_s: float
    traceback: str | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.error is None


@dataclass(frozen=True)
class Job(Generic[TaskT, ValueT]):
    """The function of one `run` and how its tasks are called in messages."""

    function: Callable[[TaskT], ValueT]
    label: Callable[[TaskT], str]

    def name(self, task: TaskT) -> str:
        """The task's label, cut to a length that fits a sentence."""
        text = " ".join(self.label(task).split())
        return text if len(text) <= _LABEL_LENGTH else text[: _LABEL_LENGTH - 1] + "…"


class Engine(ABC):
    """Runs one function on many tasks. A context manager: leaving it stops every worker it started.

    Laws, for every engine:

    - Each task gives exactly one `Result`, in any order; a task's exception is data in its `Result` and
      stops nothing else.
    - Tasks are consumed lazily: never more than a few beyond those that run.
    - The values do not depend on the engine or its number of workers, given a function that depends on its
      task alone.
    - Ctrl-C, an error of the caller and leaving the loop early stop what runs and cancel what has not begun.
    """

    _closed = False
    _running = False

    def run(
        self,
        function: Callable[[TaskT], ValueT],
        tasks: Iterable[TaskT],
        *,
        label: Callable[[TaskT], str] = str,
    ) -> Iterator[Result[TaskT, ValueT]]:
        """Call `function` on each of `tasks` and yield the results as they come; `index` tells which.

        `function` stands at the top level of a module, and it, the tasks and the values can be pickled.
        `label` names a task in messages. An exception of the iterable `tasks` is raised here, after the
        results of what had begun.

        Raises:
            UsageError: the engine is closed, is already running tasks, or cannot send `function` to a worker.
            ForetollError: no worker can be started.

        """
        if self._closed:
            raise UsageError("this engine is closed: open another one with open_engine()")
        return self._run(Job(function, label), enumerate(tasks))

    def _run(
        self, job: Job[TaskT, ValueT], tasks: Iterator[tuple[int, TaskT]]
    ) -> Iterator[Result[TaskT, ValueT]]:
        if self._running:
            raise UsageError("this engine is already running tasks: finish that loop, or open another engine")
        self._running = True
        try:
            with contextlib.closing(self._results(job, tasks)) as results:
                for result in results:
                    yield result
                    if self._closed:
                        raise UsageError("this engine was closed while it ran tasks: leave the loop first")
        finally:
            self._running = False

    @abstractmethod
    def _results(
        self, job: Job[TaskT, ValueT], tasks: Iterator[tuple[int, TaskT]]
    ) -> Generator[Result[TaskT, ValueT], None, None]:
        """Yield one `Result` per numbered task; a generator that stops what runs when it is closed."""

    @property
    def has_nodes(self) -> bool:
        """Whether tasks may run on machines other than this one."""
        return False

    def on_each_node(
        self, function: Callable[[TaskT], ValueT], task: TaskT
    ) -> Iterator[tuple[str, ValueT | str]]:
        """Call a function once on every node: by the node's name its value, or a sentence on why there is none."""
        return iter(())

    def close(self) -> None:
        """Stop all workers that this engine started; closing twice does nothing."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
