"""A study on Ray, one of whose workers is killed, comes to the same runs."""

from __future__ import annotations

import importlib.util
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from foretoll.engine import open_engine

from .carrying import carry_out, ended, essence

pytestmark = [
    pytest.mark.slow,
    # not importorskip(): the engine itself shall import Ray, which reads some variables only then
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


def _first_cell_worker(ledger: Path) -> int | None:
    """The process that began the first cell, once there is one."""
    if not ledger.exists():
        return None
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT pid FROM run_start JOIN run_tag ON run_id = id WHERE tag LIKE 'cell:%' LIMIT 1"
        ).fetchone()
    except sqlite3.OperationalError:  # the tables are being made
        return None
    finally:
        connection.close()
    return None if row is None else int(row[0])


def test_a_killed_worker_costs_no_run(tmp_path: Path) -> None:
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    assert carry_out(alone).failures == []
    killed: list[int] = []
    stop = threading.Event()

    def killer() -> None:
        while not stop.is_set() and not killed:
            pid = _first_cell_worker(spread / "ledger.db")
            if pid is None:
                time.sleep(0.01)
                continue
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=killer)
    with open_engine("ray:2") as engine:
        thread.start()
        progress = carry_out(spread, engine)
        stop.set()
        thread.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert progress.failures == []
    assert essence(ended(spread)) == essence(ended(alone))
