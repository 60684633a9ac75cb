"""Several processes that train together are one run, with the energy of all of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from foretoll.ledger import Ledger
from foretoll.records import Run
from foretoll.units import kwh_from_joules

HERE = Path(__file__).parent


def carry_out(tmp_path: Path, *, whose: str = "own", way: str = "both") -> tuple[Run, str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {
        "FORETOLL_LEDGER": str(tmp_path / "ledger.db"), "TESTS": str(HERE.parent), "WHOSE": whose, "WAY": way,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, str(HERE / "ranks_script.py")],
            env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=200) for process in started]
    assert all(process.returncode == 0 for process in started), said
    (run,) = Ledger(tmp_path / "ledger.db").runs()
    return run, "".join(out for out, _ in said), "".join(err for _, err in said)


@pytest.mark.parametrize(("whose", "joules"), [("own", 1320.0), ("machine", 1010.0)])
def test_one_run_with_the_energy_of_all(whose: str, joules: float, tmp_path: Path) -> None:
    run, out, _ = carry_out(tmp_path, whose=whose)
    assert run.steps == 12 and run.settings.batch_size == 20, "10 on each of two"
    assert run.toll.energy_kwh == pytest.approx(kwh_from_joules(joules)), "the machine's own counts once"
    assert run.toll.duration_s is not None and run.training is not None and run.gradient_norm is not None
    assert sorted(out.split("\n"))[1:] == ["rank 0 stop=True record=True", "rank 1 stop=True record=False"]


def test_a_rank_that_died_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETOLL_RANKS_WAIT_S", "1")
    run, _, _ = carry_out(tmp_path, way="dead")
    assert run.toll.energy_kwh == pytest.approx(kwh_from_joules(1010.0))
    assert any("1 of 2 ranks is missing" in warning for warning in run.warnings)
