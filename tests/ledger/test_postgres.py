"""The same promises on a real PostgreSQL: one that is named, or one that is started here where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger, read_runs
from foretoll.records import Run
from tracking.loops import Loop

from .making import ended, make_run
from .server import Server, why_not

WRITER = str(Path(__file__).with_name("writer.py"))
NAMED = os.environ.get("FORETOLL_TEST_POSTGRES_URL", "")
WHY_NOT = why_not()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    server = Server(clients=9)  # three of them are kept for superusers
    yield server
    server.close()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with no ledger in it."""
    if not NAMED:
        with request.getfixturevalue("server").database("fresh") as found:
            yield found
        return

    def drop() -> None:
        engine = sa.create_engine(sa.make_url(NAMED).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            tables = "run_lesson, run_settings, run_tag, run_end, run_start, life_event, life_start, foretoll_schema"
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {tables}")
        engine.dispose()

    drop()
    yield NAMED
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
    writers = [subprocess.Popen([sys.executable, WRITER, "count", url, name, "20"]) for name in "ab"]
    assert [process.wait(timeout=240) for process in writers] == [0, 0]
    ledger = Ledger(url)
    assert len(ledger.runs(outcome="reached")) == 40
    assert ledger.doctor() == []


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "it can be started")
def test_a_server_that_is_not_there_and_a_hidden_password() -> None:
    ledger = Ledger("postgresql://someone:secret@127.0.0.1:9/nothing", lock_timeout_s=0.2)
    with pytest.raises(LedgerError, match="check the URL and the server") as caught:
        ledger.runs()
    assert "secret" not in str(caught.value)


# --- faults of a server ------------------------------------------------------------------------------


class Writers:
    """Threads that write runs; what was acknowledged, and what was not."""

    def __init__(self, url: str, count: int, each: int) -> None:
        self.acknowledged: list[Run] = []
        self.errors: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self._write, args=(url, name, each), daemon=True) for name in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def _write(self, url: str, name: int, each: int) -> None:
        try:
            ledger = Ledger(url, lock_timeout_s=120.0)
            for number in range(each):
                run = make_run(f"w{name}-{number}", number)
                ledger.begin(run)
                ledger.finish(ended(run))
                self.acknowledged.append(ended(run))
        except BaseException as error:  # noqa: BLE001  a thread's error must reach the test
            self.errors.append(error)

    def during(self, harm: Callable[[], None], times: int) -> None:
        """Do something to the server again and again while they write, each time a few runs later."""
        for _ in range(times):
            before, deadline = len(self.acknowledged), time.monotonic() + 100
            while len(self.acknowledged) < before + 3 and self.working and time.monotonic() < deadline:
                time.sleep(0.001)
            harm()

    @property
    def working(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)

    def check(self, url: str) -> None:
        """They all came through, and nothing that was acknowledged is lost."""
        for thread in self.threads:
            thread.join(timeout=240)
        assert self.errors == []
        there = {run.id: run for run in Ledger(url).runs()}
        assert all(there[run.id] == run for run in self.acknowledged)
        assert len(there) == len(self.acknowledged) > 0
        assert Ledger(url).doctor() == []


def test_a_server_that_crashes_in_the_middle_of_writing(server: Server) -> None:
    with server.database("crash") as url:

        def crash() -> None:
            server.kill()
            server.start()

        writers = Writers(url, 3, 10)
        writers.during(crash, 3)
        writers.check(url)


def test_connections_that_are_cut(server: Server) -> None:
    with server.database("cut") as url:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'"
        writers = Writers(url, 3, 10)
        writers.during(lambda: server.do(cut) and None, 6)
        writers.check(url)


def test_more_writers_than_a_server_takes(server: Server) -> None:
    with server.database("crowd"):
        server.do("CREATE ROLE crowd LOGIN; ALTER DATABASE crowd OWNER TO crowd")
        mine = server.url("crowd", "crowd")
        writers = Writers(mine, 14, 2)
        writers.check(mine)
    server.do("DROP ROLE crowd")


def test_a_commit_whose_answer_is_lost_is_not_written_twice(server: Server) -> None:
    with server.database("answer") as url:
        ledger = Ledger(url)
        ledger.begin(make_run("r0"))
        cuts: list[int] = []

        @sa.event.listens_for(ledger._database._engine, "commit")
        def cut_after_commit(connection: sa.Connection) -> None:
            if not cuts:
                driver: Any = connection.connection.dbapi_connection
                driver.commit()
                cuts.append(driver.info.backend_pid)
                server.do(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")

        ledger.finish(ended(make_run("r0")))
        assert len(cuts) == 1 and ledger.get("r0") == ended(make_run("r0"))
        cuts.clear()
        ledger.begin(make_run("r1"))
        assert len(cuts) == 1 and {run.id for run in ledger.runs()} == {"r0", "r1"}


def test_limited_rights(server: Server, tmp_path: Path) -> None:
    with server.database("rights") as url:
        Ledger(url).begin(make_run("first"))
        for role in ("writer", "reader"):
            server.do(f"CREATE ROLE {role} LOGIN", "rights")
        server.do("GRANT SELECT, INSERT ON run_start, run_end, run_tag TO writer", "rights")
        server.do("GRANT SELECT ON foretoll_schema TO writer, reader", "rights")
        server.do("GRANT SELECT ON run_start, run_end, run_tag TO reader", "rights")
        ledger = Ledger(server.url("rights", "writer"))
        ledger.begin(make_run("second"))
        ledger.finish(ended(make_run("second")))
        began = time.monotonic()
        only = Ledger(server.url("rights", "reader"))
        assert {run.id for run in only.runs()} == {"first", "second"}
        with pytest.raises(LedgerError, match="permission denied"):
            only.begin(make_run("third"))
        with pytest.raises(LedgerError, match="the finished run is saved") as caught:
            only.finish(ended(make_run("third")))
        assert time.monotonic() - began < 20, "a refusal is not waited for"
        assert caught.value.saved is not None and ledger.import_(caught.value.saved) == 1
        server.do("ALTER ROLE writer SET default_transaction_read_only = on", "rights")
        with pytest.raises(LedgerError, match="read-only transaction"):
            ledger.begin(make_run("fourth"))
        server.do("DROP OWNED BY writer, reader; DROP ROLE writer, reader", "rights")


def test_a_server_that_is_gone_costs_a_loop_nothing(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.database("gone") as url:
        ledger = Ledger(url, lock_timeout_s=0.3)
        ledger.begin(make_run("before"))

        def crash(step: int) -> None:
            if step == 2 and server.alive:
                server.kill()

        _, tracked, _ = Loop(epochs=1, each_step=crash).run({"ledger": ledger})
        assert tracked is not None and tracked.record is not None
        said = capsys.readouterr().err
        (file,) = [
            line.split("import ")[1].strip("`") for line in said.splitlines() if "ledger import" in line
        ]
        assert [run.id for run in read_runs(file)] == [tracked.record.id]
        server.start()
        assert ledger.flush() == 1 and ledger.get(tracked.record.id).steps == 6
        assert ledger.flush() == 0 and not Path(file).exists()
