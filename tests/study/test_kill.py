"""A study that is killed again and again comes to what it would have come to: no run lost, none twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretoll.models.checkpoint import read_checkpoint
from foretoll.records import Outcome
from foretoll.study.cell import run_cell
from foretoll.study.run import plan_study

from .carrying import all_runs, carry_out, ended, essence, place_of, tiny
from .victim import STOPPED

KILLS = 10
ROOT = Path(__file__).resolve().parents[2]


class Victim:
    """The process that forks the children, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.study.victim"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n"

    def run(self, folder: Path, kill_after_s: float | None) -> int:
        """Carry out the study; kill its process group after a while. The exit code, or minus the signal."""
        child = self.begin(folder)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            for kill in (os.killpg, os.kill):  # it may not be the leader of its group yet, or have ended
                with contextlib.suppress(ProcessLookupError):
                    kill(child, signal.SIGKILL)
        return self.end()

    def begin(self, folder: Path) -> int:
        """Start the study in a child; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Wait for the child; its exit code, or minus the signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    started = Victim()
    yield started
    started.close()


def check_models(folder: Path) -> None:
    """A source model is whole or not there."""
    for model in (folder / "models").glob("*"):
        if (model / "model.json").exists():
            _, state = read_checkpoint(model)  # raises where anything is truncated or does not fit
            assert state


@pytest.mark.slow
def test_killed_ten_times_at_random_the_ledger_is_that_of_an_uninterrupted_study(
    tmp_path: Path, victim: Victim
) -> None:
    whole = tmp_path / "whole"
    began = time.monotonic()
    assert victim.run(whole, None) == 0
    lasted_s = time.monotonic() - began
    assert len(ended(whole)) == 7  # a source model and six cells

    rng = random.Random(5)
    killed, folder, number = 0, tmp_path / "broken-0", 0
    before: set[str] = set()
    while killed < KILLS:
        code = victim.run(folder, rng.uniform(0.02, 0.35) * lasted_s)
        runs = all_runs(folder)
        done = {run.id for run in runs if run.outcome in (Outcome.REACHED, Outcome.CENSORED)}
        open_ = [run for run in runs if run.outcome is Outcome.INTERRUPTED]
        assert before <= done  # nothing that was finished is lost
        assert Outcome.RUNNING not in {run.outcome for run in runs}
        check_models(folder)
        if code == -signal.SIGKILL:
            killed += 1
            assert len(open_) <= killed  # at most the run under way, each time
            before = done
        else:  # it came to its end before the kill: begin another one
            assert code == 0
            assert essence(ended(folder)) == essence(ended(whole))
            number += 1
            folder, before = tmp_path / f"broken-{number}", set()

    assert victim.run(folder, None) == 0
    assert essence(ended(folder)) == essence(ended(whole))
    assert victim.run(folder, None) == 0  # nothing is left to do
    assert essence(ended(folder)) == essence(ended(whole))


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a machine that is taken away"]
)
def test_a_signal_ends_the_whole_study_and_is_written(
    tmp_path: Path, victim: Victim, sent: signal.Signals
) -> None:
    folder = tmp_path / "stopped"
    child = victim.begin(folder)
    while not [run for run in all_runs(folder) if run.outcome is Outcome.RUNNING]:
        time.sleep(0.002)
    os.kill(child, sent)
    assert victim.end() == (STOPPED if sent is signal.SIGINT else -sent)
    runs = all_runs(folder)
    assert Outcome.RUNNING not in {run.outcome for run in runs}
    assert len(runs) <= 2
    assert victim.run(folder, None) == 0
    assert len(ended(folder)) == 7


def test_a_cell_that_is_there_is_not_carried_out_again(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    plan = plan_study(tiny(), place_of(folder), limit=2)
    assert carry_out(folder, limit=2).failures == []
    first = {run.id for run in all_runs(folder)}
    # as if a worker had died after it wrote the run and before it said so
    assert run_cell((plan.todo[0], place_of(folder))) in first
    assert {run.id for run in all_runs(folder)} == first
    again = plan_study(tiny(), place_of(folder))
    assert len(again.cells) == 6
    assert len(again.todo) == 4
    assert not {cell.key for cell in again.todo} & {cell.key for cell in plan.todo}


def test_a_failed_run_is_told_of_and_done_again_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the disk is gone")

    assert carry_out(folder, limit=1).failures == []
    monkeypatch.setattr("foretoll.workflows.carry_out.train_to_target", broken)
    (failure,) = carry_out(folder, limit=1).failures
    assert "the disk is gone" in failure
    assert "digits → digits" in failure
    monkeypatch.undo()
    assert len(plan_study(tiny(), place_of(folder)).todo) == 4
    assert len(plan_study(tiny(), place_of(folder), retry_failed=True).todo) == 5


def test_a_model_without_the_end_of_its_run_is_trained_again(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    assert carry_out(folder, limit=0).total == 0
    carry_out(folder, limit=1)
    (model,) = (folder / "models").iterdir()
    (folder / "ledger.db").unlink()  # as if the kill had come between the checkpoint and the ledger
    for rest in folder.glob("ledger.db-*"):
        rest.unlink()
    plan = plan_study(tiny(), place_of(folder), limit=1)
    assert [m.key for m in plan.models_todo] == [model.name]
    assert carry_out(folder, limit=1).failures == []
    assert len(ended(folder)) == 2
