"""The engine that needs nothing: one task after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from foretoll.engine.base import Engine, Job, Result, TaskT, ValueT
from foretoll.engine.calls import call


class InProcess(Engine):
    """Runs the tasks in this process, in their order. The default; also the one to debug and to test with."""

    def _results(
        self, job: Job[TaskT, ValueT], tasks: Iterator[tuple[int, TaskT]]
    ) -> Generator[Result[TaskT, ValueT], None, None]:
        for index, task in tasks:
            yield call(job.function, task).result(index, task, attempts=1)
