"""A module in memory trained from scratch: every weight is fresh, or a sentence says which is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError
from foretoll.models import fresh_copy, load_model
from foretoll.options import get_option
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting


class Net(nn.Module):
    """Tokens of vectors through any layer, to three classes."""

    def __init__(self, layer: nn.Module, *, tokens: bool = False) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(6, 3)
        self.cls_token = nn.Parameter(torch.full((1, 1, 6), 5.0)) if tokens else None
        self.pos_embed = nn.Parameter(torch.full((1, 2, 6), 5.0)) if tokens else None

    def forward(self, x: Tensor) -> Tensor:
        z = x[:, None]
        if self.cls_token is not None and self.pos_embed is not None:
            z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1) + self.pos_embed
        z = self.layer(z)
        return self.head((z[0] if isinstance(z, tuple) else z).mean(1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.attention(x, x, x)


class Old(nn.Linear):
    """Writes its first values past autograd, as older code does."""

    def reset_parameters(self) -> None:
        self.weight.data.uniform_(-0.1, 0.1)
        self.bias.data.zero_()


class Scaled(nn.Linear):
    """A scale of its own that nothing initialises."""

    def __init__(self) -> None:
        super().__init__(6, 6)
        self.gamma = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gamma


class Asking(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 6)
        self.reset_parameters = self._reset  # type: ignore[method-assign,assignment]

    def _reset(self, gain: float) -> None:
        nn.init.constant_(self.weight, gain)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "tokens": lambda: nn.Linear(6, 6),
    "attention": Attention,
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 1),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(6, 6)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(6, 6)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(6, 6)),
    "older spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(6, 6)),
    "recurrent": lambda: nn.LSTM(6, 6, batch_first=True),
    "past autograd": lambda: Old(6, 6),
}


@pytest.fixture(scope="module")
def data() -> TaskData:
    random = np.random.default_rng(0)
    return open_data((random.normal(size=(90, 6)).astype(np.float32), np.arange(90) % 3))


@pytest.mark.parametrize("which", LAYERS)
def test_every_weight_is_fresh_and_from_the_seed_alone(which: str, data: TaskData) -> None:
    torch.manual_seed(0)
    network = Net(LAYERS[which](), tokens=which == "tokens")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if which != "orthogonal" or "parametrizations" not in name:
                parameter.fill_(0.7)
    model = load_model(network, data=data)
    one, two, other = (fresh_copy(model, data, seed=seed) for seed in (1, 1, 2))
    assert list(one.state_dict()) == list(model.state_dict()) or set(one.state_dict()) == set(
        model.state_dict()
    )
    for name, parameter in one.network.named_parameters():
        assert bool(torch.isfinite(parameter).all()), name
        assert not bool((parameter == 0.7).all()), name
        assert torch.equal(parameter, dict(two.network.named_parameters())[name]), name
    assert not torch.equal(
        torch.cat([p.flatten() for p in one.parameters()]),
        torch.cat([p.flatten() for p in other.parameters()]),
    )
    with torch.no_grad():
        assert torch.isfinite(one.eval()(data.test.all().inputs)).all()
        assert torch.isfinite(model.eval()(data.test.all().inputs)).all()
    assert bool((model.network.head.weight == 0.7).all())  # type: ignore[union-attr]  # the given one is untouched


def test_older_weight_norm_does_not_keep_the_trained_weights(data: TaskData) -> None:
    """Its weights are no parameters of the layer that resets itself: a reset alone changes nothing."""
    with pytest.warns(FutureWarning):
        network = Net(nn.utils.weight_norm(nn.Linear(6, 6)))
    model = load_model(network, data=data)
    before = model.network.layer.weight_v.clone()  # type: ignore[union-attr,operator]
    assert not torch.equal(fresh_copy(model, data, seed=0).network.layer.weight_v, before)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize(
    ("layer", "named"), [(Scaled, "'layer.gamma' has no layer"), (Asking, "'layer.weight'")]
)
def test_what_nothing_initialises_is_named(
    layer: Callable[[], nn.Module], named: str, data: TaskData
) -> None:
    model = load_model(Net(layer()), data=data)
    with pytest.raises(ModelError, match=f"cannot be trained from scratch: {named}"):
        fresh_copy(model, data, seed=0)
    assert named in str(get_option("scratch").suits(model, data, task_shift=False))


def test_an_alternative_that_cannot_serve_does_not_stop_the_answer(data: TaskData) -> None:
    torch.manual_seed(0)
    found = foretoll.estimate(
        Net(Scaled()),
        data,
        data,
        until=0.9,
        settings=TrainingSettings(batch_size=16),
        accounting=Accounting(energy="none", region="DE"),
        samples=60,
    )
    assert found.forecast.epochs is not None and "scratch" not in found.alternatives
    assert "'layer.gamma' has no layer that initialises it" in found.alternatives_why_not["scratch"]
    from foretoll.report.reasons import instead

    assert any("from scratch: cannot (" in sentence for sentence in instead(found).sentences)
