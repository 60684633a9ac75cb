"""Option keep: nothing is done, and the record says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.models import Model
from foretoll.options import get_option
from foretoll.records import Outcome, TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.carry_out import RunResult, carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.probe import probe_option
from foretoll.workflows.retrain import retrain

from .making import blobs, mlp, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=2, lr=0.01, until=0.99)
ACCOUNTING = Accounting("watts:20", region="DE")


def kept(model: Model, settings: TrainingSettings = SETTINGS) -> RunResult:
    return carry_out(
        get_option("keep"),
        Update(model, blobs(), blobs(seed=1), False, CPU),
        settings,
        Runtime(accounting=ACCOUNTING),
    )


def test_nothing_changes_and_no_gradient_is_taken() -> None:
    model = mlp(blobs())
    done = kept(model)
    assert done.model is not None and done.model is not model
    assert same(weights(done.model), weights(model))
    assert all(p.grad is None for m in (model, done.model) for p in m.network.parameters())


def test_an_unmet_target_is_censored_with_its_reason_and_only_the_evaluation_is_paid() -> None:
    run = kept(mlp(blobs())).run
    assert run.outcome is Outcome.CENSORED and "takes no steps" in run.reason
    assert (run.steps, run.toll.epochs, run.evaluations, run.trainable_parameters) == (0, 0.0, 1, 0)
    assert run.toll.gradient_norm is None and run.toll.parameter_change is None
    assert run.preparation is None and run.evaluation is not None
    assert run.toll.energy_kwh == run.evaluation.energy_kwh
    assert run.quality is not None and run.quality.before == run.quality.after


@pytest.mark.parametrize("until", [0.01, None])
def test_a_target_that_is_met_or_not_named_is_reached(until: float | None) -> None:
    run = kept(mlp(blobs()), SETTINGS.model_copy(update={"until": until})).run
    assert (run.outcome, run.reason, run.steps) == (Outcome.REACHED, "", 0)


def test_probe_and_pilot_have_no_steps() -> None:
    update = Update(mlp(blobs()), blobs(), blobs(seed=1), False, CPU)
    assert pilot_signals(update, "keep", SETTINGS) == {}
    probe = probe_option(get_option("keep"), update, SETTINGS, ACCOUNTING, budget_s=0.05).step
    assert (probe.steps, probe.seconds_per_step) == (0, 0.0) and probe.seconds_per_evaluation > 0


def test_a_new_task_is_refused_through_the_front_door(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l.db")
    with pytest.raises(UsageError, match=r"keep cannot serve a new task: .*; use an option .* head or fine"):
        retrain(
            mlp(blobs()),
            blobs(),
            blobs(classes=5),
            option="keep",
            task=True,
            until=0.9,
            settings=SETTINGS,
            ledger=ledger,
            accounting=ACCOUNTING,
        )
    assert list(ledger.runs()) == []
