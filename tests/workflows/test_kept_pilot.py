"""A pilot that an estimate kept and a retraining goes on from: the same run, its first steps paid for once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import foretoll
from foretoll.errors import ForetollError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.models.weights import read_weights
from foretoll.records import Run, TrainingSettings
from foretoll.workflows import Accounting
from options.making import blobs, mlp, same, weights

RECIPE = TrainingSettings(
    batch_size=16, max_epochs=3, lr=3e-4, until=0.99, optimizer="adamw", schedule="cosine"
)
PAID = Accounting("watts:20", region="DE")


def data() -> tuple[Any, Any]:
    return blobs(400, distance=1.5, seed=1), blobs(700, distance=1.5)


def kept(folder: Path, **more: Any) -> foretoll.Estimate:
    source, target = data()
    given = {"settings": RECIPE, "accounting": PAID} | more
    return foretoll.estimate(
        mlp(source), source, target, pilot=foretoll.PilotBudget(spend=0.5, keep=folder), **given
    )


def carried_out(out: Path, **more: Any) -> Run:
    source, target = data()
    given = {"settings": RECIPE, "accounting": PAID, "ledger": Ledger.open(out / "own.db")} | more
    return foretoll.retrain(mlp(source), source, target, out=out / "model", **given)


def test_a_retraining_that_goes_on_is_the_one_from_the_start(tmp_path: Path) -> None:
    found = kept(tmp_path / "pilot")
    assert found.pilot is not None and found.pilot.kept == str((tmp_path / "pilot").resolve())
    assert 24 <= found.pilot.steps < 3 * 27
    whole = carried_out(tmp_path / "a")
    later = carried_out(tmp_path / "b", from_pilot=tmp_path / "pilot", estimate=found)
    assert whole.checkpoint is not None and later.checkpoint is not None
    assert same(weights(load_model(whole.checkpoint)), weights(load_model(later.checkpoint)))
    untimed = [
        [point.model_copy(update={"duration_s": None}) for point in run.curve] for run in (whole, later)
    ]
    assert untimed[0] == untimed[1]
    for told in ("steps", "evaluations", "outcome", "gradient_norm", "parameter_change_by_tensor", "quality"):
        assert getattr(whole, told) == getattr(later, told)
    assert any(f"its first {found.pilot.steps} steps were taken by the pilot" in w for w in later.warnings)
    assert f"{found.pilot.steps} steps" not in " ".join(whole.warnings)


def test_what_the_pilot_cost_is_in_the_run_once(tmp_path: Path) -> None:
    found = kept(tmp_path / "pilot")
    run = carried_out(tmp_path, from_pilot=tmp_path / "pilot")
    assert found.pilot is not None and run.training is not None and run.evaluation is not None
    parts = (run.training.energy_kwh or 0) + (run.evaluation.energy_kwh or 0)
    assert run.toll.energy_kwh == pytest.approx(parts)
    # 20 watts all the time: energy tells the seconds, those of the pilot among them
    assert run.toll.duration_s == pytest.approx((run.toll.energy_kwh or 0) * 3.6e6 / 20)
    first = next(point for point in run.curve if point.step > found.pilot.steps)
    assert (first.duration_s or 0) <= (run.toll.duration_s or 0) * 1.5 + 1


@pytest.mark.parametrize(
    ("more", "said"),
    [({"settings": RECIPE.model_copy(update={"lr": 1e-3})}, "settings differ"), ({"option": "scratch"}, "option"),
     ({"settings": RECIPE.model_copy(update={"seed": 1})}, "settings differ")],
    ids=["rate", "option", "seed"],
)  # fmt: skip
def test_the_pilot_of_another_training_is_refused(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "kept-pilot"
    if not folder.exists():
        kept(folder)
    with pytest.raises(UsageError, match=said):
        carried_out(tmp_path, from_pilot=folder, **more)


def test_what_is_no_pilot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no pilot: name the folder"):
        carried_out(tmp_path, from_pilot=tmp_path)
    (tmp_path / "pilot.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ForetollError, match="cannot be read"):
        carried_out(tmp_path, from_pilot=tmp_path)


def test_a_file_of_weights_is_no_pilot(tmp_path: Path) -> None:
    source, _ = data()
    made = foretoll.save_checkpoint(mlp(source), tmp_path / "model")
    (made / "model.safetensors").rename(tmp_path / "pilot.safetensors")
    assert read_weights(tmp_path / "pilot.safetensors")
    with pytest.raises(UsageError, match="that can be read"):
        carried_out(tmp_path, from_pilot=tmp_path)


def test_what_cannot_be_continued_is_said_and_not_kept(tmp_path: Path) -> None:
    found = kept(tmp_path / "pilot", option="head")
    assert found.pilot is not None and found.pilot.kept is None
    assert any("no pilot is kept" in warning for warning in found.warnings)
    assert not (tmp_path / "pilot").exists()
