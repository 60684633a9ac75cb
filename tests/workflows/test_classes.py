"""Whether a target is a new task, and the same class under the same number on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, UsageError
from foretoll.models import Model, build_model
from foretoll.workflows.context import open_update

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


def rows(labels: np.ndarray) -> TaskData:
    """Samples with these labels; the first value of each is the position of its label among the sorted ones."""
    inputs = np.random.default_rng(0).normal(scale=0.1, size=(len(labels), 3)).astype(np.float32)
    inputs[:, 0] = np.unique(labels, return_inverse=True)[1]
    return open_data((inputs, labels))


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
    update = open_update(model_of(named(NAMES)), named(NAMES), named(target, of=of))
    assert update.task_shift is new
    assert update.shift == ("task" if new else "distribution")
    assert tells_the_class(update.target, of)


def test_a_class_that_is_missing_in_the_target_shifts_no_label() -> None:
    """A folder that is not there makes the data number the classes behind it anew: cat would be bee."""
    data = named(("ant", "cat", "dog"))
    assert data.classes == ("ant", "cat", "dog")
    update = open_update(model_of(named(NAMES)), named(NAMES), data)
    assert update.target.classes == NAMES and update.target.card.classes == NAMES
    assert update.target.train.labels is not None
    assert set(update.target.train.labels.tolist()) == {0, 2, 3}
    assert tells_the_class(update.target)
    assert data.classes == ("ant", "cat", "dog") and tells_the_class(data), (
        "what was handed over is as it was"
    )


def test_a_source_of_some_classes_is_numbered_as_the_model_numbers_them() -> None:
    update = open_update(model_of(named(NAMES)), named(("dog", "bee")), named(("dog", "bee")))
    assert not update.task_shift
    for data in (update.source, update.target):
        assert data.classes == NAMES and tells_the_class(data)


def test_a_shifted_target_and_its_clean_form_stay_pairs() -> None:
    uri = "digits?classes=7,1,4&limit=100"
    shifted = f"{uri}&shift=gaussian_noise:0.2"
    source = open_data("digits?classes=1,4,7&limit=100")
    update = open_update(build_model("foretoll:mlp", data=source, seed=0), source, shifted)
    assert update.target.classes == ("1", "4", "7") and update.clean is not None
    assert torch.equal(update.clean.train.ids, update.target.train.ids)
    assert update.clean.train.labels is not None and update.target.train.labels is not None
    assert torch.equal(update.clean.train.labels, update.target.train.labels)


def test_numbers_in_part_do_not_tell() -> None:
    model, source, part = model_of(numbered(4)), numbered(4), numbered(3)
    with pytest.raises(
        UsageError, match=r"has 3 of the source's 4 classes by their numbers: say --same-task"
    ):
        open_update(model, source, part)
    same = open_update(model, source, part, task=False)
    assert not same.task_shift and same.target.classes == ("0", "1", "2", "3")
    other = open_update(model, source, part, task=True)
    assert other.task_shift and other.target.classes == ("0", "1", "2")


def test_an_unlabelled_target_is_the_same_task_unless_it_is_said_otherwise() -> None:
    model, source, target = model_of(numbered(4)), numbered(4), named(NAMES, labelled=False)
    assert not open_update(model, source, target).task_shift
    assert open_update(model, source, target, task=True).task_shift


def test_what_the_model_has_no_output_for_is_refused() -> None:
    model = model_of(numbered(3))
    with pytest.raises(DataError, match=r"the source python:arrays has 4 classes but the model 3 outputs"):
        open_update(model, numbered(4), numbered(3), task=False)
    with pytest.raises(
        DataError,
        match=r"has the class '3' \(30 of 120 samples\), which the model has no output for .* say --task",
    ):
        open_update(model, numbered(3), numbered(4), task=False)
    assert open_update(model, numbered(3), numbered(4)).task_shift


def test_a_source_without_labels_leaves_the_classes_to_the_model() -> None:
    update = open_update(model_of(named(NAMES)), named(NAMES, labelled=False), named(("dog", "ant")))
    assert not update.task_shift
    assert tells_the_class(update.target)


def test_the_same_data_are_no_shift_and_data_from_python_are_told_apart() -> None:
    data = numbered(3)
    model = model_of(data)
    assert open_update(model, data, data).shift == "none"
    assert open_update(model, data, numbered(3)).shift == "distribution", "equal cards, but other data"
    digits = build_model("foretoll:mlp", data=open_data("digits"), seed=0)
    assert open_update(digits, "digits", "digits").shift == "none"
    assert open_update(digits, "digits", "digits?shift=contrast:0.5").shift == "distribution"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("ant", "bee", "cat"), ("Ant", "BEE", " cat")),
        (("ant", "bee", "cat"), ("ant\r", "bee\r", "cat\r")),
        (("0", "1"), ("False", "True")),
        (("False", "True"), ("0", "1")),
        (("0", "1", "2"), ("0.0", "1.0", "2.0")),
        (("negative", "positive"), ("Negative", "Positive")),
    ],
)
def test_another_spelling_is_the_same_class_and_told(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    source = rows(np.array(ours)[np.arange(120) % len(ours)])
    target = rows(np.array(theirs)[np.arange(120) % len(theirs)])
    update = open_update(model_of(source), source, target)
    assert not update.task_shift and update.target.classes == source.classes
    note = update.target.card.notes[0]
    assert "labels read as the model's" in note and "\r" not in note
    meant, theirs_sorted = dict(zip(theirs, ours, strict=True)), sorted(theirs)
    inputs, labels = update.target.train.all()
    for x, y in zip(
        inputs[:, 0].tolist(), labels.tolist(), strict=True
    ):  # x: the position among the sorted labels
        assert source.classes[y] == meant[theirs_sorted[round(x)]]


def test_the_models_own_order_wins_over_the_datas() -> None:
    source = rows(np.array(["negative", "positive"])[np.arange(120) % 2])
    model = model_of(source)
    model.card = model.card.model_copy(update={"classes": ("Positive", "Negative")})
    update = open_update(model, source, source)
    assert source.train.labels is not None and update.source.train.labels is not None
    assert torch.equal(update.source.train.labels, 1 - source.train.labels)
    assert update.source.classes == ("Positive", "Negative")
    assert "'negative' = 'Negative'" in update.source.card.notes[0]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("zero", "one", "two"), ("0", "1", "2")),
        (("0", "1", "2"), ("ant", "bee", "cat")),
        (("ant", "bee", "cat"), ("1", "2", "3")),
        (("0", "1", "2"), ("1", "2", "3")),
    ],
)
def test_names_against_numbers_are_asked_about(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    source = rows(np.array(ours)[np.arange(120) % 3])
    target = rows(np.array(theirs)[np.arange(120) % 3])
    with pytest.raises(UsageError, match=r"do not decide it; say --same-task if .*, or --task"):
        open_update(model_of(source), source, target)
    assert open_update(model_of(source), source, target, task=True).task_shift
    same = open_update(model_of(source), source, target, task=False)
    assert not same.task_shift and same.target.classes == source.classes
    assert any(f"'{target.classes[0]}' = '{source.classes[0]}'" in note for note in same.target.card.notes)
    assert same.target.card.reading.endswith("treated as the same task")


def test_a_stray_label_is_named_with_its_count_and_makes_no_new_task() -> None:
    source = rows(np.arange(120) % 3)
    target = rows(np.array([*(np.arange(117) % 3), 7, 7, 7]))
    assert any("'7' (3 of 120)" in note for note in target.card.notes)
    with pytest.raises(
        UsageError, match=r"has the class '7' \(3 of 120 samples\) besides 3 classes of the model"
    ):
        open_update(model_of(source), source, target)


def test_numbers_with_gaps_are_names_and_a_part_of_the_models() -> None:
    source = rows(np.arange(120) % 5)
    part = rows(np.array([0, 1, 4])[np.arange(120) % 3])
    assert part.classes == ("0", "1", "4")
    update = open_update(model_of(source), source, part)
    assert not update.task_shift and set(update.target.train.labels.tolist()) == {0, 1, 4}  # type: ignore[union-attr]
    assert any("no sample of '2', '3'" in note for note in update.target.card.notes)
    years = rows(np.array([2019, 2020, 2021])[np.arange(120) % 3])
    assert years.classes == ("2019", "2020", "2021") and "named by their numbers" in years.card.reading
    assert rows(np.array([0, 1, 9999])[np.arange(120) % 3]).num_classes == 3


def test_a_new_task_nobody_spoke_of_is_told() -> None:
    source = rows(np.arange(120) % 3)
    years = rows(np.array([2019, 2020, 2021])[np.arange(120) % 3])
    update = open_update(model_of(source), source, years)
    assert update.task_shift and update.target.card.reading.endswith("treated as a new task")
    assert any("treated as a new task with a new head" in note for note in update.target.card.notes)
    assert open_update(model_of(source), source, years, task=True).target.card.notes == ()


def test_integers_for_a_model_with_names_are_its_outputs() -> None:
    source = rows(np.arange(120) % 3)
    model = model_of(source)
    model.card = model.card.model_copy(update={"classes": ("cat", "ant", "bee")})
    update = open_update(model, source, source)
    assert not update.task_shift and torch.equal(update.source.train.labels, source.train.labels)  # type: ignore[arg-type]
    assert "numbers of the model's outputs: '0' = 'cat', '1' = 'ant'" in update.source.card.notes[0]
