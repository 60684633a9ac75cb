"""SIGKILL at random moments of `foretoll life watch --carry-out`, and two watchers at once: nothing is half there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.workflows.life import Life

from .worlds import ACCOUNTING

KILLS = 40


@pytest.mark.slow
def test_kills_leave_a_whole_model_and_every_update_on_the_bill(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.life.victims", str(tmp_path), "20260401", str(KILLS)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "FORETOLL_LEDGER": str(tmp_path / "ledger.db")},
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=280,
    )
    assert done.returncode == 0
    life = Life.open("shop", ledger=str(tmp_path / "ledger.db"), accounting=ACCOUNTING)
    events = life.events()
    claims = [e.key for e in events if e.kind == "claim"]
    updates = {e.key: e for e in events if e.kind == "update"}
    assert set(updates) == set(claims) and len(claims) == len(set(claims)), (
        "every update that was begun has its end"
    )
    killed = [e for e in updates.values() if "was killed" in e.note]
    assert len(killed) >= 5, "the kills did hit updates that were under way"
    assert [e.key for e in events if e.kind == "look"] == list(
        dict.fromkeys(e.key for e in events if e.kind == "look")
    )
    promoted = [key for key in claims if updates[key].promoted]
    assert life.serving == promoted[-1]
    load_model(str(life.folder.served))
    runs = {run.id for run in Ledger.open(tmp_path / "ledger.db").runs()}
    assert {e.run_id for e in updates.values() if e.run_id} <= runs
    labelled = {e.key for e in events if e.kind == "labels"}
    waiting = {path.stem.rpartition("-")[2] for path in life.folder.path.glob("waiting-*")}
    assert not waiting & labelled, "what waits for labels is what was killed before they were taken"
    assert not list(life.folder.path.glob("result-*")) and not list(life.folder.path.glob(".*.part"))

    codes = (tmp_path / "codes").read_text()
    assert codes in ("0,0", "0,2"), (
        "two watchers at once: one makes the update, the other waits its turn or is told"
    )
