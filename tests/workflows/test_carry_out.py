"""A run from its inputs to its record: outcomes, what stays untouched, what is never looked at."""

from __future__ import annotations

import random
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from foretoll import retrain, train
from foretoll.data import TaskData
from foretoll.errors import DataError, ForetollError, LedgerError, MeasureError, ModelError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import Model, load_model
from foretoll.options import OPTIONS
from foretoll.quality import evaluate
from foretoll.records import EvalPoint, Outcome, TrainingSettings
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.estimate import estimate_update
from foretoll.workflows.retrain import retrain_update
from options.making import blobs, digits, mlp, recorded, same, weights

SETTINGS = TrainingSettings(batch_size=16, max_epochs=3, lr=0.005, until=0.999)
ACCOUNTING = Accounting("watts:20", region="DE")
CPU = torch.device("cpu")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "own.db")


def finetune(
    data: TaskData,
    ledger: Ledger | None,
    settings: TrainingSettings = SETTINGS,
    *,
    watcher: Watcher | None = None,
    out: Path | None = None,
) -> RunResult:
    runtime = Runtime(CPU, ACCOUNTING, ledger, watcher or Watcher())
    return carry_out(
        OPTIONS["finetune"], Update(mlp(data), data, data, False, CPU), settings, runtime, out=out
    )


# --- outcomes ----------------------------------------------------------------------------------------


def test_a_censored_run_is_recorded_as_censored_with_all_it_cost(ledger: Ledger) -> None:
    done = finetune(blobs(distance=0.5), ledger)
    run = ledger.get(done.run.id)
    assert run == done.run and run.outcome is Outcome.CENSORED
    assert run.toll.epochs == 3.0 and (run.toll.energy_kwh or 0) > 0 and run.toll.parameter_change is not None
    assert done.model is not None, "a censored update is an update: its model is there"
    assert (
        run.quality is not None
        and run.quality.after == evaluate(done.model, blobs(distance=0.5).test).quality
    )


def test_a_run_without_need_costs_only_its_evaluation(ledger: Ledger) -> None:
    run = finetune(blobs(), ledger, SETTINGS.model_copy(update={"until": 0.01})).run
    assert (run.outcome, run.steps, run.toll.epochs, run.toll.parameter_change) == (
        Outcome.REACHED,
        0,
        0.0,
        0.0,
    )
    assert run.toll.gradient_norm is None and run.evaluation is not None
    assert run.toll.energy_kwh == run.evaluation.energy_kwh
    assert run.quality is not None and run.quality.before == run.quality.after


def test_a_diverged_run_is_failed_in_the_ledger_and_leaves_no_model(ledger: Ledger, tmp_path: Path) -> None:
    wild = SETTINGS.model_copy(update={"optimizer": "sgd", "lr": 1e6})
    done = finetune(blobs(), ledger, wild, out=tmp_path / "updated")
    assert done.model is None and not (tmp_path / "updated").exists()
    run = ledger.get(done.run.id)
    assert run.outcome is Outcome.FAILED and re.match(r"the loss became (nan|inf) by step \d", run.reason)
    assert run.toll.parameter_change is None and run.checkpoint is None and run.quality is None
    assert run.toll.epochs == run.steps / (run.steps_per_epoch or 0) and (run.toll.energy_kwh or 0) > 0


class Stopping(Watcher):
    """Presses Ctrl-C, in effect, at the third evaluation; says how the ledger sees the run before that."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.seen, self.before = ledger, 0, list[Outcome]()

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        self.seen += 1
        self.before += [run.outcome for run in self.ledger.runs()]
        if self.seen == 3:
            raise KeyboardInterrupt


def test_ctrl_c_inside_a_run_is_interrupted_with_what_was_measured(ledger: Ledger, tmp_path: Path) -> None:
    watcher = Stopping(ledger)
    done = finetune(blobs(), ledger, watcher=watcher, out=tmp_path / "updated")
    assert watcher.before == [Outcome.RUNNING] * 3, "the run stands in the ledger from before its first step"
    run = ledger.get(done.run.id)
    assert (run.outcome, run.reason) == (Outcome.INTERRUPTED, "stopped by the user")
    assert (run.steps, run.toll.epochs, len(run.curve)) == (4, 0.5, 3)
    assert (run.toll.energy_kwh or 0) > 0 and run.toll.gradient_norm is not None
    assert done.model is None and not (tmp_path / "updated").exists()
    assert ledger.doctor() == []


def test_a_run_that_cannot_be_prepared_is_failed_and_raised(ledger: Ledger) -> None:
    with pytest.raises(DataError, match="5 classes but the model 3 outputs"):
        carry_out(
            OPTIONS["finetune"],
            Update(mlp(blobs()), None, blobs(classes=5), False, CPU),
            SETTINGS,
            Runtime(CPU, ACCOUNTING, ledger),
        )
    (run,) = ledger.runs()
    assert run.outcome is Outcome.FAILED and "say --task" in run.reason


# --- nothing is lost, nothing is begun in vain -------------------------------------------------------


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk or a quota does, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class FillsUp(Watcher):
    """Something puts a folder in the way of the checkpoint while the run is under way."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        (self.out / "model.safetensors" / "in the way").mkdir(parents=True, exist_ok=True)


