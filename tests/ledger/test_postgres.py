"""The same promises on a real PostgreSQL; skipped where none is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger

from .making import ended, make_run

URL = os.environ.get("FORETOLL_TEST_POSTGRES_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="FORETOLL_TEST_POSTGRES_URL names no PostgreSQL database")


@pytest.fixture
def url() -> Iterator[str]:
    """The database with no ledger in it."""

    def drop() -> None:
        engine = sa.create_engine(sa.make_url(URL).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            tables = "run_lesson, run_settings, run_tag, run_end, run_start, foretoll_schema"
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {tables}")
        engine.dispose()

    drop()
    yield URL
    drop()


def test_begin_finish_find_export_import(url: str, tmp_path: Path) -> None:
    ledger = Ledger(url)
    assert (ledger.runs(), ledger.doctor()) == ([], [])
    runs = [make_run(f"r{i}", i, tags=("t", f"n{i % 2}")) for i in range(6)]
    for run in runs:
        ledger.begin(run)
    for run in runs[:4]:
        ledger.finish(ended(run))
    assert ledger.runs(newest_first=False) == [ended(run) for run in runs[:4]] + runs[4:]
    assert [run.id for run in ledger.runs(tag="n1", outcome="reached", limit=1)] == ["r3"]
    assert [s.id for s in ledger.summaries(outcome="running")] == ["r5", "r4"]
    assert ledger.get("r2") == ended(runs[2])
    with pytest.raises(LedgerError, match="has an end already"):
        ledger.finish(ended(runs[0]))
    with pytest.raises(LedgerError, match="is already in the ledger"):
        ledger.begin(runs[0])
    assert ledger.doctor() == []
    assert ledger.export(tmp_path / "runs.jsonl.gz") == 4
    local = Ledger(tmp_path / "local.db")
    assert local.import_(tmp_path / "runs.jsonl.gz") == 4
    assert local.runs() == ledger.runs(outcome="reached")
    assert ledger.import_(tmp_path / "runs.jsonl.gz") == 0


def test_two_processes_that_also_race_to_make_the_tables(url: str) -> None:
    writer = str(Path(__file__).with_name("writer.py"))
    writers = [subprocess.Popen([sys.executable, writer, "count", url, name, "50"]) for name in "ab"]
    assert [process.wait(timeout=120) for process in writers] == [0, 0]
    ledger = Ledger(url)
    assert len(ledger.runs(outcome="reached")) == 100
    assert ledger.doctor() == []


def test_a_server_that_is_not_there_and_a_hidden_password() -> None:
    with pytest.raises(LedgerError, match="check the URL and the server") as caught:
        Ledger("postgresql://someone:secret@127.0.0.1:9/nothing").runs()
    assert "secret" not in str(caught.value)
