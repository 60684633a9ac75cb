"""Everything cheap that is known before a retraining: what is there, what is not, and that it is finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError
from foretoll.indices.survey import Survey, starved, survey
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model, load_model
from foretoll.options import Training, get_option, train_to_target
from foretoll.quality import evaluate
from foretoll.records import IndexValue, TrainingSettings
from foretoll.representation import renormalised

SETTINGS = TrainingSettings(until=0.9, batch_size=32)
NEEDS_LABELS = {
    "initial_quality", "initial_loss", "initial_gradient_norm", "logme", "h_score", "gbc", "leep", "nce",
    "inv_ari", "probe_accuracy", "recoverability_gap", "knn_accuracy",
}  # fmt: skip
NEEDS_SAME_CLASSES = {"source_quality", "initial_quality", "initial_loss", "resque", "doc", "atc"}


def trained(arch: str, data: TaskData) -> Model:
    model = build_model(arch, data=data, seed=0)
    settings = TrainingSettings(max_epochs=8, batch_size=32, lr=0.01)
    option = get_option("finetune")
    training = Training(model, data.train, data.validation, option.trainable(model))
    train_to_target(option, training, settings, meter=NoMeter())
    return model


@pytest.fixture(scope="module")
def digits() -> TaskData:
    return open_data("digits?part=1/2&limit=400")


@pytest.fixture(scope="module")
def cnn(digits: TaskData) -> Model:
    return trained("foretoll:cnn?width=8", digits)


@pytest.fixture(scope="module")
def shifted(cnn: Model, digits: TaskData) -> Survey:
    clean = open_data("digits?part=2/2&limit=400")
    noisy = open_data("digits?part=2/2&limit=400&shift=gaussian_noise:0.3")
    return survey(cnn, digits, noisy, SETTINGS, task_shift=False, clean=clean)


def assert_finite(found: Survey) -> None:
    for name, value in found.signals.items():
        assert value is None or math.isfinite(value), name
    for index in found.indices.values():
        for value in (index.value, index.low, index.high, index.floor, *index.detail.values()):
            assert value is None or math.isfinite(value), index.name


def test_a_distribution_shift_with_its_clean_form(shifted: Survey) -> None:
    assert_finite(shifted)
    assert shifted.warnings == ()
    assert {
        "resque",
        "arm",
        "preindex",
        "inv_ari",
        "probe_accuracy",
        "recoverability_gap",
    } <= shifted.indices.keys()
    assert (NEEDS_LABELS | NEEDS_SAME_CLASSES | {"cka", "renormalised_quality"}) <= shifted.signals.keys()
    missing = {name for name, value in shifted.signals.items() if value is None}
    assert missing == set(), "with labels, pairs and batch norm all is known"
    for name, index in shifted.indices.items():
        assert index.name == name and shifted.signals[name] == index.value
    resque = shifted.indices["resque"]
    assert resque.low is not None and resque.high is not None and resque.floor is not None
    assert resque.floor < resque.low <= (resque.value or 0) <= resque.high
    assert set(resque.detail) == set("0123456789") and resque.missing_classes == ()
    assert 0 < (shifted.signals["cka"] or 0) < 1 and (shifted.signals["preindex"] or 0) > 0
    assert (shifted.source_samples, shifted.target_samples) == (300, 300)


def test_signals_are_what_they_are_called(shifted: Survey, cnn: Model, digits: TaskData) -> None:
    noisy = open_data("digits?part=2/2&limit=400&shift=gaussian_noise:0.3")
    here, there = evaluate(cnn, digits.train), evaluate(cnn, noisy.train)
    fresh = renormalised(cnn, noisy.train)
    assert fresh is not None
    again = evaluate(fresh, noisy.train)
    expected = {
        "source_quality": here.quality,
        "source_loss": here.loss,
        "initial_quality": there.quality,
        "initial_loss": there.loss,
        "renormalised_quality": again.quality,
        "renormalised_loss": again.loss,
    }
    for name, value in expected.items():
        assert shifted.signals[name] == pytest.approx(value, rel=1e-4), name
    assert here.quality > 0.9 > there.quality


def test_identical_samples_have_no_distance(cnn: Model, digits: TaskData) -> None:
    found = survey(cnn, digits, digits, SETTINGS, task_shift=False, clean=digits)
    assert_finite(found)
    for name in ("resque", "arm", "preindex", "sliced_wasserstein"):
        assert found.signals[name] == pytest.approx(0.0, abs=1e-12), name
    assert found.signals["frechet"] == pytest.approx(0.0, abs=1e-6)
    assert found.signals["cka"] == pytest.approx(1.0, abs=1e-9)
    assert found.signals["initial_loss"] == found.signals["source_loss"]


def test_another_part_of_the_same_data_is_no_more_than_the_floor(cnn: Model, digits: TaskData) -> None:
    other = open_data("digits?part=2/2&limit=400")
    resque = survey(cnn, digits, other, SETTINGS, task_shift=False).indices["resque"]
    assert resque.value is not None and resque.floor is not None
    assert 0 < resque.value < 2 * resque.floor < 0.1


def test_without_pairs_there_is_no_preindex(cnn: Model, digits: TaskData) -> None:
    found = survey(cnn, digits, open_data("digits?part=2/2&limit=400"), SETTINGS, task_shift=False)
    assert "preindex" not in found.indices and "cka" not in found.signals


def test_an_unlabelled_target_says_what_could_not_be_known(cnn: Model, digits: TaskData) -> None:
    images = open_data("digits?part=2/2&limit=400&shift=gaussian_noise:0.3")
    bare = open_data((torch.cat([images.train.all().inputs, images.test.all().inputs]), None))
    assert bare.train.labels is None
    found = survey(cnn, digits, bare, SETTINGS, task_shift=False)
    assert_finite(found)
    known = {name for name, value in found.signals.items() if value is not None}
    assert not known & NEEDS_LABELS
    assert {"resque", "arm", "doc", "atc", "initial_confidence", "source_quality", "frechet"} <= known
    (warning,) = found.warnings
    assert warning.startswith("arrays has no labels: ") and warning.endswith("could not be computed")
    assert found.projection is not None and set(found.projection.target_labels) == {-1}


def test_a_new_task_and_a_network_without_batch_norm(digits: TaskData) -> None:
    low, high = open_data("digits?classes=0,1,2,3&limit=240"), open_data("digits?classes=6,7,8&limit=240")
    found = survey(trained("foretoll:mlp?width=32", low), low, high, SETTINGS, task_shift=True)
    assert_finite(found)
    assert not NEEDS_SAME_CLASSES & found.signals.keys()
    assert {"inv_ari", "probe_accuracy", "recoverability_gap"} <= found.indices.keys()
    assert (
        "renormalised_probe_accuracy" not in found.indices and found.signals["renormalised_quality"] is None
    )
    assert 0 <= (found.signals["inv_ari"] or 0) <= 1
    assert (found.signals["initial_gradient_norm"] or 0) > 0


def test_without_a_quality_target_there_is_no_gap(cnn: Model, digits: TaskData) -> None:
    found = survey(cnn, digits, digits, TrainingSettings(), task_shift=False)
    assert "recoverability_gap" not in found.indices and found.signals["probe_accuracy"] is not None


def test_linearised_signals_only_on_demand(digits: TaskData) -> None:
    small = open_data("digits?limit=60")
    model = build_model("foretoll:mlp?width=8&depth=1", data=small, seed=0)
    plain = survey(model, small, small, SETTINGS, task_shift=False)
    more = survey(model, small, small, SETTINGS, task_shift=False, linearised=True)
    assert set(more.signals) - set(plain.signals) == {
        "ntk_steps", "ntk_gradient_norm", "ntk_parameter_change", "ntk_trace",
    }  # fmt: skip
    assert_finite(more)


@pytest.mark.parametrize(("source", "target"), [(1, 3), (3, 1)])
def test_grey_and_colour_meet(source: int, target: int) -> None:
    random = np.random.default_rng(0)

    def images(channels: int) -> TaskData:
        labels = np.arange(90) % 3
        pixels = random.integers(0, 120, (90, channels, 8, 8))
        pixels[np.arange(90), :, labels] += 120
        return open_data((pixels.astype(np.uint8), labels))

    ours, theirs = images(source), images(target)
    model = trained("foretoll:cnn?width=4", ours)
    found = survey(model, ours, theirs, SETTINGS, task_shift=False)
    assert_finite(found)
    assert found.signals["initial_quality"] is not None and "resque" in found.indices


def test_a_class_on_one_side_only_is_reported_and_left_out(cnn: Model, digits: TaskData) -> None:
    part = open_data("digits?part=2/2&limit=400&classes=0,1,2,3,4,5,6,7,8")
    found = survey(cnn, digits, part, SETTINGS, task_shift=False)
    assert found.indices["resque"].missing_classes == ("9",)
    assert found.warnings == ("classes on one side only (9): RESQUE is the mean over the others",)
    assert_finite(found)


def test_too_few_samples_leave_things_unknown_and_say_so(cnn: Model, digits: TaskData) -> None:
    found = survey(cnn, digits, digits, SETTINGS, task_shift=False, samples=4)
    assert_finite(found)
    assert found.source_samples == found.target_samples == 4
    assert "probe_accuracy" not in found.indices
    assert any(warning.startswith("the linear probe could not be computed: ") for warning in found.warnings)


def test_a_model_that_sees_no_difference_is_refused(digits: TaskData) -> None:
    black = open_data((np.zeros((100, 1, 8, 8), np.uint8), np.arange(100) % 10))
    model = build_model("foretoll:cnn?width=4", data=digits, seed=0)
    with pytest.raises(DataError, match="represents all 60 samples of python:arrays alike: check the data"):
        survey(model, digits, black, SETTINGS, task_shift=False)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.zero_()
    with pytest.raises(DataError, match=r"represents all 300 samples of digits.* alike"):
        survey(model, digits, black, SETTINGS, task_shift=False)
    with torch.no_grad():
        model.head_module().weight.fill_(math.nan)  # type: ignore[union-attr,operator]
    with pytest.raises(DataError, match="activations are NaN or infinite"):
        survey(model, digits, digits, SETTINGS, task_shift=False)


def test_the_model_stays_as_it_was_and_one_seed_repeats(cnn: Model, digits: TaskData) -> None:
    other = open_data("digits?part=2/2&limit=400&shift=contrast:0.4")
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    modes, random = [m.training for m in cnn.modules()], torch.get_rng_state()
    first = survey(cnn, digits, other, SETTINGS, task_shift=False)
    assert all(torch.equal(before[name], value) for name, value in cnn.state_dict().items())
    assert [m.training for m in cnn.modules()] == modes and torch.equal(torch.get_rng_state(), random)
    assert survey(cnn, digits, other, SETTINGS, task_shift=False) == first


def many_classes(classes: int, each: int) -> tuple[Model, TaskData]:
    """A network that knows every class by heart, and noisy samples of them, about 0.6 × `each` for training."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(classes, 64, generator=generator), dim=1) * 6
    labels = torch.arange(classes).repeat(each)
    inputs = centres[labels] + torch.randn(len(labels), 64, generator=generator)
    data = open_data((inputs.numpy(), labels.numpy()))
    head = torch.nn.Linear(64, classes)
    with torch.no_grad():
        head.weight.copy_(centres)
        head.bias.copy_(-centres.square().sum(1) / 2)
    return load_model(torch.nn.Sequential(torch.nn.Identity(), head), data=data), data


