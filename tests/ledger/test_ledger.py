"""Starts, ends, and what is found again."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from foretoll.errors import LedgerError, UsageError
from foretoll.ledger import Ledger
from foretoll.records import Outcome, Toll

from .making import EPOCH, ended, make_run


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def test_a_run_begins_and_ends_once(ledger: Ledger) -> None:
    run = make_run("abc", tags=("demo", "demo"))
    ledger.begin(run)
    assert ledger.get("abc") == run
    finished = ended(run)
    ledger.finish(finished)
    assert ledger.get("abc") == finished
    with pytest.raises(LedgerError, match="run abc has an end already"):
        ledger.finish(ended(run, Outcome.FAILED))
    with pytest.raises(LedgerError, match="run abc is already in the ledger"):
        ledger.begin(run)
    assert ledger.get("abc") == finished


def test_one_that_is_given_in_any_usual_form_is_taken(ledger: Ledger, tmp_path: Path) -> None:
    assert Ledger.of(ledger) is ledger
    for form in (tmp_path / "ledger.db", str(tmp_path / "ledger.db")):
        assert Ledger.of(form).where == ledger.where
    assert Ledger.of(None).where == Ledger.open().where
    for other in (3, ["ledger.db"], object()):
        with pytest.raises(UsageError, match=f"given as {type(other).__name__}: give its path or URL"):
            Ledger.of(other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["a b.db", "q?x=1.db", "#h.db", "50%.db", "%20.db", "übung.db", "'q\".db", "-x.db"]
)
def test_a_file_of_any_name_is_a_ledger(name: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / name)
    ledger.begin(make_run("abc"))
    assert Ledger(str(tmp_path / name)).get("abc").id == "abc"
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".db"] == [name]


def test_wrong_outcomes_are_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="begin it with outcome running"):
        ledger.begin(ended(make_run("a")))
    with pytest.raises(UsageError, match="cannot finish with outcome running"):
        ledger.finish(make_run("a"))
    assert ledger.runs() == []


def test_a_finish_without_a_start_is_kept(ledger: Ledger) -> None:
    finished = ended(make_run("abc", tags=("t",)))
    ledger.finish(finished)
    assert ledger.get("abc") == finished
    assert ledger.runs(tag="t") == [finished]
    assert ledger.doctor() == []


def test_the_end_gets_a_time_where_it_has_none(ledger: Ledger) -> None:
    ledger.finish(ended(make_run("abc"), Outcome.INTERRUPTED, finished_at=None, reason="Ctrl-C"))
    run = ledger.get("abc")
    assert (run.outcome, run.reason) == (Outcome.INTERRUPTED, "Ctrl-C")
    assert run.finished_at is not None
    assert run.finished_at > EPOCH


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        (make_run("a").model_copy(update={"steps": "many"}), "steps"),
        (ended(make_run("a")).model_copy(update={"curve": ({"step": 1},)}), "curve.0.epochs"),
    ],
)
def test_an_invalid_record_never_gets_in(ledger: Ledger, broken: object, place: str) -> None:
    with pytest.raises(LedgerError, match=f"run a is no valid record \\({place}"):
        (ledger.begin if broken.outcome is Outcome.RUNNING else ledger.finish)(broken)  # type: ignore[attr-defined,arg-type]
    assert ledger.runs() == []


def test_numbers_come_back_exactly(ledger: Ledger) -> None:
    toll = Toll(epochs=0.1 + 0.2, energy_kwh=5e-324, duration_s=math.pi * 1e300)
    ledger.finish(ended(make_run("a"), toll=toll))
    assert ledger.get("a").toll == toll
    summary = ledger.summaries()[0]
    assert (summary.epochs, summary.energy_kwh, summary.duration_s) == (0.1 + 0.2, 5e-324, math.pi * 1e300)
    assert summary.emissions_kg is None  # not measured is not 0


@pytest.mark.parametrize("run_id", ["", "x" * 129])
def test_ids_have_a_sensible_length(ledger: Ledger, run_id: str) -> None:
    with pytest.raises(LedgerError, match="give it 1 to 128"):
        ledger.begin(make_run(run_id))


def test_get_by_prefix(ledger: Ledger) -> None:
    for run_id in ("ab", "abc1", "abc2", "A_%"):
        ledger.begin(make_run(run_id))
        with pytest.raises(LedgerError, match="there is no run ''"):
            ledger.get("")
    assert ledger.get("abc1").id == "abc1"
    assert ledger.get("ab").id == "ab"  # a whole id wins over being a prefix of others
    assert ledger.get("A").id == "A_%"  # case counts
    with pytest.raises(LedgerError, match=r"2 runs have ids that begin with 'abc' \(abc1, abc2\)"):
        ledger.get("abc")
    for unknown in ("_", "%", "abc12", "zz"):
        with pytest.raises(LedgerError, match=f"there is no run '{unknown}' .*foretoll ledger list"):
            ledger.get(unknown)


def test_an_empty_ledger_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "ledger.db"
    ledger = Ledger(path)
    assert (ledger.runs(), ledger.summaries(), ledger.doctor(), ledger.doctor(repair=True)) == (
        [],
        [],
        [],
        [],
    )
    with pytest.raises(LedgerError, match=r"there is no run 'a': the ledger .* is empty"):
        ledger.get("a")
    assert not path.parent.exists()


def test_filters_order_and_limit(ledger: Ledger) -> None:
    for number in range(6):
        option = "head" if number % 2 else "finetune"
        run = make_run(f"r{number}", number, option=option, tags=("even",) if number % 2 == 0 else ())
        ledger.begin(run)
        if number < 4:
            ledger.finish(ended(run, Outcome.CENSORED if number == 2 else Outcome.REACHED))

    def ids(**filters: object) -> str:
        found = "".join(run.id[1] for run in ledger.runs(**filters))  # type: ignore[arg-type]
        assert found == "".join(summary.id[1] for summary in ledger.summaries(**filters))  # type: ignore[arg-type]
        return found

    assert ids() == "543210"
    assert ids(newest_first=False) == "012345"
    assert ids(limit=2) == "54"
    assert ids(limit=0) == ""
    assert ids(option="head") == "531"
    assert ids(tag="even", newest_first=False) == "024"
    assert ids(outcome="reached") == "310"
    assert ids(outcome=Outcome.RUNNING) == "54"
    assert ids(outcome="running", limit=1) == "5"
    assert ids(outcome="censored", option="head") == ""
    assert ids(tag="no such") == ""


def test_wrong_filters_are_named(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="unknown outcome 'reachd': did you mean 'reached'"):
        ledger.runs(outcome="reachd")
    with pytest.raises(UsageError, match="limit of runs is -1"):
        ledger.runs(limit=-1)


def test_starts_are_ordered_in_time_across_zones(ledger: Ledger) -> None:
    early = datetime.fromisoformat("2026-01-01T10:00:00+05:00")
    late = datetime.fromisoformat("2026-01-01T06:00:00+00:00")  # an hour later, though the text is smaller
    ledger.begin(make_run("late", started_at=late))
    ledger.begin(make_run("early", started_at=early))
    assert [run.id for run in ledger.runs(newest_first=False)] == ["early", "late"]


def start_elsewhere(path: Path, run_id: str) -> subprocess.Popen[bytes]:
    """A process that begins a run and ends without finishing it."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from making import make_run\nfrom foretoll.ledger import Ledger\n"
        f"Ledger({str(path)!r}).begin(make_run({run_id!r}))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code])


