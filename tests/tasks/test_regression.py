"""Regression: scikit-learn's figures, targets out of every kind of data, and the whole way on diabetes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch.utils.data import TensorDataset

import foretoll
from foretoll import TrainingSettings
from foretoll.data import TaskData, open_data
from foretoll.data.partition import strata
from foretoll.errors import DataError, UsageError
from foretoll.ledger import Ledger
from foretoll.options import get_option
from foretoll.records import Outcome, QualityScale
from foretoll.report.story import task_text
from foretoll.tasks import get_task
from foretoll.training import patience, until

TASK = get_task("regression")
PLAIN = foretoll.Accounting(energy="none", region="DE")
SCIKIT = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}


def table(folder: Path) -> str:
    """Diabetes with a column `progression` in a unit with decimals; returns its URI."""
    frame = load_diabetes(as_frame=True).frame.rename(columns={"target": "progression"})
    frame["progression"] += 0.25
    frame.to_csv(folder / "diabetes.csv", index=False)
    return f"csv:{folder / 'diabetes.csv'}?label=progression"


@pytest.mark.parametrize("name", list(SCIKIT))
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(3, 50),
    k=st.integers(1, 3),
    seed=st.integers(0, 1000),
    unit=st.sampled_from([1e-3, 1.0, 1e5]),
)
def test_the_figures_are_scikit_learns(name: str, n: int, k: int, seed: int, unit: float) -> None:
    random = np.random.default_rng(seed)
    truth = (random.normal(size=(n, k)) + 10) * unit
    guess = truth + random.normal(size=(n, k)) * unit
    tally = TASK.tally(k)
    tally.update(torch.from_numpy(guess), torch.from_numpy(truth))
    metric = TASK.metric(name)
    assert metric is not None
    wanted = SCIKIT[name](truth, guess)
    if name == "rmse":  # scikit-learn takes the mean of the targets' roots, this the root over all of them
        wanted = np.sqrt(((truth - guess) ** 2).mean())
    assert metric.compute(tally) == pytest.approx(wanted, rel=1e-6)


def _kinds(folder: Path) -> dict[str, object]:
    x, y = load_diabetes(return_X_y=True)
    x, y = x.astype(np.float32), y + 0.25
    np.savez(folder / "d.npz", x=x, y=y)
    np.savez(folder / "s.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(10)])
    frame.assign(label=y).to_parquet(folder / "d.parquet")
    return {
        "arrays": (x, y),
        "tensors": (torch.from_numpy(x), torch.from_numpy(y)),
        "dataset": TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),
        "frame and targets": (frame, y),
        "frame": frame.assign(label=y),
        "npz": f"npz:{folder / 'd.npz'}",
        "npz with splits": f"npz:{folder / 's.npz'}",
        "parquet": f"parquet:{folder / 'd.parquet'}",
        "csv": table(folder),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "arrays",
        "tensors",
        "dataset",
        "frame and targets",
        "frame",
        "npz",
        "npz with splits",
        "parquet",
        "csv",
    ],
)
def test_numbers_with_decimals_are_told_as_a_regression(kind: str, tmp_path: Path) -> None:
    data = open_data(_kinds(tmp_path)[kind])
    assert (data.card.task, data.num_classes) == ("regression", 1)
    assert "a regression of one number" in data.card.reading
    assert data.train.labels is not None
    assert (data.train.labels.dtype, data.train.labels.shape) == (torch.float32, (len(data.train), 1))
    scale = data.card.targets
    assert scale is not None
    assert scale.mean[0] == pytest.approx(float(data.train.labels.mean()), rel=1e-5)
    assert scale.std[0] == pytest.approx(float(data.train.labels.std(correction=0)), rel=1e-5)


def test_splits_have_all_quantiles_of_the_target() -> None:
    x, y = load_diabetes(return_X_y=True)
    data = open_data((x, y))
    levels = np.linspace(0.1, 0.9, 9)
    for split in (data.train, data.validation, data.test):
        assert split.labels is not None
        assert np.quantile(split.labels.numpy(), levels) == pytest.approx(np.quantile(y, levels), rel=0.12)


def test_several_targets_are_several_columns(tmp_path: Path) -> None:
    data = open_data(table(tmp_path) + ",bmi")
    assert data.classes == ("progression", "bmi")
    assert data.shape == (9,)
    x = np.random.default_rng(0).normal(size=(80, 3))
    assert open_data((x, x[:, :2] * 3)).classes == ("target 0", "target 1")


def test_whole_numbers_are_classes_unless_it_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = np.arange(60) % 4
    assert open_data((x, y)).card.task == "classification"
    with pytest.raises(DataError, match="or say task=regression"):
        open_data((x, y.astype(float)))  # classes, or numbers: nobody can know
    data = open_data((x, y), task="regression")
    assert (data.card.task, data.card.classes) == ("regression", ("target",))
    np.savez(tmp_path / "d.npz", x=x, y=y)
    assert open_data(f"npz:{tmp_path / 'd.npz'}?task=regression").card.task == "regression"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([1.5, np.nan] * 30), "30 NaN labels, the first in row 1"),
        (np.array([1.5, np.inf] * 30), "30 targets that are infinite, the first in row 1"),
        (np.array(["a", "b"] * 30), "targets of type <U1: a regression predicts numbers"),
        (np.zeros((60, 2, 2)), "has shape .60, 2, 2."),
    ],
)
def test_what_is_no_target_is_refused(targets: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data((np.random.default_rng(0).normal(size=(60, 3)), targets), task="regression")


def test_classes_cannot_be_chosen_of_numbers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="classes= chooses among classes"):
        open_data(table(tmp_path) + "&classes=1,2")


@given(st.integers(1, 3), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_strata_order_the_samples_of_one_target(k: int, seed: int) -> None:
    targets = np.random.default_rng(seed).normal(size=(30, k)).astype(np.float32)
    order = strata(targets)
    assert order.shape == (30,)
    if k == 1:
        assert (np.argsort(order) == np.argsort(targets[:, 0])).all()


def test_stop_rules_follow_the_direction() -> None:
    from foretoll.records import EvalPoint

    def curve(*values: float) -> list[EvalPoint]:
        return [EvalPoint(step=i, epochs=i, quality=value) for i, value in enumerate(values)]

    lower = QualityScale(trivial=80.0, best=0.0)
    rule = until(60.0, scale=lower)
    assert not rule.ends(curve(90, 70, 61), 2, 2)
    assert rule.ends(curve(90, 70, 60), 2, 2)
    both = until(60.0, scale=lower) | until(50.0, scale=lower)
    assert both.goal == 60.0 and both.meets(59) and not both.meets(61)
    wait = patience(2, scale=lower)
    assert not wait.ends(curve(90, 70, 75, 65), 3, 3)
    assert wait.ends(curve(90, 70, 75, 71), 3, 3)


def test_an_until_is_of_its_metric() -> None:
    assert TrainingSettings(metric="rmse", until=54.0).until == 54.0
    assert TrainingSettings(metric="r2", until=-0.5).until == -0.5
    for metric, value in (("rmse", -1.0), ("r2", 1.5), ("accuracy", 54.0)):
        with pytest.raises(ValueError, match="--until"):
            TrainingSettings(metric=metric, until=value)


def _made(seed: int, *, slope: float = 1.0, k: int = 1) -> TaskData:
    """Vectors with a target in the hundreds that a small network learns in a moment."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(300, 6)).astype(np.float32)
    weights = np.linspace(-1, 1, 6)[:, None] * np.arange(1, k + 1)
    y = 500 + 100 * slope * x @ weights + 5 * random.normal(size=(300, k))
    return open_data((x, y))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_way(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    source, target = _made(0), _made(1, slope=0.8)
    plan = TrainingSettings(metric="rmse", max_epochs=15, lr=3e-3)
    trained = foretoll.train(
        "foretoll:mlp", source, out=tmp_path / "model", settings=plan, ledger=ledger, accounting=PLAIN
    )
    assert trained.quality is not None and trained.quality.after is not None
    assert trained.quality.after < 40  # of a deviation of 168: in the target's unit
    model = foretoll.load_model(tmp_path / "model", data=source)
    assert (model.card.task, model.card.outputs) == ("regression", "standardised")
    outputs = model(source.test.all().inputs)
    assert abs(float(outputs.detach().mean()) - 500) < 60

    with pytest.raises(
        UsageError, match=r"has no accuracy: say in which metric 0.9 is meant, with --metric \(rmse"
    ):
        foretoll.estimate(model, source, target, until=0.9, ledger=ledger)
    for option in ("finetune", "head", "scratch"):
        run = foretoll.retrain(
            model, source, target, option=option, until=30.0, settings=plan, ledger=ledger, accounting=PLAIN
        )
        assert run.outcome is Outcome.REACHED, option
        assert run.curve[-1].quality <= 30 < run.curve[0].quality
        scale = run.settings.scale
        assert scale is not None and not scale.higher_is_better
        assert scale.trivial == pytest.approx(float(target.train.labels.std(correction=0)), rel=1e-4)  # type: ignore[union-attr]
        assert 0 <= (run.signals["probe_accuracy"] or 0) <= 1

    told = foretoll.estimate(
        model, source, target, until=30.0, settings=plan, ledger=ledger, accounting=PLAIN
    )
    assert told.forecast.epochs is not None and told.reach_probability is not None
    assert "rests on other tasks" not in " ".join(told.warnings)  # the ledger that ships knows it
    assert any("take 5 quantile bins of the target" in warning for warning in told.warnings)
    gap = told.indices["recoverability_gap"]
    assert (
        gap.value is not None and gap.value < 0.1
    )  # a linear target is readable from an MLP that learnt one
    expected = told.expected_quality
    assert expected is not None and expected.low is not None and expected.high is not None
    assert 0 <= expected.low <= expected.high <= told.settings.scale.trivial  # type: ignore[union-attr]
    assert "RMSE 30 or less" in task_text(told)

    why = get_option("reprogram").suits(model, target, task_shift=False)
    assert why is not None and "maps classes of the source" in why


def test_a_model_of_ones_own_gives_values_in_its_own_unit(tmp_path: Path) -> None:
    """A network that learned raw targets elsewhere is used as it is; a new task gives it a new head."""
    data = _made(0, k=2)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    model = foretoll.load_model(network, data=data)
    assert (model.card.task, model.card.outputs, model.num_classes) == ("regression", "logits", 2)
    inputs = data.test.all().inputs
    assert torch.equal(model(inputs), network(inputs))
    assert data.test.labels is not None
    loss = model.loss(model(inputs), data.test.labels).detach()
    assert 1 < float(loss) < 100  # standardised: far from the squares of 500
    new = model.with_head_for(_made(1), seed=0)
    assert (new.num_classes, new.card.outputs) == (1, "standardised")
    assert abs(float(new(inputs).detach().mean()) - 500) < 300
