"""Many writers at once, and writers that are killed: nothing is lost and nothing is half there."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger
from foretoll.records import Outcome

from .making import ended, make_run

WRITER = Path(__file__).with_name("writer.py")


def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.db"  # neither the folder nor the file exists: they also race to make it
    writers = [
        subprocess.Popen([sys.executable, str(WRITER), "count", str(path), name, "100"]) for name in "ab"
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    ledger = Ledger(path)
    runs = ledger.runs(outcome="reached")
    assert {run.id for run in runs} == {f"{name}-{i}" for name in "ab" for i in range(100)}
    assert runs == [ended(make_run(run.id, int(run.id[2:]))) for run in runs]
    assert ledger.doctor() == []


def test_threads_of_one_process_share_a_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for i in range(20):
                run = make_run(f"{name}-{i}")
                ledger.begin(run)
                ledger.finish(ended(run))
        except BaseException as error:  # noqa: BLE001  a thread's error must reach the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ledger.runs(outcome="reached")) == 80


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the write lock."""
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.rollback()
        holder.close()


def test_a_lock_that_stays_is_said_in_one_sentence_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).begin(make_run("a"))
    ledger = Ledger(path, lock_timeout_s=0.2)
    with locked(path):
        with pytest.raises(
            LedgerError, match=r"stayed locked by another program for 0.2 s: close that program"
        ):
            ledger.begin(make_run("b"))
        assert [run.id for run in ledger.runs()] == ["a"]
    ledger.begin(make_run("b"))
    assert len(ledger.runs()) == 2


def test_a_lock_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.begin(make_run("a"))
    with locked(path):
        thread = threading.Thread(target=ledger.begin, args=(make_run("b"),))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(30)
    assert {run.id for run in ledger.runs()} == {"a", "b"}


class Victims:
    """Writers that are killed, one after the other."""

    def __init__(self, ledger: Path, acks: Path) -> None:
        self.acks = acks
        self.process = subprocess.Popen(
            [sys.executable, str(WRITER), "serve", str(ledger), str(acks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill_one(self, ready: Callable[[], bool], delay_s: float, ledger: Path | str = "") -> int:
        """Start a writer, wait until it is `ready` and for the delay, kill it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{ledger}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        deadline = time.monotonic() + 120
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.0002)
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        assert self.process.stdout.readline().strip() == "killed"
        return pid

    def kill_one_at_work(self, lines: int, delay_s: float) -> int:
        """Kill a writer when so many more starts and ends are confirmed, wherever the load puts that in time."""
        enough = self.lines() + lines
        return self.kill_one(lambda: self.lines() >= enough, delay_s)

    def lines(self) -> int:
        return self.acks.read_bytes().count(b"\n") if self.acks.exists() else 0

    def confirmed(self, what: str) -> set[str]:
        lines = self.acks.read_text().splitlines() if self.acks.exists() else []
        return {line.split()[1] for line in lines if line.split()[0] == what}

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=30) == 0


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Victims]:
    victims = Victims(tmp_path / "ledger.db", tmp_path / "acks")
    yield victims
    victims.close()


def check_whole(ledger: Ledger, victims: Victims) -> list[str]:
    """Every confirmed run is there; every run is complete or interrupted; returns the interrupted ids."""
    runs = {run.id: run for run in ledger.runs()}  # validates every record
    assert victims.confirmed("began") <= runs.keys()
    interrupted = []
    for run in runs.values():
        number = int(run.id.split("-")[1])
        if run.outcome is Outcome.REACHED:
            assert run == ended(make_run(run.id, number, tags=("killed",)))
        else:
            assert run.outcome is Outcome.INTERRUPTED
            assert "ended without saying how the run ended" in run.reason
            assert run.id not in victims.confirmed("ended")
            interrupted.append(run.id)
    assert {run.id for run in ledger.runs(tag="killed")} == runs.keys()
    return interrupted


def test_twenty_kills_lose_nothing_that_was_confirmed(tmp_path: Path, victims: Victims) -> None:
    rng = random.Random(20)
    ledger = Ledger(tmp_path / "ledger.db")
    killed = {str(victims.kill_one_at_work(rng.randint(0, 12), rng.uniform(0.0, 0.01))) for _ in range(20)}
    interrupted = check_whole(ledger, victims)
    assert len(victims.confirmed("ended")) > 20
    assert len({run_id.split("-")[0] for run_id in interrupted} - killed) == 0
    assert len(interrupted) == len({run_id.split("-")[0] for run_id in interrupted})  # one of each at most
    # integrity and records are fine: the open runs are all that there is to find
    findings = ledger.doctor()
    assert len(findings) == len(interrupted)
    assert all("has no end: process" in finding for finding in findings)
    ledger.doctor(repair=True)
    assert ledger.doctor() == []
    assert sorted(run.id for run in ledger.runs(outcome="interrupted")) == sorted(interrupted)


def test_kills_while_the_ledger_is_being_made(tmp_path: Path, victims: Victims) -> None:
    rng = random.Random(7)
    for number in range(12):
        path = tmp_path / f"{number}.db"
        victims.kill_one(path.exists, rng.uniform(0.0, 0.02), path)
        ledger = Ledger(path)
        ledger.begin(make_run("after"))
        ledger.finish(ended(make_run("after")))
        others = [run for run in ledger.runs() if run.id != "after"]
        assert all(run.outcome in (Outcome.REACHED, Outcome.INTERRUPTED) for run in others)
        assert all("has no end: process" in finding for finding in ledger.doctor())