def begin_elsewhere(path: Path, run_id: str) -> None:
    assert start_elsewhere(path, run_id).wait(timeout=120) == 0


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="no waitid to leave a dead child unreaped")
def test_a_dead_process_that_nobody_reaped_counts_as_gone(tmp_path: Path, ledger: Ledger) -> None:
    process = start_elsewhere(tmp_path / "ledger.db", "zombie")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ledger.get("zombie").outcome is Outcome.INTERRUPTED
    assert process.wait(timeout=120) == 0


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path, ledger: Ledger) -> None:
    begin_elsewhere(tmp_path / "ledger.db", "gone")
    ledger.begin(make_run("here", 1))
    gone, here = ledger.get("gone"), ledger.get("here")
    assert here.outcome is Outcome.RUNNING
    assert gone.outcome is Outcome.INTERRUPTED
    assert "ended without saying how the run ended" in gone.reason
    assert [run.id for run in ledger.runs(outcome="interrupted")] == ["gone"]
    assert ledger.summaries(outcome="interrupted")[0].reason == gone.reason
    assert [run.id for run in ledger.runs(outcome="running")] == ["here"]


def test_an_end_that_arrives_after_a_repair_counts(tmp_path: Path, ledger: Ledger) -> None:
    begin_elsewhere(tmp_path / "ledger.db", "gone")
    assert len(ledger.doctor()) == 1
    (finding,) = ledger.doctor(repair=True)
    assert finding.startswith("run gone has no end: process")
    assert finding.endswith("repaired: an interrupted end was appended")
    assert ledger.doctor() == []
    assert ledger.get("gone").outcome is Outcome.INTERRUPTED
    late = ended(make_run("gone"))
    ledger.finish(late)
    assert ledger.get("gone") == late
    assert ledger.runs() == [late]
    assert ledger.doctor() == []


