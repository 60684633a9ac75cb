"""Fréchet, sliced Wasserstein, MMD, CKA and transport matching against closed forms and other libraries."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist
from sklearn.covariance import ledoit_wolf
from torch.utils._python_dispatch import TorchDispatchMode

from foretoll.errors import DataError, UsageError
from foretoll.indices._moments import WIDE, centred_covariance, covariance, moments
from foretoll.indices.frechet import frechet, frechet_of_gaussians, sliced_wasserstein
from foretoll.indices.mmd import MEDIAN_SAMPLES, median_distance, mmd
from foretoll.indices.scores import SideSample
from foretoll.indices.separability import linear_cka, match_classes_by_transport


def samples(n: int, d: int, seed: int, *, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ np.random.default_rng(seed + 100).normal(size=(d, d)) + offset


# --- covariance ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(50, 5), (8, 20), (2, 3), (30, 1)])
def test_shrunk_covariance_is_that_of_scikit_learn(n: int, d: int) -> None:
    x = samples(n, d, 0, offset=3.0)
    expected, shrinkage = ledoit_wolf(x)
    for found in (
        centred_covariance(torch.tensor(x), shrink=True),
        covariance(moments(torch.tensor(x)), shrink=True),
    ):
        np.testing.assert_allclose(found.matrix.numpy(), expected, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.mean.numpy(), x.mean(0))
        if d > 1:  # of one dimension scikit-learn reports no shrinkage; the matrix is the same for any
            assert found.shrinkage == pytest.approx(shrinkage, abs=1e-8)


# --- Fréchet ---------------------------------------------------------------------------------------


def test_frechet_of_spherical_gaussians_in_closed_form() -> None:
    mean, eye = torch.arange(4.0, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    value = frechet_of_gaussians(mean, 4 * eye, torch.zeros(4, dtype=torch.float64), 9 * eye)
    assert value == pytest.approx(14 + 4 * (2 - 3) ** 2, rel=1e-12)


@pytest.mark.parametrize("shrink", [True, False, "auto"])
@pytest.mark.parametrize(("n", "m", "d"), [(7, 5, 40), (12, 30, 50), (2, 2, 9), (20, 25, 30), (60, 50, 8)])
def test_frechet_of_few_samples_is_that_of_all_dimensions(
    n: int, m: int, d: int, shrink: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = samples(n, d, 1, offset=2.0), samples(m, d, 2)
    dense = frechet(x, y, shrink=shrink)  # type: ignore[arg-type]
    monkeypatch.setattr("foretoll.indices.frechet.WIDE", 4)  # as if these were many dimensions
    assert frechet(x, y, shrink=shrink) == pytest.approx(dense, rel=1e-6)  # type: ignore[arg-type]
    assert frechet(x, x, shrink=shrink) == pytest.approx(0, abs=1e-6 * dense)  # type: ignore[arg-type]
    same = np.ones((n, d)) * 3.0  # no spread at all on one side: not positive definite
    monkeypatch.setattr("foretoll.indices.frechet.WIDE", 10**6)
    dense = frechet(same, y, shrink=shrink)  # type: ignore[arg-type]
    monkeypatch.setattr("foretoll.indices.frechet.WIDE", 4)
    assert frechet(same, y, shrink=shrink) == pytest.approx(dense, rel=1e-6)  # type: ignore[arg-type]


class Largest(TorchDispatchMode):
    """Notes the shapes of what goes into factorisations, and the largest tensor that comes out of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.factorised: set[tuple[int, ...]] = set()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.numel())
        if any(word in str(func) for word in ("linalg", "cholesky", "svd", "eigh", "qr")):
            self.factorised |= {tuple(a.shape) for a in args if isinstance(a, torch.Tensor)}
        return out


