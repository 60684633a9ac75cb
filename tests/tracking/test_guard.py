"""A fault of foretoll never stops or changes the loop around which it is: injected at every call out of the tracker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import foretoll
from foretoll.ledger import Ledger, read_runs
from foretoll.measure import NoMeter, ReplayMeter
from foretoll.records import Outcome
from foretoll.training.guard import Guard, GuardedMeter

from .loops import ACCOUNTING, Loop, adamw, network, same

ROOM = Path(foretoll.__file__).parent


def spooled(said: list[str]) -> list[str]:
    """The files that the lines name."""
    return [line.split("ledger import ")[1].strip("`'. ") for line in said if "ledger import " in line]


def gone(tmp_path: Path) -> str:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return str(folder)


def damaged(tmp_path: Path) -> str:
    (tmp_path / "bad.db").write_bytes(b"no database at all" * 400)
    return str(tmp_path / "bad.db")


def unreachable(tmp_path: Path) -> str:
    return "nosuchscheme://nowhere/at/all"


@pytest.mark.parametrize("place", [gone, damaged, unreachable], ids=lambda f: f.__name__)
def test_a_ledger_that_is_lost_costs_the_record_its_place_only(
    place: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, _, _ = Loop().run()
    model, run, _ = Loop().run({"ledger": place(tmp_path)})
    assert same(list(model.state_dict().values()), list(plain.state_dict().values()))
    said = capsys.readouterr().err.splitlines()
    (file,) = spooled(said)
    fresh = Ledger(tmp_path / "fresh.db")
    assert fresh.import_(file) == 1
    assert run is not None and run.record is not None and fresh.get(run.record.id).steps == 12
    Path(file).unlink()


def test_a_ledger_that_is_lost_while_the_loop_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ("far" * 80)))  # the file is named whole
    path = tmp_path / "mine.db"

    def lose(step: int) -> None:
        if step == 3 and path.is_file():
            for file in tmp_path.glob("mine.db*"):
                file.unlink()
            path.mkdir()

    _, run, _ = Loop(each_step=lose).run({"ledger": str(path)})
    assert run is not None and run.record is not None
    (file,) = spooled(capsys.readouterr().err.splitlines())
    assert [r.id for r in read_runs(file)] == [run.record.id]
    Path(file).unlink()


def test_nowhere_to_keep_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("foretoll.ledger.spool.write_runs", full)
    Loop().run({"ledger": gone(tmp_path)})
    assert "it is lost" in capsys.readouterr().err


class DyingMeter(ReplayMeter):
    """A meter that dies at its so-manieth sample."""

    def __init__(self, at: int) -> None:
        super().__init__(watts=10.0)
        self.at, self.samples, self.finished = at, 0, 0

    def _sample(self, phase: str, duration_s: float) -> Any:
        self.samples += 1
        if self.samples == self.at:
            raise OSError("the counter is gone")
        return super()._sample(phase, duration_s)

    def _finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_meter_that_dies_costs_the_energy_only(at: int) -> None:
    guard, inner = Guard(), DyingMeter(at)
    meter = GuardedMeter(guard, lambda: inner, device="cpu")
    meter.start("training")
    time.sleep(0.01)
    meter.switch("evaluation")
    meter.switch("training")
    reading = meter.stop()
    assert reading.energy_kwh is None and reading.duration_s >= 0.01
    assert reading.phases["training"].duration_s > 0 and not meter.running
    assert inner.finished == 1, "what it took is given back"
    assert list(guard.failed) == ["measuring energy"]
    whole = GuardedMeter(Guard(), lambda: ReplayMeter(watts=36e5), device="cpu")
    whole.start("training")
    assert (whole.stop().energy_kwh or 0.0) > 0
    assert GuardedMeter(Guard(), lambda: NoMeter(), device="cpu").running is False


def test_strict_lets_faults_pass() -> None:
    class Broken(Guard):
        pass

    with pytest.raises(KeyError):
        Broken(strict=True).call("anything", lambda: {}["missing"])
    with pytest.raises(KeyboardInterrupt):
        Guard().call("anything", interrupt)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stream", ["closed", "none", "full"])
def test_a_line_that_cannot_be_said_stops_nothing(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError(28, "No space left on device")

    with open(os.devnull, "w") as closed:  # noqa: PTH123
        pass
    monkeypatch.setattr(sys, "stderr", {"closed": closed, "none": None, "full": Full()}[stream])
    guard = Guard()
    assert guard.call("it", lambda: 1 / 0) is None and guard.failed["it"].startswith("ZeroDivisionError")


SCRIPT = """
import os, sys, threading, time
import torch
from torch import nn
import foretoll
model = nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
way = sys.argv[1]
try:
    with foretoll.track(model, optimizer, accounting=foretoll.Accounting("auto", region="DE"), quiet=True) as run:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
        if way == "error":
            raise ValueError("mine")
        if way == "exit":
            sys.exit(7)
finally:
    print("ended", time.time(), threading.active_count(), flush=True)
"""


@pytest.mark.parametrize(("way", "code"), [("normal", 0), ("error", 1), ("exit", 7)])
def test_the_process_ends_with_the_users_code(way: str, code: int, tmp_path: Path) -> None:
    """No thread and no handler of foretoll keeps it alive (of codecarbon's meter neither)."""
    env = os.environ | {"FORETOLL_LEDGER": str(tmp_path / "l.db")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, way], env=env, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert ("ValueError: mine" in done.stderr) == (way == "error")
    assert done.stdout.split()[-1] == "1", "threads"
    (run,) = Ledger(tmp_path / "l.db").runs()
    assert (
        run.steps == 3
        and run.outcome is {0: Outcome.REACHED, 1: Outcome.FAILED, 7: Outcome.INTERRUPTED}[code]
    )


def test_nothing_of_the_process_changes() -> None:
    import signal
    import threading

    def state() -> dict[str, Any]:
        return {
            "environment": dict(os.environ),
            "handlers": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0,  # noqa: PTH208
            "folder": Path.cwd(),
            "torch": (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()),
            "algorithms": torch.are_deterministic_algorithms_enabled(),
        }

    Loop().run({})
    before = state()
    model = network()
    optimizer = adamw(model)
    hooks = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
    with foretoll.track(model, optimizer, accounting=ACCOUNTING, quiet=True):
        assert state()["handlers"] == before["handlers"]
    assert state() == before
    assert (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)) == hooks
