"""SIGKILL in the middle of `foretoll retrain`, twenty times at random moments: no run is half there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from foretoll.errors import ModelError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.records import Outcome, Run
from foretoll.sharing import told_apart

KILLS = 20
VICTIMS = Path(__file__).with_name("victims.py")


@pytest.mark.slow
def test_twenty_kills_leave_no_half_run_and_no_half_model(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    done = subprocess.run(
        [sys.executable, str(VICTIMS), str(tmp_path), "20260101", str(KILLS)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "FORETOLL_LEDGER": str(path)},
        check=False,
        timeout=280,
    )
    assert done.returncode == 0

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ledger = Ledger.open(path)
    runs = [run for run in ledger.runs() if run.option == "finetune"]
    dead = [run for run in runs if run.outcome is Outcome.INTERRUPTED]
    whole = [run for run in runs if run.outcome is not Outcome.INTERRUPTED]
    assert len(dead) >= 3, "the kills did hit runs that were under way"
    assert all("ended without saying how the run ended" in run.reason for run in dead)
    assert all(run.toll.epochs is None and run.finished_at is None for run in dead)
    for run in whole:  # two that were let live, and those whose end was faster than the kill
        assert run.outcome is Outcome.CENSORED and run.toll.epochs == 60 and run.finished_at is not None
        assert run.quality is not None and Run.model_validate_json(run.model_dump_json(by_alias=True)) == run

    by_id = {run.id: run for run in runs}
    for folder in (tmp_path / "whole", *(tmp_path / f"killed-{kill}" for kill in range(KILLS))):
        try:
            model = load_model(str(folder))
        except ModelError:
            assert not ((folder / "model.json").exists() and (folder / "model.safetensors").exists())
            continue
        assert model.card.run_id in by_id, "what loads is whole, and its run is known"
        # it names paths from the current folder, where the ledger names them whole
        if (folder / "run.json").exists():
            record = Run.model_validate_json((folder / "run.json").read_text())
            assert told_apart(by_id[record.id]) == told_apart(record)
    assert (tmp_path / "whole" / "run.json").exists()

    findings = ledger.doctor()
    assert len(findings) == len(dead) and all("has no end" in finding for finding in findings)
    assert len(ledger.doctor(repair=True)) == len(dead)
    assert ledger.doctor() == []
    assert [ledger.get(run.id).outcome for run in dead] == [Outcome.INTERRUPTED] * len(dead)