@pytest.mark.parametrize("shrink", [True, False])
def test_frechet_never_meets_a_matrix_as_wide_as_its_dimensions(shrink: bool) -> None:
    n, m, d = 30, 20, 3000
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator)
    with Largest() as seen:
        frechet(x, y, shrink=shrink)
    assert seen.factorised
    assert all(min(shape) <= n + m for shape in seen.factorised)
    assert seen.largest <= 2 * d * (n + m), "nothing as large as d × d"


def test_wide_representations_are_compared_by_no_more_than_a_thousand_samples() -> None:
    wide = torch.randn(1500, WIDE + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(1500, dtype=torch.long)
    kept = SideSample(wide, wide[:, :2], labels, labels)
    assert len(kept.not_too_wide()) == 1000
    assert len(SideSample(wide[:, :WIDE], wide[:, :2], labels, labels).not_too_wide()) == 1500


def pot() -> Any:
    """POT, whose first import compiles a docstring with an invalid escape sequence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ot
    return ot


def test_frechet_is_the_squared_bures_wasserstein_distance_of_pot() -> None:
    x, y = samples(200, 6, 0), samples(150, 6, 1, offset=0.5)
    distance = pot().gaussian.bures_wasserstein_distance(x.mean(0), y.mean(0), np.cov(x.T), np.cov(y.T))
    assert frechet(x, y, shrink=False) == pytest.approx(float(distance) ** 2, rel=1e-9)


@pytest.mark.parametrize("shrink", [True, False])
def test_frechet_with_fewer_samples_than_dimensions(shrink: bool) -> None:
    x, y = samples(12, 20, 2), samples(15, 20, 3)
    one, two = (ledoit_wolf(part)[0] if shrink else np.cov(part.T) for part in (x, y))
    root = sqrtm(one + 0j)
    cross = np.trace(sqrtm(root @ two @ root)).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * cross
    assert frechet(x, y, shrink=shrink) == pytest.approx(expected, rel=1e-5)


def test_frechet_shrinks_both_sides_when_one_is_small() -> None:
    x, y = samples(500, 5, 4), samples(20, 5, 5)
    assert frechet(x, y) == frechet(x, y, shrink=True) != frechet(x, y, shrink=False)
    assert frechet(x, x[:60]) == frechet(x, x[:60], shrink=False)


@pytest.mark.parametrize("n", [5, 300])
def test_frechet_of_identical_inputs_is_zero(n: int) -> None:
    x = samples(n, 10, 6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9 * (x**2).sum())


# --- sliced Wasserstein ----------------------------------------------------------------------------


def test_sliced_wasserstein_of_a_translation() -> None:
    x = samples(200, 3, 7)
    step = np.array([1.0, -2.0, 2.0])
    # per direction the distance is |step · direction|, so its mean square is ‖step‖²/d
    value = sliced_wasserstein(x, x + step, projections=4_000)
    assert value == pytest.approx(math.sqrt(9 / 3), rel=0.03)
    assert sliced_wasserstein(x, x) == pytest.approx(0, abs=1e-12)


def test_sliced_wasserstein_in_one_dimension_is_the_sorted_distance() -> None:
    x, y = samples(50, 1, 8), samples(50, 1, 9)
    expected = math.sqrt(((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2).mean())
    assert sliced_wasserstein(x, y, projections=3) == pytest.approx(expected, rel=1e-9)


# --- MMD -------------------------------------------------------------------------------------------


def mmd_by_loops(x: np.ndarray, y: np.ndarray, sigma: float) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * sigma**2))

    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_mmd_against_plain_loops() -> None:
    x, y = samples(12, 3, 0), samples(9, 3, 1, offset=1.0)
    width = float(np.median(pdist(np.vstack((x, y)))))
    assert mmd(x, y) == pytest.approx(mmd_by_loops(x, y, width), rel=1e-9)
    assert mmd(x, y, width=0.7) == pytest.approx(mmd_by_loops(x, y, 0.7), rel=1e-9)


def test_mmd_of_equal_distributions_has_mean_zero() -> None:
    n, draws = 10, 400
    rng = np.random.default_rng(0)
    values = [mmd(rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), width=2.0) for _ in range(draws)]
    error = np.std(values) / math.sqrt(draws)
    assert abs(np.mean(values)) < 3 * error
    # with the diagonal kept, each side's sum would be larger by n/(n(n − 1)), and the mean by twice that
    assert 2 / (n - 1) > 20 * error


def test_mmd_in_closed_form_for_two_points() -> None:
    x, y = np.zeros((2, 1)), np.full((3, 1), 2.0)
    assert mmd(x, y, width=1.0) == pytest.approx(2 - 2 * math.exp(-2), rel=1e-12)
    assert mmd(x, x) == 0.0  # one point: no width at all


def test_mmd_in_blocks_is_the_same() -> None:
    x, y = samples(1_500, 2, 2), samples(1_100, 2, 3)
    kernels = [np.exp(-cdist(a, b, "sqeuclidean") / 2) for a, b in ((x, x), (y, y), (x, y))]
    n, m = len(x), len(y)
    expected = (
        (kernels[0].sum() - n) / (n * (n - 1))
        + (kernels[1].sum() - m) / (m * (m - 1))
        - 2 * kernels[2].mean()
    )
    assert mmd(x, y, width=1.0) == pytest.approx(expected, rel=1e-9)


def test_mmd_does_not_lose_digits_to_a_large_offset() -> None:
    x, y = samples(40, 3, 4), samples(40, 3, 5)
    assert mmd(x + 1e6, y + 1e6) == pytest.approx(mmd(x, y), rel=1e-6)


def test_median_distance_of_a_large_sample_does_not_depend_on_row_order() -> None:
    x = torch.tensor(samples(2 * MEDIAN_SAMPLES, 3, 6))
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    assert median_distance(x) == median_distance(shuffled)
    exact = float(np.median(pdist(x[:3000].numpy())))
    assert median_distance(x) == pytest.approx(exact, rel=0.05)


def test_median_distance_of_mostly_equal_samples_is_not_zero() -> None:
    x = torch.zeros(10, 1, dtype=torch.float64)
    x[0] = 5.0
    assert median_distance(x) == 5.0


# --- CKA -------------------------------------------------------------------------------------------


def test_linear_cka_is_one_up_to_rotation_scale_and_offset() -> None:
    x = samples(50, 6, 0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("d", "e"), [(4, 3), (70, 5)])
def test_linear_cka_by_centred_kernels(d: int, e: int) -> None:
    x, y = samples(40, d, 1), samples(40, e, 2)
    centring = np.eye(40) - 1 / 40
    k, el = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring
    expected = np.trace(k @ el) / math.sqrt(np.trace(k @ k) * np.trace(el @ el))
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-9)


# --- transport -------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_matching_finds_the_permutation_of_least_cost(metric: str) -> None:
    means, clusters = samples(5, 4, 0), samples(5, 4, 1)
    costs = cdist(means, clusters, "sqeuclidean" if metric == "euclidean" else "cosine")
    best = min(itertools.permutations(range(5)), key=lambda p: sum(costs[p[k], k] for k in range(5)))
    found = match_classes_by_transport(means, clusters, metric=metric)  # type: ignore[arg-type]
    assert found.classes.tolist() == list(best)
    assert found.cost == pytest.approx(sum(costs[best[k], k] for k in range(5)) / 5, rel=1e-9)


def test_matching_recovers_moved_classes_and_respects_weights() -> None:
    means = 10 * np.eye(3)
    order = [2, 0, 1]
    found = match_classes_by_transport(means, means[order] + 0.5)
    assert found.classes.tolist() == order
    heavy = match_classes_by_transport(
        np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]), source_weights=np.array([3, 1])
    )
    np.testing.assert_allclose(heavy.plan, [[0.5, 0.25], [0.0, 0.25]], atol=1e-12)
    assert heavy.cost == pytest.approx(0.25)


@pytest.mark.parametrize(("classes", "clusters"), [(3, 5), (12, 10), (40, 60)])
def test_matching_of_unequal_masses_is_the_exact_transport_of_pot(classes: int, clusters: int) -> None:
    rng = np.random.default_rng(classes)
    x, y = rng.normal(size=(classes, 4)), rng.normal(size=(clusters, 4))
    a, b = rng.random(classes), rng.random(clusters)
    found = match_classes_by_transport(x, y, source_weights=a, target_weights=b, metric="euclidean")
    expected = pot().emd(a / a.sum(), b / b.sum(), cdist(x, y, "sqeuclidean"))
    assert np.abs(found.plan.numpy() - expected).max() < 1e-9


# --- all of them -----------------------------------------------------------------------------------

DISTANCES: list[Callable[..., float]] = [frechet, sliced_wasserstein, mmd]


@pytest.mark.parametrize("distance", DISTANCES)
def test_row_order_side_and_array_library_do_not_matter(distance: Callable[..., float]) -> None:
    x, y = samples(30, 4, 0), samples(40, 4, 1)
    value = distance(x, y)
    order = np.random.default_rng(0).permutation(30)
    assert distance(x[order], y) == pytest.approx(value, rel=1e-9)
    assert distance(y, x) == pytest.approx(value, rel=1e-9)
    assert distance(torch.tensor(x), torch.tensor(y)) == value


@pytest.mark.parametrize("distance", DISTANCES)
def test_farther_is_larger(distance: Callable[..., float]) -> None:
    x, y = samples(60, 4, 0), samples(60, 4, 0)
    values = [distance(x, y + offset) for offset in (0.1, 0.5, 2.0)]
    assert values == sorted(values)
    assert values[2] > 2 * abs(values[0])


@pytest.mark.parametrize("distance", [*DISTANCES, linear_cka])
def test_bad_input_is_refused(distance: Callable[..., float]) -> None:
    x = samples(10, 4, 0)
    broken = x.copy()
    broken[2, 1] = np.inf
    with pytest.raises(DataError, match="infinite values in 1 of 10"):
        distance(x, broken)
    with pytest.raises(DataError):
        distance(x, x[:0])
    with pytest.raises(DataError):
        distance(x, x[:, 0])


@pytest.mark.parametrize("distance", DISTANCES)
def test_different_dimensions_are_refused(distance: Callable[..., float]) -> None:
    with pytest.raises(DataError, match="4 and 3 dimensions"):
        distance(samples(10, 4, 0), samples(10, 3, 0))


def test_wrong_settings_are_refused() -> None:
    x = samples(10, 4, 0)
    with pytest.raises(UsageError, match="shrink"):
        frechet(x, x, shrink="always")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="width"):
        mmd(x, x, width=0.0)
    with pytest.raises(UsageError, match="width"):
        mmd(x, x, width="mean")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="projections"):
        sliced_wasserstein(x, x, projections=0)
    with pytest.raises(DataError, match="2"):
        mmd(x[:1], x)
    with pytest.raises(DataError, match="same for all"):
        linear_cka(x, np.ones((10, 2)))
    with pytest.raises(DataError, match="10 samples and y 9"):
        linear_cka(x, x[:9])
    with pytest.raises(DataError, match="source_weights"):
        match_classes_by_transport(x, x, source_weights=np.zeros(10))
    with pytest.raises(UsageError, match="metric"):
        match_classes_by_transport(x, x, metric="cityblock")  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(0, 5))
def test_sliced_wasserstein_is_that_of_pot(n: int, m: int, d: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(n, d)), draw.normal(size=(m, d)) + 0.5
    expected = pot().sliced_wasserstein_distance(x, y, n_projections=16, p=2, seed=seed)
    assert sliced_wasserstein(x, y, projections=16, seed=seed) == pytest.approx(float(expected), rel=1e-9)
