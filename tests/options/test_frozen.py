"""What the user froze stays frozen; and from scratch means from fresh weights, whatever a factory loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from foretoll.data import TaskData, open_data
from foretoll.models import Model, fresh_copy, load_model
from foretoll.models.untrained import frozen_notes
from foretoll.options import get_option
from foretoll.options.base import Training
from foretoll.options.stepper import Stepper
from foretoll.records import TrainingSettings

SETTINGS = TrainingSettings(max_epochs=1, lr=0.01)


class Net(nn.Module):
    """Two layers, a table of constants, and a head."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.one = nn.Linear(64, 16)
        self.two = nn.Linear(16, 16)
        self.table = nn.Parameter(torch.linspace(-1, 1, 16), requires_grad=False)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.one(self.flat(x))) + self.table
        out: torch.Tensor = self.head(torch.relu(self.two(x)))
        return out


@pytest.fixture(scope="module")
def digits() -> TaskData:
    return open_data("digits?limit=300")


def _stepped(option: str, model: Model, data: TaskData, *, task_shift: bool = False) -> Training:
    chosen = get_option(option)
    training = chosen.start(model, data, SETTINGS, task_shift=task_shift, device=torch.device("cpu"))
    training.open()
    training.begin()
    training.train_mode()
    stepper = Stepper(training, chosen, SETTINGS)
    for batch in training.train.batches(64):
        stepper.take([batch])
    return training


def _model(data: TaskData, *frozen: str) -> Model:
    torch.manual_seed(0)
    network = Net()
    for name in frozen:
        network.get_submodule(name).requires_grad_(False)
    return load_model(network, data=data)


@pytest.mark.parametrize("option", ["finetune", "partial", "lora", "head"])
@pytest.mark.parametrize("task_shift", [False, True])
def test_frozen_layers_stay_as_they_are(option: str, task_shift: bool, digits: TaskData) -> None:
    if option == "lora":
        pytest.importorskip("peft")
    model = _model(digits, "one")
    before = {name: p.clone() for name, p in model.network.named_parameters()}
    training = _stepped(option, model, digits, task_shift=task_shift)
    assert not any(name.startswith(("one.", "table")) for name in training.trainable)
    after = dict(training.finish().network.named_parameters())
    for name in ("one.weight", "one.bias", "table"):
        assert torch.equal(after[name], before[name]), name
    assert not torch.equal(after["head.weight"], before["head.weight"])
    assert not model.network.one.weight.requires_grad  # the user's own flags are left alone
    assert model.network.two.weight.requires_grad


def test_the_answer_says_how_many(digits: TaskData) -> None:
    assert _model(digits, "one").card.notes == (
        "1,056 of 1,498 weights are frozen (requires_grad=False), and every option leaves them so",
    )
    assert frozen_notes(nn.Linear(3, 3)) == ()


def test_an_option_that_may_train_nothing_says_so(digits: TaskData) -> None:
    model = _model(digits, "one", "two", "head")
    for option in ("finetune", "partial", "lora"):
        why = get_option(option).suits(model, digits, task_shift=False)
        assert why is not None
        assert "frozen" in why
        if option != "lora":  # a new head can be trained
            assert get_option(option).suits(model, digits, task_shift=True) is None
    assert get_option("head").suits(model, digits, task_shift=False) is None
    training = _stepped("head", model, digits)
    assert set(training.trainable) == {"head.weight", "head.bias"}


def test_a_frozen_head_is_left_alone_by_options_that_train_others(digits: TaskData) -> None:
    pytest.importorskip("peft")
    for option in ("finetune", "partial", "lora"):
        model = _model(digits, "head")
        before = model.network.head.weight.clone()
        training = _stepped(option, model, digits)
        assert torch.equal(training.finish().network.get_submodule("head").weight, before)


def test_from_scratch_trains_fresh_layers_and_keeps_constants(digits: TaskData) -> None:
    model = _model(digits, "one")
    fresh = fresh_copy(model, digits, seed=1)
    assert not torch.equal(fresh.network.one.weight, model.network.one.weight)
    assert torch.equal(fresh.network.table, model.network.table)
    assert {n for n, p in fresh.network.named_parameters() if not p.requires_grad} == {"table"}


FACTORY = """
import torch
from torch import nn
from pathlib import Path

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pos_embed = nn.Parameter(torch.randn(8, 8, 8))
        self.scale = nn.Parameter(torch.randn(8, 1, 1))
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(((self.norm(self.conv(x)) + self.pos_embed) * self.scale).relu().mean((2, 3)))

def build(num_classes=10, scale=False):
    net = Net(num_classes)
    state = torch.load(Path(__file__).with_name("w.pt"), weights_only=True)
    drop = ("head.",) if scale else ("head.", "scale")
    net.load_state_dict({k: v for k, v in state.items() if not k.startswith(drop)}, strict=False)
    for p in net.conv.parameters():
        p.requires_grad_(False)
    return net
"""


def test_from_scratch_of_a_factory_that_loads_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: TaskData
) -> None:
    (tmp_path / "loads_weights.py").write_text(FACTORY, encoding="utf-8")
    torch.manual_seed(5)
    state = {
        "conv.weight": torch.randn(8, 1, 3, 3), "conv.bias": torch.randn(8), "norm.weight": torch.rand(8),
        "norm.bias": torch.randn(8), "norm.running_mean": torch.randn(8), "norm.running_var": torch.rand(8),
        "norm.num_batches_tracked": torch.tensor(7), "pos_embed": torch.randn(8, 8, 8), "scale": torch.rand(8, 1, 1),
    }  # fmt: skip
    torch.save(state, tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    model = load_model("loads_weights:build", data=digits)
    assert torch.equal(model.network.conv.weight, state["conv.weight"])
    one, two = fresh_copy(model, digits, seed=3), fresh_copy(model, digits, seed=3)
    for name, value in one.network.state_dict().items():
        assert name == "norm.num_batches_tracked" or not torch.equal(
            value, model.network.state_dict()[name]
        ), name
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert torch.equal(one.network.norm.running_mean, torch.zeros(8))
    assert all(p.requires_grad for p in one.network.parameters())
    loads_all = load_model("loads_weights:build?scale=true", data=digits)
    why = get_option("scratch").suits(loads_all, digits, task_shift=False)
    assert why is not None
    assert "it loads weights itself, and no layer can initialise 'scale' anew" in why