def test_a_trained_model_that_cannot_be_saved_is_saved_elsewhere(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    out = tmp_path / "updated"
    with pytest.raises(ModelError, match=r"cannot be saved in .*updated .*; it is saved in .*spare"):
        finetune(blobs(distance=0.5), ledger, out=out, watcher=FillsUp(out))
    (run,) = ledger.runs()
    assert run.outcome is Outcome.CENSORED and run.toll.parameter_change is not None
    assert run.checkpoint is not None and load_model(run.checkpoint).card.run_id == run.id


def test_a_model_that_fits_nowhere_still_leaves_its_run(ledger: Ledger, tmp_path: Path) -> None:
    data = digits()
    model = train_big(data)
    assert ledger.runs() == []
    refused = pytest.raises(
        ModelError, match=r"cannot be saved in .* \(.*\); .*the run itself is in the ledger"
    )
    with refused, small_disk(250_000):  # the ledger's first pages fit, a model of 280 kB does not
        carry_out(
            OPTIONS["finetune"],
            Update(model, None, data, False, CPU),
            SETTINGS.model_copy(update={"max_epochs": 0.25}),
            Runtime(CPU, ACCOUNTING, ledger),
            out=tmp_path / "updated",
        )
    (run,) = ledger.runs()
    assert run.outcome is Outcome.CENSORED and run.checkpoint is None and "cannot be saved" in run.reason
    assert not (tmp_path / "updated").exists(), "no half checkpoint"


def train_big(data: TaskData) -> Model:
    from foretoll.models import build_model

    return build_model("foretoll:mlp?width=256&depth=2", data=data, seed=0)


class Forbidden(Watcher):
    def stage(self, text: str) -> None:
        raise AssertionError(f"work began: {text}")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"option": "scatch"}, UsageError, "unknown option 'scatch': did you mean 'scratch'"),
        ({"settings": SETTINGS.model_copy(update={"metric": "acuracy"})}, UsageError, "unknown metric"),
        ({"until": 90}, UsageError, "--until 90 is no quality"),
        ({"until": 0}, UsageError, "--until 0 is no quality"),
        ({"device": "cud"}, UsageError, "unknown device 'cud': did you mean 'cuda'"),
        ({"device": "mps"}, UsageError, "no float64"),
        ({"device": "cuda:99"}, UsageError, "cannot be used on this machine"),
        ({"accounting": Accounting("wats:3")}, UsageError, "unknown energy meter"),
        ({"accounting": Accounting("none", region="Germoney")}, MeasureError, "unknown grid region"),
        ({"accounting": Accounting("nvml")}, MeasureError, "--energy nvml"),
        ({"accounting": Accounting("none", pue=0.3)}, MeasureError, "PUE of 0.3 is impossible"),
        (
            {"out": "/dev/null/updated"},
            ForetollError,
            "nothing can be written to the folder '/dev/null/updated'",
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    wrong: dict[str, object], error: type[Exception], message: str, ledger: Ledger
) -> None:
    values: dict[str, object] = {"accounting": ACCOUNTING, "device": "cpu", "settings": SETTINGS}
    with pytest.raises(error, match=message):
        retrain("nowhere", "digits", "digits", watcher=Forbidden(), ledger=ledger, **values | wrong)  # type: ignore[arg-type]
    assert ledger.runs() == [], "and nothing is in the ledger"


