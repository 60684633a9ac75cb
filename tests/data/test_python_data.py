"""Data handed over in Python: DataFrames, tables, dicts of splits, tuples of data sets, tokenised data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError

N = 60
X = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
LABELS = np.array(["ant", "bee", "cat"])[np.arange(N) % 3]
COLUMNS = {"age": X[:, 0], "income": X[:, 1], "label": LABELS}
PARTS = {"train": slice(0, 30), "validation": slice(30, 45), "test": slice(45, 60)}


def inputs(data: TaskData) -> list[torch.Tensor]:
    return [split.all().inputs for split in (data.train, data.validation, data.test)]


def given_splits(data: TaskData) -> None:
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 15, 15)
    for found, part in zip(inputs(data), PARTS.values(), strict=True):
        assert torch.allclose(found, torch.from_numpy(X[part]))


def frame(rows: slice = slice(None)) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({name: values[rows] for name, values in COLUMNS.items()})


def test_tables_of_every_kind_read_alike() -> None:
    whole = open_data(pa.table(COLUMNS))
    assert whole.classes == ("ant", "bee", "cat") and whole.shape == (2,) and whole.card.layout is not None
    bare = frame().drop(columns="label")
    for other in (
        frame(),
        COLUMNS,
        pa.RecordBatch.from_pydict(COLUMNS),
        (bare, frame()["label"]),
        (bare, LABELS),
    ):
        data = open_data(other)
        assert data.card.layout == whole.card.layout
        assert all(torch.equal(a, b) for a, b in zip(inputs(data), inputs(whole), strict=True))
    turned = open_data(frame()[["income", "label", "age"]], layout=whole.card.layout)
    assert all(torch.equal(a, b) for a, b in zip(inputs(turned), inputs(whole), strict=True))


def test_an_index_of_a_frame_is_no_column() -> None:
    assert open_data(frame().sample(frac=1, random_state=0)).shape == (2,)


def test_a_frame_that_cannot_be_read_is_one_sentence() -> None:
    mixed = frame()
    mixed["odd"] = [object()] * N
    with pytest.raises(DataError, match="the DataFrame cannot be read as a table"):
        open_data(mixed)
    with pytest.raises(DataError, match="60 rows and 59 labels"):
        open_data((frame(), LABELS[:-1]))
    with pytest.raises(DataError, match="the dict cannot be read as a table"):
        open_data({"a": [1, 2], "label": [1]})


@pytest.mark.parametrize("kind", ["frames", "tables", "arrays", "torch", "loaders"])
def test_splits_that_are_given_stay_the_splits(kind: str) -> None:
    numbers = np.arange(N) % 3
    make = {
        "frames": frame,
        "tables": lambda part: pa.table({k: v[part] for k, v in COLUMNS.items()}),
        "arrays": lambda part: (X[part], numbers[part]),
        "torch": lambda part: TensorDataset(torch.from_numpy(X[part]), torch.from_numpy(numbers[part])),
        "loaders": lambda part: DataLoader(list(zip(torch.from_numpy(X[part]), numbers[part], strict=True))),  # type: ignore[arg-type]
    }[kind]
    parts = {role: make(part) for role, part in PARTS.items()}
    given_splits(open_data(parts))
    given_splits(open_data({"val" if role == "validation" else role: part for role, part in parts.items()}))
    if kind != "arrays":
        given_splits(open_data(tuple(parts.values())))
    if kind in ("torch", "loaders"):
        named = "TensorDataset" if kind == "torch" else "list"  # what the user handed over
        assert f" samples of {named}, vector" in open_data(parts).card.reading


def test_train_and_test_leave_the_validation_split_to_be_drawn() -> None:
    data = open_data((frame(slice(0, 45)), frame(slice(45, 60))))
    assert len(data.test) == 15 and len(data.train) + len(data.validation) == 45 and len(data.validation) == 9


def test_levels_are_those_of_all_splits() -> None:
    train = {"c": ["a", "b"] * 15, "label": ["x", "y"] * 15}
    test = {"c": ["b", "z"] * 8, "label": ["x", "y"] * 8}
    assert open_data({"train": pa.table(train), "test": pa.table(test)}).shape == (3,)


def test_splits_of_two_kinds_and_without_train_are_refused() -> None:
    with pytest.raises(DataError, match="splits are of different kinds"):
        open_data({"train": frame(), "test": TensorDataset(torch.zeros(5, 2), torch.zeros(5))})
    with pytest.raises(DataError, match="one of them must be train"):
        open_data({"validation": frame(), "test": frame()})


class Endless(Dataset[Any]):
    """Says that it has more items than anything could read one by one."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, i: int) -> None:
        return None


