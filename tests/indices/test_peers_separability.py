"""Neighbour accuracy and effective rank against plain loops and closed forms."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from foretoll.errors import DataError, UsageError
from foretoll.indices.separability import effective_rank, knn_accuracy


def clusters(n: int, d: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return spread * rng.normal(size=(3, d))[y] + rng.normal(size=(n, d)) + 1, y


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_neighbour_accuracy_by_loops(metric: str, k: int) -> None:
    x, y = clusters(60, 5, 0.8)
    distances = cdist(x, x, metric)  # type: ignore[call-overload]
    np.fill_diagonal(distances, np.inf)
    hits = 0
    for i in range(60):
        nearest = np.argsort(distances[i])[:k]
        votes = Counter(int(label) for label in y[nearest])
        way = {c: sum(distances[i, j] for j in nearest if y[j] == c) for c in votes}
        hits += min(votes, key=lambda c: (-votes[c], way[c])) == y[i]
    assert knn_accuracy(x, y, neighbours=k, metric=metric) == pytest.approx(hits / 60)  # type: ignore[arg-type]


def test_a_sample_is_not_its_own_neighbour() -> None:
    x = np.array([[0.0, 1.0], [0.1, 1.0], [5.0, 1.0], [5.1, 1.0]])
    assert knn_accuracy(x, np.array([0, 1, 0, 1]), neighbours=1) == 0.0
    assert knn_accuracy(x, np.array([0, 0, 1, 1]), neighbours=1, metric="euclidean") == 1.0


def test_small_classes_and_many_neighbours() -> None:
    x = np.array([[0.0, 1.0], [0.1, 1.0], [5.0, 1.0]])
    # the lone sample of class 1 can only be missed
    assert knn_accuracy(x, np.array([0, 0, 1]), neighbours=1) == pytest.approx(2 / 3)
    assert knn_accuracy(x, np.array([0, 0, 1]), neighbours=50, metric="euclidean") == pytest.approx(2 / 3)


def test_neighbour_accuracy_grows_with_separation_in_any_order() -> None:
    values = [knn_accuracy(*clusters(150, 6, spread)) for spread in (0.0, 1.0, 5.0)]
    assert values == sorted(values)
    assert values[0] < 0.5
    assert values[2] > 0.95
    x, y = clusters(90, 4, 1.0)
    order = np.random.default_rng(1).permutation(90)
    assert knn_accuracy(x[order], y[order]) == knn_accuracy(x, y)


def test_effective_rank_in_closed_form() -> None:
    assert effective_rank(np.eye(7)) == pytest.approx(7)
    assert effective_rank(np.outer(np.arange(1, 5), np.ones(3))) == pytest.approx(1, abs=1e-9)
    # singular values 3 and 1: p = (3/4, 1/4)
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(np.diag([3.0, 1.0, 0.0])) == pytest.approx(expected)


def test_effective_rank_is_of_the_directions_left_after_centring() -> None:
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert effective_rank(x + 100, center=True) == pytest.approx(2)
    assert effective_rank(x + 100) < 1.2
    order = [3, 1, 0, 2]
    assert effective_rank(x[order] + 5) == pytest.approx(effective_rank(x + 5), rel=1e-9)


def test_bad_input_is_refused() -> None:
    x, y = clusters(20, 3, 1.0)
    broken = x.copy()
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        knn_accuracy(broken, y)
    with pytest.raises(DataError, match="1 known class"):
        knn_accuracy(x, np.zeros(20, int))
    with pytest.raises(DataError, match="labels"):
        knn_accuracy(x, y[:-1])
    with pytest.raises(UsageError, match="neighbours"):
        knn_accuracy(x, y, neighbours=0)
    with pytest.raises(UsageError, match="metric"):
        knn_accuracy(x, y, metric="cosin")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="NaN"):
        effective_rank(broken)
    with pytest.raises(DataError, match="all 0"):
        effective_rank(np.zeros((4, 3)))
    with pytest.raises(DataError, match="same for all"):
        effective_rank(np.ones((4, 3)), center=True)
