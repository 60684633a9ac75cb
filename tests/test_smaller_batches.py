"""Where memory runs out within a sweep or an evaluation, its batches are halved, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from foretoll.data import TaskData
from foretoll.errors import ModelError
from foretoll.models import Model, load_model
from foretoll.quality import evaluate
from foretoll.representation import Features, sweep
from foretoll.smaller_batches import SmallerBatches
from options.making import blobs

ERRORS: dict[str, Callable[[], Exception]] = {
    "on a GPU": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "on a CPU": lambda: RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
    ),
    "of Python": MemoryError,
}


class Cramped(nn.Module):
    """Fits so many samples at once."""

    def __init__(self, fits: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.fits, self.error, self.seen = 10**9, error, list[int]()
        self.wanted = fits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        hidden = self.body(x)
        if len(x) > self.fits:
            raise self.error()
        outputs: torch.Tensor = self.head(hidden.relu())
        return outputs


def model(data: TaskData, fits: int, error: Callable[[], Exception] = MemoryError) -> Model:
    network = Cramped(fits, error)
    loaded = load_model(network, data=data)
    network.fits = fits
    network.seen.clear()
    return loaded


@pytest.mark.parametrize("kind", ERRORS)
def test_an_evaluation_goes_on_in_smaller_batches(kind: str) -> None:
    data = blobs()
    cramped, roomy = model(data, 5, ERRORS[kind]), model(data, 10**9)
    found = evaluate(cramped, data.train, batch_size=32)
    whole = evaluate(roomy, data.train, batch_size=32)
    assert found.quality == whole.quality
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)
    assert found.samples == whole.samples
    sizes: list[int] = cramped.network.seen  # type: ignore[assignment]
    assert [size for size in sizes if size > 5] == [32, 16, 8], "it is halved for good"


@pytest.mark.parametrize("kind", ERRORS)
def test_a_sweep_gives_its_consumers_the_same_batches(kind: str) -> None:
    data = blobs()
    both: list[list[Features]] = []
    for fits in (5, 10**9):
        batches: list[Features] = []
        swept = model(data, fits, ERRORS[kind])
        assert sweep(swept, data.train, [batches.append], layers=["body"], batch_size=32) == len(data.train)
        assert not swept.network.body._forward_hooks  # type: ignore[union-attr]
        both.append(batches)
    for small, whole in zip(*both, strict=True):
        assert torch.equal(small.ids, whole.ids)
        assert torch.equal(small.labels, whole.labels)
        torch.testing.assert_close(small.representations, whole.representations)
        torch.testing.assert_close(small.logits, whole.logits)
        torch.testing.assert_close(small.layers["body"], whole.layers["body"])


def test_memory_for_not_even_one_sample_is_an_error() -> None:
    data = blobs()
    for error in (MemoryError, ERRORS["on a CPU"]):
        with pytest.raises((MemoryError, RuntimeError)):
            evaluate(model(data, 0, error), data.train)


def test_another_error_is_not_tried_again() -> None:
    data = blobs()
    broken = model(data, 5, lambda: RuntimeError("shapes do not fit"))
    with pytest.raises(ModelError):
        evaluate(broken, data.train, batch_size=32)
    assert broken.network.seen == [32]


def test_parts_cover_a_batch_once_in_order() -> None:
    smaller, tried = SmallerBatches(), list[int]()

    def work(rows: slice) -> list[int]:
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise MemoryError
        return list(range(rows.start, rows.stop))

    for count in (13, 2, 7):
        assert [row for part in smaller.parts(count, work) for row in part] == list(range(count))
    assert smaller.most == 3
    assert max(tried[3:]) <= 3
    assert smaller.parts(0, work) == []
