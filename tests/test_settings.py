"""The record of training settings: its defaults, the texts that it reads, what it refuses, what it writes down."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from foretoll.records import TrainingSettings

FIRST = {
    "until": None, "metric": "accuracy", "max_epochs": 20.0, "evals_per_epoch": 4, "batch_size": 64, "lr": 0.001,
    "optimizer": "adam", "momentum": 0.9, "weight_decay": 0.0, "seed": 0,
}  # fmt: skip


def test_what_is_usual_is_written_down_as_it_was_before_there_was_more() -> None:
    assert TrainingSettings().model_dump(mode="json") == FIRST
    assert TrainingSettings.model_validate(FIRST) == TrainingSettings()
    assert TrainingSettings(patience=3).model_dump(mode="json") == {**FIRST, "patience": 3}
    assert TrainingSettings(patience=3, lr=0.1, seed=4).changed() == {"patience": 3}


def test_texts_are_read_as_values() -> None:
    read = TrainingSettings.model_validate(
        {
            "lr_multipliers": "head=10, layer1=0.1",
            "class_weights": ["cat=2", "dog=0.5,a=b=1"],
            "freeze": "conv1,layer1",
            "augment": ["flip,crop:4", "trivial"],
            "betas": "0.9,0.95",
        }
    )
    assert read.lr_multipliers == {"head": 10.0, "layer1": 0.1}
    assert read.class_weights == {"cat": 2.0, "dog": 0.5, "a=b": 1.0}
    assert (read.freeze, read.augment) == (("conv1", "layer1"), ("flip", "crop:4", "trivial"))
    assert read.betas == (0.9, 0.95)
    assert TrainingSettings.model_validate_json(read.model_dump_json()) == read


def test_a_transform_of_ones_own_is_written_down_by_its_name() -> None:
    settings = TrainingSettings.model_validate({"augment": [abs, "flip"]})
    assert settings.augment == (abs, "flip")
    written = json.loads(settings.model_dump_json())["augment"]
    assert written == ["python:abs", "flip"]
    assert TrainingSettings.model_validate({"augment": written}).augment == ("python:abs", "flip")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"nesterov": True}, "nesterov needs the optimizer sgd"),
        ({"nesterov": True, "optimizer": "sgd", "momentum": 0}, "with a momentum above 0"),
        ({"betas": "0.9,1"}, "each lies from 0 to below 1"),
        ({"betas": "a,b"}, "are no numbers"),
        ({"warmup": 1.5}, "a whole number of steps, or a share below 1"),
        ({"warmup": -1}, "greater than or equal to 0"),
        ({"class_weights": "even"}, "'even' is no number by name: write name=2"),
        ({"class_weights": {"cat": 0}}, "a weight above 0"),
        ({"lr_multipliers": {"head": -1}}, "factors above 0"),
        ({"augment": "flap"}, "unknown augmentation 'flap': did you mean 'flip'"),
        ({"augment": "flip:3"}, "'flip:3' is no augmentation: write flip"),
        ({"augment": "crop:none"}, "write crop:4"),
        ({"augment": 3}, "valid tuple"),
        ({"schedule": "cosin"}, "'constant', 'linear' or 'cosine'"),
        ({"precision": "fp8"}, "'fp32', 'bf16' or 'fp16'"),
        ({"accumulate": 0}, "greater than or equal to 1"),
        ({"clip_norm": 0}, "greater than 0"),
        ({"label_smoothing": 1}, "less than 1"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"max_steps": 0}, "greater than or equal to 1"),
        ({"workers": -1}, "greater than or equal to 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        TrainingSettings.model_validate(wrong)


@given(samples=st.integers(2, 500), batch=st.integers(1, 64), accumulate=st.integers(1, 9))
def test_an_epoch_has_a_step_for_each_full_or_begun_group_of_batches(
    samples: int, batch: int, accumulate: int
) -> None:
    settings = TrainingSettings(batch_size=batch, accumulate=accumulate)
    sizes = [min(batch, samples - start) for start in range(0, samples, batch)]
    batches = max(sum(size > 1 or batch == 1 for size in sizes), 1)
    steps = settings.steps_per_epoch(samples)
    assert (steps - 1) * accumulate < batches <= steps * accumulate


def test_the_budget_is_that_of_epochs_or_steps_whichever_is_less() -> None:
    assert TrainingSettings(max_epochs=3).epoch_budget(10) == 3
    assert TrainingSettings(max_epochs=3, max_steps=15).epoch_budget(10) == 1.5
    assert TrainingSettings(max_epochs=3, max_steps=100).epoch_budget(10) == 3
