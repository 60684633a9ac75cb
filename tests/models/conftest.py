"""Data for the tests of the models: real digits, and small arrays of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretoll.data import TaskData, open_data


@pytest.fixture(scope="session")
def digits() -> TaskData:
    return open_data("digits")


@pytest.fixture(scope="session")
def colour() -> TaskData:
    """Random RGB images, 24 × 20, three classes."""
    return _arrays((3, 24, 20), "uint8")


@pytest.fixture(scope="session")
def vectors() -> TaskData:
    return _arrays((7,), "float32")


@pytest.fixture(scope="session")
def series() -> TaskData:
    return _arrays((2, 30), "float32")


def _arrays(shape: tuple[int, ...], dtype: str) -> TaskData:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    if dtype == "uint8":
        x = random.integers(0, 256, (60, *shape), dtype=np.uint8)
    else:
        x = (random.normal(size=(60, *shape)) * 3 + 100).astype(np.float32)
    return open_data((x, labels))


def noise(data: TaskData, n: int = 5) -> torch.Tensor:
    """The first n stored samples of the test split."""
    inputs: torch.Tensor = next(iter(data.test.batches(n))).inputs
    return inputs