@pytest.mark.parametrize(("classes", "each"), [(300, 5), (60, 5)])
def test_a_probe_of_too_few_samples_a_class_is_not_read(classes: int, each: int) -> None:
    model, data = many_classes(classes, each)
    found = survey(model, data, data, SETTINGS, task_shift=False)
    assert (found.signals["initial_quality"] or 0) > 0.9
    assert not {"probe_accuracy", "recoverability_gap"} & found.indices.keys()
    assert found.signals.get("recoverability_gap") is None and found.signals["knn_accuracy"] is None
    (said,) = [w for w in found.warnings if "too few for" in w]
    assert f"{classes} classes" in said and len(said) <= 300
    assert f"--samples {10 * classes}" in said


def test_with_enough_samples_a_class_or_nothing_better_known_the_probe_is_read() -> None:
    model, data = many_classes(60, 12)
    found = survey(model, data, data, SETTINGS, task_shift=False)
    assert found.indices["recoverability_gap"].value is not None
    few = torch.arange(43).repeat(2)
    probe = IndexValue(name="probe_accuracy", value=0.5, low=0.4, high=0.6)
    assert starved(few, [probe], 0.55) is None, "the shipped ledger has such runs"
    assert starved(few, [probe], None) is None
    assert starved(few, [probe], 0.7) is not None
    assert starved(torch.arange(300).repeat(2), [probe], None) is not None, "a new task of many classes"
