"""How many samples an estimate looks at: all where that is cheap, else what the budget of the pilot leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foretoll.data import TaskData
from foretoll.records import TrainingSettings
from foretoll.workflows import look_size as module
from foretoll.workflows.context import Update
from foretoll.workflows.look_size import LEAST, LookSize, look_size
from foretoll.workflows.retrain import take_signals
from options.making import blobs, mlp

SETTINGS = TrainingSettings(until=0.9, batch_size=4)


@pytest.fixture(scope="module")
def update() -> Update:
    source, target = blobs(2_000, seed=1), blobs(4_000)
    return Update(mlp(source), source, target, False, torch.device("cpu"))


def test_a_look_of_seconds_is_a_whole_one(update: Update) -> None:
    assert look_size(update, SETTINGS, 0.0) == LookSize()


def test_a_dear_one_is_as_large_as_its_share_allows(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHEAP_S", 0.0)
    found = [look_size(update, SETTINGS, spend) for spend in (0.0, 0.03, 0.2, 0.4, 1.0)]
    sizes = [size.samples for size in found]
    assert sizes == sorted(sizes) and sizes[0] == LEAST < sizes[-1] == LookSize().samples
    assert not found[-1].said and "looked at 256 of 2,000 samples" in found[0].said[0]
    train, pilot = len(update.target.train), 24 * SETTINGS.samples_per_step
    for size, spend in zip(found, (0.0, 0.03, 0.2, 0.4, 1.0), strict=True):
        there, here = (
            min(size.samples, len(data.train)) for data in (update.target, update.source or update.target)
        )
        assert size.samples == LEAST or there + here + 3 * pilot <= 3 * spend * train


def test_a_target_of_three_samples_beside_a_large_source(update: Update) -> None:
    target = update.target
    few = TaskData(
        target.card, target.train.take(torch.arange(3)), target.validation, target.test, target.reference
    )
    assert look_size(replace(update, target=few), SETTINGS, 0.0) == LookSize()


def test_intervals_are_those_of_the_samples_that_were_looked_at(update: Update) -> None:
    whole, few = (take_signals(update, SETTINGS, samples=samples) for samples in (2_000, LEAST))
    assert few.target_samples == LEAST < whole.target_samples

    def width(index: str, of: object) -> float:
        low, high = of.indices[index].low, of.indices[index].high  # type: ignore[attr-defined]
        return float(high - low)

    named = [
        n
        for n, i in whole.indices.items()
        if i.low is not None and i.low < (i.high or 0) and n in few.indices
    ]
    assert named
    assert all(width(name, few) > width(name, whole) for name in named), named
