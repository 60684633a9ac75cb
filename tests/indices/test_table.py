"""The table of indices against what a survey really gives, with and without labels, for both kinds of shift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.indices.survey import Survey, survey
from foretoll.indices.table import COMPANIONS, INDICES
from foretoll.models import Model, build_model
from foretoll.records import Shift, TrainingSettings

SETTINGS = TrainingSettings(until=0.9, batch_size=32)
ASKED = {"survey", "linearised"}


@pytest.fixture(scope="module")
def source() -> TaskData:
    return open_data("digits?limit=300")


@pytest.fixture(scope="module")
def model(source: TaskData) -> Model:
    return build_model("foretoll:cnn", data=source, seed=0, options={"width": 6})


@pytest.fixture(scope="module")
def target(source: TaskData) -> TaskData:
    return source.shifted(Shift(kind="gaussian_noise", level=0.2), seed=0)


def unlabelled(data: TaskData) -> TaskData:
    """The same without the labels of its training part."""
    inputs = next(data.train.batches(len(data.train))).inputs
    assert isinstance(inputs, torch.Tensor)
    return replace(data, train=ArraySplit(inputs, None, ids=data.train.ids))


def looked(model: Model, source: TaskData, target: TaskData, **options: Any) -> Survey:
    return survey(model, source, target, SETTINGS, task_shift=False, samples=1000, **options)  # all of it


def given(found: Survey) -> set[str]:
    """Names that have a value."""
    return {name for name, value in found.signals.items() if value is not None}


def test_a_survey_that_is_asked_for_all_gives_exactly_the_table(
    model: Model, source: TaskData, target: TaskData
) -> None:
    found = looked(model, source, target, clean=source, linearised=True)
    assert given(found) == {e.name for e in INDICES.values() if e.made_by in ASKED} | set(COMPANIONS)
    assert set(found.indices) <= set(INDICES)


def test_without_labels_it_gives_exactly_what_needs_none(
    model: Model, source: TaskData, target: TaskData
) -> None:
    found = looked(model, source, unlabelled(target), clean=unlabelled(source), linearised=True)
    expected = {e.name for e in INDICES.values() if e.made_by in ASKED and (not e.labels or e.stand_in)}
    assert given(found) - set(COMPANIONS) == expected
    assert any("no labels" in warning for warning in found.warnings)


def test_without_labels_resque_stands_on_clusters(model: Model, source: TaskData, target: TaskData) -> None:
    labelled, found = looked(model, source, target), looked(model, source, unlabelled(target))
    index = found.indices["resque"]
    assert index.value == found.signals["resque"] == labelled.signals["resque_transport"]
    assert index.low is None and index.detail == {} and "no labels" in index.note
    # of the source alone, over the classes that the model predicts on both sides
    assert index.floor == pytest.approx(labelled.indices["resque"].floor, abs=0.01)


def test_without_pairs_batch_norm_or_a_target_quality_it_leaves_out_what_needs_them(
    source: TaskData, target: TaskData
) -> None:
    plain = build_model("foretoll:cnn", data=source, seed=0, options={"width": 6, "norm": "group"})
    settings = TrainingSettings(batch_size=32)
    found = survey(plain, source, target, settings, task_shift=False, samples=200, linearised=True)
    missing = {"pairs", "batch norm", "quality target"}
    expected = {e.name for e in INDICES.values() if e.made_by in ASKED and not missing & set(e.needs)}
    assert given(found) & set(INDICES) == expected


def test_a_task_shift_gives_exactly_what_is_for_it(model: Model, source: TaskData, target: TaskData) -> None:
    found = survey(model, source, target, SETTINGS, task_shift=True, samples=200)
    expected = {e.name for e in INDICES.values() if e.made_by == "survey" and e.shift != "distribution"}
    assert given(found) & set(INDICES) == expected
