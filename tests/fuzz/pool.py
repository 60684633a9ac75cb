"""Worker processes that are watched: what takes too much memory or time is killed, and the next one goes on."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil

from .laws import LONGEST_S, MOST_GROWTH_MB, outcome_of

ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY_S = 0.05
LOOKS_PER_SEARCH = 20  # a search for children reads all of /proc
LONGEST_WALL_S = 20 * LONGEST_S  # of a process that does something, or would if a busy machine let it
IDLE_CPU_S = 2.0


class Worker:
    """One process of `worker`, started when it is needed and anew after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one case; `outcome` in what comes back is the law it broke, or how it ended."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        begun = self._next(None)
        if begun is None or "begun" not in begun:
            self._stop()
            raise RuntimeError(f"the case {order} could not be made: {begun}")
        about = {**order, "what": begun["begun"], "kind": begun["kind"], "words": begun["words"]}
        done = self._watch(begun["pid"])
        return {**about, **done} if "outcome" in done else {**about, **done, "outcome": outcome_of(done)}

    def _start(self) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=self._read, args=(process, self._lines), daemon=True).start()
        if (self._next(None) or {}).get("ready") is None:
            raise RuntimeError("the fuzzer's worker cannot begin: run python -m tests.fuzz.worker")
        return process

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def _next(self, timeout: float | None) -> dict[str, Any] | None:
        """The next answer; None where the process ended. Raises queue.Empty."""
        line = self._lines.get(timeout=timeout)
        return json.loads(line) if line is not None else None

    def _watch(self, pid: int) -> dict[str, Any]:
        """What a case did: all about it, or the law that it broke where it died or had to be killed."""
        case, done = _Tree(pid), dict[str, Any]()
        while True:
            try:
                found = self._next(LOOK_EVERY_S)
            except queue.Empty:
                broken = None if done else case.breaks()
                if broken is not None:
                    case.kill()
                    done = broken
                continue
            if found is None:
                self._stop()
                return done or _signal("the fuzzer's own process ended")
            if "ended" in found:
                return done or _signal(f"the process ended with {found['ended']}")
            done = done or found

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _Tree(process.pid).kill()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _signal(what: str) -> dict[str, Any]:
    return {"outcome": "SIGNAL", "err": what, "out": ""}


class _Tree:
    """A process and its descendants: what they take beyond what they had at first."""

    def __init__(self, pid: int) -> None:
        self._first, self._more, self._looks = pid, list[psutil.Process](), 0
        self._base_mb, self._began = self._memory_mb(), time.monotonic()
        self._asleep_s, self._looked = 0.0, self._began

    def breaks(self) -> dict[str, Any] | None:
        """The law of memory or of time that is being broken."""
        if self._looks % LOOKS_PER_SEARCH == 0:
            with contextlib.suppress(psutil.Error):
                self._more = psutil.Process(self._first).children(recursive=True)
        self._looks += 1
        grown, took, used = self._memory_mb() - self._base_mb, time.monotonic() - self._began, self._cpu_s()
        if grown > MOST_GROWTH_MB:
            return {"outcome": "MEMORY", "err": f"{grown:.0f} MB more, killed", "out": ""}
        waits = self._slept_s() > LONGEST_S and used < IDLE_CPU_S
        if used > LONGEST_S or waits or took > LONGEST_WALL_S:
            return {"outcome": "HANG", "err": f"{used:.0f} s of CPU, {took:.0f} s in all, killed", "out": ""}
        return None

    def _slept_s(self) -> float:
        """Seconds in which all waited for something; one that is ready to run and gets no core does not wait."""
        now = time.monotonic()
        with contextlib.suppress(psutil.Error):
            if all(process.status() == psutil.STATUS_SLEEPING for process in self._all()):
                self._asleep_s += now - self._looked
        self._looked = now
        return self._asleep_s

    def kill(self) -> None:
        """End all of them."""
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(self._first)
            for process in (*first.children(recursive=True), first):
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def _all(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [psutil.Process(self._first), *self._more]
        return []

    def _memory_mb(self) -> float:
        total = 0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    def _cpu_s(self) -> float:
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def run_all(orders: Iterable[dict[str, Any]], *, workers: int) -> Iterator[dict[str, Any]]:
    """Carry out all cases with so many processes, results as they come."""
    todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    found: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
    for order in orders:
        todo.put(order)

    def serve() -> None:
        try:
            with Worker() as worker:
                while True:
                    found.put(worker.run(todo.get_nowait()))
        except queue.Empty:
            found.put(None)
        except Exception as error:  # noqa: BLE001  (raised where the results are read)
            found.put(error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    left = workers
    while left:
        result = found.get()
        if isinstance(result, Exception):
            raise result
        if result is None:
            left -= 1
        else:
            yield result
