"""Bad places, foreign and damaged files, old and new schemas, the doctor."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from foretoll import cli
from foretoll.errors import LedgerError
from foretoll.exchange.reading import text_of_record
from foretoll.ledger import Ledger, UnreadRecordWarning
from foretoll.ledger.schema import LATEST
from foretoll.ledger.spool import rescue, waiting

from .making import ended, make_run


def filled(path: Path, number: int = 3) -> Ledger:
    """A ledger whose records are texts, as versions before 0.2 wrote them: what is packed cannot be changed by SQL."""
    ledger = Ledger(path)
    for i in range(number):
        ledger.finish(ended(make_run(f"r{i}", i, tags=("t",))))
    unpack_records(path)
    return ledger


def unpack_records(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        begun = "SELECT run_end.rowid, run_end.record, run_start.record FROM run_end JOIN run_start ON run_id = id"
        for table, read in (("run_end", begun), ("run_start", "SELECT rowid, record, NULL FROM run_start")):
            rows = connection.execute(read).fetchall()
            texts = [(text_of_record(record, start).decode(), row) for row, record, start in rows]
            (trigger,) = connection.execute(
                "SELECT sql FROM sqlite_master WHERE name = ?", (f"{table}_no_update",)
            ).fetchone()
            connection.execute(f"DROP TRIGGER {table}_no_update")
            connection.executemany(f"UPDATE {table} SET record = ? WHERE rowid = ?", texts)
            connection.execute(trigger)
        connection.commit()


def untouched(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content and [p.name for p in path.parent.iterdir()] == [path.name]


def truncated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        filled(path)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, I am a text file that somebody named\n" * 10, "is no SQLite database: name another file"),
        (b"x", "is no SQLite database"),
        (truncated()[:20_000], r"is truncated \(20000 bytes\): restore it"),
        (truncated()[:50], r"is truncated \(50 bytes\)"),
        (truncated()[:9], r"is truncated \(9 bytes\)"),
        (truncated()[:-1], "is truncated"),
    ],
)
def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    for use in (Ledger.runs, lambda ledger: ledger.begin(make_run("a")), lambda ledger: ledger.get("a")):
        with pytest.raises(LedgerError, match=message):
            use(Ledger(path))
        assert untouched(path, content)
    (finding,) = Ledger(path).doctor()
    assert "ledger.db is " in finding
    assert untouched(path, content)
    Ledger(path).doctor(repair=True)
    assert path.read_bytes() == content


def test_a_pipe_and_a_device_are_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "zero.db").symlink_to("/dev/zero")
    for name in ("pipe.db", "zero.db"):
        for use in (Ledger.runs, lambda ledger: ledger.begin(make_run("a")), lambda ledger: ledger.get("a")):
            with pytest.raises(LedgerError, match="is a pipe or a device"):
                use(Ledger(tmp_path / name))
        (finding,) = Ledger(tmp_path / name).doctor(repair=True)
        assert f"{name} is a pipe or a device: name a file for the ledger" in finding


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    content = path.read_bytes()
    for use in (Ledger.runs, lambda ledger: ledger.begin(make_run("a"))):
        with pytest.raises(LedgerError, match=r"another program \(tables bookmarks\): name another file"):
            use(Ledger(path))
        assert untouched(path, content)


def test_an_empty_file_is_a_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    assert Ledger(path).runs() == []
    assert len(filled(path).runs()) == 3


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("sqlite://", "in memory would be lost"),
        ("sqlite:///:memory:", "in memory would be lost"),
        ("nosuch://host/db", "kind of database that is not known"),
        ("://", "URL cannot be read"),
    ],
)
def test_places_that_cannot_be_a_ledger(location: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        Ledger(location)


def test_a_folder_or_an_impossible_folder(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is a folder: name a file in it"):
        Ledger(tmp_path).begin(make_run("a"))
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"cannot be made .*FORETOLL_LEDGER=FILE"):
        Ledger(tmp_path / "file" / "folder" / "ledger.db").begin(make_run("a"))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write in a folder, from root too (by being somebody else)."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_read_only_place(open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))  # no rescue either
    monkeypatch.setenv("XDG_DATA_HOME", str(open_folder))
    before = filled(open_folder / "ledger.db").runs()
    with read_only(open_folder):
        ledger = Ledger(open_folder / "ledger.db")
        assert ledger.runs() == before
        assert ledger.doctor() == []
        for write in (lambda: ledger.begin(make_run("x")), lambda: ledger.finish(ended(make_run("x")))):
            with pytest.raises(LedgerError, match="is read-only here: name another place") as caught:
                write()
            assert "saved" not in str(caught.value)
        with pytest.raises(LedgerError, match="cannot be opened or made"):
            Ledger(open_folder / "new.db").begin(make_run("x"))
        with pytest.raises(LedgerError, match="cannot be made"):
            Ledger(open_folder / "folder" / "new.db").begin(make_run("x"))
    assert filled(tmp_path / "other.db").runs() == Ledger(open_folder / "ledger.db").runs()


def test_a_full_disk_keeps_the_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(tmp_path / "ledger.db")
    before = ledger.runs()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def no_more_pages(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # it then cannot grow beyond its present size

    sa.event.listen(sa.Engine, "connect", no_more_pages)
    try:
        lost = ended(make_run("x/1"), reason=random.Random(0).randbytes(20_000).hex())
        with pytest.raises(
            LedgerError, match=r"the disk is full.*saved, add it with `.* import .*foretoll-run-x-1.jsonl`"
        ) as raised:
            ledger.finish(lost)
        assert ledger.runs() == before
    finally:
        sa.event.remove(sa.Engine, "connect", no_more_pages)
    [file] = waiting(ledger.where)
    assert raised.value.saved == file
    assert file.name == "foretoll-run-x-1.jsonl" and not waiting(str(tmp_path / "other.db"))
    ledger.begin(make_run("next"))  # reaches the ledger, and takes in what waited
    assert ledger.get("x/1") == lost and not file.exists() and ledger.flush() == 0


def test_the_command_takes_in_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "ledger.db")
    Ledger(place).begin(make_run("a"))
    lost = ended(make_run("b"))
    assert rescue(lost, Ledger(place).where) is not None
    for said in ("1 run added", "0 runs added"):
        with pytest.raises(SystemExit) as stop, pytest.MonkeyPatch.context() as patched:
            patched.setattr("sys.argv", ["foretoll", "ledger", "flush", "--ledger", place])
            cli.main()
        assert not stop.value.code and said in capsys.readouterr().out
    assert Ledger(place).get("b") == lost and not waiting(place)


def test_a_ledger_that_was_moved_away_during_a_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.begin(make_run("a"))
    (tmp_path / "ledger.db").rename(tmp_path / "moved.db")
    assert ledger.runs() == []
    ledger.finish(ended(make_run("a")))
    assert ledger.get("a") == ended(make_run("a"))


# --- schema versions ------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE foretoll_schema (version INTEGER PRIMARY KEY, applied_at VARCHAR(27) NOT NULL);
INSERT INTO foretoll_schema VALUES (1, '2026-01-01T00:00:00.000000Z');
CREATE TABLE run_start (
    id VARCHAR(128) PRIMARY KEY, started_at VARCHAR(27) NOT NULL, recorded_at VARCHAR(27) NOT NULL,
    option TEXT NOT NULL, arch TEXT NOT NULL, source TEXT, target TEXT NOT NULL, host TEXT, boot_id TEXT,
    pid_namespace TEXT, pid BIGINT, process_started TEXT, record TEXT NOT NULL);
CREATE TABLE run_end (
    run_id VARCHAR(128) NOT NULL REFERENCES run_start (id),
    presumed INTEGER NOT NULL CHECK (presumed IN (0, 1)), recorded_at VARCHAR(27) NOT NULL,
    outcome VARCHAR(32) NOT NULL, finished_at VARCHAR(27), epochs DOUBLE PRECISION,
    energy_kwh DOUBLE PRECISION, emissions_kg DOUBLE PRECISION, duration_s DOUBLE PRECISION,
    record TEXT NOT NULL, PRIMARY KEY (run_id, presumed));
"""


