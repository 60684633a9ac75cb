"""The sweep's own layout of a batch changes nothing but the time it takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foretoll.data import ArraySplit, open_data
from foretoll.models import Model, load_model
from foretoll.representation import BITE, Features, sweep


class Viewing(nn.Module):
    """A network that takes no other memory format than the usual one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8 * 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        logits: Tensor = self.head(y.view(len(x), -1))
        return logits


class InPlace(nn.Module):
    """A network whose activation overwrites the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 16), nn.ReLU(inplace=True))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x))
        return logits


def wrapped(network: nn.Module, images: Tensor) -> Model:
    data = open_data((images.permute(0, 2, 3, 1).numpy(), torch.arange(len(images)).numpy() % 4))
    return load_model(network, data=data).eval()


def pooled(model: Model, split: ArraySplit, layer: str) -> tuple[Tensor, Tensor]:
    found: list[Features] = []
    sweep(model, split, [found.append], layers=[layer], batch_size=100)
    return torch.cat([f.logits for f in found]), torch.cat([f.layers[layer] for f in found])


@pytest.mark.parametrize("channels", [1, 3])
def test_small_bites_with_channels_last_give_the_plain_passes_values(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    n = 3 * BITE * torch.get_num_threads() + 5
    images = torch.randint(0, 256, (n, channels, 9, 8), generator=generator, dtype=torch.uint8)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    model = wrapped(network, images)
    split = ArraySplit(images, torch.zeros(n, dtype=torch.int64))
    logits, layer = pooled(model, split, "0")
    with torch.no_grad():
        prepared = model.prepare(images)
        assert torch.allclose(logits, model(images), atol=1e-5)
        assert torch.allclose(layer, network[0](prepared).flatten(2).mean(2), atol=1e-5)


def test_a_network_that_views_its_feature_maps_gets_them_as_stored() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    model = wrapped(Viewing(), images)
    logits, _ = pooled(model, ArraySplit(images, torch.zeros(40, dtype=torch.int64)), "conv")
    with torch.no_grad():
        assert torch.allclose(logits, model(images), atol=1e-5)


def test_layers_keep_their_values_before_an_activation_in_place() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    model = wrapped(InPlace(), images)
    _, layer = pooled(model, ArraySplit(images, torch.zeros(40, dtype=torch.int64)), "body.1")
    assert bool((layer < 0).any())
