"""What a forecast reads beside the records is what the records say: after imports, repairs, damage, in any order."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretoll.errors import LedgerError
from foretoll.exchange.files import write_runs
from foretoll.exchange.packing import pack
from foretoll.forecast import case_of_run
from foretoll.forecast.lessons import Lesson, lessons_of
from foretoll.forecast.own_lessons import OF_MODEL, RECENT, SPREAD, drawn, milestone
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger, columns, taught
from foretoll.ledger.append import start_of
from foretoll.ledger.schema import LATEST
from foretoll.records import Outcome, Run

from .making import ended, make_run
from .test_faults import filled, read_only, tamper, unpack_records, versions

RUNS = [run for run in reference_runs()[::150] if run.outcome is not Outcome.INTERRUPTED]


def of_records(ledger: Ledger) -> list[Lesson]:
    return lessons_of(ledger.select().runs)


def of_columns(ledger: Ledger) -> list[Lesson]:
    return list(ledger.own_runs().lessons.lessons)


def column_rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM run_lesson ORDER BY run_id").fetchall()


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    write_runs(tmp_path / "runs.jsonl", RUNS)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.import_(tmp_path / "runs.jsonl")
    return ledger


CHANGES = ("finish", "fail", "import", "begin", "forget", "older", "damage", "tamper", "repair", "look")


@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 5)), max_size=8))
@settings(max_examples=12, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_columns_say_what_the_records_say_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "ledger.db"
    ledger = Ledger(path)
    for number, (what, which) in enumerate(steps):
        run = RUNS[which].model_copy(update={"id": f"r{which}-{number}"})
        victim = f"(SELECT run_id FROM run_end ORDER BY run_id LIMIT 1 OFFSET {which})"
        if what == "finish":
            ledger.finish(run)
        elif what == "fail":
            ledger.finish(run.model_copy(update={"outcome": Outcome.FAILED}))
        elif what == "begin":
            ledger.begin(start_of(run))
        elif what == "import":
            write_runs(folder / "in.jsonl", [RUNS[which], run])
            ledger.import_(folder / "in.jsonl")
        elif what == "repair":
            ledger.doctor(repair=True)
        elif what == "look":
            ledger.own_runs()
        elif path.exists():
            changes = {
                "forget": [f"DELETE FROM run_lesson WHERE run_id = {victim}"],
                "older": [f"UPDATE run_lesson SET made_by = 0, alike = 0 WHERE run_id = {victim}"],
                "damage": [f"UPDATE run_lesson SET digest = 5, model = NULL WHERE run_id = {victim}"],
                "tamper": ["DROP TRIGGER run_end_no_update",
                           f"UPDATE run_end SET record = x'28b52ffd00' WHERE run_id = {victim}",
                           "CREATE TRIGGER run_end_no_update BEFORE UPDATE ON run_end "
                           "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"],
            }  # fmt: skip
            changed(path, *changes[what])
    assert of_columns(ledger) == of_records(ledger)
    assert of_columns(Ledger(path)) == of_records(ledger)
    unread = len(ledger.select().unread)
    assert ledger.own_runs().warning.startswith(f"{unread} record") == bool(unread)


def test_a_run_that_ends_adds_a_row_and_nothing_is_parsed_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = of_records(ledger)
    monkeypatch.setattr(taught, "ends_without", None)  # whoever calls it fails
    assert of_columns(ledger) == wanted and len(wanted) == len(RUNS)
    run = RUNS[0].model_copy(update={"id": "new"})
    ledger.begin(start_of(run))
    ledger.finish(run)
    assert {lesson.run_id for lesson in of_columns(ledger)} == {run.id for run in RUNS} | {"new"}


def test_a_ledger_of_the_version_before_gets_its_columns_and_keeps_its_records(
    ledger: Ledger, open_folder: Path
) -> None:
    path = Path(shutil.copy(ledger.where, open_folder))
    wanted, rows = of_records(ledger), column_rows(path)
    triggers = [
        f"{name}_lesson_{change}" for name in ("run_start", "run_end") for change in ("update", "delete")
    ]
    changed(path, "DROP TABLE run_lesson", "DROP TABLE run_settings", "DELETE FROM foretoll_schema WHERE version >= 4",
            *(f"DROP TRIGGER {name}" for name in triggers))  # fmt: skip
    unpack_records(path)
    content = path.read_bytes()
    with read_only(open_folder):
        assert of_columns(Ledger(path)) == of_records(Ledger(path)) == wanted, (
            "read where it cannot be written"
        )
        with pytest.raises(LedgerError):
            Ledger(path).begin(start_of(RUNS[0].model_copy(update={"id": "new"})))
    assert path.read_bytes() == content
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM run_end ORDER BY run_id").fetchall()
    assert of_columns(Ledger(path)) == wanted and versions(path)[-1] == LATEST
    assert [row[:2] for row in column_rows(path)] == [row[:2] for row in rows]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM run_end ORDER BY run_id").fetchall() == before


def test_columns_that_cannot_be_written_are_read_from_the_records(ledger: Ledger, open_folder: Path) -> None:
    wanted, path = of_records(ledger), Path(shutil.copy(ledger.where, open_folder))
    changed(path, "DELETE FROM run_lesson")
    with read_only(open_folder):
        assert of_columns(Ledger(path)) == wanted
    changed(path, f"INSERT INTO foretoll_schema VALUES ({LATEST + 1}, 'later')")
    later = Ledger(path)
    assert of_columns(later) == wanted and "upgrade foretoll" in later.own_runs().warning


def test_a_packed_record_that_is_damaged_is_named_and_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = filled(path)
    bomb = "x'28b52ffda0000000ff'"
    for change in ("x'28b52ffd0011'", bomb):
        tamper(path, f"UPDATE run_end SET record = {change} WHERE run_id = 'r1'")
        assert ledger.select().warning.startswith(
            "1 record could not be read: run r1 (its record is packed, and"
        )
        assert ledger.own_runs().warning == ledger.select().warning
    assert "moved aside" in ledger.doctor(repair=True)[0] and ledger.doctor() == []
    assert not ledger.own_runs().warning and len(ledger.runs()) == 2


def test_a_start_is_made_anew_and_the_end_that_went_on_from_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    run = ended(make_run("r1"))
    ledger = Ledger(path)
    ledger.finish(run)
    text = run.model_dump_json(by_alias=True)
    newer = start_of(run).model_dump_json(by_alias=True).replace("foretoll.run/1", "foretoll.run/9")
    end = pack(text, newer.encode()).hex()
    tamper(path, f"UPDATE run_start SET record = '{newer}'", f"UPDATE run_end SET record = x'{end}'")
    assert "written by a newer foretoll" in ledger.doctor()[0] and ledger.get("r1") == run
    assert "moved aside" in ledger.doctor(repair=True)[0]
    assert ledger.doctor() == [] and Ledger(path).get("r1") == run
    ledger.export(tmp_path / "out.jsonl")
    assert Ledger(tmp_path / "other.db").import_(tmp_path / "out.jsonl") == 1


def many(folder: Path, count: int) -> tuple[Ledger, list[Run]]:
    """A ledger of equal runs but for a few of another kind, of two models."""
    kinds = [RUNS[1], RUNS[2]]
    runs = [
        kinds[number % 50 == 0].model_copy(
            update={
                "id": f"run{number:05d}",
                "model": kinds[0].model.model_copy(
                    update={"parent_weights_digest": f"{number % 3 == 0:032x}"}
                ),
            }
        )
        for number in range(count)
    ]
    write_runs(folder / "many.jsonl", runs)
    ledger = Ledger(folder / "many.db")
    ledger.import_(folder / "many.jsonl")
    return ledger, runs


def test_of_many_runs_the_newest_and_a_sample_by_place_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"EVERY": 40, "RECENT": 10, "SPREAD": 30, "OF_MODEL": 12}.items():
        monkeypatch.setattr(taught, name, value)
        if name == "EVERY":
            monkeypatch.setattr("foretoll.forecast.own_lessons.EVERY", value)
    ledger, runs = many(tmp_path, 150)
    place, counts = {}, {}
    up_to = milestone(150)
    for run in runs[:up_to]:
        kind = run.target.name, run.option, run.task_shift, len(run.target.shift)
        counts[kind] = counts.get(kind, 0) + 1
        place[run.id] = drawn(run.id) * counts[kind]
    wanted = {run.id for run in runs[up_to - 10 : up_to]} | set(sorted(place, key=place.__getitem__)[:30])
    known = ledger.own_runs().lessons
    assert {lesson.run_id for lesson in known.lessons} == wanted
    rare = {run.id for run in runs[:up_to:50]}
    assert len(rare & wanted) == len(rare), "runs of a kind that is rare stay"
    kept = list(known.lessons)
    with monkeypatch.context() as patch:
        patch.setattr(taught, "lessons_of", None)  # whoever calls it fails: those of a sample are kept
        assert list(Ledger(ledger.where).own_runs().lessons.lessons) == kept
        changed(
            Path(ledger.where), f"UPDATE run_lesson SET digest = digest + 1 WHERE run_id = '{kept[0].run_id}'"
        )
        with pytest.raises(TypeError):  # another record: what was kept is not found
            Ledger(ledger.where).own_runs()
    assert sorted(kept, key=lambda one: one.run_id) == sorted(
        lessons_of([run for run in runs if run.id in wanted]), key=lambda one: one.run_id
    )
    case = case_of_run(runs[0])
    assert case is not None and known.of_model is not None
    newest = [run.id for run in runs if run.model.parent_weights_digest == case.weights_digest][-12:]
    assert {lesson.run_id for lesson in known.of_model(case)} == set(newest)
    assert min(RECENT, SPREAD, OF_MODEL) >= 200


def test_a_fault_in_the_columns_costs_no_run_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run: Run) -> None:
        raise KeyError("accumulate")

    run, later = RUNS[0], RUNS[1]
    ledger = Ledger(tmp_path / "ledger.db")
    with monkeypatch.context() as patch:
        patch.setattr(columns, "row_of_run", broken)
        ledger.begin(start_of(run))
        ledger.finish(run)
        assert ledger.get(run.id) == run
        assert "no forecast can learn from it" in ledger.own_runs().warning
    ledger.begin(start_of(later))
    ledger.finish(later)
    assert len(of_columns(ledger)) >= len(lessons_of([later]))
    changed(tmp_path / "ledger.db", "UPDATE run_lesson SET made_by = 0")  # may do better
    assert ledger.own_runs().warning == "" and of_columns(ledger) == of_records(ledger)
