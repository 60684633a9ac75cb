"""Option head: the frozen backbone runs once per sample, and the result is that of training the head within it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import foretoll.options.cached_head as head_module
from foretoll.data import TaskData
from foretoll.errors import ModelError
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model, load_model
from foretoll.options import Training, get_option, train_to_target
from foretoll.options.base import Option
from foretoll.options.cached_head import CachedSplit, HeadModel
from foretoll.options.memory import training_state_bytes
from foretoll.quality import evaluate
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.context import Update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.probe import probe_option

from .making import CNN, blobs, digits, normed, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=2, lr=0.003, until=1.0, seed=3)


@pytest.fixture(scope="module")
def images() -> TaskData:
    return digits(120)


class Pooled(nn.Module):
    """A convolutional head before a ReLU, in place, and the mean: SqueezeNet's end."""

    def __init__(self, num_classes: int, *, after: str = "relu") -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Conv2d(6, num_classes, 1)
        self.end = {"relu": nn.ReLU(inplace=True), "mean": nn.Identity(), "tanh": nn.Tanh()}[after]

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.head(self.body(x))).mean((2, 3))


@contextmanager
def counted(model: Model, name: str) -> Iterator[list[int]]:
    """The samples that go through a module of any copy of the model."""
    seen: list[int] = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, args, _out: seen.append(len(args[0])) if type(m) is type(model.layer(name)) else None
    )
    try:
        yield seen
    finally:
        handle.remove()


def started(model: Model, data: TaskData, *, task: bool = False) -> Training:
    return get_option("head").start(model, data, SETTINGS, task_shift=task, device=CPU)


def trained(training: Training, option: Option | None = None) -> Model:
    result = train_to_target(option or get_option("head"), training, SETTINGS, meter=NoMeter())
    assert result.steps == 2 * result.steps_per_epoch
    return training.finish()


def test_the_backbone_sees_every_training_and_validation_sample_once(images: TaskData) -> None:
    model = build_model(CNN, data=images, seed=0)
    training = started(model, images)
    with counted(model, "blocks") as seen:  # ConvNet has one Sequential of blocks, of Sequentials
        trained(training)
    each = sum(type(m) is nn.Sequential for m in model.network.modules())
    assert sum(seen) == each * (len(images.train) + len(images.validation))


def test_a_model_that_meets_the_target_does_not_look_at_the_training_samples(images: TaskData) -> None:
    model = build_model(CNN, data=images, seed=0)
    training = started(model, images)
    easy = SETTINGS.model_copy(update={"until": 0.001})
    with counted(model, "blocks") as seen:
        result = train_to_target(get_option("head"), training, easy, meter=NoMeter())
    each = sum(type(m) is nn.Sequential for m in model.network.modules())
    assert result.steps == 0 and sum(seen) == each * len(images.validation)


class Plain(Training):
    """The head trained within the network, whose backbone is in evaluation mode, step by step."""

    def train_mode(self) -> None:
        self.model.eval()


@pytest.mark.parametrize("task", [False, True])
@pytest.mark.parametrize("which", ["cnn", "perceptron with dropout", "relu", "mean"])
def test_it_equals_training_the_head_within_the_frozen_network(which: str, task: bool) -> None:
    if which == "perceptron with dropout":
        source, target = blobs(classes=3), blobs(classes=5 if task else 3, seed=1)
        model = normed(source)
    else:
        source = digits(120)
        target = source
        network = None if which == "cnn" else Pooled(10, after=which)
        model = build_model(CNN, data=source, seed=0) if network is None else load_model(network, data=source)
    option = get_option("head")
    prepared = option.prepare(model, target, task_shift=task, seed=SETTINGS.seed)
    names = {n: p for n, p in prepared.network.named_parameters() if n.startswith("head.")}
    assert set(names) == {"head.weight", "head.bias"}
    plain = trained(Plain(prepared, target.train, target.validation, names), option)
    cached = trained(started(model, target, task=task))
    before = weights(option.prepare(model, target, task_shift=task, seed=SETTINGS.seed))
    for (name, a), b in zip(weights(plain).items(), weights(cached).values(), strict=True):
        assert torch.allclose(a, b, atol=1e-5, rtol=1e-5), name
        assert torch.equal(b, before[name]) is (name not in names), name
    assert evaluate(plain, target.test).loss == pytest.approx(evaluate(cached, target.test).loss, rel=1e-4)


