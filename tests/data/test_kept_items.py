"""Data sets of torch that give each item once: read to disk as they come, and then as any other."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from foretoll.data import DatasetSplit, kept_items, open_data
from foretoll.data.kept_items import KeptItems
from foretoll.errors import DataError

RANDOM = np.random.default_rng(3)
X, Y = RANDOM.normal(size=(90, 5)).astype(np.float32), np.arange(90) % 3


class Streamed(IterableDataset[Any]):
    """Items in the order in which a function gives them, from its beginning each time."""

    def __init__(self, items: Callable[[], Iterator[Any]]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return self.items()


class Listed(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


def streamed(items: list[Any]) -> Streamed:
    return Streamed(lambda: iter(items))


def same(one: Any, other: Any) -> bool:
    """Whether two items are equal, down to their types."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Image.Image):
        return one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()
    if isinstance(one, (np.ndarray, torch.Tensor)):
        return type(one) is type(other) and one.dtype == other.dtype and bool((one == other).all())
    return type(one) is type(other) and one == other


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    made = Image.fromarray(RANDOM.integers(0, 256, (*size, 3)).astype(np.uint8)).convert(mode)
    made.getpixel((0, 0))
    return made


KINDS: dict[str, list[Any]] = {
    "tensors": [(torch.from_numpy(x), int(y)) for x, y in zip(X, Y, strict=True)],
    "arrays, labels as arrays": [(x, np.int64(y)) for x, y in zip(X, Y, strict=True)],
    "dicts": [{"x": x, "label": int(y)} for x, y in zip(X, Y, strict=True)],
    "several inputs": [({"a": x[:2], "b": x[2:]}, int(y)) for x, y in zip(X, Y, strict=True)],
    "texts": [("word " * (1 + i % 7) + "ä", ["no", "yes"][i % 2]) for i in range(60)],
    "pictures of several sizes": [(picture("RGB", (8 + i % 3, 9)), i % 2) for i in range(40)],
    "grey pictures": [(picture("L", (8, 8)), i % 2) for i in range(40)],
    "numbers to predict": [(x, float(x[0])) for x in X],
    "tokens": [
        {"input_ids": [1, 2, 3 + i % 4], "attention_mask": [1, 1, 1], "label": i % 2} for i in range(60)
    ],
    "no labels": [(x,) for x in X],
}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_what_a_map_style_data_set_of_these_items_is(kind: str) -> None:
    items = KINDS[kind]
    kept = KeptItems(streamed(items))
    assert len(kept) == len(items)
    if kind != "tokens":  # lists come back as arrays
        assert all(same(one, other) for one, other in zip(kept, items, strict=False))
    once, whole = open_data(streamed(items)), open_data(Listed(items))
    left_out = {"uri", "name", "reading"}
    assert once.card.model_dump(exclude=left_out) == whole.card.model_dump(exclude=left_out)
    for name in ("train", "validation", "test"):
        one, other = getattr(once, name).all(), getattr(whole, name).all()
        assert same(one.labels, other.labels)
        same_inputs = (
            one.inputs == other.inputs if isinstance(one.inputs, list) else same(one.inputs, other.inputs)
        )
        assert same_inputs


def test_the_answer_says_how_they_were_read() -> None:
    data = open_data(streamed(KINDS["dicts"]))
    assert data.card.reading.startswith(
        "90 samples of Streamed, vector, read once, 0.0 MB in a temporary file"
    )
    assert isinstance(data.train, DatasetSplit)  # and not in memory


values = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(), max_size=9),
    st.lists(st.integers(0, 9), max_size=3).map(lambda v: np.array(v, np.int16)),
    st.lists(st.floats(-1, 1), max_size=3).map(lambda v: torch.tensor(v, dtype=torch.float64)),
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"x": values, "more": st.tuples(values, values)}), min_size=1, max_size=8)
)
def test_any_values_come_back_as_they_were(items: list[Any]) -> None:
    kept = KeptItems(streamed(items))
    assert all(same(kept[row], item) for row, item in enumerate(items))
    assert same(kept[-1], items[-1])


def test_an_array_that_is_filled_anew_for_each_item_is_copied() -> None:
    def items() -> Iterator[Any]:
        buffer = np.empty(5, np.float32)
        for x, y in zip(X, Y, strict=True):
            buffer[:] = x
            yield buffer, y

    assert np.array_equal(np.stack([x for x, _ in map(KeptItems(Streamed(items)).__getitem__, range(90))]), X)


def test_a_loader_stands_for_its_data_set_and_one_without_batches_of_its_own_for_their_samples() -> None:
    def batches() -> Iterator[Any]:
        for start in range(0, 90, 32):
            yield torch.from_numpy(X[start : start + 32]), torch.from_numpy(Y[start : start + 32])

    whole = open_data(Listed(KINDS["tensors"]))
    for data in (
        DataLoader(streamed(KINDS["tensors"]), batch_size=8),
        DataLoader(Streamed(batches), batch_size=None),
        DataLoader(streamed(KINDS["tensors"]), batch_size=None),
    ):
        assert same(open_data(data).train.all().inputs, whole.train.all().inputs)


def test_splits_of_them() -> None:
    train, test = KINDS["tensors"][:60], KINDS["tensors"][60:]
    for data in ({"train": streamed(train), "test": streamed(test)}, (streamed(train), Listed(test))):
        opened = open_data(data)
        assert len(opened.test) == 30 and opened.card.train + opened.card.validation == 60


def test_what_is_sent_elsewhere_are_the_samples_themselves() -> None:
    """To a worker that looks at a part of them, on a machine that does not see the files."""
    part = open_data(streamed(KINDS["tensors"])).train.take(torch.arange(20))
    sent = pickle.loads(pickle.dumps(part.portable()))
    assert same(sent.all().inputs, part.all().inputs) and same(sent.all().labels, part.all().labels)
    whole = open_data(Listed(KINDS["tensors"])).train
    assert whole.portable() is whole  # a data set of the user's own travels as it is


def test_their_files_go_with_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = KeptItems(streamed(KINDS["tensors"]))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) >= X.nbytes
    del kept
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing() -> Iterator[Any]:
        yield from KINDS["tensors"][:7]
        raise RuntimeError("shard 3 is gone")

    def endless() -> Iterator[Any]:
        while True:
            yield X[0], 0

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(
        DataError, match=r"item 7 of Streamed cannot be read \(RuntimeError: shard 3 is gone\)"
    ):
        open_data(Streamed(failing))
    with pytest.raises(DataError, match="Streamed is empty"):
        open_data(streamed([]))
    with pytest.raises(
        DataError, match="item 1 of Streamed is a tuple of 2, and the first is a dict of x, label"
    ):
        open_data(streamed([KINDS["dicts"][0], KINDS["tensors"][0]]))
    with pytest.raises(DataError, match=r"item 0 of Streamed.*ragged or holds Python objects"):
        open_data(streamed([(object(), 1)]))
    monkeypatch.setattr(kept_items, "MOST_ITEMS", 500)
    with pytest.raises(DataError, match=r"has given 500 items and goes on: let it end \(itertools.islice\)"):
        open_data(Streamed(endless))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        DataError, match=r"half of what is free in .* and goes on: let it end, or name a larger"
    ):
        open_data(Streamed(endless))
    assert list(tmp_path.iterdir()) == []
