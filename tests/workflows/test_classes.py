"""Whether a target is a new task, and the same class under the same number on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, UsageError
from foretoll.models import Model, build_model
from foretoll.workflows.context import open_job

NAMES = ("ant", "bee", "cat", "dog")


def named(classes: tuple[str, ...], *, of: tuple[str, ...] = NAMES, labelled: bool = True) -> TaskData:
    """Samples whose first value is the number of their class among `of`; labels are texts, as in a folder."""
    texts = np.array([classes[i % len(classes)] for i in range(120)])
    inputs = np.random.default_rng(0).normal(scale=0.1, size=(120, 3)).astype(np.float32)
    inputs[:, 0] = [of.index(text) for text in texts]
    return open_data((inputs, texts if labelled else None))


def numbered(classes: int) -> TaskData:
    inputs = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    return open_data((inputs, np.arange(120) % classes))


def model_of(data: TaskData) -> Model:
    return build_model("foretoll:mlp?width=8", data=data, seed=0)


def tells_the_class(data: TaskData, names: tuple[str, ...] = NAMES) -> bool:
    """Whether each label's name is the class that the sample's first value tells, in all splits."""
    good = []
    for split in (data.train, data.validation, data.test):
        assert split.labels is not None
        inputs, labels = split.all()
        good += [
            data.classes[int(y)] == names[round(float(x))] for x, y in zip(inputs[:, 0], labels, strict=True)
        ]
    return all(good)


@pytest.mark.parametrize(
    ("target", "new"),
    [
        (NAMES, False),
        (("dog", "ant", "cat", "bee"), False),
        (("ant", "cat"), False),
        (("ant", "bee", "cat", "dog", "eel"), True),
        (("eel", "fox"), True),
        (("ant", "eel"), True),
    ],
)
def test_names_tell_whether_it_is_a_new_task(target: tuple[str, ...], new: bool) -> None:
    of = (*NAMES, "eel", "fox")
    job = open_job(model_of(named(NAMES)), named(NAMES), named(target, of=of))
    assert job.task_shift is new
    assert job.shift == ("task" if new else "distribution")
    assert tells_the_class(job.target, of)


def test_a_class_that_is_missing_in_the_target_shifts_no_label() -> None:
    """A folder that is not there makes the data number the classes behind it anew: cat would be bee."""
    data = named(("ant", "cat", "dog"))
    assert data.classes == ("ant", "cat", "dog")
    job = open_job(model_of(named(NAMES)), named(NAMES), data)
    assert job.target.classes == NAMES and job.target.card.classes == NAMES
    assert job.target.train.labels is not None
    assert set(job.target.train.labels.tolist()) == {0, 2, 3}
    assert tells_the_class(job.target)
    assert data.classes == ("ant", "cat", "dog") and tells_the_class(data), (
        "what was handed over is as it was"
    )


def test_a_source_of_some_classes_is_numbered_as_the_model_numbers_them() -> None:
    job = open_job(model_of(named(NAMES)), named(("dog", "bee")), named(("dog", "bee")))
    assert not job.task_shift
    for data in (job.source, job.target):
        assert data.classes == NAMES and tells_the_class(data)


def test_a_shifted_target_and_its_clean_form_stay_pairs() -> None:
    uri = "digits?classes=7,1,4&limit=100"
    shifted = f"{uri}&shift=gaussian_noise:0.2"
    source = open_data("digits?classes=1,4,7&limit=100")
    job = open_job(build_model("foretoll:mlp", data=source, seed=0), source, shifted)
    assert job.target.classes == ("1", "4", "7") and job.clean is not None
    assert torch.equal(job.clean.train.ids, job.target.train.ids)
    assert job.clean.train.labels is not None and job.target.train.labels is not None
    assert torch.equal(job.clean.train.labels, job.target.train.labels)


def test_numbers_in_part_do_not_tell() -> None:
    model, source, part = model_of(numbered(4)), numbered(4), numbered(3)
    with pytest.raises(
        UsageError, match=r"has 3 of the source's 4 classes by their numbers: say --same-task"
    ):
        open_job(model, source, part)
    same = open_job(model, source, part, task=False)
    assert not same.task_shift and same.target.classes == ("0", "1", "2", "3")
    other = open_job(model, source, part, task=True)
    assert other.task_shift and other.target.classes == ("0", "1", "2")


def test_an_unlabelled_target_is_the_same_task_unless_it_is_said_otherwise() -> None:
    model, source, target = model_of(numbered(4)), numbered(4), named(NAMES, labelled=False)
    assert not open_job(model, source, target).task_shift
    assert open_job(model, source, target, task=True).task_shift


def test_what_the_model_has_no_output_for_is_refused() -> None:
    model = model_of(numbered(3))
    with pytest.raises(DataError, match=r"the source python:arrays has 4 classes but the model 3 outputs"):
        open_job(model, numbered(4), numbered(3), task=False)
    with pytest.raises(
        DataError,
        match=r"has the class '3' \(30 of 120 samples\), which the model has no output for .* say --task",
    ):
        open_job(model, numbered(3), numbered(4), task=False)
    assert open_job(model, numbered(3), numbered(4)).task_shift


def test_a_source_without_labels_is_refused() -> None:
    source = named(NAMES, labelled=False)
    with pytest.raises(
        DataError, match=r"the source 'python:arrays' has no labels: give the labelled data .*label="
    ):
        open_job(model_of(named(NAMES)), source, named(NAMES))


def test_the_same_data_are_no_shift_and_data_from_python_are_told_apart() -> None:
    data = numbered(3)
    model = model_of(data)
    assert open_job(model, data, data).shift == "none"
    assert open_job(model, data, numbered(3)).shift == "distribution", "equal cards, but other data"
    digits = build_model("foretoll:mlp", data=open_data("digits"), seed=0)
    assert open_job(digits, "digits", "digits").shift == "none"
    assert open_job(digits, "digits", "digits?shift=contrast:0.5").shift == "distribution"
