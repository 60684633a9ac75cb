"""Local worker processes under a small supervisor: a pipe per worker, the dead replaced.

`concurrent.futures.ProcessPoolExecutor` is not used because one killed worker breaks the whole pool and all
that was in flight; `multiprocessing.Pool` waits for ever for the task of a killed worker.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.util  # registers its own end-of-process hook, which must run after ours
import os
import signal
import time
import weakref
from collections.abc import Generator, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, cast

from foretoll.engine.base import Engine, Job, Result, TaskT, ValueT
from foretoll.engine.calls import THREAD_VARIABLES, Reply, opened
from foretoll.engine.supply import Attempt, Supply
from foretoll.engine.worker import work
from foretoll.errors import ForetollError, UsageError

_LOOK_S = 1.0  # a death shows at once, unless a grandchild keeps the pipe open: then at the next look
_GRACE_S = 2.0  # for an idle worker to end by itself before it is killed
_RECORD_S = 10.0  # for a busy one, which writes down what its run measured
_MAX_FAILED_STARTS = 3

_open: weakref.WeakSet[LocalProcesses] = weakref.WeakSet()


def usable_cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalProcesses(Engine):
    """Runs tasks in `workers` processes of this machine, each computing with `threads_per_worker` threads.

    A worker that dies (killed, out of memory) is replaced and its task begun again, up to `max_retries` times;
    then its `Result` says so. Exceptions are not retried. The processes are spawned when there is work, live
    until the engine is closed, so that `worker_cache()` keeps its contents from one `run` to the next, and die
    with this process however it ends. A script that uses this engine needs `if __name__ == "__main__":`.

    Raises:
        UsageError: a number is out of range.

    """

    def __init__(
        self, workers: int | None = None, threads_per_worker: int = 1, *, max_retries: int = 2
    ) -> None:
        self.workers = usable_cores() if workers is None else workers
        self.threads_per_worker, self.max_retries = threads_per_worker, max_retries
        check_numbers(self.workers, threads_per_worker, max_retries)
        self._alive: list[_Worker] = []
        self._failed_starts = 0
        self._owner = os.getpid()
        _open.add(self)

    def _results(
        self, job: Job[TaskT, ValueT], tasks: Iterator[tuple[int, TaskT]]
    ) -> Generator[Result[TaskT, ValueT], None, None]:
        supply = Supply(job, tasks, max_retries=self.max_retries)
        try:
            done = self._deal(supply)
            while done or any(worker.attempt for worker in self._alive):
                # workers are busy again before the caller looks at what they did
                yield from done
                done = self._collect(supply)
                done += self._deal(supply)
        finally:
            self._stop([worker for worker in self._alive if worker.attempt])
        if supply.failure is not None:
            raise supply.failure

    def _deal(self, supply: Supply[TaskT, ValueT]) -> list[Result[TaskT, ValueT]]:
        """Give each idle worker a task; start workers while there are tasks. Returns unsendable tasks."""
        refused: list[Result[TaskT, ValueT]] = []
        while sum(worker.attempt is not None for worker in self._alive) < self.workers:
            taken = supply.take()
            if taken is None:
                break
            if isinstance(taken, Result):
                refused.append(taken)
                if len(refused) >= self.workers:  # lazily: the caller sees these before more are taken
                    break
                continue
            worker = next((w for w in self._alive if w.attempt is None), None)
            if worker is None:
                worker = _Worker(self.threads_per_worker)
                self._alive.append(worker)
            worker.give(taken, supply.function)
        return refused

    def _collect(self, supply: Supply[TaskT, ValueT]) -> list[Result[TaskT, ValueT]]:
        """Wait until something happens to a busy worker and see to it."""
        busy = [worker for worker in self._alive if worker.attempt]
        if not busy:
            return []
        wait([w.connection for w in busy] + [w.process.sentinel for w in busy], timeout=_LOOK_S)
        done: list[Result[TaskT, ValueT]] = []
        for worker in busy:
            attempt = worker.attempt
            reply = worker.look()
            if attempt is None or reply is None:
                continue
            if reply == "ready":
                self._failed_starts = 0
            elif isinstance(reply, Reply):
                answer = cast("Reply[ValueT]", opened(reply))
                done.append(answer.result(attempt.index, attempt.task, attempt.begun))
            else:
                done += self._bury(worker, attempt, supply)
        return done

    def _bury(
        self, worker: _Worker, attempt: Attempt[TaskT], supply: Supply[TaskT, ValueT]
    ) -> list[Result[TaskT, ValueT]]:
        how, lasted_s = worker.how_it_ended(), time.perf_counter() - worker.began
        self._stop([worker])
        if worker.began_task:
            failed = supply.worker_died(attempt, how, lasted_s)
            return [] if failed is None else [failed]
        supply.give_back(attempt)
        if worker.is_new:
            self._failed_starts += 1
        if self._failed_starts >= _MAX_FAILED_STARTS:
            self._failed_starts = 0
            raise ForetollError(
                f"worker processes cannot start (the last one {how}): put what your script does under "
                'if __name__ == "__main__":, or see the messages above'
            )
        return []

    def close(self) -> None:
        """Stop the workers: idle ones by asking, busy ones at once."""
        super().close()
        self._stop(list(self._alive))
        _open.discard(self)

    def _stop(self, workers: list[_Worker]) -> None:
        busy = any(worker.attempt is not None for worker in workers)
        for worker in workers:
            worker.ask_to_end()
        deadline = time.monotonic() + (_RECORD_S if busy else _GRACE_S)
        for worker in workers:
            worker.end(deadline)
            self._alive.remove(worker)


class _Worker:
    """One worker process as its parent sees it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # not a daemon: a task may load its data with processes of its own
        self.process = context.Process(target=work, args=(theirs, threads), name="foretoll-worker")
        with _thread_variables(threads), _interrupt_blocked():
            self.process.start()
        theirs.close()
        self.attempt: Attempt[Any] | None = None
        self.is_new, self.began_task = True, False
        self.began = time.perf_counter()
        self._function = b""  # the one this worker has, and the one of its present task
        self._wanted = b""

    def give(self, attempt: Attempt[Any], function: bytes) -> None:
        """Send a task, or keep it until the worker is ready."""
        self.attempt, self._wanted = attempt, function
        if not self.is_new:
            self._send()

    def _send(self) -> None:
        if self.attempt is None:
            return
        new_function = None if self._wanted == self._function else self._wanted
        self.began = time.perf_counter()
        try:
            self.connection.send((new_function, self.attempt.payload))
        except OSError:
            return  # it died while it was idle, and is found dead at the next look
        self._function = self._wanted
        self.attempt.begun += 1
        self.began_task = True

    def look(self) -> Reply[bytes] | str | None:
        """What there is to see: a reply, "ready", "dead", or None if it is still at work."""
        alive = self.process.is_alive()  # asked first: a reply sent just before a death counts
        try:
            if self.connection.poll():
                message: Reply[bytes] | str = self.connection.recv()
            else:
                return None if alive else "dead"
        except (EOFError, OSError):
            return "dead"
        if message == "ready":
            self.is_new = False
            self._send()
        else:
            self.attempt, self.began_task = None, False
        return message

    def how_it_ended(self) -> str:
        """Part of a sentence: how the process ended."""
        self.process.join(_GRACE_S)
        code = self.process.exitcode
        if code is None:
            return "stopped answering"
        if code < 0:
            names = {int(s): s.name for s in signal.Signals}
            return f"was killed by {names.get(-code, f'signal {-code}')}"
        return f"ended with exit code {code}"

    def ask_to_end(self) -> None:
        if self.attempt is None:
            with contextlib.suppress(OSError):
                self.connection.send(None)
        else:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic) for the process to end, then kill it; free what it held."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def check_numbers(workers: int, threads_per_worker: int, max_retries: int) -> None:
    """Raise UsageError for numbers that no engine can work with."""
    for name, number, least in (
        ("workers", workers, 1),
        ("threads_per_worker", threads_per_worker, 1),
        ("max_retries", max_retries, 0),
    ):
        if number < least:
            raise UsageError(f"{name} is {number}: give at least {least}")


@contextlib.contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Set the thread variables while a process starts: libraries read them only when they are loaded."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Hold back Ctrl-C while a process starts: it inherits that, and so starts without a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started inside, it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@atexit.register
def _close_all() -> None:
    for engine in list(_open):
        if engine._owner == os.getpid():  # a forked copy of this process owns no worker
            engine.close()
