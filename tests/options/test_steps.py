"""Laws of a step: what accumulation, clipping, groups, freezing, class weights, smoothing and precision must be."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.data.splits import Batch
from foretoll.errors import UsageError
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model, load_model
from foretoll.options import Training, get_option, train_to_target
from foretoll.options.augment import Augmentation
from foretoll.options.optimizer import OPTIMIZERS
from foretoll.options.reading import step_batches, training_batches
from foretoll.options.schedule import lr_share, planned_steps
from foretoll.options.stepper import Stepper, check_precision
from foretoll.records import Outcome, TrainingSettings
from foretoll.records.settings import AUGMENTATIONS
from foretoll.records.settings import OPTIMIZERS as NAMES
from foretoll.training import Recording

from .making import CNN, blobs, digits, mlp, noise, normed, same, weights

CPU = torch.device("cpu")
LOW_NORM = 1e-3


def make(**values: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"batch_size": 16, "max_epochs": 2, "lr": 0.01, **values})


def started(model: Model, data: TaskData, settings: TrainingSettings, option: str = "finetune") -> Training:
    training = get_option(option).start(model, data, settings, task_shift=False, device=CPU)
    training.open()
    training.begin()
    training.into_training()
    return training


def stepper(
    model: Model, data: TaskData, settings: TrainingSettings, option: str = "finetune"
) -> tuple[Training, Stepper]:
    training = started(model, data, settings, option)
    return training, Stepper(training, get_option(option), settings)


def trained(
    model: Model, data: TaskData, settings: TrainingSettings, option: str = "finetune"
) -> tuple[Model, Recording]:
    chosen = get_option(option)
    torch.manual_seed(0)
    training = chosen.start(model, data, settings, task_shift=False, device=CPU)
    done = train_to_target(chosen, training, settings, meter=NoMeter())
    return training.finish(), done


def close(a: dict[str, Tensor], b: dict[str, Tensor], rtol: float = 1e-4) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=rtol, atol=1e-6) for name in a)


# --- accumulation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"class_weights": {"0": 3.0}}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("samples", [120, 118])  # the last group is not full, nor is its last batch
def test_a_step_on_several_batches_is_that_on_one_of_all_their_samples(
    samples: int, extra: dict[str, object]
) -> None:
    data = blobs(300)
    data = TaskData(data.card, data.train.take(torch.arange(samples)), data.validation, data.test)
    many = make(batch_size=8, accumulate=4, optimizer="sgd", lr=0.1, **extra)
    one = many.model_copy(update={"batch_size": 32, "accumulate": 1})
    a, recorded = trained(mlp(data), data, many)
    b, expected = trained(mlp(data), data, one)
    assert recorded.steps == expected.steps == 8
    assert close(weights(a), weights(b))
    assert recorded.gradient_norm is not None and expected.gradient_norm is not None
    assert recorded.gradient_norm.mean == pytest.approx(expected.gradient_norm.mean, rel=1e-5)
    assert [p.epochs for p in recorded.curve] == [p.epochs for p in expected.curve]
    losses = [
        (p.train_loss, q.train_loss) for p, q in zip(recorded.curve[1:], expected.curve[1:], strict=True)
    ]
    assert all(p == pytest.approx(q, rel=1e-5) for p, q in losses)


def test_reading_ahead_changes_nothing() -> None:
    data = digits(160)
    plain = [b.inputs for b in training_batches(data.train, 10, 3)]
    for workers in (1, 3):
        ahead = [b.inputs for b in training_batches(data.train, 10, 3, workers=workers)]
        assert len(ahead) == len(plain) and all(torch.equal(a, b) for a, b in zip(ahead, plain, strict=True))
    one, _ = trained(build_model(CNN, data=data, seed=1), data, make())
    other, _ = trained(build_model(CNN, data=data, seed=1), data, make(workers=2))
    assert same(weights(one), weights(other))


def test_readers_end_with_the_loop_that_they_read_for() -> None:
    import threading

    groups = step_batches(blobs(400).train, make(batch_size=4, workers=2), 0)
    next(groups)
    assert any(thread.name.startswith("foretoll-read") for thread in threading.enumerate())
    groups.close()
    assert not any(thread.name.startswith("foretoll-read") for thread in threading.enumerate())


# --- clipping --------------------------------------------------------------------------------------


@given(limit=st.floats(0.05, 10), lr=st.floats(0.1, 1))
@hypothesis_settings(max_examples=15, deadline=None)
def test_clipping_bounds_a_step_of_sgd(limit: float, lr: float) -> None:
    data = blobs()
    settings = make(optimizer="sgd", momentum=0, lr=lr, clip_norm=limit)
    model = mlp(data)
    training, steps = stepper(model, data, settings)
    before = weights(training.model)
    batch = next(data.train.batches(16))
    _, norm = steps.take([batch])
    after = weights(training.model)
    moved = math.sqrt(sum(float((after[n] - before[n]).double().square().sum()) for n in before))
    assert moved <= lr * limit * (1 + 1e-3)
    assert moved == pytest.approx(lr * min(float(norm), limit), rel=1e-3)
    _, unclipped = stepper(model, data, settings.model_copy(update={"clip_norm": None}))
    assert unclipped.take([batch])[1] == norm, "the norm is that before clipping"


# --- schedules -------------------------------------------------------------------------------------


def rates(total: int, **values: object) -> list[float]:
    return [lr_share(step, make(**values), total) for step in range(total)]


def test_schedules_at_closed_forms() -> None:
    assert rates(4) == [1.0] * 4
    assert rates(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(4, schedule="cosine") == pytest.approx([1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])
    assert rates(6, warmup=3) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])
    assert rates(6, warmup=0.5, schedule="linear") == pytest.approx([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3])
    assert lr_share(9, make(schedule="cosine"), 4) == 0.0
    assert lr_share(3, make(schedule="cosine", warmup=10), 4) == 0.4, "a rise longer than the budget"


@given(
    total=st.integers(1, 300), warmup=st.floats(0, 0.99), schedule=st.sampled_from(["constant", "linear", "cosine"])
)  # fmt: skip
def test_a_schedule_rises_then_falls_between_0_and_1(total: int, warmup: float, schedule: str) -> None:
    values = rates(total, warmup=warmup, schedule=schedule)
    top = values.index(max(values))
    assert all(0 <= value <= 1 for value in values)
    assert values[: top + 1] == sorted(values[: top + 1]) and values[top:] == sorted(
        values[top:], reverse=True
    )


def test_the_planned_length_is_that_of_the_budget() -> None:
    assert planned_steps(make(max_epochs=1.1), 10) == 11
    assert planned_steps(make(max_epochs=3, max_steps=7), 10) == 7
    assert planned_steps(make(max_epochs=0.01), 10) == 1


def test_the_optimiser_has_the_rate_of_the_schedule() -> None:
    data, seen = blobs(), []
    _, steps = stepper(mlp(data), data, make(schedule="linear", max_steps=5, lr_multipliers={"head": 10}))
    for batch in list(data.train.batches(16))[:5]:
        steps.take([batch])
        seen.append([group["lr"] for group in steps.optimizer.param_groups])
    base, head = zip(*seen, strict=True)
    assert base == pytest.approx([0.01, 0.008, 0.006, 0.004, 0.002])
    assert head == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])


# --- groups, freezing ------------------------------------------------------------------------------


def test_groups_by_names_and_kinds() -> None:
    data = digits()
    model = build_model(CNN, data=data, seed=0)
    settings = make(weight_decay=0.1, decay_norms=False, lr_multipliers={"backbone": 0.5, "head": 4.0})
    training, steps = stepper(model, data, settings)
    names = {id(p): name for name, p in training.trainable.items()}
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in steps.optimizer.param_groups
        for p in group["params"]
    }
    assert found.keys() == training.trainable.keys()
    head = model.head_name
    for name, (lr, decay) in found.items():
        assert lr == pytest.approx(0.04 if name.startswith(head) else 0.005), name
        assert decay == (0.0 if training.trainable[name].ndim == 1 else 0.1), name


def test_weights_without_decay_are_left_alone_by_it() -> None:
    data = digits()
    still = {"optimizer": "sgd", "momentum": 0, "lr": 0.1, "weight_decay": 1.0, "decay_norms": False}
    training, steps = stepper(build_model(CNN, data=data, seed=0), data, make(**still))
    for p in training.trainable.values():
        p.grad = torch.zeros_like(p)
    before = weights(training.model)
    steps.optimizer.step()
    for name, p in training.trainable.items():
        expected = before[name] if p.ndim == 1 else before[name] * 0.9
        assert torch.allclose(p, expected), name


@pytest.mark.parametrize("prefix", ["backbone", "body", "body.0"])
def test_what_is_frozen_stays_as_it_is_bit_for_bit(prefix: str) -> None:
    data = blobs()
    model = normed(data)
    before = weights(model)
    done, recorded = trained(model, data, make(freeze=prefix))
    after = weights(done)
    part = "body" if prefix == "backbone" else prefix
    for name in before:
        kept = name.startswith(f"{part}.")
        if kept or name.startswith("head."):
            assert torch.equal(before[name], after[name]) is kept, name
    assert not any(name.startswith(f"{part}.") for name in recorded.parameter_change_by_tensor)
    assert model.network.get_submodule("body.0").weight.requires_grad, "the user's own flags are left alone"


@pytest.mark.parametrize("option", ["finetune", "partial", "head"])
def test_freezing_everything_is_refused(option: str) -> None:
    data = blobs()
    with pytest.raises(UsageError, match="is all that would be trained: freeze less"):
        started(normed(data), data, make(freeze=["body", "head"]), option)


@pytest.mark.parametrize("setting", [{"freeze": "bodi"}, {"lr_multipliers": {"bodi": 2}}])
def test_a_part_that_the_network_has_not_is_named_with_the_nearest(setting: dict[str, object]) -> None:
    data = blobs()
    with pytest.raises(UsageError, match=r"unknown part of the network 'bodi': did you mean 'body'"):
        stepper(normed(data), data, make(**setting))


# --- the loss --------------------------------------------------------------------------------------


def test_a_class_of_weight_2_counts_as_if_its_samples_were_there_twice() -> None:
    data = blobs(90)
    inputs, labels = data.train.all()
    twice = torch.cat([inputs, inputs[labels == 1]]), torch.cat([labels, labels[labels == 1]])
    plain = make(optimizer="sgd", momentum=0, lr=0.5)
    a, weighted = stepper(mlp(data), data, plain.model_copy(update={"class_weights": {"1": 2.0}}))
    b, repeated = stepper(mlp(data), data, plain)
    loss, norm = weighted.take([Batch(inputs, labels)])
    expected, expected_norm = repeated.take([Batch(*twice)])
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(norm) == pytest.approx(float(expected_norm), rel=1e-4)
    assert close(weights(a.model), weights(b.model))


def test_balanced_classes_weigh_the_same() -> None:
    data = noise(100)
    _, steps = stepper(mlp(data), data, make(class_weights="balanced"))
    labels = data.train.labels
    assert labels is not None
    masses = [steps.objective.mass(labels[labels == name]) for name in (0, 1)]
    assert masses[0] == pytest.approx(masses[1]) and sum(masses) == pytest.approx(len(labels))


def test_weights_of_a_class_that_there_is_not_are_refused() -> None:
    data = blobs()
    with pytest.raises(UsageError, match="class_weights: unknown class 'cat'"):
        stepper(mlp(data), data, make(class_weights="cat=2"))


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_at_its_closed_form(smoothing: float) -> None:
    data = blobs()
    training, steps = stepper(mlp(data), data, make(label_smoothing=smoothing))
    batch = next(data.train.batches(16))
    with torch.no_grad():
        logs = F.log_softmax(training.model(batch.inputs), dim=1)
    own = logs.gather(1, batch.labels[:, None]).mean()
    expected = -(1 - smoothing) * own - smoothing * logs.mean()
    assert float(steps.take([batch])[0]) == pytest.approx(float(expected), rel=1e-5)


# --- precision, compilation ------------------------------------------------------------------------


def test_bf16_trains_and_serves_weights_of_full_precision() -> None:
    data = blobs(400, distance=3.0)
    done, recorded = trained(mlp(data), data, make(precision="bf16", max_epochs=6))
    assert recorded.outcome is Outcome.REACHED
    assert recorded.curve[-1].quality > recorded.curve[0].quality
    assert {value.dtype for value in weights(done).values() if value.is_floating_point()} == {torch.float32}
    _, steps = stepper(mlp(data), data, make(precision="bf16"))
    _, full = stepper(mlp(data), data, make())
    batch = next(data.train.batches(16))
    low, high = (float(s.take([batch])[1]) for s in (steps, full))
    assert low != high and low == pytest.approx(high, rel=0.05)


def test_fp16_needs_a_gpu() -> None:
    data = blobs()
    with pytest.raises(UsageError, match="fp16 needs a GPU: use --precision bf16"):
        check_precision("fp16", "cpu")
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        trained(mlp(data), data, make(precision="fp16"))


def test_the_norm_under_fp16_is_that_of_the_true_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's own scaler and half precision on the CPU, which foretoll offers on GPUs alone
    monkeypatch.setattr("foretoll.options.stepper.check_precision", lambda *_: None)
    data = blobs()
    clipped = {"clip_norm": LOW_NORM, "optimizer": "sgd", "momentum": 0.0, "lr": 1.0}
    training, half = stepper(mlp(data), data, make(precision="fp16", **clipped))
    _, full = stepper(mlp(data), data, make())
    batch = next(data.train.batches(16))
    before = weights(training.model)
    _, norm = half.take([batch])
    assert float(norm) == pytest.approx(float(full.take([batch])[1]), rel=0.02)
    after = weights(training.model)
    moved = math.sqrt(sum(float((after[n] - before[n]).double().square().sum()) for n in before))
    assert moved == pytest.approx(LOW_NORM, rel=1e-2), "clipped by the true norm, not the scaled one"


def test_a_step_that_overflows_under_fp16_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretoll.options.stepper.check_precision", lambda *_: None)
    data = blobs()
    training, steps = stepper(mlp(data), data, make(precision="fp16", optimizer="sgd", lr=0.1))
    inputs, labels = next(data.train.batches(16))
    before = weights(training.model)
    _, norm = steps.take([Batch(inputs * 1e30, labels)])
    assert not math.isfinite(float(norm)) and same(before, weights(training.model))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: install g++")
def test_a_compiled_network_trains_as_it_is_and_is_served_as_it_is() -> None:
    # in a process of its own: setuptools refuses to be loaded where the standard distutils were loaded before it
    code = "from tests.options.test_steps import train_compiled; train_compiled()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        # no pool of compilers for this one, and no search for what the processor can do
        env=os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_VEC_ISA_OK": "0"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def train_compiled() -> None:
    """What the test above runs."""
    data = blobs()
    plain, expected = trained(mlp(data), data, make(max_steps=3))
    compiled, found = trained(mlp(data), data, make(max_steps=3, compile=True))
    assert compiled.network._compiled_call_impl is None
    assert found.steps == expected.steps == 3
    assert close(weights(plain), weights(compiled))
    assert weights(plain).keys() == weights(compiled).keys()


# --- optimisers ------------------------------------------------------------------------------------


def test_the_record_names_the_optimisers_that_there_are() -> None:
    assert tuple(OPTIMIZERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_lowers_the_loss_and_keeps_what_it_says(name: str) -> None:
    data = blobs(300, distance=3.0)
    settings = make(optimizer=name, max_epochs=4)
    model, recorded = trained(mlp(data), data, settings)
    assert recorded.curve[-1].loss is not None and recorded.curve[0].loss is not None
    assert recorded.curve[-1].loss < recorded.curve[0].loss
    training, steps = stepper(model, data, settings)
    steps.take([next(data.train.batches(16))])
    for p in training.trainable.values():
        held = [v for v in steps.optimizer.state[p].values() if isinstance(v, Tensor)]
        assert OPTIMIZERS[name].state_bytes(p, settings) == sum(v.numel() * v.element_size() for v in held)


def test_nesterov_and_betas_reach_the_optimiser() -> None:
    data = blobs()
    _, steps = stepper(mlp(data), data, make(optimizer="sgd", nesterov=True))
    assert steps.optimizer.defaults["nesterov"] is True
    _, steps = stepper(mlp(data), data, make(betas=(0.8, 0.9)))
    assert steps.optimizer.defaults["betas"] == (0.8, 0.9)


# --- stopping --------------------------------------------------------------------------------------


def test_a_budget_of_steps_and_patience_end_a_training() -> None:
    data = blobs()
    _, recorded = trained(mlp(data), data, make(max_steps=5))
    assert (recorded.steps, recorded.outcome) == (5, Outcome.REACHED)
    _, recorded = trained(mlp(data), data, make(patience=2, until=1.0, lr=1e-12, max_epochs=50))
    assert (recorded.evaluations, recorded.outcome) == (3, Outcome.CENSORED)


# --- augmentation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_augmentation_keeps_the_form_of_images(name: str, channels: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (12, channels, 9, 11), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images.float() / 255
    changed = Augmentation([name])(images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)
    assert not torch.equal(changed, images)
    same_for_all = [torch.equal(Augmentation([name])(images[:1]), changed[:1]) for _ in range(8)]
    assert not all(same_for_all), "each time anew"
    if dtype == torch.float32:
        assert float(changed.min()) >= 0 and float(changed.max()) <= 1


def test_each_sample_is_changed_by_itself_and_a_seed_repeats_it() -> None:
    images = torch.arange(8 * 3, dtype=torch.uint8).reshape(1, 1, 3, 8).expand(64, 1, 3, 8)
    torch.manual_seed(1)
    first = Augmentation(["flip"])(images)
    flipped = sum(bool(image[0, 0, 0] == 7) for image in first)
    assert 16 < flipped < 48
    torch.manual_seed(1)
    assert torch.equal(Augmentation(["flip"])(images), first)


def test_a_callable_changes_samples_of_any_kind() -> None:
    assert torch.equal(Augmentation([lambda x: x + 1])(torch.zeros(3, 2)), torch.ones(3, 2))
    assert Augmentation([str.upper])(["a", "b"]) == ["A", "B"]
    data = blobs()
    quiet, _ = trained(mlp(data), data, make(augment=(lambda x: x,)))
    plain, _ = trained(mlp(data), data, make())
    assert same(weights(quiet), weights(plain))


def test_a_head_under_augmentation_is_trained_within_the_network() -> None:
    data = digits()
    model = build_model(CNN, data=data, seed=0)
    before = weights(model)
    done, _ = trained(model, data, make(augment="flip"), "head")
    moved = {n for n, value in weights(done).items() if not torch.equal(value, before[n])}
    assert moved == {f"{model.head_name}.weight", f"{model.head_name}.bias"}
    inverted, _ = trained(model, data, make(augment=(lambda x: 255 - x,)), "head")
    assert not same(weights(done), weights(inverted)), "the change goes through the backbone"


def _fails(_sample: object) -> object:
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("names", "inputs", "says"),
    [
        (["flip"], torch.zeros(2, 3), "augment: flip is for images: give a callable"),
        (["trivial"], torch.zeros(2, 4, 8, 8), "images of 1 or 3 channels, and these have 4"),
        (["python:mine"], torch.zeros(2, 3, 8, 8), "'python:mine' was a transform of your own"),
        ([_fails], torch.zeros(2, 3), r"augment: _fails fails on a sample \(RuntimeError: no\)"),
        ([lambda x: x[: int(x[0])]], torch.tensor([[1.0, 0], [2, 0]]), "samples of different shapes"),
    ],
)
def test_what_cannot_be_augmented_says_why(names: list[object], inputs: Tensor, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Augmentation(names)(inputs)  # type: ignore[arg-type]


def test_all_settings_at_once_in_every_option_that_takes_steps() -> None:
    data = open_data("digits?limit=200")
    model = build_model(CNN, data=data, seed=0)
    everything = make(
        optimizer="adamw", schedule="cosine", warmup=0.2, accumulate=2, clip_norm=1.0, label_smoothing=0.1,
        class_weights="balanced", lr_multipliers="head=3", decay_norms=False, weight_decay=0.01, precision="bf16",
        augment="flip,crop:1", workers=2, patience=50,
    )  # fmt: skip
    per_epoch = everything.steps_per_epoch(len(data.train))
    for option in ("finetune", "head", "partial", "reprogram", "reprogram+head", "scratch"):
        _, recorded = trained(model, data, everything, option)
        assert recorded.outcome is Outcome.REACHED and recorded.steps == 2 * per_epoch, option


def test_networks_of_ones_own_and_splits_of_ones_own_are_no_exception() -> None:
    x, y = torch.randn(60, 6, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    data = open_data((x.numpy(), y.numpy()))
    assert isinstance(data.train, ArraySplit)
    model = load_model(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), data=data)
    before = weights(model)
    done, _ = trained(model, data, make(freeze="0", lr_multipliers={"2": 2.0}))
    assert torch.equal(weights(done)["0.weight"], before["0.weight"])
