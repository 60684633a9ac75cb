"""Layers whose rows are not the samples: folded by sample where that can be told, left out where not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError
from foretoll.indices.survey import survey
from foretoll.models import comparable_layers, countable_layers, load_model
from foretoll.models.rows import pool_rows
from foretoll.records import TrainingSettings
from foretoll.representation import Features, sweep

DIM = 6


class Windows(nn.Module):
    """Tokens cut into windows in four ways, beside a table of positions, on inputs of 16 tokens."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.inner, self.table = nn.Linear(DIM, 8), nn.Linear(2, 9)
        self.head = nn.Linear(8, 3)
        self.positions: Tensor
        self.register_buffer("positions", torch.arange(6.0).view(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        tokens = x.view(n, 16, DIM)
        bias = self.table(self.positions).mean()
        if self.how == "windows":  # (n · 4, 4, DIM), the windows of a sample together
            y = self.inner(tokens.reshape(n * 4, 4, DIM)).reshape(n, 16, 8)
        elif self.how == "windows apart":  # (4 · n, 4, DIM), the samples of a window together
            cut = tokens.reshape(n, 4, 4, DIM).transpose(0, 1).reshape(4 * n, 4, DIM)
            y = self.inner(cut).reshape(4, n, 4, 8).transpose(0, 1).reshape(n, 16, 8)
        elif self.how == "sequence first":  # (16, n, DIM)
            y = self.inner(tokens.transpose(0, 1)).transpose(0, 1)
        else:  # (16, DIM): the mean over the batch, which belongs to no sample
            y = tokens @ self.inner.weight.T + self.inner(tokens.mean(0)).mean()
        return self.head(y.mean(1) + bias)


@pytest.fixture(scope="module")
def data() -> TaskData:
    random = np.random.default_rng(0)
    return open_data((random.random((60, 16 * DIM), dtype=np.float32), np.arange(60) % 3))


@pytest.mark.parametrize(
    ("how", "order"),
    [
        ("windows", "samples first"),
        ("windows apart", "samples last"),
        ("sequence first", "second axis"),
        ("mixed", None),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3, 4, 16, 100])
def test_rows_are_given_to_their_samples(
    data: TaskData, how: str, order: str | None, batch_size: int
) -> None:
    """Also for 16 samples of 16 tokens and 3 of a table of 3, where the numbers of rows say nothing."""
    torch.manual_seed(0)
    model = load_model(Windows(how), data=data)
    found = comparable_layers(model)
    assert found.rows == ({"inner": order} if order else {})
    assert found.left_out == (("table",) if order else ("inner", "table")) or set(found.left_out) == {
        "table",
        "inner",
    }
    assert countable_layers(model) == list(found.rows)
    if order is None:
        return
    seen: list[Features] = []
    sweep(model, data.train, [seen.append], layers=found.rows, batch_size=batch_size)
    inputs = data.train.all().inputs
    wanted = model.network.inner(inputs.view(-1, 16, DIM)).mean(1)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(torch.cat([f.layers["inner"] for f in seen]), wanted, rtol=1e-5, atol=1e-6)


def test_what_is_left_out_is_said_and_the_rest_is_compared(data: TaskData) -> None:
    torch.manual_seed(0)
    model = load_model(Windows("windows"), data=data)
    seen = survey(model, data, data, TrainingSettings(until=0.9), task_shift=False, clean=data, samples=30)
    note = next(text for text in seen.warnings if "left out" in text)
    assert note == (
        "1 layer has no rows that belong to the samples (such as tables of positions) and is left out of ARM and "
        "PreIndex: 'table'"
    )
    assert {"arm", "preindex", "resque"} <= set(seen.indices)


def test_a_sequence_first_encoder(data: TaskData) -> None:
    """torch's own encoder, whose batch is the second axis by default."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.TransformerEncoderLayer(DIM, 2, 8, dropout=0.0)
            self.head = nn.Linear(DIM, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.blocks(x.view(-1, 16, DIM).transpose(0, 1)).mean(0))

    torch.manual_seed(0)
    model = load_model(Encoder(), data=data)
    found = comparable_layers(model)
    assert found.rows == {"blocks.linear1": "second axis", "blocks.linear2": "second axis"}


def test_a_layer_without_rows_is_refused_by_name(data: TaskData) -> None:
    model = load_model(Windows("windows"), data=data)
    with pytest.raises(ModelError, match="belong to no sample"):
        sweep(model, data.train, [], layers=("table",), batch_size=7)
    with pytest.raises(ModelError, match=r"'table' has 3 rows for a batch of 2"):
        load_model(Windows("windows"), data=data, embedding_layer="table")


@pytest.mark.parametrize("make", [nn.Linear, lambda a, b: nn.Conv1d(a, b, 1)])
def test_one_row_a_sample_is_as_before(make: Callable[[int, int], nn.Module]) -> None:
    layer = make(5, 7)
    x = torch.rand(3, 4, 7) if isinstance(layer, nn.Linear) else torch.rand(3, 7, 4)
    wanted = x.mean(1) if isinstance(layer, nn.Linear) else x.mean(2)
    assert torch.equal(pool_rows(x, layer, 3), wanted)
