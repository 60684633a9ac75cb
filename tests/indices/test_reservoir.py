"""The sample of what was served: the same for any cut of the stream, bounded, and blind to the future."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data.splits import ArraySplit
from foretoll.errors import DataError, UsageError
from foretoll.indices.reservoir import Reservoir

N = 120


def _rows(first: int, last: int) -> tuple[ArraySplit, np.ndarray, np.ndarray]:
    """Samples that say their place; every seventh has no label."""
    places = np.arange(first, last)
    labels = np.where(places % 7 == 0, -1, places % 3)
    return ArraySplit(torch.from_numpy(places.astype(np.float32))[:, None]), labels, labels >= 0


def _filled(cuts: list[int], order: list[int], capacity: int, most_bytes: int = 10**6) -> Reservoir:
    edges = [0, *sorted(set(cuts)), N]
    parts = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    found = Reservoir(capacity, most_bytes=most_bytes)
    for number in [i for i in order if i < len(parts)] + [
        i for i in range(len(parts)) if i not in set(order)
    ]:
        found.add(f"b{number}", parts[number][0], *_rows(*parts[number]))
    return found


def _kept(sample: Reservoir, place: int = N, half: int | None = None) -> dict[int, int]:
    """Label by place of what is kept."""
    found = {}
    for part in sample.before(place, half=half):
        assert part.labels is not None
        values = part.all().inputs[:, 0].long().tolist()
        found |= dict(zip(values, part.labels.tolist(), strict=True))
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, N - 1), max_size=6),
    st.permutations(range(7)),
    st.integers(0, 150),
    st.integers(0, 400),
)
def test_it_is_the_same_for_any_cut_of_the_stream_and_any_order_of_labels(
    cuts: list[int], order: list[int], capacity: int, most_bytes: int
) -> None:
    whole, cut = _filled([], [], capacity, most_bytes), _filled(cuts, order, capacity, most_bytes)
    assert _kept(whole) == _kept(cut)
    assert len(cut) <= capacity and 4 * len(cut) <= most_bytes
    assert all(label == place % 3 for place, label in _kept(cut).items())
    if capacity >= N and most_bytes >= 4 * N:
        assert len(cut) == sum(place % 7 != 0 for place in range(N)), "all labelled samples fit"
    again = Reservoir.from_state(cut.state(), capacity)
    assert _kept(again) == _kept(cut)


def test_what_is_kept_of_a_time_does_not_know_what_came_after() -> None:
    early = Reservoir(30)
    early.add("a", 0, *_rows(0, 60))
    before = _kept(early)
    assert len(before) == 30
    early.add("a", 0, *_rows(0, 60))
    assert _kept(early) == before, "the same batch twice counts once"
    early.add("b", 60, *_rows(60, N))
    later = _kept(early, place=60)
    assert set(later) < set(before), "later samples take places, and change none"


def test_halves_are_disjoint_and_together_all() -> None:
    sample = _filled([40, 80], [], 60)
    zero, one = _kept(sample, half=0), _kept(sample, half=1)
    assert not set(zero) & set(one) and zero | one == _kept(sample)
    assert min(len(zero), len(one)) > 15


def test_every_sample_is_as_likely_to_be_kept() -> None:
    sample = Reservoir(1000)
    for i in range(20):
        places = np.arange(500 * i, 500 * (i + 1))
        sample.add(
            f"b{i}",
            int(places[0]),
            ArraySplit(torch.from_numpy(places.astype(np.float32))[:, None]),
            places % 2,
        )
    counts = [len(part) for part in sample.before(10_000)]
    assert sum(counts) == 1000 and len(counts) == 20
    assert max(abs(n - 50) for n in counts) < 4 * np.sqrt(50)


def test_texts_are_kept_as_they_are() -> None:
    sample = Reservoir(10)
    texts = ["", "grün\0", "a" * 50]
    sample.add("b", 0, ArraySplit(texts), np.array([0, 1, 0]))
    (part,) = Reservoir.from_state(sample.state(), 10).before(5)
    assert list(part.all().inputs) == texts


def test_what_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        Reservoir(-1)
    state = _filled([], [], 5).state()
    with pytest.raises(DataError, match="no sample of earlier batches"):
        Reservoir.from_state({**state, "0.labels": np.zeros(2)}, 5)
