"""Several labels a sample, and one logit for two classes: scikit-learn's figures, the data, and the whole way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.datasets import load_breast_cancer, load_digits

import foretoll
from foretoll import TrainingSettings
from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, UsageError
from foretoll.ledger import Ledger
from foretoll.records import Outcome
from foretoll.report.story import task_text
from foretoll.tasks import OWN_METRICS, Whole, get_task, metric

PLAIN = foretoll.Accounting(energy="none", region="DE")
SCIKIT: dict[str, dict[str, Any]] = {
    "multilabel": {
        "micro_f1": lambda t, o: sk.f1_score(t, o > 0, average="micro", zero_division=1.0),
        "mean_average_precision": lambda t, o: sk.average_precision_score(t, o, average="macro"),
        "exact_match": lambda t, o: sk.accuracy_score(t, o > 0),
        "hamming_accuracy": lambda t, o: 1 - sk.hamming_loss(t, o > 0),
    },
    "binary": {
        "accuracy": lambda t, o: sk.accuracy_score(t, o > 0),
        "balanced_accuracy": lambda t, o: sk.balanced_accuracy_score(t[:, 0], o[:, 0] > 0),
        "average_precision": lambda t, o: sk.average_precision_score(t[:, 0], o[:, 0]),
        "roc_auc": lambda t, o: sk.roc_auc_score(t[:, 0], o[:, 0]),
    },
}


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in SCIKIT for name in SCIKIT[task]])
@settings(max_examples=20, deadline=None)
@given(n=st.integers(4, 40), seed=st.integers(0, 1000), decimals=st.integers(0, 3))
def test_the_figures_are_scikit_learns(task: str, name: str, n: int, seed: int, decimals: int) -> None:
    random = np.random.default_rng(seed)
    truth = (random.random((n, 1 if task == "binary" else 3)) < 0.4).astype(np.float32)
    truth[0], truth[1] = 0, 1  # each label occurs and fails to
    outputs = np.round(random.normal(size=truth.shape) + truth, decimals).astype(np.float32)  # with ties
    of = get_task(task).metric(name)
    assert of is not None
    tally = Whole() if of.whole else get_task(task).tally(truth.shape[1])
    tally.update(torch.from_numpy(outputs), torch.from_numpy(truth))
    assert of.compute(tally) == pytest.approx(SCIKIT[task][name](truth, outputs), abs=1e-9)


def _pictures(half: int = 0) -> TaskData:
    """Digits whose labels say: even, above four, with a loop (0, 6, 8, 9)."""
    x, y = load_digits(return_X_y=True)
    x, y = x[half::2].astype(np.float32) / 16, y[half::2]
    return open_data((x, np.stack([y % 2 == 0, y > 4, np.isin(y, (0, 6, 8, 9))], axis=1)))


def test_columns_of_truth_values_are_told_as_labels(tmp_path: Path) -> None:
    data = _pictures()
    assert (data.card.task, data.num_classes) == ("multilabel", 3)
    assert "3 labels, any number of them a sample" in data.card.reading
    assert data.train.labels is not None and data.train.labels.dtype == torch.float32
    for split in (data.validation, data.test):
        assert split.labels is not None
        assert split.labels.mean(dim=0).numpy() == pytest.approx(
            data.train.labels.mean(dim=0).numpy(), abs=0.04
        )
    frame = pd.DataFrame({"a": np.linspace(0, 1, 60) ** 2, "wet": [0, 1, 1] * 20, "cold": [0, 0, 1] * 20})
    frame.to_csv(tmp_path / "d.csv", index=False)
    table = open_data(f"csv:{tmp_path / 'd.csv'}?label=wet,cold&task=multilabel")
    assert (table.card.task, table.classes, table.shape) == ("multilabel", ("wet", "cold"), (1,))
    with pytest.raises(DataError, match="not one-hot"):
        open_data((np.ones((60, 2)), np.eye(3)[np.arange(60) % 3]))
    with pytest.raises(DataError, match="the value 2 in row 1, label 0: labels are 0 or 1"):
        open_data((np.ones((60, 2)), np.array([[0, 1], [2, 1]] * 30)), task="multilabel")


def _cancer(half: int = 0) -> TaskData:
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return open_data(
        (x[half::2].astype(np.float32), np.array(["benign", "malignant"])[1 - y[half::2]]), task="binary"
    )


def test_one_logit_is_taken_where_it_is_said(tmp_path: Path) -> None:
    data = _cancer()
    assert (data.card.task, data.classes) == ("binary", ("malignant",))
    assert data.train.labels is not None and data.train.labels.shape[1] == 1
    assert "one logit for 'malignant'" in data.card.reading
    with pytest.raises(DataError, match="3 different labels: a binary classification has two"):
        open_data((np.ones((60, 2)), np.arange(60) % 3), task="binary")
    frame = pd.DataFrame({"a": np.linspace(0, 1, 60) ** 2, "label": ["no", "yes", "no"] * 20})
    frame.to_csv(tmp_path / "d.csv", index=False)
    assert open_data(f"csv:{tmp_path / 'd.csv'}?task=binary").card.task == "binary"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("task", "name", "until"), [("multilabel", "micro_f1", 0.85), ("binary", "roc_auc", 0.985)]
)
def test_the_whole_way(task: str, name: str, until: float, tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    make = _pictures if task == "multilabel" else _cancer
    source, target = make(0), make(1)
    target = target.shifted(
        foretoll.records.Shift(kind="gaussian_noise", level=1.0 if task == "multilabel" else 0.3)
    )
    plan = TrainingSettings(metric=name, max_epochs=20, batch_size=32, lr=3e-3)
    foretoll.train(
        "foretoll:mlp", source, out=tmp_path / "model", settings=plan, ledger=ledger, accounting=PLAIN
    )
    model = foretoll.load_model(tmp_path / "model", data=source)
    assert (model.card.task, model.num_classes) == (task, source.num_classes)
    for option in ("head", "finetune", "scratch"):
        run = foretoll.retrain(
            model, source, target, option=option, until=until, settings=plan, ledger=ledger, accounting=PLAIN
        )
        assert run.outcome in (Outcome.REACHED, Outcome.CENSORED)
        assert (run.outcome is Outcome.REACHED) == (run.curve[-1].quality >= until)
        assert run.quality is not None and run.quality.after is not None and run.quality.after > 0.6
    told = foretoll.estimate(
        model, source, target, until=until, settings=plan, ledger=ledger, accounting=PLAIN
    )
    assert told.forecast.epochs is not None and told.reach_probability is not None
    assert "rests on other tasks" not in " ".join(told.warnings)  # the ledger that ships knows it
    assert ("resque" in told.indices) == (task == "binary")  # a sample with several labels stands in no class
    gap, probe = told.indices["recoverability_gap"].value, told.indices["probe_accuracy"].value
    assert gap is not None and probe is not None and 0 < probe <= 1
    assert gap == pytest.approx(told.settings.progress(until) - probe)
    assert get_task(task).metric(name).title in task_text(told)  # type: ignore[union-attr]


def test_a_metric_of_ones_own(tmp_path: Path) -> None:
    def worst_label(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float(((outputs > 0) != (targets > 0.5)).double().mean(dim=0).max())

    try:
        ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
        own = metric(worst_label, direction="lower")
        plan = TrainingSettings(metric=own, max_epochs=30, lr=3e-3, until=0.3)  # type: ignore[arg-type]
        assert plan.metric == "worst_label"
        run = foretoll.train(
            "foretoll:mlp",
            _pictures(),
            settings=plan,
            accounting=PLAIN,
            ledger=ledger,
        )
        assert run.quality is not None and run.quality.after is not None and 0 < run.quality.after < 0.5
        assert run.outcome is Outcome.REACHED and run.settings.scale is not None
        assert run.settings.scale.trivial > run.settings.scale.best == 0.0
        with pytest.raises(UsageError, match="is taken by a metric of foretoll"):
            metric(worst_label, name="accuracy")
        with pytest.raises(UsageError, match="unknown direction of a metric 'down'"):
            metric(worst_label, direction="down")  # type: ignore[arg-type]
    finally:
        OWN_METRICS.pop("worst_label", None)


def _three(folder: Path) -> str:
    random = np.random.default_rng(0)
    kinds = np.array(["ant", "bee", "cat"])[np.arange(90) % 3]
    pd.DataFrame({"a": random.normal(size=90), "b": random.normal(size=90), "label": kinds}).to_csv(
        folder / "three.csv", index=False
    )
    return f"csv:{folder / 'three.csv'}?task=binary"


@pytest.mark.parametrize(
    ("chosen", "positive"),
    [
        ("classes=ant,cat", "cat"),
        ("classes=cat,ant", "ant"),
        ("classes=0,1&drop=b&limit=30", "bee"),
        ("where=label!cat", "bee"),
    ],
)
def test_two_of_three_classes_are_chosen_before_they_become_one_logit(
    tmp_path: Path, chosen: str, positive: str
) -> None:
    uri = _three(tmp_path)
    data = open_data(f"{uri}&{chosen}")
    assert (data.card.task, data.classes) == ("binary", (positive,))
    assert data.card.layout is not None and data.card.layout.task == "binary"
    assert f"one logit for {positive!r}" in data.card.reading
    plain = open_data(f"{uri.replace('binary', 'classification')}&{chosen}")
    for one, other in ((data.train, plain.train), (data.test, plain.test)):
        assert one.labels is not None and other.labels is not None
        assert torch.equal(one.ids, other.ids)
        number = plain.classes.index(positive)
        assert torch.equal(one.labels[:, 0].long(), (other.labels == number).long())
    again = open_data(f"csv:{tmp_path / 'three.csv'}?{chosen}", layout=data.card.layout)
    assert again.classes == (positive,), "what a model learned is read by its layout"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", "choose them with classes="),
        ("&classes=ant,bee,cat", "'ant', 'bee', 'cat' in the rows that are chosen"),
        ("&where=label:ant", "'ant' in the rows that are chosen"),
    ],
)
def test_one_logit_has_two_classes(tmp_path: Path, chosen: str, said: str) -> None:
    with pytest.raises((DataError, UsageError), match=said):
        open_data(_three(tmp_path) + chosen)


def test_labels_are_chosen_of_several(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 3)), (random.random((80, 4)) < 0.4).astype(int)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    whole, some = (open_data(f"npz:{tmp_path / 'd.npz'}{q}") for q in ("", "?classes=label 3,0"))
    assert some.classes == ("label 3", "label 0") and whole.num_classes == 4
    assert some.train.labels is not None and whole.train.labels is not None
    assert torch.equal(some.train.labels, whole.train.labels[:, [3, 0]])
    for wrong in ("label 3", "label 3,3", "no"):
        with pytest.raises(UsageError, match=r"classes=|unknown class"):
            open_data(f"npz:{tmp_path / 'd.npz'}?classes={wrong}")