@pytest.mark.parametrize("name", ["more", "first half", 3])
def test_a_dict_of_data_sets_under_other_names_is_no_table(name: Any) -> None:
    with pytest.raises(
        DataError, match=r"data sets under train, .*: name its splits train, validation and test"
    ):
        open_data({"train": Endless(), name: Endless()})


IDS = [[5, 6, 7][: 1 + i % 3] for i in range(N)]


class Tokens(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> dict[str, Any]:
        padded = [*IDS[i], *[0] * (3 - len(IDS[i]))]
        return {
            "input_ids": torch.tensor(padded),
            "attention_mask": torch.tensor([1] * len(IDS[i]) + [0] * (3 - len(IDS[i]))),
            "labels": torch.tensor(i % 2),
        }


def tokenised() -> dict[str, Any]:
    datasets = pytest.importorskip("datasets")
    columns = {
        "input_ids": IDS,
        "token_type_ids": [[0] * len(ids) for ids in IDS],
        "attention_mask": [[1] * len(ids) for ids in IDS],
        "label": [i % 2 for i in range(N)],
    }
    whole = datasets.Dataset.from_dict(columns)
    return {
        "datasets": whole,
        "torch format": whole.with_format("torch"),
        "dict of splits": datasets.DatasetDict({"train": whole, "test": whole.select(range(20))}),
        "torch": Tokens(),
        "table": pa.table(columns),
    }


@pytest.mark.parametrize("kind", ["datasets", "torch format", "dict of splits", "torch", "table"])
def test_tokenised_texts_are_texts_of_ids(kind: str) -> None:
    data = open_data(tokenised()[kind])
    assert data.kind == "text" and data.shape == () and "tokenised texts of up to 3 ids" in data.card.reading
    ids, _ = data.train.all()
    assert ids.dtype == torch.int64 and ids.shape[1] == 3
    assert {tuple(row) for row in ids.tolist()} == {(5, -1, -1), (5, 6, -1), (5, 6, 7)}


def test_the_models_padding_takes_the_place_of_the_datas() -> None:
    from foretoll.models.preprocess import TextPreprocess
    from foretoll.records import Preprocessing

    read = TextPreprocess(Preprocessing(kind="text"))
    read.pad_id = 1
    fed = read(torch.tensor([[5, 6, 7], [5, -1, -1]]))
    assert fed["input_ids"].tolist() == [[5, 6, 7], [5, 1, 1]]
    assert fed["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


class Items(Dataset[Any]):
    """Items that a function makes."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


PICTURES = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
ROWS, NUMBERS = torch.from_numpy(X), torch.arange(N) % 3


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(PICTURES, ROWS, NUMBERS),
        DataLoader(TensorDataset(PICTURES, ROWS, NUMBERS), batch_size=7),
        Items(lambda i: (PICTURES[i], ROWS[i], int(NUMBERS[i]))),
        Items(lambda i: [PICTURES[i], ROWS[i], NUMBERS[i]]),
    ],
    ids=["tensors", "loader", "tuples", "lists"],
)
def test_of_three_values_the_last_is_the_target_and_that_is_said(data: Any) -> None:
    found = open_data(data)
    assert [part.shape for part in found.card.parts] == [(1, 6, 6), (2,)]
    assert "the last of 3 values is the target, 3 classes" in found.card.reading
    rows, labels = found.train.all()
    ids = found.train.ids
    assert torch.equal(labels, NUMBERS[ids]) and torch.allclose(rows[:, -2:], ROWS[ids])
    assert torch.allclose(rows[:, :36], PICTURES[ids].flatten(1), atol=1 / 255)


@pytest.mark.parametrize(
    "make",
    [
        lambda i: (PICTURES[i], int(NUMBERS[i]), i),
        lambda i: (PICTURES[i], NUMBERS[i], i),
        lambda i: ("a text", i % 2, i),
    ],
)
def test_where_the_label_may_be_another_value_it_is_asked_for(make: Callable[[int], Any]) -> None:
    with pytest.raises(DataError, match=r"which is the label is open; give items as \(\(x1, x2\), y\)"):
        open_data(Items(make))
