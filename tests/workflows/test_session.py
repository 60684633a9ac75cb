"""A session gives once what its verbs are called with; a call may differ from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foretoll
from foretoll.ledger import Ledger
from foretoll.measure import NoMeter
from foretoll.records import TrainingSettings
from options.making import MLP, blobs, mlp

SETTINGS = TrainingSettings(batch_size=32, max_epochs=1, lr=0.01, until=0.6)


def test_what_is_given_once_holds_for_every_verb(tmp_path: Path) -> None:
    session = foretoll.Session(
        device="cpu", energy="watts:20", region="FR", ledger=str(tmp_path / "l.db"), settings=SETTINGS
    )
    source, target = blobs(), blobs(seed=1, distance=3.0)
    model = mlp(source)
    told = session.estimate(model, source, target, option="head")
    assert (told.basis.grid.region, told.settings.batch_size) == ("FRA (France)", 32)
    run = session.retrain(model, source, target, option="head")
    assert run.grid is not None and run.grid.region.startswith("FRA")
    assert run.toll.energy_kwh is not None and run.toll.energy_kwh > 0
    trained = session.train(MLP, source)
    assert [kept.id for kept in session.opened_ledger.runs()] in (
        [run.id, trained.id],
        [trained.id, run.id],
    )


def test_a_call_may_differ_and_a_session_is_not_changed_by_another(tmp_path: Path) -> None:
    session = foretoll.Session(device="cpu", energy=NoMeter, ledger=str(tmp_path / "l.db"), settings=SETTINGS)
    other = session.with_(region="SE", settings=SETTINGS.model_copy(update={"batch_size": 16}))
    assert (session.region, other.region) == (None, "SE")
    source = blobs()
    run = other.retrain(mlp(source), source, blobs(seed=1), option="keep", settings=SETTINGS)
    assert run.settings.batch_size == 32 and run.toll.energy_kwh is None
    assert run.grid is not None and run.grid.region.startswith("SWE")


def test_what_was_learnt_is_held_until_there_are_other_runs(tmp_path: Path) -> None:
    session = foretoll.Session(device="cpu", energy=NoMeter, ledger=str(tmp_path / "l.db"), settings=SETTINGS)
    first = session.forecaster
    assert session.forecaster is first and session.with_(region="SE").forecaster is first
    source = blobs()
    session.retrain(mlp(source), source, blobs(seed=1), option="keep")
    second = session.forecaster
    assert second is not first and session.forecaster is second
    other = foretoll.Session(ledger=str(tmp_path / "l.db"))
    assert other.forecaster is not second, "another session has its own"


def test_every_verb_takes_the_path_of_a_ledger(tmp_path: Path) -> None:
    source, target, accounting = blobs(), blobs(seed=1), foretoll.Accounting(energy="none", region="DE")
    quiet: dict[str, Any] = {"device": "cpu", "settings": SETTINGS, "accounting": accounting}
    model = mlp(source)
    trained = foretoll.train(MLP, source, ledger=tmp_path / "l.db", **quiet)
    kept = foretoll.retrain(model, source, target, option="keep", ledger=str(tmp_path / "l.db"), **quiet)
    foretoll.estimate(model, source, target, option="keep", ledger=str(tmp_path / "l.db"), **quiet)
    foretoll.compare(model, source, target, options=["keep"], ledger=tmp_path / "l.db", **quiet)
    assert {run.id for run in Ledger.open(tmp_path / "l.db").runs()} == {trained.id, kept.id}
