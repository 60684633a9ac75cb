"""`foretoll compare` from end to end, on real data: what it prints, writes, recommends and refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretoll import Accounting, TrainingSettings, compare, load_model, train
from foretoll.errors import ModelError, UsageError
from foretoll.forecast import Forecaster
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.records import Comparison, Outcome
from foretoll.report import read_comparison
from foretoll.workflows import candidates, experience

from .conftest import Call

QUIET = "--energy watts:30 --region DE --quiet"
HALF = "digits?part=1/2&limit=300"
NOISY = "digits?part=2/2&limit=300&shift=gaussian_noise:0.3"
SHIFTED = f"--source '{HALF}' --target '{NOISY}'"
TASK = "--source 'digits?classes=0,1,2,3&limit=200' --target 'digits?classes=5,6,7&limit=200' --task"
KEYS = set(
    "schema id created_at source sources target shift models until settings budget requests candidates recommendation "  # noqa: SIM905
    "measured_best regret energy price grid hardware self_cost warnings".split()
)
MLP = "foretoll:mlp?width=16&depth=1"


@pytest.fixture(autouse=True)
def _fewer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasts rest on every twentieth run of the reference, which are learned from in moments."""
    some = reference_runs()[::20]
    monkeypatch.setattr(experience, "reference_forecaster", lambda own: Forecaster(some, before=own.lessons))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small networks: two for all digits, one for four of them."""
    folder = tmp_path_factory.mktemp("models")
    for name, arch, data in (
        ("src", "foretoll:cnn?width=4", HALF),
        ("other", MLP, HALF),
        ("four", MLP, "digits?classes=0,1,2,3&limit=200"),
    ):
        train(
            arch,
            data,
            out=folder / name,
            until=0.7,
            settings=TrainingSettings(lr=0.02, max_epochs=8),
            accounting=Accounting("none", "DE"),
            ledger=Ledger.open(folder / "l.db"),
        )
    return folder


def test_forecast_only(call: Call, models: Path) -> None:
    """What the model already reaches is kept, for one evaluation, and nothing is written to the ledger."""
    done = call(
        f"compare --model {models}/src {SHIFTED} --until 0.3 -o keep -o recalibrate -o finetune -o keep --json {QUIET}"
    )
    assert (done.code, done.err) == (0, "")
    assert set(done.data) == KEYS and done.data["schema"] == "foretoll.comparison/1"
    folder = Path("foretoll-compare")
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "report.html", "report.md"]
    assert json.loads((folder / "comparison.json").read_text()) == done.data
    found = read_comparison(folder / "comparison.json")
    assert found == Comparison.model_validate(done.data)
    assert [c.option for c in found.candidates] == ["keep", "recalibrate", "finetune"]
    assert list(found.models) == [f"{models}/src"] and found.shift == "distribution" and found.until == 0.3
    keep, recalibrate, finetune = found.candidates
    assert found.recommendation.candidate == 0 and found.recommendation.confidence == 0.8
    assert keep.reach_probability == finetune.reach_probability == 1.0, (
        "the first evaluation meets the target"
    )
    assert (keep.changes_weights, keep.trainable_parameters) == (False, 0)
    assert (finetune.trainable_parameters or 0) > 0 and recalibrate.inference == keep.inference
    energy, seconds = keep.forecast.energy_kwh, keep.forecast.duration_s
    assert energy and seconds and energy.median == pytest.approx(30 * (seconds.median or 0) / 3.6e6)
    assert found.energy is not None and found.energy.method == "30 W set by the user"
    assert found.self_cost.duration_s > 0 and found.measured_best is None and found.regret is None
    assert call("ledger list --json").data == []


def test_it_shows_a_table_marks_the_choice_and_names_the_page(call: Call, models: Path) -> None:
    done = call(
        f"compare --model {models}/other {SHIFTED} --until 0.3 -o keep -o recalibrate --out new {QUIET}"
    )
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^▸ keep +100 %", done.out, re.MULTILINE)
    assert (
        "Recommended  keep is predicted to reach 0.30 with probability 100 % and is the cheapest" in done.out
    )
    assert re.search("^recalibrate +recalibrate re-estimates batch-norm statistics", done.out, re.MULTILINE)
    assert "energy: 30 W set by the user" in done.out and "DEU (Germany)" in done.out
    assert done.out.endswith("report   new/report.html\n")
    assert max(map(len, done.out.splitlines())) <= 100


def test_measured_as_well(call: Call, models: Path) -> None:
    """Each option is carried out, remembered and saved; the choice still rests on the forecasts."""
    done = call(
        f"compare --model {models}/src {SHIFTED} --until 0.75 -o keep -o head -o finetune --measure --max-epochs 3 "
        f"--lr 0.01 --requests 2000 --out cmp --json {QUIET}"
    )
    found = Comparison.model_validate(done.data)
    assert done.err == "" and done.code == (0 if found.recommendation.candidate is not None else 3)
    runs = [c.run for c in found.candidates if c.run is not None]
    assert [run.option for run in runs] == ["keep", "head", "finetune"]
    kept = {run["id"] for run in call("ledger list --tag compare --json").data}
    assert kept == {run.id for run in runs}
    for candidate in found.candidates:
        run, life, update = candidate.run, candidate.energy_with_serving_kwh, candidate.forecast.energy_kwh
        assert run is not None and run.outcome in (Outcome.REACHED, Outcome.CENSORED)
        assert run.forecast is not None and run.forecast.forecast == candidate.forecast
        assert run.forecast.reach_probability == candidate.reach_probability
        assert candidate.failure == "" and {"initial_loss", "probe_accuracy"} <= set(run.signals)
        assert load_model(Path("cmp") / candidate.option).card.run_id == run.id
        served = (candidate.inference and candidate.inference.energy_kwh_per_1000) or 0
        assert life and update and life.median == pytest.approx((update.median or 0) + 2 * served)
    assert "pilot24_loss" in runs[2].signals and "pilot24_loss" not in runs[0].signals
    reached = [i for i, run in enumerate(runs) if run.outcome is Outcome.REACHED]
    assert (found.measured_best in reached) if reached else (found.measured_best is None)
    assert (found.regret is None) == (found.recommendation.candidate not in reached)
    assert any(c.on_front for c in found.candidates)
    page = Path("cmp/report.html").read_text()
    assert "energy measured" in page and "Diamonds: what was measured" in page
    # what came out of it is the next source
    done = call(
        f"retrain --model cmp/head --source '{NOISY}' --target '{HALF}' --until 0.1 --out next --json {QUIET}"
    )
    assert done.code == 0 and done.data["model"]["parent_run_id"] == runs[1].id


def test_a_budget_that_excludes_all(call: Call, models: Path) -> None:
    done = call(
        f"compare --model {models}/src {SHIFTED} --until 0.3 -o keep --budget 0.000001mg --json {QUIET}"
    )
    assert (done.code, done.err) == (3, "")
    assert done.data["recommendation"]["candidate"] is None
    assert done.data["recommendation"]["reason"] == "no candidate keeps to the budget"
    assert "may be spent" in done.data["candidates"][0]["over_budget"]
    assert done.data["budget"] == "0.000001mg" and Path("foretoll-compare/report.html").exists()


def test_two_models_and_folders_of_their_own(call: Call, models: Path) -> None:
    """Two folders of one name are told apart."""
    again = Path("again")
    again.mkdir()
    (again / "src").symlink_to(models / "other")
    done = call(
        f"compare --model {models}/src --model again/src {SHIFTED} --until 0.3 -o keep --measure --out cmp --json "
        f"{QUIET}"
    )
    assert (done.code, done.err) == (0, "")
    found = Comparison.model_validate(done.data)
    assert [c.model for c in found.candidates] == list(found.models) == [f"{models}/src", "again/src"]
    assert {card.family for card in found.models.values()} == {"cnn", "mlp"}
    assert " of " in found.recommendation.reason, "the model is named"
    assert sorted(p.name for p in Path("cmp").iterdir() if p.is_dir()) == ["1-src-keep", "2-src-keep"]
    assert load_model("cmp/2-src-keep").card.family == "mlp"
    assert found.measured_best is not None


def test_source_models_each_with_its_own_data_share_their_pilots(call: Call, models: Path) -> None:
    own = "--source digits?part=1/2 --source none"
    done = call(
        f"compare --model {models}/src --model {models}/other {own} --target digits?part=2/2&shift=contrast:0.4 "
        f"--same-task --until 0.97 -o finetune --spend 40% --keep-pilot kept --json --confidence 0.01 {QUIET}"
    )
    assert done.err == ""
    found = Comparison.model_validate(done.data)
    assert [card and card.uri for card in found.sources.values()] == ["digits?part=1/2", None]
    assert found.source == next(iter(found.sources.values()))
    for candidate in found.candidates:
        assert candidate.pilot is not None and candidate.pilot.spend == 0.4 and candidate.pilot.ended
    advised = found.recommendation.candidate
    if advised is not None and found.candidates[advised].pilot.steps:  # type: ignore[union-attr]
        assert (Path("kept") / "pilot.safetensors").is_file()
    page = Path("foretoll-compare/report.md").read_text()
    assert f"source of {models}/src" in page and "further steps of all pilots took" in page


def test_what_a_model_has_to_say_is_listed_once_with_its_name(models: Path) -> None:
    """Several models have notes of their own; the data's notes have no model."""
    loaded = [load_model(models / name) for name in ("src", "other")]
    for number, model in enumerate(loaded):
        model.card = model.card.model_copy(update={"notes": (f"note {number}", "note of both")})
    done = compare(
        loaded,
        "digits?limit=300",
        "digits?limit=300&shift=contrast:0.5",
        options=["keep"],
        until=0.3,
        samples=60,
        accounting=Accounting(energy="none", region="DE"),
        device="cpu",
    )
    noted = [warning for warning in done.warnings if "note " in warning]
    names = list(done.models)
    assert noted == [
        f"{name}: {note}" for number, name in enumerate(names) for note in (f"note {number}", "note of both")
    ]
    alone = compare(
        loaded[0], "digits?limit=300", "digits?limit=300&shift=contrast:0.5", options=["keep"], until=0.3, samples=60,
        accounting=Accounting(energy="none", region="DE"), device="cpu",
    )  # fmt: skip
    assert [w for w in alone.warnings if "note " in w] == ["note 0", "note of both"]


