"""Laws of the bounded sample: a function of the set of samples seen, whatever the batches, order or split."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import DataError, UsageError
from foretoll.indices._sample import BoundedSample, Sample


def stream(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    ids = torch.randperm(10 * n, generator=g)[:n]
    labels = (torch.rand(n, generator=g) ** 3 * 5).long()  # few samples of the last classes
    return ids, labels, ids[:, None].double() * torch.tensor([1.0, -0.5])


def fed(parts: list[torch.Tensor], data: Any, **kwargs: Any) -> BoundedSample:
    out = BoundedSample(**kwargs)
    for rows in parts:
        out.update(data[0][rows], data[1][rows], x=data[2][rows])
    return out


def same(a: Sample, b: Sample) -> bool:
    return (
        torch.equal(a.ids, b.ids)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.tensors["x"], b.tensors["x"])
    )


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 120),
    capacity=st.integers(1, 60),
    batch=st.integers(1, 50),
    cut=st.integers(0, 120),
    seed=st.integers(0, 1000),
)
def test_batches_order_and_split_do_not_matter(
    n: int, capacity: int, batch: int, cut: int, seed: int
) -> None:
    data = stream(n, seed)
    whole = fed([torch.arange(n)], data, capacity=capacity, seed=seed).compute()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + 1))
    assert same(whole, fed(list(order.split(batch)), data, capacity=capacity, seed=seed).compute())
    left = fed(list(order[:cut].split(batch)) if cut else [], data, capacity=capacity, seed=seed)
    right = fed(list(order[cut:].split(batch)) if cut < n else [], data, capacity=capacity, seed=seed)
    left.merge_state(right)
    assert same(whole, left.compute())
    assert left.compute().seen == n
    assert same(whole, pickle.loads(pickle.dumps(left)).compute())


def test_all_is_kept_up_to_the_capacity_and_rows_stay_with_their_ids() -> None:
    data = stream(40, 0)
    sample = fed([torch.arange(40)], data, capacity=40).compute()
    assert sample.ids.tolist() == sorted(data[0].tolist())
    assert torch.equal(sample.tensors["x"][:, 0], sample.ids.double())


def test_proportions_are_kept_and_rare_classes_stay() -> None:
    n = 20_000
    labels = torch.zeros(n, dtype=torch.int64)
    labels[: n // 4] = 1
    labels[::4000] = 2  # five of them
    sample = fed([torch.arange(n)], (torch.arange(n), labels, torch.zeros(n, 1)), capacity=1000).compute()
    share = (sample.labels == 1).double().mean().item()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5
    assert (sample.labels == 2).sum() == 5
    assert 1000 <= len(sample) <= 1005


def test_every_sample_has_the_same_chance() -> None:
    kept = torch.zeros(50)
    data = (torch.arange(50), torch.zeros(50, dtype=torch.int64), torch.zeros(50, 1))
    for seed in range(400):
        kept[fed([torch.arange(50)], data, capacity=10, seed=seed).compute().ids] += 1
    # binomial(400, 0.2): mean 80, sd 8
    assert kept.sum() == 4000
    assert (kept - 80).abs().max() < 4.5 * 8


def test_an_id_counts_once_and_a_sample_of_one_keeps_its_shape() -> None:
    sampler = BoundedSample()
    for _ in range(3):
        sampler.update(torch.tensor([7]), torch.tensor([0]), x=torch.ones(1, 1))
    sample = sampler.compute()
    assert sample.tensors["x"].shape == (1, 1)
    assert sample.ids.shape == (1,)
    assert sample.seen == 3


def test_wrong_use_is_named() -> None:
    with pytest.raises(UsageError, match="capacity is 0"):
        BoundedSample(0)
    with pytest.raises(DataError, match="seen no data"):
        BoundedSample().compute()
    with pytest.raises(DataError, match="x has 3 rows for 2 ids"):
        BoundedSample().update(torch.arange(2), torch.zeros(2, dtype=torch.int64), x=torch.zeros(3, 1))
    with pytest.raises(DataError, match="ids has shape"):
        BoundedSample().update(torch.rand(2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UsageError, match="same settings"):
        BoundedSample(5).merge_state(BoundedSample(6))
