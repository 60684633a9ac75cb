"""Laws of splits, partitions and samples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, TensorDataset

from foretoll.data import ArraySplit, DatasetSplit, TaskData, open_data, stratified_sample
from foretoll.data.partition import choose, part_of, three_way
from foretoll.errors import DataError, UsageError

LABELS = st.lists(st.integers(0, 4), min_size=10, max_size=200)


@settings(max_examples=30, deadline=None)
@given(labels=LABELS, share=st.floats(0, 1), seed=st.integers(0, 99))
def test_choose_is_exact_stratified_and_deterministic(labels: list[int], share: float, seed: int) -> None:
    y = np.array(labels)
    n = round(share * len(y))
    mask = choose(y, len(y), n, seed=seed, purpose="a")
    assert mask.sum() == n
    for c in np.unique(y):
        exact = n * (y == c).sum() / len(y)
        assert abs((mask & (y == c)).sum() - exact) < 1
    assert (mask == choose(y, len(y), n, seed=seed, purpose="a")).all()


@settings(max_examples=30, deadline=None)
@given(labels=LABELS, seed=st.integers(0, 99), parts=st.integers(1, 4))
def test_splits_and_parts_are_disjoint_and_complete(labels: list[int], seed: int, parts: int) -> None:
    y = np.array(labels)
    rows = np.arange(len(y))
    three = three_way(y, rows, seed=seed)
    assert sorted(np.concatenate(three).tolist()) == rows.tolist()
    assert all((np.diff(part) > 0).all() for part in three)  # row order kept
    pieces = [part_of(y, rows, i + 1, parts, seed=seed) for i in range(parts)]
    assert sorted(np.concatenate(pieces).tolist()) == rows.tolist()
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


@settings(max_examples=30, deadline=None)
@given(labels=LABELS, n=st.integers(1, 250), seed=st.integers(0, 99))
def test_stratified_sample(labels: list[int], n: int, seed: int) -> None:
    split = ArraySplit(torch.arange(len(labels)).float()[:, None], labels)
    sample = stratified_sample(split, n, seed=seed)
    assert len(sample) == min(n, len(labels))
    assert sample.labels is not None
    have, full = Counter(sample.labels.tolist()), Counter(labels)
    for c in full:
        assert abs(have[c] - full[c] * len(sample) / len(labels)) < 1
    again = stratified_sample(split, n, seed=seed)
    assert torch.equal(sample.all().inputs, again.all().inputs)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 70), seed=st.one_of(st.none(), st.integers(0, 9)), lazy=st.booleans())
def test_batches_hold_the_same_rows_for_any_batch_size(batch: int, seed: int | None, lazy: bool) -> None:
    x, y = torch.arange(60).float()[:, None], torch.arange(60) % 3
    split = DatasetSplit(TensorDataset(x, y), labels=y) if lazy else ArraySplit(x, y)
    rows = torch.cat([b.inputs for b in split.batches(batch, shuffle_seed=seed)])[:, 0].long()
    assert sorted(rows.tolist()) == list(range(60))
    whole = next(iter(split.batches(60, shuffle_seed=seed))).inputs[:, 0].long()
    assert torch.equal(rows, whole)
    if seed is None:
        assert torch.equal(rows, torch.arange(60))
    labels = torch.cat([b.labels for b in split.batches(batch, shuffle_seed=seed)])
    assert torch.equal(labels, rows % 3)
    chosen = torch.tensor([5, 3, 3, 59])
    got = torch.cat([b.inputs for b in split.batches(batch, indices=chosen)])[:, 0].long()
    assert torch.equal(got, chosen)


def test_shuffles_differ_between_seeds() -> None:
    split = ArraySplit(torch.arange(100)[:, None].float())
    one, two = (next(iter(split.batches(100, shuffle_seed=s))).inputs for s in (0, 1))
    assert not torch.equal(one, two)
    assert next(iter(split.batches(10))).labels.tolist() == [-1] * 10


def test_take_keeps_labels_and_ids() -> None:
    split = ArraySplit(["a", "b", "c"], [0, 1, 1], ids=[7, 8, 9])
    some = split.take(torch.tensor([2, 0]))
    assert some.all().inputs == ["c", "a"]
    assert some.ids.tolist() == [9, 7]
    assert some.labels is not None
    assert some.labels.tolist() == [1, 0]


def test_wrong_use_of_splits_is_refused() -> None:
    split = ArraySplit(torch.zeros(4, 2), [0, 1, 0, 1])
    with pytest.raises(UsageError, match="batch_size is 0"):
        list(split.batches(0))
    with pytest.raises(UsageError, match="0 … 3"):
        split.take(torch.tensor([4]))
    with pytest.raises(UsageError, match="0 … 3"):
        split.take(torch.tensor([-1]))
    with pytest.raises(UsageError, match="1-D integer"):
        split.take(torch.tensor([True, False]))
    with pytest.raises(DataError, match="4 samples but labels"):
        ArraySplit(torch.zeros(4, 2), [0, 1])
    with pytest.raises(UsageError, match="sample of 0"):
        stratified_sample(split, 0, seed=0)


def test_a_task_refuses_overlapping_splits() -> None:
    data = open_data("digits?limit=100")
    with pytest.raises(DataError, match="disjoint"):
        TaskData(data.card, data.train, data.validation, data.train)


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Float images in [0, 1]; counts how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 50

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        self.read += 1
        return torch.full((3, 4, 5), row / 51), row % 2


class _Marked(_Pictures):
    def __init__(self) -> None:
        super().__init__()
        self.targets = [row % 2 for row in range(50)]


class _Dicts(Dataset[dict[str, object]]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> dict[str, object]:
        return {"text": f"sample {row}", "label": row % 4}


def test_any_torch_dataset_is_read_lazily() -> None:
    marked = _Marked()
    data = open_data(marked)
    assert marked.read == 17  # one tells its form, some shape and range; labels lie apart
    assert (data.kind, data.shape, data.num_classes) == ("image", (3, 4, 5), 2)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 10)
    batch = next(iter(data.train.batches(5, shuffle_seed=1)))
    assert marked.read == 22  # a batch of five
    assert batch.inputs.dtype == torch.uint8
    plain = open_data(DataLoader(_Pictures(), batch_size=7))
    assert torch.equal(plain.train.all().inputs, data.train.all().inputs)
    assert torch.equal(plain.train.all().labels, data.train.all().labels)


def test_dicts_texts_and_tensor_datasets() -> None:
    texts = open_data(_Dicts())
    assert texts.kind == "text"
    batch = next(iter(texts.test.batches(3)))
    assert all(int(t.split()[1]) % 4 == y for t, y in zip(batch.inputs, batch.labels.tolist(), strict=True))
    vectors = open_data(TensorDataset(torch.randn(50, 3), torch.arange(50) % 2))
    assert isinstance(vectors.train, ArraySplit)
    assert vectors.kind == "vector"
    bare = open_data(TensorDataset(torch.randn(50, 3)))
    assert not bare.card.labelled
    assert bare.train.labels is None


def test_datasets_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(DataError, match="object is no Dataset of torch"):
        open_data(object())
    with pytest.raises(DataError, match="is empty"):
        open_data(TensorDataset(torch.zeros(0, 3), torch.zeros(0)))
    with pytest.raises(DataError, match="one class number a sample"):
        open_data(TensorDataset(torch.zeros(9, 3), torch.eye(3).long().repeat(3, 1)))

    class Normalised(_Pictures):
        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            return torch.full((3, 4, 5), -2.0), row % 2

    with pytest.raises(DataError, match="leave normalisation out"):
        open_data(Normalised())


def test_arrays_from_memory() -> None:
    x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
    data = open_data((x, y))
    assert (len(data.train), len(data.validation), len(data.test)) == (60, 20, 20)
    both = open_data((torch.from_numpy(x[:80]), y[:80], x[80:], y[80:]))
    assert (len(both.train), len(both.validation), len(both.test)) == (64, 16, 20)
    assert both.test.ids.tolist() == list(range(80, 100))
    assert open_data(both) is both
    assert open_data((x, None)).train.labels is None
    with pytest.raises(DataError, match="3 arrays"):
        open_data((x, y, x))
