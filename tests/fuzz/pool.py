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

TESTS = Path(__file__).resolve().parents[1]
LOOK_EVERY_S = 0.05
LONGEST_WALL_S = 5 * LONGEST_S  # of a process that does something; one that only waits has LONGEST_S
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
        begun = self._wait(process, watched=False)
        if begun is None or "begun" not in begun:
            self._stop()
            raise RuntimeError(f"the case {order} could not be made: {begun}")
        done = self._wait(process, watched=True)
        if done is None or "outcome" in done:
            ended = process.poll()
            self._stop()
            done = done or {"outcome": "SIGNAL", "err": f"the process ended with {ended}", "out": ""}
            return {**order, "what": begun["begun"], "kind": begun["kind"], "words": begun["words"], **done}
        return {**order, **done, "outcome": outcome_of(done)}

    def _start(self) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=self._read, args=(process, self._lines), daemon=True).start()
        if (self._wait(process, watched=False) or {}).get("ready") is None:
            raise RuntimeError("the fuzzer's worker cannot begin: run python -m fuzz.worker in tests/")
        return process

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def _wait(self, process: subprocess.Popen[str], *, watched: bool) -> dict[str, Any] | None:
        """The next answer; None where the process died; an outcome where it had to be killed."""
        seen = psutil.Process(process.pid)
        base, cpu, began = _memory_mb(seen), _cpu_s(seen), time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=LOOK_EVERY_S)
                return json.loads(line) if line is not None else None
            if not watched:
                continue
            grown, used, took = _memory_mb(seen) - base, _cpu_s(seen) - cpu, time.monotonic() - began
            if grown > MOST_GROWTH_MB:
                return {"outcome": "MEMORY", "err": f"{grown:.0f} MB more, killed", "out": ""}
            waits = took > LONGEST_S and used < IDLE_CPU_S
            if used > LONGEST_S or waits or took > LONGEST_WALL_S:
                return {
                    "outcome": "HANG",
                    "err": f"{used:.0f} s of CPU, {took:.0f} s in all, killed",
                    "out": "",
                }

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _memory_mb(process: psutil.Process) -> float:
    """Of a process and its children."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total / 2**20


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


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
