"""Quality of a model: scikit-learn's figures, whatever the batch size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss
from torch import Tensor, nn

from foretoll.data import ArraySplit
from foretoll.errors import DataError, UsageError
from foretoll.models import Model
from foretoll.quality import evaluate, evaluating
from foretoll.records import ModelCard, Preprocessing
from foretoll.tasks import check_metric, get_task

METRICS = [metric.name for metric in get_task("classification").metrics]

SCIKIT = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": lambda truth, guess: f1_score(truth, guess, average="macro", zero_division=0),
}


class Parrot(nn.Module):
    """Gives its input back: the samples are their own logits. Has a dropout, so that modes matter."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.head = nn.Linear(classes, classes, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(x))
        return logits


def parrot(classes: int) -> Model:
    card = ModelCard(
        arch="test:parrot",
        family="other",
        num_classes=classes,
        classes=tuple(map(str, range(classes))),
        preprocessing=Preprocessing(kind="vector", size=(classes,)),
        head="head",
        parameters=classes**2,
        has_batch_norm=False,
    )
    return Model(Parrot(classes), card)


def drawn(n: int, classes: int, seed: int, present: int) -> tuple[Tensor, Tensor]:
    """Logits, and labels of the first `present` classes only."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, present, n)
    logits = random.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), labels] += random.choice([0.0, 2.0], n).astype(np.float32)
    return torch.from_numpy(logits), torch.from_numpy(labels)


@pytest.mark.parametrize("metric", sorted(METRICS))
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 60),
    classes=st.integers(2, 6),
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 80),
    data=st.data(),
)
def test_the_figures_are_scikit_learns(
    metric: str, n: int, classes: int, seed: int, batch: int, data: st.DataObject
) -> None:
    logits, labels = drawn(n, classes, seed, data.draw(st.integers(1, classes)))
    found = evaluate(parrot(classes), ArraySplit(logits, labels), metric=metric, batch_size=batch)
    truth, guess = labels.numpy(), logits.argmax(dim=1).numpy()
    if (
        metric == "balanced_accuracy"
    ):  # over the classes that occur, without scikit-learn's warning on the others
        shares = [float((guess[truth == c] == c).mean()) for c in np.unique(truth)]
        expected = float(np.mean(shares))
        if set(guess) <= set(truth) and len(shares) > 1:
            assert expected == pytest.approx(balanced_accuracy_score(truth, guess), rel=1e-12)
    else:
        expected = float(SCIKIT[metric](truth, guess))
    assert found.quality == pytest.approx(expected, rel=1e-12)
    probabilities = logits.double().softmax(dim=1).numpy()
    expected_loss = log_loss(truth, probabilities, labels=list(range(classes)))
    assert found.loss == pytest.approx(expected_loss, rel=1e-5)
    assert found.samples == n


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_batch_size_changes_nothing(metric: str) -> None:
    logits, labels = drawn(101, 4, 0, 4)
    split, model = ArraySplit(logits, labels), parrot(4)
    found = [evaluate(model, split, metric=metric, batch_size=size) for size in (1, 2, 7, 100, 101, 500)]
    assert len({one.quality for one in found}) == 1
    assert max(one.loss for one in found) == pytest.approx(min(one.loss for one in found), rel=1e-6)


def test_evaluating_switches_dropout_off_and_gives_each_module_its_mode_back() -> None:
    model = parrot(3)
    model.train()
    model.network.dropout.eval()  # type: ignore[union-attr]
    before = {name: module.training for name, module in model.named_modules()}
    logits, labels = drawn(40, 3, 1, 3)
    first = evaluate(model, ArraySplit(logits, labels))
    assert first == evaluate(model, ArraySplit(logits, labels))
    assert {name: module.training for name, module in model.named_modules()} == before
    with pytest.raises(RuntimeError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError
    assert {name: module.training for name, module in model.named_modules()} == before


def test_nothing_is_left_for_autograd() -> None:
    model = parrot(3)
    logits, labels = drawn(10, 3, 2, 3)
    evaluate(model, ArraySplit(logits, labels))
    assert all(p.grad is None for p in model.parameters())


def test_a_loss_of_nan_is_told_and_not_hidden() -> None:
    logits, labels = drawn(10, 3, 3, 3)
    logits[4] = math.nan
    assert math.isnan(evaluate(parrot(3), ArraySplit(logits, labels)).loss)


def test_what_cannot_be_evaluated_is_refused() -> None:
    logits, labels = drawn(10, 3, 4, 3)
    model = parrot(3)
    with pytest.raises(DataError, match="unlabelled data: give labels"):
        evaluate(model, ArraySplit(logits))
    with pytest.raises(DataError, match="is empty"):
        evaluate(model, ArraySplit(logits[:0], labels[:0]))
    with pytest.raises(DataError, match="a label 3 but the model has only 3 outputs"):
        evaluate(model, ArraySplit(logits, labels.clamp(max=2) + 1))
    with pytest.raises(UsageError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        evaluate(model, ArraySplit(logits, labels), metric="acuracy")
    assert check_metric("macro_f1") == "macro_f1"
