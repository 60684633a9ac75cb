"""Streams: batches in time order, windows whose validation and test come last, and splits in time order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data import open_data
from foretoll.data.partition import in_order
from foretoll.data.splits import ArraySplit
from foretoll.data.stream import JoinedSplit, all_rows, chain, cut, open_stream
from foretoll.errors import DataError, UsageError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2026-01-01", periods=n, freq="h").astype(str),
            "position": np.arange(n, dtype=float),
            "x": draw.normal(size=n),
            "label": draw.integers(2, size=n),
        }
    )
    path = tmp_path / "t.parquet"
    frame.sample(frac=1.0, random_state=0).to_parquet(path, index=False)
    return path


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 500))
def test_parts_in_order_are_all_rows_and_the_test_part_comes_last(n: int) -> None:
    train, validation, test = in_order(np.arange(n))
    assert np.concatenate([train, validation, test]).tolist() == list(range(n))
    assert len(test) == round(0.2 * n) and len(train) >= len(validation)


def test_split_time_by_a_column_follows_it(table: Path) -> None:
    data = open_data(f"parquet:{table}?time=position&columns=position,x&label=label")
    order = [split.all().inputs[:, 0] for split in (data.train, data.validation, data.test)]
    values = torch.cat(order)
    assert (values.diff() > 0).all() and [len(part) for part in order] == [128, 32, 40]
    assert "splits in time order by 'position'" in data.card.reading


def test_text_times_sort_as_times_that_are_written_alike(table: Path) -> None:
    data = open_data(f"parquet:{table}?time=when&columns=position,x&label=label")
    assert (torch.cat([data.train.all().inputs[:, 0], data.test.all().inputs[:, 0]]).diff() > 0).all()


def test_split_time_without_a_column_takes_the_order_of_the_file(tmp_path: Path) -> None:
    x = np.arange(100, dtype=np.float32)[:, None]
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(100) % 2)
    data = open_data(f"npz:{tmp_path}/a.npz?split=time&rows=20:80")
    assert data.train.all().inputs[:, 0].tolist() == list(range(20, 58))
    assert data.test.all().inputs[:, 0].tolist() == list(range(68, 80))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("time=nothing", "nothing"),
        ("time=when&split=train", "leave split=train out"),
        ("every=20", "is a stream"),
        ("every=1", "at least 2"),
    ],
)
def test_bad_uris_are_refused(table: Path, query: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_data(f"parquet:{table}?{query}")


def test_an_empty_time_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [1.0, None, 3.0, 4.0, 5.0] * 4, "x": np.arange(20.0), "label": [0, 1] * 10})
    frame.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="'t' has 4 rows without a time"):
        open_data(f"parquet:{tmp_path}/e.parquet?time=t&drop=t")


@pytest.mark.parametrize("form", ["arrays", "tensors", "dict", "dataset", "list"])
def test_what_python_hands_in_is_cut_in_its_own_order(form: str) -> None:
    x, y = np.arange(200, dtype=np.float32)[:, None].repeat(2, 1), np.arange(200) % 3
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    sources: dict[str, object] = {
        "arrays": (x, y),
        "tensors": tensors,
        "dict": {"x": x, "y": y},
        "dataset": torch.utils.data.TensorDataset(*tensors),
        "list": [(x[i : i + 50], y[i : i + 50]) for i in range(0, 200, 50)],
    }
    stream = open_stream(sources[form], every=50)
    for number in range(4):
        rows = stream.batch(number).rows.all().inputs[:, 0]
        assert rows.tolist() == list(range(50 * number, 50 * number + 50))


def test_a_stream_is_cut_in_time_order_and_loses_no_row(table: Path) -> None:
    stream = open_stream(f"parquet:{table}?time=position&columns=position,x&label=label&every=30")
    seen = torch.cat([stream.batch(i).rows.all().inputs[:, 0] for i in range(len(stream))])
    assert (seen.diff() > 0).all() and len(seen) == 200
    assert [len(stream.batch(i).rows) for i in range(len(stream))] == [30] * 6 + [20]
    assert len(open_stream(f"parquet:{table}?time=position&every=36")) == 6  # a rest of 20 stays a batch
    assert len(open_stream(f"parquet:{table}?time=position&every=48")) == 4  # one of 8 joins the last


def test_a_window_ends_with_what_was_served_last(table: Path) -> None:
    stream = open_stream(f"parquet:{table}?time=position&columns=position,x&label=label&every=20")
    data = stream.window(last=5, batches=3)
    values = torch.cat([part.all().inputs[:, 0] for part in (data.train, data.validation, data.test)])
    assert values.min() == 60 and values.max() == 119 and (values.diff() > 0).all()
    assert data.card.train + data.card.validation + data.card.test == 60 and data.card.labelled
    assert len(all_rows(stream.window(last=0, batches=3))) == 20


def test_a_batch_is_known_by_its_inputs_not_by_its_labels_or_place() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    one, other = cut(open_data((x, torch.arange(40) % 2)), 10), cut(open_data((x, torch.arange(40) % 4)), 10)
    names = [one.batch(i).name for i in range(4)]
    assert len(set(names)) == 4
    same = cut(open_data((x, torch.arange(40) % 2)), 10)
    assert [same.batch(i).name for i in range(4)] == names
    assert {len(name) for name in names} == {24} and other.batch(0).rows.labels is not None


def test_a_list_is_one_batch_for_each_of_its_members() -> None:
    stream = open_stream(["digits?part=1/8", "digits?part=2/8&shift=contrast:0.3", "digits?part=3/8"])
    assert len(stream) == 3 and stream.data.kind == "image"
    assert sum(len(stream.batch(i).rows) for i in range(3)) == len(stream.rows)
    window = stream.window(last=2, batches=2)
    assert len(torch.unique(torch.cat([window.train.ids, window.validation.ids, window.test.ids]))) == len(
        all_rows(window)
    )
    with pytest.raises(DataError, match="differ in kind, shape or classes"):
        open_stream(["digits?part=1/8", "digits?classes=0,1"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_joined_split_reads_as_its_parts_one_after_the_other(sizes, random) -> None:  # type: ignore[no-untyped-def]
    whole = torch.arange(sum(sizes) * 2, dtype=torch.float32).view(-1, 2)
    parts, at = [], 0
    for size in sizes:
        parts.append(
            ArraySplit(whole[at : at + size], torch.arange(at, at + size), ids=torch.arange(at, at + size))
        )
        at += size
    joined = JoinedSplit(parts)
    assert torch.equal(joined.all().inputs, whole) and torch.equal(joined.labels, torch.arange(at))
    order = torch.tensor(random.sample(range(at), k=random.randint(1, at)))
    taken = joined.take(order)
    assert torch.equal(taken.all().inputs, whole[order]) and torch.equal(taken.ids, order)
    again = taken.take(torch.arange(len(order)).flip(0))
    assert torch.equal(again.all().inputs, whole[order.flip(0)]) and torch.equal(again.labels, order.flip(0))
    for size in (1, 3):
        assert torch.equal(torch.cat([batch.inputs for batch in joined.batches(size)]), whole)


def test_texts_are_joined_too() -> None:
    joined = JoinedSplit([ArraySplit(["a", "b"], [0, 1]), ArraySplit(["c"], [1])])
    assert joined.take(torch.tensor([2, 0])).all().inputs == ["c", "a"]
    assert joined.ids.tolist() == [0, 1, 2]  # both number their rows from 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: open_stream("digits"), "say how many rows"),
        (lambda: open_stream([]), "at least one batch"),
        (lambda: cut(open_data("digits"), 1), "say nothing"),
        (lambda: cut(open_data("digits"), 100).batch(99), "no batch 99"),
        (lambda: JoinedSplit([]), "no splits"),
        (lambda: chain([]), "at least one batch"),
    ],
)
def test_bad_streams_are_refused(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=says):
        make()


def test_a_window_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be divided into three"):
        cut(open_data("digits"), 4).window(last=1, batches=2)
