"""Small tasks and models that train in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.models import Model, build_model, load_model

MLP = "foretoll:mlp?width=8&depth=1"
CNN = "foretoll:cnn?width=4"


def blobs(
    n: int = 200, *, classes: int = 3, distance: float = 2.0, seed: int = 0, labelled: bool = True
) -> TaskData:
    """Vectors of six numbers, one Gaussian heap a class; 60/20/20."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    inputs = random.normal(size=(n, 6)).astype(np.float32)
    inputs[np.arange(n), labels] += distance
    return open_data((inputs, labels if labelled else None))


def noise(n: int = 200, *, seed: int = 0) -> TaskData:
    """Vectors whose two classes cannot be told apart."""
    random = np.random.default_rng(seed)
    return open_data((random.normal(size=(n, 6)).astype(np.float32), random.integers(0, 2, n)))


def digits(limit: int = 160) -> TaskData:
    """Real images, a few of them."""
    return open_data(f"digits?limit={limit}")


def mlp(data: TaskData, seed: int = 0) -> Model:
    """A fresh multilayer perceptron for these data."""
    return build_model(MLP, data=data, seed=seed)


class Normed(nn.Module):
    """A perceptron with batch norm and dropout, for vectors of six numbers."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def normed_network(num_classes: int = 3) -> nn.Module:
    """What a checkpoint folder names to be built again."""
    return Normed(num_classes)


def normed(data: TaskData, seed: int = 0) -> Model:
    """A fresh perceptron with batch norm for these data."""
    return load_model("options.making:normed_network", data=data, seed=seed)


def weights(model: Model) -> dict[str, Tensor]:
    """A copy of everything that training could change, buffers included."""
    return {name: value.detach().clone() for name, value in model.network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of weights are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Recorded(ArraySplit):
    """A split that writes down, in order, each time somebody reads its samples or labels."""

    def __init__(self, split: ArraySplit, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        super().__init__(split.inputs, split.labels, ids=split.ids)

    @property
    def labels(self) -> Tensor | None:  # type: ignore[override]  # an attribute that tells when it is read
        self.log.append(self.name)
        return self._stored

    @labels.setter
    def labels(self, value: Tensor | None) -> None:
        self._stored = value

    def take(self, indices: Tensor) -> Recorded:
        """A part of it, writing to the same log."""
        self.log.append(self.name)
        twin = ArraySplit(self._read(indices), None if self._stored is None else self._stored[indices])
        twin.ids = self.ids[indices]
        return Recorded(twin, self.name, self.log)

    def _read(self, positions: Tensor):  # type: ignore[no-untyped-def]
        self.log.append(self.name)
        return super()._read(positions)

    def _range(self, start: int, stop: int):  # type: ignore[no-untyped-def]
        self.log.append(self.name)
        return super()._range(start, stop)


def recorded(data: TaskData, log: list[str], prefix: str = "") -> TaskData:
    """The same data, its three parts recorded as `prefix` + train, validation and test."""
    parts = {
        name: Recorded(getattr(data, name), f"{prefix}{name}", log)
        for name in ("train", "validation", "test")
    }
    return TaskData(data.card, **parts, reference=data.reference)
