"""A loop of the user's own, forecast while it goes on: it may read that it is hopeless, and is never stopped by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import foretoll
from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.records import Outcome, TrainingSettings

from .loops import ACCOUNTING, Loop, accuracy, adamw, blobs, network, same

SETTINGS = TrainingSettings(max_epochs=40)


def tracked(tmp_path: Path, **how: Any) -> dict[str, Any]:
    return {
        "ledger": str(tmp_path / "own.db"),
        "settings": SETTINGS,
        "steps_per_epoch": 6,
        "until": 1.0,
    } | how


def test_the_loop_reads_what_is_left_and_its_weights_are_its_own(tmp_path: Path) -> None:
    plain, _, states = Loop(epochs=4).run()
    model, run, found = Loop(epochs=4).run(tracked(tmp_path, give_up=0.999999))
    assert same(list(model.state_dict().values()), list(plain.state_dict().values()))
    assert all(same(found[name], state) for name, state in states.items())
    assert run is not None and run.live is not None and run.hopeless
    assert run.live.epochs == 4.0 and 0 < run.live.reach_probability < 1
    assert run.live.epochs_left.high == 36.0 and run.live.duration_left_s is not None
    assert run.live.energy_left_kwh is not None and not run.stop, "it is not stopped"
    assert run.record is not None and run.record.outcome is Outcome.GIVEN_UP
    assert "under the 99.9999% of give_up" in run.record.reason
    assert [r.id for r in Ledger.open(tmp_path / "own.db").runs(outcome="given_up")] == [run.record.id]


def test_a_loop_that_is_not_hopeless_is_censored_as_before(tmp_path: Path) -> None:
    for how in ({}, {"give_up": "0.0001%"}):
        _, run, _ = Loop(epochs=2).run(tracked(tmp_path, **how))
        assert run is not None and run.live is not None and not run.hopeless
        assert run.record is not None and run.record.outcome is Outcome.CENSORED


def test_a_loop_that_spends_its_budget_was_not_given_up(tmp_path: Path) -> None:
    settings = TrainingSettings(max_epochs=2)
    _, run, _ = Loop(epochs=2).run(tracked(tmp_path, settings=settings, give_up=0.5))
    assert run is not None and run.live is not None and run.live.reach_probability == 0.0 and not run.hopeless
    assert run.record is not None and run.record.outcome is Outcome.CENSORED


def test_a_target_that_is_met_is_certain(tmp_path: Path) -> None:
    _, run, _ = Loop(epochs=3).run(tracked(tmp_path, until=0.4, give_up=0.5))
    assert run is not None and run.live is not None and run.live.reach_probability == 1.0
    assert run.record is not None and run.record.outcome is Outcome.REACHED and not run.hopeless


@pytest.mark.parametrize("missing", ["until", "steps_per_epoch"])
def test_without_a_target_or_an_epoch_nothing_is_said(missing: str, tmp_path: Path) -> None:
    _, run, _ = Loop(epochs=1).run(tracked(tmp_path, **{missing: None}))
    assert run is not None and run.live is None and not run.hopeless


@pytest.mark.slow
def test_the_loop_that_looked_starts_from_its_forecast(tmp_path: Path) -> None:
    data, model = blobs(), network()
    how = {
        "source": (blobs(), blobs(60)),
        "target": (data, blobs(60, 0.5)),
        "until": 0.99,
        "accounting": ACCOUNTING,
    }
    with foretoll.track(model, adamw(model), **tracked(tmp_path, **how), quiet=True) as run:
        assert run.live is None
        run.evaluate(accuracy(model, data))
        first = run.live
    assert run.estimate is not None and first is not None
    assert first.reach_probability == run.estimate.reach_probability
    assert first.epochs_left == run.estimate.forecast.epochs


@pytest.mark.parametrize("share", [2, 0, -0.1, float("nan"), float("inf"), "often", "5 percent", True])
def test_what_is_no_chance_is_refused(share: Any) -> None:
    model = network()
    with pytest.raises(UsageError, match="give a chance above 0 % and below 100 %"):
        foretoll.track(model, adamw(model), until=0.9, give_up=share)


def test_to_give_up_needs_a_target() -> None:
    model = network()
    with pytest.raises(UsageError, match="give_up needs a quality target"):
        foretoll.track(model, adamw(model), give_up=0.05)