def test_a_target_quality_in_percent_is_not_trained_to(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"--until 95 is no quality: .* \(90 % is --until 0.9\)"):
        train("foretoll:mlp", blobs(), until=95, ledger=ledger, watcher=Forbidden())


def test_a_ledger_that_cannot_be_written_stops_a_run_before_its_first_step(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    with pytest.raises(LedgerError, match="is a folder"):
        finetune(blobs(), Ledger.open(tmp_path / "ledger"), watcher=Forbidden())


# --- unlabelled ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_an_unlabelled_target_cannot_be_retrained_on(option: str, ledger: Ledger) -> None:
    model, source = mlp(blobs()), blobs()
    wanted = f"has no labels: {option} needs them; only foretoll estimate works without"
    with pytest.raises(DataError, match=re.escape(wanted)):
        retrain(model, source, blobs(labelled=False), option=option, ledger=ledger, accounting=ACCOUNTING)
    assert ledger.runs() == []


# --- what stays as it was, what is never looked at ---------------------------------------------------


def test_the_callers_random_state_and_model_stay_as_they_were(ledger: Ledger) -> None:
    source, target = blobs(), blobs(seed=1)
    model = mlp(source)
    before = weights(model)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), np.random.rand(), torch.rand(1))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    short = SETTINGS.model_copy(update={"max_epochs": 0.5})
    run = retrain(model, source, target, settings=short, ledger=ledger, accounting=ACCOUNTING)
    train("foretoll:mlp?width=8", source, settings=short, ledger=ledger, accounting=ACCOUNTING)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert same(weights(model), before) and model.training
    assert run.signals["recoverability_gap"] is not None


def test_no_sample_of_the_test_split_is_seen_by_signals_training_or_stopping(ledger: Ledger) -> None:
    log: list[str] = []

    class Marking(Watcher):
        def stage(self, text: str) -> None:
            log.append(f"stage {text.split(maxsplit=1)[0]}")

        def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
            log.append("evaluated")

    source, target = recorded(blobs(), log, "source "), recorded(blobs(seed=1), log, "target ")
    update = Update(mlp(blobs()), source, target, False, CPU)
    log.clear()
    run = retrain_update(update, "finetune", SETTINGS, Runtime(CPU, ACCOUNTING, ledger, Marking())).run
    signals, training = log[: log.index("stage finetune")], log[log.index("stage finetune") :]
    looked_at = {"source train", "target train"}
    # of the validation part the labels alone: whether chance meets the target on so few
    assert looked_at <= set(signals) <= looked_at | {"target validation", "stage look"}
    first, last = training.index("evaluated"), len(training) - 1 - training[::-1].index("evaluated")
    assert run.evaluations == 1 + 12 and training.count("evaluated") == 13
    assert set(training[first : last + 1]) == {"target train", "target validation", "evaluated"}
    assert "target test" in training[:first] and "target test" in training[last:], (
        "it reports, before and after"
    )
    assert not any(entry.startswith("source") for entry in training)


def test_no_sample_of_the_test_split_is_seen_by_an_estimate(ledger: Ledger) -> None:
    log: list[str] = []
    source, target = recorded(blobs(), log, "source "), recorded(blobs(seed=1), log, "target ")
    update = Update(mlp(blobs()), source, target, False, CPU)
    log.clear()
    estimate_update(update, "finetune", SETTINGS, Runtime(CPU, Accounting("none"), ledger))
    assert {entry for entry in log if entry.endswith("test")} == set()
    assert "target train" in log


def test_two_seeds_differ_and_one_seed_repeats_exactly(ledger: Ledger) -> None:
    update = Update(mlp(blobs()), blobs(), blobs(seed=1, distance=1.5), False, CPU)
    runs = [
        retrain_update(
            update,
            "finetune",
            SETTINGS.model_copy(update={"seed": seed}),
            Runtime(CPU, ACCOUNTING, ledger),
            RunMetadata(signals={}),
        ).run
        for seed in (0, 0, 1)
    ]
    learned = [
        (r.toll.gradient_norm, r.toll.parameter_change, [p.loss for p in r.curve], r.quality) for r in runs
    ]
    assert learned[0] == learned[1]
    assert all(a != b for a, b in zip(learned[0][:3], learned[2][:3], strict=True))
    assert len({run.id for run in runs}) == 3
