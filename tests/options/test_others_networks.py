"""Networks as other people write them: every option trains them a step, or says in one sentence why it cannot."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.data import open_data
from foretoll.errors import ForetollError, ModelError
from foretoll.measure import NoMeter
from foretoll.models import load_model
from foretoll.options import get_option, train_to_target
from foretoll.records import TrainingSettings

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(max_epochs=0.1, batch_size=16, lr=0.01)


def _body() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )


class Base(nn.Module):
    """A small convolutional network; `gives` is what its forward makes of features and head."""

    def __init__(self, gives: Callable[[Any, Tensor], Any] = lambda net, f: net.fc(f)) -> None:
        super().__init__()
        self.body, self.fc, self.gives = _body(), nn.Linear(32, 10), gives

    def forward(self, x: Tensor) -> Any:
        return self.gives(self, self.body(x))


class Output(OrderedDict[str, Tensor]):
    """As the outputs of transformers' models."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class Auxiliary(Base):
    """One output more while it is trained."""

    def __init__(self) -> None:
        super().__init__(lambda net, f: (net.fc(f), net.aux(f)) if net.training else net.fc(f))
        self.aux = nn.Linear(32, 10)


class Tied(Base):
    """Its head has the weights of an earlier layer."""

    def __init__(self) -> None:
        super().__init__(lambda net, f: net.fc(f + net.back(net.enc(f))))
        self.enc, self.back = nn.Linear(32, 10, bias=False), nn.Linear(10, 32, bias=False)
        self.fc = nn.Linear(32, 10, bias=False)
        self.fc.weight = self.enc.weight


class Shared(Base):
    """One layer three times, under two names."""

    def __init__(self) -> None:
        super().__init__(lambda net, f: net.fc(net.alias(F.relu(net.layer(F.relu(net.layer(f)))))))
        self.layer = nn.Linear(32, 32)
        self.alias = self.layer


class FrozenNorm(Base):
    """Its batch norm stays in evaluation mode."""

    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(mode)
        self.body[1].eval()
        return self


class Grouped(Base):
    """Convolutions in groups, one for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.Conv2d(8, 32, 3, groups=8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class Lazy(Base):
    """A head whose width the first batch tells."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(10)


class Double(Base):
    """All in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: Tensor) -> Any:
        return super().forward(x.to(next(self.parameters()).dtype))


class Loss(Base):
    """Its forward takes labels, too, and then gives a loss."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        logits = super().forward(x)
        return logits if y is None else (F.cross_entropy(logits, y), logits)


class Normed(Base):
    """Weight norm on its head, spectral norm on its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.utils.parametrizations.weight_norm(self.fc)
        self.body[0] = nn.utils.parametrizations.spectral_norm(self.body[0])


class Unused(Base):
    """A layer that nothing calls, and buffers of other types."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Linear(32, 7)
        self.register_buffer("waves", torch.ones(3, dtype=torch.complex64))
        self.register_buffer("limit", torch.tensor(float("inf")))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "dict": lambda: Base(lambda net, f: {"features": f, "logits": net.fc(f)}),
    "dict of one": lambda: Base(lambda net, f: {"out": net.fc(f)}),
    "tuple": lambda: Base(lambda net, f: (net.fc(f), f)),
    "ModelOutput": lambda: Base(lambda net, f: Output(logits=net.fc(f), hidden=f)),
    "view": lambda: Base(lambda net, f: net.fc(f).view(-1, 10)),
    "random": lambda: Base(lambda net, f: net.fc(F.dropout(f, 0.5, training=True))),
    "in place": lambda: Base(lambda net, f: net.fc(f).div_(0.5)),
    **{kind.__name__: kind for kind in (
        Auxiliary, Tied, Shared, FrozenNorm, Grouped, Lazy, Double, Loss, Normed, Unused,
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_option_works_or_says_why_not(name: str) -> None:
    data, new = open_data("digits?limit=80"), open_data("digits?limit=60&classes=3,5,8")
    torch.manual_seed(0)
    model = load_model(NETWORKS[name](), data=data)
    worked, refused = [], {}
    for option in map(get_option, ("head", "lora", "partial", "finetune", "scratch")):
        for target, task_shift in ((data, False), (new, True))[: 1 + (option.name == "finetune")]:
            try:
                option.require_suited(model, target, task_shift=task_shift)
                training = option.start(model, target, SETTINGS, task_shift=task_shift, device=CPU)
                done = train_to_target(option, training, SETTINGS, meter=NoMeter())
            except ForetollError as error:
                text = str(error)
                assert len(text) <= 300 and text.isprintable() and "\n" not in text
                refused[option.name, task_shift] = text
                continue
            assert done.curve[-1].loss == pytest.approx(done.curve[-1].loss)  # a number
            assert training.finish().num_classes == len(target.classes)
            worked.append((option.name, task_shift))
    assert ("finetune", False) in worked
    if name == "Tied":  # what is stored before its head would change with the head's weights
        assert "train an earlier layer too, whose weights the head" in refused["head", False]
    else:
        assert ("head", False) in worked


def test_a_tuple_whose_first_tensor_is_no_logits_is_told() -> None:
    with pytest.raises(
        ModelError, match=r"no layer looks like the head of 32 classes.*called last were: .*'fc'"
    ):
        load_model(Base(lambda net, f: (f, net.fc(f))), data=open_data("digits?limit=80"))
