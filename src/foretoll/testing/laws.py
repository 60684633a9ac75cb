"""What all checks share: the error of a broken law, and small data and models to try a part on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from foretoll.data import TaskData, open_data
from foretoll.errors import ForetollError
from foretoll.models import Model, load_model


class ContractError(ForetollError, AssertionError):
    """A part breaks a law of its kind; the sentence says which one, and what it did instead."""


def hold(law: bool, broken: str) -> None:
    """Raise ContractError with the sentence unless the law holds."""
    if not law:
        raise ContractError(broken)


def small_data(*, classes: int = 3, distance: float = 2.0, seed: int = 0, samples: int = 200) -> TaskData:
    """Vectors of six numbers, one Gaussian heap a class, `distance` standard deviations from the others; 60/20/20."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    inputs = random.normal(size=(samples, 6)).astype(np.float32)
    inputs[np.arange(samples), labels] += distance
    return open_data((inputs, labels))


class _Perceptron(nn.Module):
    """It has what options differ in: a normalisation with statistics, dropout, a body and a head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, 6) to logits (B, C)."""
        logits: Tensor = self.head(self.body(x))
        return logits


def small_model(data: TaskData, *, seed: int = 0) -> Model:
    """A fresh network with batch norm and dropout for `small_data`; torch's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Perceptron(data.num_classes)
    return load_model(network, data=data)


def weights(model: Model) -> dict[str, Tensor]:
    """A copy of everything that a training could change, buffers included."""
    return {name: value.detach().clone() for name, value in model.network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether both hold the same tensors under the same names, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
