"""A model that is no better than chance on its source, and a target that chance meets, are told in every answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from foretoll import compare, estimate, retrain
from foretoll.data import open_data
from foretoll.ledger import Ledger
from foretoll.models import Model, build_model
from foretoll.quality import chance_ceiling, chance_level
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.context import Runtime
from foretoll.workflows.train import train_model
from options.making import MLP, blobs

TOLD = "on its own source"
QUICK = TrainingSettings(until=0.9, max_epochs=1, evals_per_epoch=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "runs.db")


def test_the_level_of_chance() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert chance_level(labels, "accuracy") == pytest.approx(0.9)
    assert chance_level(labels, "balanced_accuracy") == pytest.approx(0.5)
    assert chance_ceiling(labels, "accuracy", 100) == pytest.approx(0.9 + 1.645 * 0.03)
    assert chance_ceiling(torch.zeros(5, dtype=torch.int64), "accuracy", 5) == 1.0


@pytest.fixture(scope="module")
def model() -> Model:
    """Right on `blobs(distance=6)`, so wrong where their labels are numbered another way."""
    made = train_model(
        partial(build_model, MLP),
        blobs(300, distance=6),
        TrainingSettings(until=0.95, max_epochs=40, lr=1e-2),
        Runtime(accounting=Accounting(energy="none")),
    )
    assert made.model is not None
    return made.model


def answers(model: Model, source: object, ledger: Ledger) -> list[tuple[str, ...]]:
    common = {"settings": QUICK, "accounting": Accounting(energy="none", region="DE"), "ledger": ledger}
    target = blobs(200, distance=6, seed=1)
    return [
        estimate(model, source, target, option="head", **common).warnings,  # type: ignore[arg-type]
        retrain(model, source, target, option="head", **common).warnings,  # type: ignore[arg-type]
        compare(model, source, target, options=["head"], **common).warnings,  # type: ignore[arg-type]
        retrain(model, source, target, option="head", task=True, **common).warnings,  # type: ignore[arg-type]
    ]


def test_a_model_no_better_than_chance_on_its_source_is_told(model: Model, ledger: Ledger) -> None:
    whole = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    numbers = np.arange(300) % 3
    whole[np.arange(300), numbers] += 6
    turned = open_data((whole, (numbers + 1) % 3))
    for warnings in answers(model, turned, ledger):
        told = [w for w in warnings if TOLD in w]
        assert len(told) == 1 and "no better than chance (0.3" in told[0] and "order of the labels" in told[0]
    for warnings in answers(model, blobs(300, distance=6), ledger):
        assert not [w for w in warnings if TOLD in w]


def test_a_target_that_chance_meets_on_few_samples_is_told(model: Model, ledger: Ledger) -> None:
    common = {"accounting": Accounting(energy="none", region="DE"), "ledger": ledger, "option": "head"}
    few, many = blobs(25, distance=6, seed=2), blobs(300, distance=6, seed=2)
    source = blobs(300, distance=6)
    for until, target, told in ((0.5, few, True), (0.5, many, False), (0.9, few, False), (0.3, many, True)):
        settings = TrainingSettings(until=until, max_epochs=1, evals_per_epoch=1)
        run = retrain(model, source, target, settings=settings, **common)  # type: ignore[arg-type]
        assert any("chance may meet the target" in w for w in run.warnings) is told