@pytest.mark.parametrize("what", ["process_started", "boot_id", "pid"])
def test_a_reused_pid_or_a_reboot_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, what: str
) -> None:
    from foretoll.ledger import store

    truth = store.this_process()
    forged = {
        "process_started": {"started": "1"},
        "boot_id": {"boot_id": "another boot"},
        "pid": {"pid": 2**22 + 1},
    }[what]
    changed = type(truth)(**(vars(truth) | forged))
    monkeypatch.setattr(store, "this_process", lambda: changed)
    ledger.begin(make_run("a"))
    assert ledger.get("a").outcome is Outcome.INTERRUPTED
    assert ("restarted" in ledger.get("a").reason) == (what == "boot_id")


@pytest.mark.parametrize("elsewhere", [{"host": "far-away"}, {"pid_namespace": "pid:[1]"}])
def test_other_hosts_are_believed_until_the_age_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, str]
) -> None:
    from foretoll.ledger import store

    truth = store.this_process()
    monkeypatch.setattr(store, "this_process", lambda: type(truth)(**(vars(truth) | elsewhere)))
    patient = Ledger(tmp_path / "ledger.db", age_limit=timedelta(days=365_000))
    patient.begin(make_run("a"))
    assert patient.get("a").outcome is Outcome.RUNNING
    assert patient.doctor(repair=True) == []
    hasty = Ledger(tmp_path / "ledger.db", age_limit=timedelta(hours=2))
    assert hasty.get("a").outcome is Outcome.INTERRUPTED
    assert "more than 2 h ago" in hasty.get("a").reason


def test_lineage_follows_cards_and_lists(ledger: Ledger) -> None:
    def add(name: str, /, **changes: object) -> None:
        run = make_run(name)
        card = {k: v for k, v in changes.items() if k != "lineage"}
        run = run.model_copy(
            update={"model": run.model.model_copy(update=card), "lineage": changes.get("lineage", ())}
        )
        ledger.finish(ended(run))

    add("one")
    add("two", run_id="one")  # the card of the model that it started from
    add("three", run_id="three", parent_run_id="two")  # the card of the model that it made
    add("four", lineage=("one", "two", "three"))
    add("five", run_id="lost", lineage=("three", "lost"))  # the run before it is not here
    add("loop", run_id="pool")
    add("pool", run_id="loop")

    def ids(run_id: str) -> list[str]:
        return [run.id for run in ledger.lineage(run_id)]

    assert ids("one") == ["one"]
    assert ids("three") == ["one", "two", "three"]
    assert ids("four") == ["one", "two", "three", "four"]
    assert ids("five") == ["one", "two", "three", "five"]
    assert ids("loop") == ["pool", "loop"]


def test_the_database_itself_refuses_changes(tmp_path: Path, ledger: Ledger) -> None:
    import sqlite3

    ledger.finish(ended(make_run("a", tags=("t",))))
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for statement in (
        "UPDATE run_end SET epochs = 0",
        "DELETE FROM run_end",
        "UPDATE run_start SET option = 'head'",
        "DELETE FROM run_start",
        "DELETE FROM run_tag",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_importing_the_ledger_loads_nothing_heavy() -> None:
    code = (
        "import sys, foretoll.ledger; print([m for m in ('torch', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_environment_and_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ledger().where == os.environ["FORETOLL_LEDGER"]
    monkeypatch.delenv("FORETOLL_LEDGER")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    ledger = Ledger.open()
    assert ledger.where == str(tmp_path / "data" / "foretoll" / "ledger.db")
    ledger.begin(make_run("a"))
    assert Path(ledger.where).is_file()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Ledger().where == str(tmp_path / ".local" / "share" / "foretoll" / "ledger.db")
    assert Ledger("~/x.db").where == str(tmp_path / "x.db")
    assert Ledger(f"sqlite:///{tmp_path}/x.db").where == str(tmp_path / "x.db")
