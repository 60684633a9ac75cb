"""Heads of every kind are found, taken where they are named, and replaced; what cannot be says why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError
from foretoll.measure import NoMeter
from foretoll.models import fresh_copy, load_model, save_checkpoint
from foretoll.options import get_option, train_to_target
from foretoll.records import TrainingSettings

SETTINGS = TrainingSettings(until=1.0, batch_size=16, max_epochs=1)


def body() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class OwnLinear(nn.Module):
    """A linear layer that is no torch layer, its weight (inputs, out)."""

    def __init__(self, inputs: int, out: int) -> None:
        super().__init__()
        self.out_dim = out
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, out)), nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class NormLinear(nn.Linear):
    """A subclass that computes something else: cosines."""

    def forward(self, x: Tensor) -> Tensor:
        return 4 * F.linear(F.normalize(x.div_(2.0)), F.normalize(self.weight))


class Net(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.body, self.fc = body(), head

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))


class Cosine(nn.Module):
    """Uses its head's weights itself: the head is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = body(), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * F.linear(F.normalize(self.body(x)), F.normalize(self.fc.weight))


class Two(nn.Module):
    """A distilled network: two heads, averaged; or a class token's head beside the largest of the tokens'."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.a, self.b = nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(1, 2)  # (n, 8, 8)
        if self.how == "mean":
            return (self.a(tokens[:, 0]) + self.b(tokens[:, 1])) / 2
        return self.a(tokens[:, 0]) + 0.5 * self.b(tokens[:, 1:]).amax(1)


NAMED: dict[str, tuple[Callable[[], nn.Module], dict[str, str]]] = {
    "own class": (lambda: Net(OwnLinear(5, 10)), {"head": "fc"}),
    "own subclass": (lambda: Net(NormLinear(5, 10)), {}),
    "a head with layers": (lambda: Net(nn.Sequential(nn.Dropout(0.1), nn.Linear(5, 10))), {"head": "fc"}),
    "cosine": (Cosine, {"head": "fc", "embedding_layer": "body"}),
    "two heads": (lambda: Two("mean"), {}),
    "an auxiliary head": (lambda: Two("max"), {}),
}


@pytest.fixture(scope="module")
def digits() -> TaskData:
    return open_data("digits?limit=80")


@pytest.mark.parametrize("which", NAMED)
def test_a_head_is_taken_replaced_and_trained(which: str, digits: TaskData, tmp_path: Path) -> None:
    make, names = NAMED[which]
    torch.manual_seed(0)
    model = load_model(make(), data=digits, **names)  # type: ignore[arg-type]
    target = open_data("digits?limit=80&classes=3,5,8")
    for option in ("head", "finetune"):
        for task, data in ((False, digits), (True, target)):
            chosen = get_option(option)
            training = chosen.start(model, data, SETTINGS, task_shift=task, device=torch.device("cpu"))
            before = {name: p.detach().clone() for name, p in training.model.network.named_parameters()}
            result = train_to_target(chosen, training, SETTINGS, meter=NoMeter())
            assert result.steps and (result.parameter_change or 0) > 0, before
            served = training.finish().eval()
            with torch.no_grad():
                logits = served(data.test.all().inputs)
            assert logits.shape == (len(data.test), data.num_classes) and bool(torch.isfinite(logits).all())
    first, again = (model.with_new_head(["a", "b", "c"], seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    save_checkpoint(first, tmp_path)
    loaded = load_model(make(), data=target, weights=tmp_path, classes=["a", "b", "c"])
    assert torch.equal(loaded.eval()(target.test.all().inputs), first.eval()(target.test.all().inputs))


@pytest.mark.parametrize("which", ["own class", "a head with layers", "cosine"])
def test_a_named_head_is_taken_from_scratch_too(which: str, digits: TaskData, tmp_path: Path) -> None:
    """Of a factory, which builds the network anew; and of one whose outputs have other classes."""
    _, names = NAMED[which]
    sys.modules["own_heads"] = module = ModuleType("own_heads")
    module.build = NAMED[which][0]  # type: ignore[attr-defined]
    save_file(NAMED[which][0]().state_dict(), tmp_path / "w.safetensors")
    model = load_model("own_heads:build", data=digits, weights=tmp_path / "w.safetensors", **names)  # type: ignore[arg-type]
    for data in (digits, open_data("digits?limit=80&classes=3,5,8")):
        fresh = fresh_copy(model, data, seed=1)
        assert fresh.head_name == "fc" and fresh.embedding_name == names.get("embedding_layer")
        assert fresh(data.test.all().inputs).shape == (len(data.test), data.num_classes)


def test_heads_beside_the_head_are_found(digits: TaskData) -> None:
    for how in ("mean", "max"):
        assert set(load_model(Two(how), data=digits).head_names()) == {"a", "b"}


def test_a_hidden_layer_as_wide_as_the_classes_is_no_second_head(digits: TaskData) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10))
    assert load_model(network, data=digits).head_names() == ("3",)


def test_a_head_that_is_never_called_asks_for_the_layer_before_it(digits: TaskData) -> None:
    with pytest.raises(ModelError, match=r"'fc' is never called .* also the layer .*--embedding-layer NAME"):
        load_model(Cosine(), data=digits, head="fc")


def test_a_number_of_classes_in_the_forward_is_told(digits: TaskData) -> None:
    class Written(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.body(x)).view(-1, 10)

    model = load_model(Written(nn.Linear(5, 10)), data=digits)
    with pytest.raises(ModelError, match="the number of classes is written into its forward"):
        model.with_new_head(["a", "b", "c"], seed=0)


class Squeezed(Net):
    """Loses its batch axis for one sample; `where` it says so itself, or a later layer fails."""

    def __init__(self, where: str) -> None:
        super().__init__(nn.Linear(5, 10))
        self.where, self.norm = where, nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x).squeeze()
        return self.fc(self.norm(z) if self.where == "a layer fails" else z)


@pytest.mark.parametrize("where", ["the end", "a layer fails"])
def test_a_network_without_a_batch_axis_for_one_sample_is_told_at_loading(
    where: str, digits: TaskData
) -> None:
    with pytest.raises(
        ModelError, match=r"batch of one.*squeeze\(\) without an axis; write squeeze\(dim\)"
    ) as told:
        load_model(Squeezed(where), data=digits)
    assert len(str(told.value)) <= 300 and "\n" not in str(told.value)


class OfTwo(Net):
    """Refuses a batch of one for a reason of its own."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 2:
            raise RuntimeError("pairs are compared: give two at least")
        return self.fc(self.body(x))


def test_another_fault_on_a_batch_of_one_is_not_laid_on_squeeze(digits: TaskData) -> None:
    with pytest.raises(ModelError, match=r"batch of one.*pairs are compared") as said:
        load_model(OfTwo(nn.Linear(5, 10)), data=digits)
    assert "squeeze" not in str(said.value)


def test_the_new_head_of_torchs_own_layers_is_as_it_was(digits: TaskData) -> None:
    """A plain Linear in its own initialisation from the seed."""
    model = load_model(Net(nn.Linear(5, 10)), data=digits).with_new_head(["a", "b"], seed=7)
    torch.manual_seed(7)
    wanted = nn.Linear(5, 2)
    assert torch.equal(model.network.fc.weight, wanted.weight)  # type: ignore[union-attr]
    assert torch.equal(model.network.fc.bias, wanted.bias)  # type: ignore[union-attr]
