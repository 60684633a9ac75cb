"""k-means from given centres and the adjusted Rand index: equal to scikit-learn's; bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from foretoll.errors import DataError
from foretoll.indices._clusters import adjusted_rand, kmeans_from


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 9999),
    classes=st.integers(2, 7),
    noise=st.floats(0.1, 3.0),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_clusters_from_class_means_are_those_of_scikit_learn(
    seed: int, classes: int, noise: float, dtype: type[np.floating]
) -> None:
    random = np.random.default_rng(seed)
    y = np.arange(90) % classes
    x = (random.normal(size=(classes, 5))[y] + noise * random.normal(size=(90, 5)) + 3).astype(dtype)
    centres = np.stack([x[y == c].mean(0) for c in range(classes)])
    theirs = KMeans(classes, init=centres, n_init=1).fit(x)
    ours = kmeans_from(x, centres)
    np.testing.assert_array_equal(ours.labels, theirs.labels_)
    np.testing.assert_allclose(
        ours.centres, theirs.cluster_centers_, rtol=1e-4 if dtype is np.float32 else 1e-9
    )
    assert adjusted_rand(y, ours.labels) == adjusted_rand_score(y, theirs.labels_)


def test_an_empty_cluster_takes_the_farthest_sample_as_in_scikit_learn() -> None:
    x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    centres = np.array([[0.0], [5.0], [100.0]])
    theirs = KMeans(3, init=centres, n_init=1).fit(x)
    ours = kmeans_from(x, centres)
    np.testing.assert_array_equal(ours.labels, theirs.labels_)
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_)
    assert len(set(ours.labels.tolist())) == 3


def test_more_clusters_than_different_samples_are_the_samples() -> None:
    x = np.array([[1.0, 2.0]] * 4 + [[3.0, 4.0]] * 4)
    found = kmeans_from(x, np.array([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0]]))
    assert adjusted_rand(np.array([0] * 4 + [1] * 4), found.labels) == 1.0
    assert np.isfinite(found.centres).all()


def test_fewer_samples_than_clusters_is_one_sentence() -> None:
    with pytest.raises(DataError, match="2 samples cannot be put into 3 clusters"):
        kmeans_from(np.zeros((2, 1)), np.zeros((3, 1)))


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3)), min_size=1, max_size=40))
def test_agreement_is_scikit_learns_to_the_bit(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=np.intp) for side in zip(*pairs, strict=True))
    assert adjusted_rand(first, second) == adjusted_rand_score(first, second)
