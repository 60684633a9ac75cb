"""A network may write into what it is given: the data that foretoll and the user hold never change by it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.indices.gradients import gradient_norms, linearised_signals
from foretoll.indices.survey import survey
from foretoll.measure import NoMeter, Timing, probe_inference
from foretoll.models import Model, load_model
from foretoll.models.preprocess import TextPreprocess
from foretoll.options import OPTIONS
from foretoll.owned import owned
from foretoll.quality import evaluate
from foretoll.records import ModelCard, Preprocessing, TrainingSettings
from foretoll.representation import Features, sweep
from foretoll.workflows import Accounting

SETTINGS = TrainingSettings(batch_size=32, max_epochs=0.5, until=1.0)
NOTHING = Accounting(energy="none", region="DE")


class Scale(nn.Module):
    """Standardises its input in place, as many a forward does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, v: Tensor) -> Tensor:
        v -= 1.0
        v /= 2.0
        return self.net(v)


class Grey(nn.Module):
    """A first activation in place, on images that are stored as floats."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.first(x.clamp_(0.2, 0.8))))


class Stacked(nn.Module):
    """Grey images expanded to three channels, then written into."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x.mul_(2.0)).mean((2, 3)))


def arrays(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 150)
    return random.random((150, *shape), dtype=np.float32), labels


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vectors": (Scale, (6,)),
    "images": (lambda: Grey(nn.ReLU(inplace=True)), (1, 6, 6)),
    "channels": (Stacked, (1, 6, 6)),
}


def _digest(data: TaskData) -> list[bytes]:
    return [split.all().inputs.numpy().tobytes() for split in (data.train, data.validation, data.test)]


@pytest.mark.parametrize("case", CASES)
def test_evaluations_repeat_and_the_data_stay(case: str) -> None:
    make, shape = CASES[case]
    torch.manual_seed(0)
    x, y = arrays(shape)
    before = x.copy()
    data = open_data((x, y))
    model = load_model(make(), data=data).eval()
    first = evaluate(model, data.test)
    assert first == evaluate(model, data.test)
    assert first.loss == pytest.approx(evaluate(model, data.test, batch_size=7).loss, rel=1e-5)
    wanted = torch.cat([model.network(model.preprocess(data.test.all().inputs.clone()).clone())])
    assert torch.equal(model(data.test.all().inputs), wanted)
    probe_inference(model, data.test, batch_size=16, device="cpu", meter_factory=NoMeter, timing=Timing(0.01))
    gradient_norms(model, data.train, SETTINGS)
    linearised_signals(model, data.train, SETTINGS, until=0.9)
    assert first == evaluate(model, data.test)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_changes_the_data(option: str) -> None:
    """Nor what its training keeps: the quality afterwards is that of the model that comes out."""
    torch.manual_seed(0)
    network = Grey(nn.ReLU(inplace=True))
    x, y = arrays((1, 6, 6))
    tensors = TensorDataset(torch.from_numpy(x.copy()), torch.from_numpy(y))
    source, target = open_data((x, y)), open_data((x[::-1].copy() * 0.9, y[::-1].copy()))
    theirs = open_data(tensors)
    before = [*_digest(source), *_digest(target), *_digest(theirs), x.tobytes()]
    for there in (target, theirs):
        foretoll.retrain(
            load_model(network, data=source),
            source,
            there,
            option=option,
            settings=SETTINGS,
            accounting=NOTHING,
        )
    assert [*_digest(source), *_digest(target), *_digest(theirs), x.tobytes()] == before
    assert tensors.tensors[0].numpy().tobytes() == x.tobytes()


def test_an_estimate_and_a_comparison_change_no_data() -> None:
    torch.manual_seed(0)
    x, y = arrays((1, 6, 6))
    data = open_data((x, y))
    before = _digest(data)
    asked: dict[str, Any] = {"until": 0.9, "settings": SETTINGS, "accounting": NOTHING}
    found = foretoll.estimate(Grey(nn.ReLU(inplace=True)), data, data, **asked)
    foretoll.compare([Grey(nn.ReLU(inplace=True))], data, data, options=["head"], **asked)
    assert _digest(data) == before and x.tobytes() == arrays((1, 6, 6))[0].tobytes()
    assert found.indices["resque"].value == pytest.approx(0, abs=1e-9)


