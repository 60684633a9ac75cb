"""Stopped from outside in the middle of the work: what was measured is in the ledger before anything else happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foretoll.interruption import Interruption, guarded, held, recording, why_stopped
from foretoll.ledger import Ledger
from foretoll.records import Outcome

from .bad_input import QUIETLY, UPDATE
from .conftest import Call
from .test_bad_input import here, yard  # noqa: F401  # fixtures


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    """A shell's background job ignores Ctrl-C, and the tests may be one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


ENDLESS = f"{UPDATE} --until 0.99999 --max-epochs 1000000 --lr 1e-6 {QUIETLY} --json"


@contextmanager
def signalled(path: Path, *numbers: signal.Signals, tag: str | None = None) -> Iterator[None]:
    """Send signals, all at once, as soon as a run is under way in the ledger."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if Ledger.open(path).summaries(outcome="running", tag=tag):
                time.sleep(3)  # some steps are made by then, also on a busy machine
                for number in numbers:
                    os.kill(os.getpid(), number)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("numbers", "reason", "code"),
    [
        ((signal.SIGTERM,), "stopped by SIGTERM", 143),
        ((signal.SIGHUP,), "stopped by SIGHUP", 129),
        ((signal.SIGINT, signal.SIGINT, signal.SIGINT), "stopped by the user", 1),
        ((signal.SIGTERM, signal.SIGHUP), "stopped by SIG", None),
    ],
)
def test_a_run_is_recorded_with_what_was_measured(
    here: Call,  # noqa: F811
    tmp_path: Path,
    numbers: tuple[signal.Signals, ...],
    reason: str,
    code: int | None,
) -> None:
    path, before = tmp_path / "own.db", [signal.getsignal(n) for n in (2, 15, 1)]
    with signalled(path, *numbers):
        done = here(f"retrain {ENDLESS} --ledger {path} --out {tmp_path}/new")
    (run,) = Ledger.open(path).runs()
    assert run.outcome is Outcome.INTERRUPTED and run.reason.startswith(reason)
    assert run.steps > 0 and run.toll.duration_s and run.finished_at is not None and run.curve
    assert done.code == code if code else done.code in (129, 143)
    assert done.err.startswith(f"foretoll: run {run.id} interrupted ({reason}") and done.err.count("\n") == 1
    assert done.data["id"] == run.id and Ledger.open(path).doctor() == []
    assert [signal.getsignal(n) for n in (2, 15, 1)] == before


@pytest.mark.parametrize(
    ("words", "tag"),
    [
        (f"compare {ENDLESS} -o head -o finetune --measure", "compare"),
        (f"estimate {ENDLESS} --calibrate 5min", "calibration"),
    ],
)
def test_sigterm_stops_all_that_would_follow(here: Call, tmp_path: Path, words: str, tag: str) -> None:  # noqa: F811
    path = tmp_path / "own.db"
    with signalled(path, signal.SIGTERM, tag=tag):
        done = here(f"{words} --ledger {path} --out {tmp_path}/new")
    assert done.code == 143 and done.err.startswith("foretoll: stopped by SIGTERM")
    runs = Ledger.open(path).runs()
    assert [(run.outcome, run.reason) for run in runs][:1] == [(Outcome.INTERRUPTED, "stopped by SIGTERM")]
    assert all(run.outcome is not Outcome.RUNNING for run in runs) and runs[0].toll.duration_s


def test_a_signal_that_the_garbage_collector_drops_is_sent_again() -> None:
    class Thing:
        pass

    before = sys.unraisablehook
    thing = Thing()
    _ = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM"), guarded(hand_on=False):
        del thing  # Python drops what is raised within such a callback
        time.sleep(20)
    assert sys.unraisablehook is before


SCRIPT = """
import signal, sys, warnings
warnings.simplefilter("ignore")
import foretoll
from foretoll.records import TrainingSettings
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
settings = TrainingSettings(max_epochs=0.1)
data = "npz:new.npz"
foretoll.retrain("m", "npz:old.npz", data, until=0.5, settings=settings, accounting=foretoll.Accounting("none"))
assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
print("ready", flush=True)
settings = TrainingSettings(max_epochs=1e6, lr=1e-6)
foretoll.retrain("m", "npz:old.npz", data, until=1, settings=settings, accounting=foretoll.Accounting("none"))
print("went on", flush=True)
"""


def test_a_script_of_ones_own_ends_by_the_signal_after_the_record(yard: Path, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "own.db"
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=yard,
        env={**os.environ, "FORETOLL_LEDGER": str(path), "FORETOLL_REGION": "DE"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert script.stdout is not None and script.stdout.readline() == "ready\n"
        while not Ledger.open(path).summaries(outcome="running") and script.poll() is None:
            time.sleep(0.05)
        time.sleep(3)
        script.send_signal(signal.SIGTERM)
        out, _ = script.communicate(timeout=60)
    finally:
        script.kill()
    assert (out, script.returncode) == ("", -signal.SIGTERM)
    run = Ledger.open(path).runs()[0]
    assert (run.outcome, run.reason) == (Outcome.INTERRUPTED, "stopped by SIGTERM") and run.steps > 0


# --- the block itself --------------------------------------------------------------------------------


def test_what_is_held_is_raised_when_the_block_is_done() -> None:
    done = []
    with guarded(hand_on=False):
        with pytest.raises(Interruption, match="SIGTERM"), held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("written")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert done == ["written"]


def test_a_second_signal_waits_until_the_record_is_written() -> None:
    done = []
    with guarded(hand_on=False), recording():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(why_stopped(stop))
            os.kill(os.getpid(), signal.SIGINT)
        with held():
            done.append("written")
    assert done == ["stopped by the user", "written"]


def test_a_signal_that_others_handle_or_ignore_is_theirs() -> None:
    """As nohup does, a scheduler's own handler, or an interpreter embedded elsewhere."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    hup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with guarded():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, hup)


def test_another_thread_is_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with recording(), held():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