def test_a_new_task_that_keep_and_recalibrate_cannot_serve(call: Call, models: Path) -> None:
    command = f"compare --model {models}/four {TASK} --until 0.6 --json {QUIET}"
    done = call(f"{command} -o keep -o recalibrate")
    assert (done.code, done.err) == (3, "")
    assert done.data["recommendation"]["reason"].startswith("none of these options can be used here")
    assert all("cannot serve a new task" in c["why_not"] for c in done.data["candidates"])
    done = call(f"{command} -o keep -o head")
    found = Comparison.model_validate(done.data)
    assert found.shift == "task" and found.candidates[0].why_not and not found.candidates[1].why_not
    assert found.recommendation.candidate in (None, 1) and found.candidates[1].quality is not None


def _failing(real: Callable[..., Any], option: str, error: BaseException) -> Callable[..., Any]:
    def work(first: Any, second: Any, *rest: Any, **named: Any) -> Any:
        if option in (second, getattr(first, "name", "")):
            raise error
        return real(first, second, *rest, **named)

    return work


def test_an_option_that_fails_loses_no_other(
    call: Call, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ModelError("the model cannot be saved: name a folder that has room")
    monkeypatch.setattr(
        candidates, "retrain_update", _failing(candidates.retrain_update, "recalibrate", full)
    )
    broken = ModelError("no step can be taken: use another option")
    monkeypatch.setattr(candidates, "probe_option", _failing(candidates.probe_option, "lora", broken))
    words = "-o keep -o recalibrate -o lora -o finetune --measure"
    done = call(f"compare --model {models}/src {SHIFTED} --until 0.3 {words} --out cmp --json {QUIET}")
    assert (done.code, done.err) == (0, "")
    keep, recalibrate, lora, finetune = Comparison.model_validate(done.data).candidates
    assert keep.run is not None and finetune.run is not None
    assert recalibrate.run is None and recalibrate.failure == str(full) and not recalibrate.why_not
    assert lora.why_not == str(broken) and lora.run is None
    page = Path("cmp/report.html").read_text()
    assert "running it failed: the model cannot be saved" in page and "no step can be taken" in page


def test_ctrl_c_keeps_what_was_carried_out(call: Call, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = _failing(candidates.retrain_update, "recalibrate", KeyboardInterrupt())
    monkeypatch.setattr(candidates, "retrain_update", stop)
    words = "-o keep -o recalibrate -o finetune --measure"
    done = call(f"compare --model {models}/src {SHIFTED} --until 0.3 {words} --out cmp --json {QUIET}")
    assert done.code == 1
    assert done.err == (
        "foretoll: stopped by the user; what was measured is kept: foretoll ledger list --tag compare\n"
    )
    keep, recalibrate, finetune = Comparison.model_validate(done.data).candidates
    assert keep.run is not None and [run.id for run in Ledger.open().runs()] == [keep.run.id]
    assert (recalibrate.failure, finetune.failure) == (
        "stopped by the user",
        "not begun: stopped by the user",
    )
    assert Path("cmp/comparison.json").exists() and load_model("cmp/keep")


def test_from_python_models_are_named_by_their_architecture(models: Path) -> None:
    loaded = load_model(models / "src")
    found = compare(
        [loaded, loaded.clone()],
        HALF,
        NOISY,
        options=["keep"],
        until=0.3,
        accounting=Accounting("none", "DE"),
    )
    assert list(found.models) == ["model 1 (foretoll:cnn)", "model 2 (foretoll:cnn)"]
    assert all(c.forecast.energy_kwh is None for c in found.candidates)
    assert any(c.on_front for c in found.candidates), "by seconds, where there is no meter"
    assert "chance" in str(found.__rich__()) and "chance" in found._repr_mimebundle_([], [])["text/plain"]
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([], HALF, NOISY)
