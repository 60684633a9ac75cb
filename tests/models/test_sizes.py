"""Images that a library's network cannot take are brought to its own size, and the answer says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError
from foretoll.models import build_model, load_model
from foretoll.models.sizes import own_size


@pytest.fixture(scope="module")
def digits() -> TaskData:
    return open_data("digits?limit=60")


class Inside(nn.Module):
    """A library's network within one of the user's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.expand(-1, 3, -1, -1))


def _vit(side: int) -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(side, 4, 1, 2, 16, 16, num_classes=10)


def _timm() -> nn.Module:
    timm = pytest.importorskip("timm")
    made: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=10)
    return made


@pytest.mark.parametrize(
    ("make", "size"),
    [(lambda: _vit(12), 12), (lambda: Inside(_vit(16)), 16), (lambda: _vit(4), 4), (_timm, 32)],
)
def test_a_module_in_memory_gets_its_own_size(make: Any, size: int, digits: TaskData) -> None:
    torch.manual_seed(0)
    network = make()
    assert own_size(network) == (size, size)
    model = load_model(network, data=digits)
    assert model.card.preprocessing.size == (size, size)
    assert model.card.notes == (
        f"the network fails on images of 8×8, so they are brought to {size}×{size}, its own size; name another one "
        "with the option input_size=",
    )
    assert model(digits.test.all().inputs).shape == (len(digits.test), 10)


def test_a_fresh_network_of_a_library_gets_its_own_size(digits: TaskData) -> None:
    model = build_model("torchvision:inception_v3", data=digits, seed=0)
    assert model.card.preprocessing.size == (299, 299) and "299×299, its own size" in model.card.notes[0]
    with pytest.raises(ModelError, match="the network fails on a batch of shape"):
        build_model("torchvision:inception_v3?input_size=20", data=digits, seed=0)


def test_a_network_that_fails_for_another_reason_keeps_its_error(digits: TaskData) -> None:
    class Broken(Inside):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("a wire is loose")

    with pytest.raises(ModelError, match="a wire is loose"):
        load_model(Broken(_vit(16)), data=digits)
    with pytest.raises(ModelError, match="fails on a batch of shape"):
        load_model(nn.Sequential(nn.Conv2d(1, 4, 16), nn.Flatten(), nn.Linear(4, 10)), data=digits)
