"""A model is recognised by what its weights hold: past runs count as its own through whatever door it came."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import foretoll
from foretoll.forecast import Forecaster, case_of_run
from foretoll.forecast.reference import reference_held_out, reference_runs
from foretoll.ledger import Ledger
from foretoll.models import build_model, load_model, save_checkpoint, weights_digest
from foretoll.records import Estimate, ModelCard, TrainingSettings
from foretoll.workflows import Accounting, experience
from foretoll.workflows.context import open_update
from options.making import blobs, mlp

ACCOUNTING = Accounting("watts:20", region="DE")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=1, until=0.999)


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


# --- the digest --------------------------------------------------------------------------------------


def test_a_digest_is_that_of_the_content() -> None:
    digest = weights_digest(small())
    assert digest == weights_digest(small())
    assert digest != weights_digest(small(1))
    changed = small()
    with torch.no_grad():
        changed[0].weight[0, 0] = torch.nextafter(changed[0].weight[0, 0], torch.tensor(torch.inf))
    assert weights_digest(changed) != digest, "one bit"
    changed = small()
    changed[1].running_mean[0] = 0.5
    assert weights_digest(changed) != digest, "statistics are part of it"
    assert weights_digest(small().double()) != digest, "so is the precision"


def test_wrappers_frozen_weights_and_layout_do_not_change_a_digest() -> None:
    digest = weights_digest(small())
    assert weights_digest(nn.DataParallel(small())) == digest
    assert weights_digest(small().requires_grad_(False)) == digest
    turned = small()
    turned[0].weight.data = turned[0].weight.data.T.contiguous().T
    assert not turned[0].weight.is_contiguous()
    assert weights_digest(turned) == digest


def test_a_digest_takes_a_large_tensor_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = weights_digest(small())
    monkeypatch.setattr("foretoll.models.digest.CHUNK_BYTES", 20)
    assert weights_digest(small()) == whole


@pytest.mark.parametrize("kind", [torch.bool, torch.float16, torch.bfloat16, torch.complex64, torch.int64])
def test_a_digest_takes_every_kind_of_number(kind: torch.dtype) -> None:
    net = small()
    net.register_buffer("extra", torch.ones(3).to(kind))
    net.register_buffer("scalar", torch.ones(()).to(kind))
    assert weights_digest(net) != weights_digest(small())


# --- doors -------------------------------------------------------------------------------------------


def estimate(model: object, ledger: Ledger, **more: object) -> Estimate:
    data = blobs()
    return foretoll.estimate(
        model, data, data, settings=SETTINGS, accounting=ACCOUNTING, ledger=ledger, samples=50, **more
    )  # type: ignore[arg-type]


def test_runs_count_as_the_models_own_through_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a fit on three runs takes no time
    monkeypatch.setattr(experience, "reference_forecaster", lambda own: Forecaster(before=own.lessons))
    data, ledger = blobs(), Ledger.open(tmp_path / "own.db")
    model = mlp(data, seed=5)
    save_checkpoint(model, tmp_path / "folder")
    save_file(model.network.state_dict(), tmp_path / "w.safetensors")
    for seed in range(3):
        foretoll.retrain(
            model,
            data,
            data,
            settings=SETTINGS.model_copy(update={"seed": seed}),
            accounting=ACCOUNTING,
            ledger=ledger,
        )
    arch, options = model.card.arch, model.card.arch_options
    doors = {
        "a Model": model,
        "a module in memory": model.network,
        "a checkpoint folder": tmp_path / "folder",
    }
    for name, door in doors.items():
        assert estimate(door, ledger).basis.own_runs == 3, name
    query = "&".join(f"{key}={value}" for key, value in options.items())
    text = f"{arch}?{query}" if query else arch
    assert estimate(text, ledger, weights=tmp_path / "w.safetensors").basis.own_runs == 3
    assert estimate(text, ledger).basis.own_runs == 0, "fresh weights are another model"
    updated = load_model(tmp_path / "folder").clone()
    with torch.no_grad():
        next(updated.network.parameters()).add_(1.0)
    assert estimate(updated, ledger).basis.own_runs == 0, (
        "the card of the old weights does not make it the old model"
    )


def test_what_a_run_made_is_known_by_its_digest(tmp_path: Path) -> None:
    data, ledger = blobs(), Ledger.open(tmp_path / "own.db")
    model = mlp(data, seed=5)
    run = foretoll.retrain(
        model, data, data, settings=SETTINGS, accounting=ACCOUNTING, ledger=ledger, out=tmp_path / "made"
    )
    assert run.model.parent_weights_digest == weights_digest(model.network)
    assert run.model.weights_digest == weights_digest(load_model(tmp_path / "made").network)
    assert run.model.weights_digest != run.model.parent_weights_digest
    update = open_update(tmp_path / "made", data, data)
    assert update.model.card.weights_digest == run.model.weights_digest
    assert update.model.card.run_id == run.id


# --- what the forecaster makes of it -----------------------------------------------------------------


def test_old_records_have_no_digest_and_match_by_the_run_that_made_the_model() -> None:
    card = reference_runs()[0].model
    assert card.weights_digest is None and card.parent_weights_digest is None
    old = ModelCard.model_validate(card.model_dump(exclude={"weights_digest", "parent_weights_digest"}))
    assert old == card
    forecaster = Forecaster(reference_runs()[:200], held_out=reference_held_out())
    case = next(c for run in reference_runs() if (c := case_of_run(run)) is not None and c.model_id)
    by_run = forecaster.learned.own_runs(case)
    assert by_run == {i for i, c in enumerate(forecaster.lessons) if c.model_id == case.model_id}
    assert forecaster.learned.own_runs(case.model_copy(update={"weights_digest": "d"})) == by_run
    assert not forecaster.learned.own_runs(case.model_copy(update={"model_id": ""}))


def test_two_digests_decide_against_the_runs_id_and_old_runs_follow_a_later_one() -> None:
    runs = [run for run in reference_runs() if (c := case_of_run(run)) is not None and c.model_id][:40]
    parent = runs[0].model.parent_run_id
    mine = [i for i, run in enumerate(runs) if run.model.parent_run_id == parent]
    assert len(mine) >= 2
    newest = runs[mine[-1]]
    runs[mine[-1]] = newest.model_copy(
        update={"model": newest.model.model_copy(update={"parent_weights_digest": "aa"})}
    )
    learned = Forecaster(runs).learned
    case = case_of_run(runs[mine[0]])
    assert case is not None
    loaded_elsewhere = case.model_copy(update={"model_id": "", "weights_digest": "aa"})
    assert learned.own_runs(loaded_elsewhere) == frozenset(mine), (
        "the older runs are known through the newer one"
    )
    other = case.model_copy(update={"weights_digest": "bb"})
    assert not learned.own_runs(other), "the same run, but not its weights any more"


def test_a_fresh_copy_does_not_claim_to_be_the_model() -> None:
    data = blobs()
    model = build_model("foretoll:mlp", data=data, seed=0)
    model.card = model.card.model_copy(update={"weights_digest": "aa", "run_id": "r"})
    in_memory = load_model(model.network, data=data)
    in_memory.card = in_memory.card.model_copy(update={"weights_digest": "aa", "run_id": "r"})
    for one in (model, in_memory):
        fresh = foretoll.models.fresh_copy(one, data, seed=1).card
        assert (fresh.weights_digest, fresh.run_id) == (None, None)
