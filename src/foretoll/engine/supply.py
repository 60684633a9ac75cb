"""Tasks on their way to workers: consumed lazily, pickled once, handed out again after a worker's death."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

from foretoll.engine.base import Job, Result, TaskT, ValueT
from foretoll.engine.calls import sentence
from foretoll.errors import UsageError

Dumps = Callable[[object], bytes]


def plain_dumps(value: object) -> bytes:
    """Pickle with the newest protocol."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


@dataclass
class Attempt(Generic[TaskT]):
    """A task that is ready to be sent, and how often it was begun."""

    index: int
    task: TaskT
    payload: bytes
    begun: int = 0


class Supply(Generic[TaskT, ValueT]):
    """Hands out the tasks of one job, those whose worker died first.

    Raises:
        UsageError: the job's function cannot be pickled.

    """

    def __init__(
        self,
        job: Job[TaskT, ValueT],
        tasks: Iterator[tuple[int, TaskT]],
        *,
        max_retries: int,
        dumps: Dumps = plain_dumps,
    ) -> None:
        self._job, self._tasks, self._max_retries, self._dumps = job, tasks, max_retries, dumps
        self._again: deque[Attempt[TaskT]] = deque()
        self._dry = False
        self.failure: Exception | None = None  # of the iterable of tasks; raised when all that began is done
        try:
            self.function = dumps(job.function)
        except Exception as error:
            raise UsageError(
                f"the function {getattr(job.function, '__qualname__', job.function)!s} cannot be sent to other "
                f"processes, define it at the top level of a module ({sentence(error)})"
            ) from error

    def take(self) -> Attempt[TaskT] | Result[TaskT, ValueT] | None:
        """The next task to begin; its error if it cannot be pickled; None when there is none left."""
        if self._again:
            return self._again.popleft()
        if self._dry:
            return None
        try:
            index, task = next(self._tasks)
        except StopIteration:
            self._dry = True
            return None
        except Exception as error:  # noqa: BLE001  # raised by the engine, after what has begun is done
            self._dry, self.failure = True, error
            return None
        try:
            return Attempt(index, task, self._dumps(task))
        except Exception as error:  # noqa: BLE001  # any class may refuse to be pickled in its own way
            message = f"{self._job.name(task)} cannot be sent to another process: {sentence(error)}"
            return Result(index, task, None, message, 0, 0.0)

    def give_back(self, attempt: Attempt[TaskT]) -> None:
        """Hand out a task again that was not begun after all."""
        self._again.append(attempt)

    def worker_died(
        self, attempt: Attempt[TaskT], how: str, duration_s: float
    ) -> Result[TaskT, ValueT] | None:
        """The worker died under a task: None if it is handed out again, its error after too many times."""
        if attempt.begun <= self._max_retries:
            self._again.append(attempt)
            return None
        times = "at its only attempt" if attempt.begun == 1 else f"at each of {attempt.begun} attempts"
        message = (
            f"the worker of {self._job.name(attempt.task)} {how} {times}: if memory ran out, use fewer workers "
            "or smaller batches"
        )
        return Result(attempt.index, attempt.task, None, message, attempt.begun, duration_s)
