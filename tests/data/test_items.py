"""Datasets, arrays and tables of a user whose own code fails, lies or gives nothing: one sentence names the item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from foretoll.data import open_data
from foretoll.errors import DataError

N = 60
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 3


class Rows(Dataset[Any]):
    def __init__(self, item: Callable[[int], Any], length: Callable[[], Any] = lambda: N) -> None:
        self.item, self.length = item, length

    def __getitem__(self, row: int) -> Any:
        return self.item(row)

    def __len__(self) -> int:
        return self.length()  # type: ignore[no-any-return]


def good(row: int) -> Any:
    return X[row], int(Y[row])


def fails(*_: Any) -> Any:
    raise KeyError("\x1b[31mno\nsuch row" + "x" * 1000)


@pytest.mark.parametrize("form", [lambda d: d, DataLoader, lambda d: {"train": d, "test": d}])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Rows(lambda i: good(i) if i != 51 else fails()), "item 51 of Rows cannot be read (KeyError: "),
        (Rows(good, lambda: 3 * N), f"item {N} of Rows cannot be read (IndexError: "),
        (Rows(good, fails), "Rows does not say how many items it has (KeyError: "),
        (Rows(good, lambda: -1), "Rows does not say how many items it has (ValueError: "),
        (Rows(good, lambda: 1.5), "Rows does not say how many items it has (TypeError: "),
        (Rows(good, lambda: 2**62), "which nothing can hold: correct its __len__"),
    ],
)
def test_a_dataset_that_fails_is_named_with_its_item(
    form: Callable[[Any], Any], data: Any, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        open_data(form(data))
    text = str(caught.value)
    assert said in text
    assert len(text) <= 300
    assert text.isprintable()


def test_an_item_that_fails_later_is_named_when_it_is_read() -> None:
    rows = Rows(good)
    data = open_data(rows)
    rows.item = fails
    with pytest.raises(DataError, match=r"item \d+ of Rows cannot be read .*correct its __getitem__"):
        data.train.all()


@pytest.mark.parametrize(
    "x",
    [
        torch.from_numpy(X).bfloat16(),
        torch.from_numpy(X).half(),
        torch.from_numpy(X).requires_grad_(),
        torch.from_numpy(X).double().T.contiguous().T,
    ],
)
def test_tensors_of_any_precision_are_read(x: torch.Tensor) -> None:
    data = open_data((x, torch.from_numpy(Y)))
    assert data.shape == (3,)
    assert torch.allclose(data.train.all().inputs, torch.from_numpy(X)[data.train.ids], atol=2e-2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (([[1.0, 2.0], [1.0]] * 30, Y), "x is ragged or no plain array"),
        ((X.astype(object), Y), "x is ragged or holds Python objects"),
        ((torch.from_numpy(X).to("meta"), Y), "x is ragged or no plain array"),
        ((torch.from_numpy(X).to_sparse(), Y), "x is ragged or no plain array"),
        (((X, Y), (X, Y)), "are several arrays themselves: give (inputs, labels)"),
        (
            (np.broadcast_to(np.float32(0), (10**9, 1000)), np.broadcast_to(0, 10**9)),
            "repeats 4 bytes to 4,000,000,000,000, which",
        ),
        (Rows(lambda i: (np.broadcast_to(np.float32(0), 10**9), 0)), "repeats 4 bytes to 4,000,000,000"),
        ((torch.zeros(1, 1).expand(10**6, 10**6), Y), "repeats 4 bytes to 4,000,000,000,000"),
        (dict, "does not say how many items"),
    ],
)
def test_arrays_that_hold_no_plain_numbers_are_named(data: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        open_data(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_frame_whose_column_no_library_can_hold_is_one_sentence() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [2**70] * N, "label": Y})
    with pytest.raises(DataError, match=r"the DataFrame cannot be read as a table \(OverflowError: "):
        open_data(frame)
    bare = pandas.DataFrame({"a": X[:, 0]})
    with pytest.raises(
        DataError, match=r"the labels of the table are a NoneType .*give one label for each row"
    ):
        open_data((bare, None))