def version_1(path: Path) -> None:
    """A ledger as the first version wrote it, with one run that ended, made by hand."""
    start = make_run("old", tags=("study", "first"))
    time = "2026-01-01T00:00:00.000000Z"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
        connection.execute(
            "INSERT INTO run_start (id, started_at, recorded_at, option, arch, target, record) "
            "VALUES ('old', ?, ?, 'finetune', 'foretoll:mlp', 'digits', ?)",
            (time, time, start.model_dump_json(by_alias=True)),
        )
        connection.execute(
            "INSERT INTO run_end (run_id, presumed, recorded_at, outcome, finished_at, record) "
            "VALUES ('old', 0, ?, 'reached', ?, ?)",
            (time, time, ended(start).model_dump_json(by_alias=True)),
        )
        connection.commit()


def versions(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT version FROM foretoll_schema ORDER BY version")]


@pytest.mark.parametrize("first_use", ["read", "write"])
def test_version_1_migrates(tmp_path: Path, first_use: str) -> None:
    path = tmp_path / "ledger.db"
    version_1(path)
    ledger = Ledger(path)
    if first_use == "write":
        ledger.begin(make_run("new", 1))
    assert [run.id for run in ledger.runs(tag="study")] == ["old"]
    assert ledger.get("old") == ended(make_run("old", tags=("study", "first")))
    assert versions(path) == list(range(1, LATEST + 1))
    assert ledger.doctor() == []


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    version_1(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON foretoll_schema BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
        connection.commit()
        before = list(connection.iterdump())
        with pytest.raises(LedgerError, match="cannot be brought to"):
            Ledger(path).runs()
        assert list(connection.iterdump()) == before


def test_a_newer_schema_is_read_and_not_written(tmp_path: Path) -> None:
    """One member of a team who upgrades must not take the ledger from the others."""
    path = tmp_path / "ledger.db"
    before = filled(path).runs()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO foretoll_schema VALUES (?, 'later')", (LATEST + 1,))
        connection.commit()
    content = path.read_bytes()
    newer = f"schema version {LATEST + 1} .*upgrade foretoll"
    with pytest.warns(UnreadRecordWarning, match=newer):
        assert Ledger(path).runs() == before
    ledger = Ledger(path)
    assert ledger.select().runs == before and ledger.export(tmp_path / "out.jsonl") == 3
    for use in (Ledger(path), ledger):
        with pytest.raises(LedgerError, match=newer):
            use.begin(make_run("a"))
    assert path.read_bytes() == content
    assert "upgrade foretoll" in Ledger(path).doctor(repair=True)[0]


def test_a_newer_schema_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO foretoll_schema VALUES (?, 'later')", (LATEST + 1,))
        connection.execute("ALTER TABLE run_end RENAME COLUMN outcome TO result")
        connection.commit()
    with pytest.raises(LedgerError, match="upgrade foretoll"):
        Ledger(path).runs()


# --- doctor ---------------------------------------------------------------------------------------


def tamper(path: Path, *statements: str) -> None:
    """Change rows as only somebody with a database tool could."""
    with closing(sqlite3.connect(path)) as connection:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE run_end SET outcome = 'failed' WHERE run_id = 'r1'",
            "columns of run r1 .failed. contradict",
        ),
        ("DELETE FROM run_tag WHERE run_id = 'r1'", "run r1 lacks tags"),
        ("DELETE FROM run_start WHERE id = 'r1'", "run r1 has an end and no start"),
    ],
)
def test_doctor_finds_what_was_changed_by_hand(tmp_path: Path, statement: str, message: str) -> None:
    import re

    ledger = filled(tmp_path / "ledger.db")
    assert ledger.doctor() == []
    tamper(tmp_path / "ledger.db", statement)
    findings = ledger.doctor()
    assert re.search(message, findings[0])
    assert all("r1" in finding for finding in findings)
    assert ledger.doctor(repair=True) == findings  # nothing of this can be repaired by appending


def test_doctor_finds_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path, 20)
    raw = bytearray(path.read_bytes())
    raw[4096 : 4096 * 6] = b"\xff" * (4096 * 5)
    path.write_bytes(raw)
    findings = Ledger(path).doctor(repair=True)
    assert findings
    assert "damaged" in findings[0]
    assert path.read_bytes() == raw
