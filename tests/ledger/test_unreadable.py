"""One record that is damaged or newer never disables the others: skipped, counted, named, moved aside, kept."""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger, UnreadRecordWarning, read_runs, write_runs
from foretoll.records import Outcome

from .making import ended, make_run
from .test_faults import filled, tamper

BROKEN = {
    "truncated": ("record = substr(record, 1, 200)", "EOF while parsing"),
    "no JSON": ("record = 'hello'", "expected"),
    "wrong type": ('record = replace(record, \'"steps":8\', \'"steps":"many"\')', "steps"),
    "NaN": ("record = replace(record, '\"duration_s\":5.0', '\"duration_s\":NaN')", "toll.duration_s"),
    "outcome": ("record = replace(record, '\"reached\"', '\"exploded\"')", "unknown outcome 'exploded'"),
    "outcome column": ("outcome = 'exploded'", "unknown outcome 'exploded'"),
    "schema": (
        "record = replace(record, 'foretoll.run/1', 'foretoll.run/7')",
        "schema foretoll.run/7, written by a newer foretoll",
    ),
    "not UTF-8": ("record = CAST(x'7b22ff' || CAST(record AS BLOB) AS TEXT)", "not UTF-8"),
    "binary": ("record = x'00ff'", "line 1 column 1"),
    "control characters": ("record = char(27) || '[31m' || record", "line 1 column 1"),
    "deep": (f"record = '{'[' * 400}'", "recursion"),
    "time": (
        'record = replace(record, \'"started_at":"2026\', \'"started_at":"0000\')',
        "started_at",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_skipped_counted_and_named_and_moved_aside(tmp_path: Path, name: str) -> None:
    change, why = BROKEN[name]
    path = tmp_path / "ledger.db"
    ledger = filled(path)
    with closing(sqlite3.connect(path)) as connection:
        stored = dict(connection.execute("SELECT run_id, record FROM run_end"))
    tamper(path, f"UPDATE run_end SET {change} WHERE run_id = 'r1'")

    found = ledger.select()
    assert [run.id for run in found.runs] == ["r2", "r0"]
    assert found.warning.startswith("1 record could not be read: run r1 (") and why in found.warning
    assert (
        found.warning.isprintable()
        and len(found.warning) <= 300
        and "foretoll ledger doctor" in found.warning
    )
    assert [run.id for run in ledger.select(limit=1, newest_first=False).runs] == ["r0"]
    with pytest.warns(UnreadRecordWarning, match="1 record could not be read: run r1"):
        assert len(ledger.runs()) == 2
    with pytest.warns(UnreadRecordWarning, match="1 record"):
        assert ledger.export(tmp_path / "out.jsonl") == 2
    with pytest.raises(LedgerError, match=r"run r1 in the ledger .* cannot be read"):
        ledger.get("r1")
    write_runs(tmp_path / "new.jsonl", [ended(make_run("r1", 1, tags=("t",))), ended(make_run("r9", 9))])
    assert ledger.import_(tmp_path / "new.jsonl") == 1, "the damaged one stays, and keeps nothing else out"

    (text,) = ledger.doctor()
    assert (
        text.startswith("run r1 in the ledger ") and why in text and "--repair" in text and text.isprintable()
    )
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute(
            "SELECT CAST(record AS BLOB) FROM run_end WHERE run_id = 'r1'"
        ).fetchone()[0]
    (repaired,) = ledger.doctor(repair=True)
    (aside,) = tmp_path.glob("ledger-aside-*.jsonl")
    assert repaired.endswith(f"repaired: it was moved aside, what it held is in {aside}")
    assert before in aside.read_bytes().split(b"\n")
    assert ledger.doctor() == [] and [run.id for run in ledger.runs()] == ["r9", "r2", "r0"]
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT from_table, run_id, why, record FROM run_aside").fetchall()
        assert [(row[0], row[1]) for row in rows] == [("run_start", "r1"), ("run_end", "r1")]
        assert rows[1][3] == before and all(why in row[2] for row in rows)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM run_start")
    assert ledger.import_(tmp_path / "new.jsonl") == 1, "now the whole one comes in"
    assert ledger.get("r1").model_dump_json(by_alias=True) == stored["r1"]


def test_fields_of_a_newer_foretoll_are_left_out_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    before = filled(path).runs()
    new = '"steps":8,"water_l":{"use":[1.5]},'
    tamper(
        path,
        f"UPDATE run_end SET record = replace(record, '\"steps\":8,', '{new}') WHERE run_id = 'r1'",
        'UPDATE run_end SET record = replace(record, \'"classes":[\', \'"owner":"me","classes":[\')',
    )
    ledger = Ledger(path)
    assert ledger.runs() == before and ledger.get("r1") == before[1] and ledger.doctor() == []
    assert ledger.export(tmp_path / "out.jsonl") == 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert lines[1]["water_l"] == {"use": [1.5]} and all(line["model"]["owner"] == "me" for line in lines)
    other = Ledger(tmp_path / "other.db")
    assert other.import_(tmp_path / "out.jsonl") == 3 and other.runs() == before
    assert other.import_(tmp_path / "out.jsonl") == 0
    other.export(tmp_path / "again.jsonl")
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_bytes().splitlines()]
    assert again == lines, "and from there as well"


@pytest.mark.parametrize(
    "columns",
    [
        "started_at = 'yesterday'",
        "id = CAST(x'ff72' AS TEXT)",
        "option = x'ff'",
        "pid = 'x', host = NULL",
        "arch = CAST(x'fe' AS TEXT), pid = 1",
    ],
)
def test_damaged_columns_stop_nothing(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    Ledger(path).begin(make_run("open", 7))
    tamper(path, f"UPDATE run_start SET {columns} WHERE id IN ('r1', 'open')" if "id =" not in columns[:4] else
           f"UPDATE run_start SET {columns} WHERE id = 'open'")  # fmt: skip
    ledger = Ledger(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadRecordWarning)
        for read in (ledger.runs, ledger.summaries, lambda: ledger.runs(outcome="interrupted", limit=3)):
            read()
        assert {"r0", "r2"} <= {run.id for run in ledger.runs()}
        assert {"r0", "r2"} <= {run.id for run in ledger.summaries()}
        assert ledger.export(tmp_path / "out.jsonl") >= 2
        assert all(text.isprintable() for text in ledger.doctor(repair=True))


def test_null_columns_of_a_table_that_allows_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE copied AS SELECT * FROM run_end; DROP TABLE run_end;"
            "ALTER TABLE copied RENAME TO run_end; UPDATE run_end SET record = NULL WHERE run_id = 'r0';"
            "UPDATE run_end SET presumed = NULL WHERE run_id = 'r1';"
        )
    found = Ledger(path).select()
    assert [run.id for run in found.runs if run.outcome is Outcome.REACHED] == ["r2"]
    assert Ledger(path).doctor(repair=True)


def test_a_start_that_is_damaged_is_made_anew_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    before = filled(path).runs()
    tamper(path, "UPDATE run_start SET record = 'torn' WHERE id = 'r1'")
    ledger = Ledger(path)
    assert ledger.select().runs == before and not ledger.select().warning, "its end is what counts"
    assert "repaired" in ledger.doctor(repair=True)[0]
    assert ledger.doctor() == [] and ledger.runs() == before and ledger.runs(tag="t") == before


def test_many_are_counted_in_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = filled(path, 30)
    tamper(path, "UPDATE run_end SET record = replace(record, 'foretoll.run/1', 'foretoll.run/2')")
    warning = ledger.select().warning
    assert warning.startswith(
        "30 records could not be read: run r29 (schema foretoll.run/2, written by a newer"
    )
    assert len(warning) <= 300 and "\n" not in warning


def test_a_long_name_with_control_characters_is_cut_and_escaped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    tamper(path, "UPDATE run_start SET id = char(27) || ']0;' || hex(zeroblob(4000)), record = 'x' WHERE id = 'r1'",
           "DELETE FROM run_end WHERE run_id = 'r1'", "DELETE FROM run_tag WHERE run_id = 'r1'")  # fmt: skip
    found = Ledger(path).select()
    assert len(found.runs) == 2 and found.warning.isprintable() and len(found.warning) <= 300
    assert Ledger(path).doctor(repair=True)[0].isprintable() and Ledger(path).doctor() == []


# --- files -------------------------------------------------------------------------------------------


def exported(run_id: str) -> bytes:
    return ended(make_run(run_id)).model_dump_json(by_alias=True).encode() + b"\n"


def test_a_line_of_an_export_that_is_no_run_is_passed_over_where_that_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_bytes(exported("a") + b"{}\n" + exported("b").replace(b"run/1", b"run/9") + exported("c"))
    with pytest.warns(
        UnreadRecordWarning, match=r"2 records .*: line 2 \(id: .*; line 3 \(schema foretoll.run/9"
    ):
        assert [run.id for run in read_runs(file)] == ["a", "c"]
    ledger = Ledger(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="line 2 is no run"):
        ledger.import_(file)
    with pytest.warns(UnreadRecordWarning, match="2 records"):
        assert ledger.import_(file, skip=True) == 2
    file.write_bytes(exported("a") + exported("b")[:-30])
    with pytest.raises(LedgerError, match="line 2 is no run"):  # cut short: more may be missing
        read_runs(file)
    file.write_bytes(b"{}\n")
    with pytest.raises(LedgerError, match="line 1 is no run"):
        read_runs(file)


def test_what_no_export_can_be_is_refused_at_once(tmp_path: Path) -> None:
    import gzip

    ledger = Ledger(tmp_path / "ledger.db")
    bombs = {
        "line.jsonl": b" " * (33 << 20),
        "blank.jsonl": b"\n" * 1_000_000,
        "line.jsonl.gz": gzip.compress(b"a" * (20 << 20)),
        "blank.jsonl.gz": gzip.compress(b"\n" * 1_000_000),
        "many.jsonl.gz": gzip.compress(exported("a") * 18_000),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        began = time.process_time()
        with pytest.raises(LedgerError, match=r"name a file that foretoll ledger export wrote"):
            ledger.import_(tmp_path / name)
        assert time.process_time() - began < 30
    for place in ("/dev/zero", "/dev/null", "/dev"):
        with pytest.raises(LedgerError, match=r"it is a (device|folder): name a file"):
            ledger.import_(place)
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.import_("a\0b")


def test_a_compressed_export_of_another_name_is_read(tmp_path: Path) -> None:
    before = filled(tmp_path / "ledger.db").runs(newest_first=False)
    Ledger(tmp_path / "ledger.db").export(tmp_path / "runs.jsonl.gz")
    (tmp_path / "runs.jsonl.gz").rename(tmp_path / "runs.jsonl")
    assert read_runs(tmp_path / "runs.jsonl") == before