def test_a_head_whose_output_is_not_what_the_logits_follow_from_is_trained_within_the_network(
    images: TaskData,
) -> None:
    """The same steps as by hand, with the backbone frozen in evaluation mode, and nothing stored."""
    model = load_model(Pooled(10, after="tanh"), data=images, head="head")
    option = get_option("head")
    prepared = option.prepare(model, images, task_shift=False, seed=SETTINGS.seed)
    names = {n: p for n, p in prepared.network.named_parameters() if n.startswith("head.")}
    plain = trained(Plain(prepared, images.train, images.validation, names), option)
    training = started(model, images)
    done = trained(training)
    assert not training.stored and training.cache_bytes == 0
    assert same(weights(plain), weights(done))


def test_a_cache_too_large_for_the_memory_is_told(images: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    training = started(build_model(CNN, data=images, seed=0), images)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    with pytest.raises(ModelError, match=r"the head's inputs take .* GiB .* fewer samples \(limit=\)"):
        training.open()


def test_the_cache_is_in_the_stated_memory(images: TaskData) -> None:
    training = started(build_model(CNN, data=images, seed=0), images)
    without = training_state_bytes(get_option("head"), training, SETTINGS)
    training.open()
    first = training.cache_bytes
    training.begin()
    kept = [split.inputs for split in (training.train, training.validation) if isinstance(split, CachedSplit)]
    assert first == training.cache_bytes == sum(t.numel() * t.element_size() for t in kept)  # type: ignore[union-attr]
    assert training_state_bytes(get_option("head"), training, SETTINGS) == without + first
    assert isinstance(training.model, HeadModel) and not isinstance(training.finish(), HeadModel)


def test_small_bites_give_the_same_cache(images: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(CNN, data=images, seed=0)
    caches = []
    for size in (256, 7):
        monkeypatch.setattr(head_module, "BATCH", size)
        training = started(model, images)
        training.open()
        caches.append(training.validation.all())
    assert torch.equal(caches[0].labels, caches[1].labels)
    assert torch.allclose(caches[0].inputs, caches[1].inputs, atol=1e-6)


def test_probe_and_pilot(images: TaskData) -> None:
    update = Update(build_model(CNN, data=images, seed=0), images, images, False, CPU)
    before = weights(update.model)
    signals = pilot_signals(update, "head", SETTINGS)
    assert (signals["pilot_gradient_norm"] or 0) > 0 and signals["pilot24_loss"] is not None
    probe = probe_option(
        get_option("head"), update, SETTINGS, Accounting("watts:20", region="DE"), budget_s=0.05
    ).step
    assert probe.seconds_of_preparation > 0 and probe.seconds_per_step > 0
    assert all(torch.equal(value, before[name]) for name, value in weights(update.model).items())


class Last(nn.Module):
    """A head on every token, whose logits are the last one's, as decoders give them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 7), nn.Linear(7, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1, 2)))[:, -1]


def test_the_input_of_the_token_that_gives_the_logits_is_kept(images: TaskData) -> None:
    torch.manual_seed(0)
    model = load_model(Last(), data=images)
    option = get_option("head")
    prepared = option.prepare(model, images, task_shift=False, seed=SETTINGS.seed)
    names = {n: p for n, p in prepared.network.named_parameters() if n.startswith("head.")}
    plain = trained(Plain(prepared, images.train, images.validation, names), option)
    training = started(model, images)
    done = trained(training)
    assert training.stored and tuple(training.train.all().inputs.shape) == (len(images.train), 7)
    for (name, a), b in zip(weights(plain).items(), weights(done).values(), strict=True):
        assert torch.allclose(a, b, atol=1e-5, rtol=1e-5), name
