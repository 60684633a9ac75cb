"""A ledger that is lost costs a record its place, never the work; what can be no ledger is refused before it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

import foretoll
from foretoll.errors import LedgerError, WrongLedgerError
from foretoll.ledger import Ledger
from foretoll.records import Outcome, TrainingSettings
from foretoll.workflows import Accounting, Watcher
from options.making import blobs, mlp

HOW = {
    "settings": TrainingSettings(batch_size=16, max_epochs=1, lr=0.01, until=0.99),
    "accounting": Accounting("watts:20", region="DE"),
    "device": "cpu",
}


class NoWork(Watcher):
    """Fails the test where work begins."""

    def stage(self, text: str) -> None:
        pytest.fail(f"work began: {text}")


def test_a_locked_ledger_costs_a_run_its_place_until_it_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path / "mine.db", lock_timeout_s=0.05)
    Ledger(tmp_path / "mine.db").runs()
    foretoll.train("foretoll:mlp?width=4", blobs(), ledger=ledger, **HOW)  # type: ignore[arg-type]
    holder = sqlite3.connect(tmp_path / "mine.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    run = foretoll.train("foretoll:mlp?width=4", blobs(), ledger=ledger, **HOW)  # type: ignore[arg-type]
    holder.rollback()
    holder.close()
    assert run.outcome is Outcome.CENSORED and run.toll.energy_kwh
    said = capsys.readouterr().err
    assert "close that program" in said and "it is kept in a file" in said and "ledger import" in said
    assert any("writing the start of the run failed" in warning for warning in run.warnings)
    assert ledger.flush() == 1 and ledger.get(run.id).steps == run.steps


def test_a_damaged_ledger_costs_an_estimate_its_own_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = blobs()
    foretoll.train("foretoll:mlp?width=4", source, ledger=tmp_path / "mine.db", **HOW)  # type: ignore[arg-type]
    content = (tmp_path / "mine.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(content[: len(content) // 2])
    found = foretoll.estimate(
        mlp(source), source, blobs(seed=1, distance=1.0), option="head", ledger=tmp_path / "cut.db", **HOW
    )  # type: ignore[arg-type]
    assert found.forecast.epochs is not None and found.basis.own_runs == 0
    assert any("rests on the runs that come with foretoll alone" in warning for warning in found.warnings)
    monkeypatch.setenv("FORETOLL_STRICT", "1")
    from foretoll.workflows.experience import experience_of

    with pytest.raises(LedgerError, match="truncated"):
        experience_of(Ledger(tmp_path / "cut.db"))


@pytest.mark.parametrize("verb", ["train", "retrain", "estimate", "compare"])
@pytest.mark.parametrize("what", ["a folder", "another file", "another program's"])
def test_what_can_be_no_ledger_is_refused_before_any_work(verb: str, what: str, tmp_path: Path) -> None:
    place = tmp_path / "it"
    if what == "a folder":
        place.mkdir()
    elif what == "another file":
        place.write_text(json.dumps({"notes": "x" * 200}))
    else:
        with sqlite3.connect(place) as other:
            other.execute("CREATE TABLE bookmarks (x)")
        other.close()
    data = blobs()
    given = ("foretoll:mlp", data) if verb == "train" else (mlp(data), data, data)
    with pytest.raises(WrongLedgerError):
        getattr(foretoll, verb)(*given, ledger=place, watcher=NoWork(), **HOW)


def test_without_a_home_a_run_is_kept_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORETOLL_LEDGER", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_: object = None) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = foretoll.train("foretoll:mlp?width=4", blobs(), **HOW)  # type: ignore[arg-type]
    (file,) = tmp_path.glob("foretoll-run-*.jsonl")
    assert run.id in file.name and str(file) in capsys.readouterr().err