class InPlace(nn.Module):
    """Works in place on what hooks have seen: the embedding layer's output, the head's input and output."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.act = nn.Linear(6, 8), nn.ReLU(inplace=inplace)
        self.second, self.head, self.inplace = nn.Linear(8, 5), nn.Linear(5, 3), inplace

    def forward(self, x: Tensor) -> Tensor:
        z = self.second(self.act(self.first(x)))
        logits = self.head(z)
        if self.inplace:
            z.zero_()
            logits.div_(0.5)
            return logits
        return logits / 0.5


@pytest.mark.parametrize("layer", [None, "first", "second"])
def test_what_a_hook_keeps_is_what_the_layer_gave(layer: str | None) -> None:
    data = open_data(arrays((6,)))
    seen: list[Features] = []
    for inplace in (False, True):
        model = load_model(InPlace(inplace), data=data, head="head", embedding_layer=layer)
        sweep(model, data.train, [seen.append], layers=("first", "second"), batch_size=1000)
    plain, inside = seen
    assert (
        torch.equal(plain.representations, inside.representations) and float(plain.representations.min()) < 0
    )
    assert torch.equal(plain.logits, inside.logits)
    assert all(torch.equal(plain.layers[name], inside.layers[name]) for name in plain.layers)


def _after(inplace: bool) -> nn.Module:
    torch.manual_seed(1)
    embedding, act = nn.Linear(6, 8), nn.ReLU(inplace=inplace)
    return nn.Sequential(OrderedDict(embedding=embedding, act=act, head=nn.Linear(8, 3)))


def test_indices_do_not_depend_on_whether_the_next_layer_works_in_place() -> None:
    x, y = arrays((6,))
    source, target = open_data((x, y)), open_data((x * 0.8 + 0.3, y))
    found = []
    for inplace in (False, True):
        model = load_model(_after(inplace), data=source, embedding_layer="embedding")
        found.append(survey(model, source, target, SETTINGS, task_shift=False))
    plain, inside = found
    assert {"resque", "logme", "mmd", "probe_accuracy"} <= plain.signals.keys()
    assert plain.signals == inside.signals


class Buffered(nn.Module):
    """Gives the same memory each time."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.out = torch.empty(0, 3)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.out) < len(x):
            self.out = torch.empty(len(x), 3)
        with torch.no_grad():
            return self.out[: len(x)].copy_(self.head(x))


def test_outputs_in_memory_that_the_network_uses_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(arrays((6,)))
    model = load_model(Buffered(), data=data, head="head")
    found: list[Features] = []
    sweep(model, data.train, [found.append], batch_size=40)
    inputs = data.train.all().inputs
    wanted = model.network.head(inputs).detach()  # type: ignore[operator,union-attr]
    torch.testing.assert_close(torch.cat([f.logits for f in found]), wanted)


def test_token_ids_stay() -> None:
    """A text model that marks padding in its own input."""

    class Masking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            input_ids[attention_mask == 0] = 8
            attention_mask.zero_()
            return self.head(self.embed(input_ids).mean(1))

    plan = Preprocessing(kind="text", max_length=5)
    card = ModelCard(
        arch="x:y", family="other", num_classes=3, classes=("a", "b", "c"), preprocessing=plan, head="head",
        parameters=0, has_batch_norm=False,
    )  # fmt: skip
    model = Model(Masking(), card)
    assert isinstance(model.preprocess, TextPreprocess)
    ids = torch.randint(0, 8, (4, 5), generator=torch.Generator().manual_seed(0))
    kept = ids.clone()
    first = model.embed_and_classify(ids)
    assert torch.equal(ids, kept)
    assert all(torch.equal(a, b) for a, b in zip(first, model.embed_and_classify(ids), strict=True))


def test_a_network_that_keeps_its_activations_can_be_copied() -> None:
    class Keeping(nn.Module):
        kept: Any = None

        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            z = self.body(x)
            self.kept = {"features": [z]}
            return self.head(z)

    data = open_data(arrays((6,)))
    model = load_model(Keeping(), data=data)
    model(data.train.all().inputs)
    twin = model.clone()
    assert torch.equal(twin.network.kept["features"][0], model.network.kept["features"][0])  # type: ignore[index,union-attr,operator]


def test_only_shared_memory_is_copied() -> None:
    x = torch.rand(4, 3)
    y = x + 1
    assert owned(y, x) is y
    assert owned(x, x) is not x and torch.equal(owned(x, x), x)
    assert owned(x[1:], x).data_ptr() != x[1:].data_ptr()
    spread = torch.rand(4, 1).expand(4, 3)
    assert owned(spread, x).is_contiguous() and torch.equal(owned(spread, x), spread)
    both = owned({"a": x, "b": y}, {"ids": x})
    assert both["b"] is y and both["a"] is not x
