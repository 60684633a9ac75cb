"""A clock that is set back while a run is under way, by NTP, daylight saving or a machine that was paused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import foretoll
from foretoll.ledger import Ledger
from foretoll.records import EvalPoint, TrainingSettings
from foretoll.workflows import Accounting, Watcher
from options.making import blobs, mlp


def test_a_clock_that_is_set_back_changes_no_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back, now = [0.0], time.time

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(now(), UTC) - timedelta(seconds=back[0])

    class SetBack(Watcher):
        def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
            back[0] = 3600.0

    monkeypatch.setattr("foretoll.workflows.carry_out.datetime", Clock)
    monkeypatch.setattr("foretoll.ledger.store.datetime", Clock)
    monkeypatch.setattr(time, "time", lambda: now() - back[0])
    began, ledger = time.monotonic(), Ledger.open(tmp_path / "l.db")
    run = foretoll.retrain(
        mlp(blobs()),
        blobs(),
        blobs(seed=1),
        until=0.999,
        settings=TrainingSettings(max_epochs=1),
        accounting=Accounting("watts:20", region="DE"),
        device="cpu",
        ledger=ledger,
        watcher=SetBack(),
    )
    took = time.monotonic() - began
    assert back[0] and run.finished_at is not None and run.finished_at < run.started_at
    assert 0 < run.toll.duration_s <= took
    assert run.toll.energy_kwh == pytest.approx(20 * run.toll.duration_s / 3.6e6, rel=0.2)
    assert all(point.duration_s >= 0 for point in run.curve)
    assert ledger.get(run.id).finished_at == run.finished_at
