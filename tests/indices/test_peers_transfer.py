"""LogME, H-score, LEEP, NCE and GBC against closed forms and independent computations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import mutual_info_score

from foretoll.errors import DataError, UsageError
from foretoll.indices.gbc import VARIANCE_FLOOR, bhattacharyya, gbc
from foretoll.indices.h_score import h_score
from foretoll.indices.leep import leep
from foretoll.indices.logme import logme
from foretoll.indices.nce import nce


def clusters(
    n: int, d: int, classes: int, *, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return spread * rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)), labels


# --- LogME -----------------------------------------------------------------------------------------


def exact_evidence(f: np.ndarray, labels: np.ndarray) -> float:
    """max over α, β of log N(y; 0, F Fᵀ/α + I/β)/N, mean over classes, with no linear algebra shared with LogME."""
    scores = []
    for label in np.unique(labels):
        y = (labels == label).astype(float)

        def negative(theta: np.ndarray, y: np.ndarray = y) -> float:
            cov = np.exp(-theta[0]) * f @ f.T + np.exp(-theta[1]) * np.eye(len(y))
            return -float(multivariate_normal.logpdf(y, np.zeros(len(y)), cov))

        starts = [(0.0, 0.0), (3.0, 2.0), (6.0, 2.0), (0.0, 4.0)]
        best = min(minimize(negative, s, method="Nelder-Mead", options={"xatol": 1e-6}).fun for s in starts)
        scores.append(-best / len(y))
    return float(np.mean(scores))


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 40)])
def test_logme_is_the_maximal_evidence_of_the_linear_model(n: int, d: int) -> None:
    f, labels = clusters(n, d, 3, spread=0.7)
    assert logme(f, labels) == pytest.approx(exact_evidence(f, labels), abs=2e-5)


def test_logme_depends_on_the_rank_and_not_on_the_dimension() -> None:
    f, labels = clusters(80, 4, 2)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    wide = np.hstack((f, np.zeros((80, 26)))) @ rotation  # 30 dimensions, rank 4
    assert logme(wide, labels) == pytest.approx(logme(f, labels), abs=1e-9)
    # with D = 30 instead of r = 4 in (r/2) log α the score would move by (D − r) log α / 2N, far above that
    assert logme(wide, labels) == pytest.approx(exact_evidence(f, labels), abs=2e-5)


def test_logme_of_features_that_know_nothing_is_the_evidence_of_noise() -> None:
    labels = np.array([0, 1] * 50)
    assert logme(np.zeros((100, 3)), labels) == pytest.approx(0.5 * (math.log(2) - math.log(2 * math.pi) - 1))
    # balanced classes and a feature orthogonal to both of their columns: the same number
    pairs = np.repeat(np.array([1.0, -1.0]), 50)
    assert logme(pairs[:, None], labels) == pytest.approx(0.5 * (math.log(2) - math.log(2 * math.pi) - 1))


def test_logme_of_an_exact_fit_is_finite_and_the_best() -> None:
    labels = np.arange(90) % 3
    exact = np.eye(3)[labels]
    noisy = exact + 0.1 * np.random.default_rng(0).normal(size=(90, 3))
    assert math.isfinite(logme(exact, labels))
    assert logme(exact, labels) > logme(noisy, labels) > logme(10 * noisy - 10 * exact, labels)


# --- H-score ---------------------------------------------------------------------------------------


def test_h_score_unshrunk_is_the_trace_formula_and_bounded_by_the_classes() -> None:
    f, labels = clusters(300, 6, 4)
    means = np.stack([f[labels == c].mean(0) for c in labels])
    expected = np.trace(np.linalg.solve(np.cov(f.T, bias=True), np.cov(means.T, bias=True)))
    assert h_score(f, labels, shrink=False) == pytest.approx(expected, rel=1e-9)
    far = 1e4 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(300, 4))
    assert h_score(far, labels, shrink=False) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize("damped", [False, True])
def test_h_score_shrunk_uses_the_ledoit_wolf_covariance(damped: bool) -> None:
    f, labels = clusters(40, 60, 3)  # fewer samples than dimensions
    covariance, shrinkage = ledoit_wolf(f)
    means = np.stack([f[labels == c].mean(0) for c in labels])
    expected = np.trace(np.linalg.solve(covariance, np.cov(means.T, bias=True)))
    expected *= 1 - shrinkage if damped else 1
    assert h_score(f, labels, damped=damped) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shrink", [True, False])
@pytest.mark.parametrize("damped", [True, False])
def test_h_score_of_few_samples_is_that_of_all_dimensions(
    *, shrink: bool, damped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, labels = clusters(24, 40, 3)
    f[:, :5] = f[:, 5:10]  # directions without any spread
    known = h_score(f, labels, shrink=shrink, damped=damped)
    monkeypatch.setattr("foretoll.indices.h_score.WIDE", 4)  # as if these were many dimensions
    monkeypatch.setattr("foretoll.indices.h_score.centred_covariance", None)
    assert h_score(f, labels, shrink=shrink, damped=damped) == pytest.approx(known, rel=1e-9)
    with pytest.raises(DataError, match="constant"):
        h_score(np.ones((6, 9)), np.arange(6) % 2, shrink=shrink)


def test_h_score_of_a_singular_covariance_is_taken_on_its_range() -> None:
    f, labels = clusters(200, 3, 3)
    wide = np.hstack((f, f @ np.ones((3, 2)), np.full((200, 1), 7.0)))
    assert h_score(wide, labels, shrink=False) == pytest.approx(h_score(f, labels, shrink=False), rel=1e-8)


# --- LEEP and NCE ----------------------------------------------------------------------------------


def test_leep_by_hand_takes_the_mean_of_logs() -> None:
    theta = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels = np.array([0, 0, 1])
    # P(y=0 | z) = (1.5/1.7, 0.5/1.3), P(y=1 | z) = (0.2/1.7, 0.8/1.3)
    given = np.array([[1.5 / 1.7, 0.5 / 1.3], [0.2 / 1.7, 0.8 / 1.3]])
    likelihoods = np.array([theta[0] @ given[0], theta[1] @ given[0], theta[2] @ given[1]])
    assert leep(theta, labels) == pytest.approx(np.log(likelihoods).mean(), rel=1e-12)
    assert (
        abs(leep(theta, labels) - math.log(likelihoods.mean())) > 0.01
    )  # the log of the mean is another number


def test_leep_of_certain_predictions_is_nce() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.integers(0, 5, 200), rng.integers(0, 3, 200)
    assert leep(np.eye(6)[z], y) == pytest.approx(nce(z, y), rel=1e-12)  # source class 5 is never predicted


def test_leep_against_a_computation_in_logarithms() -> None:
    rng = np.random.default_rng(1)
    logits, y = rng.normal(size=(50, 7)), rng.integers(0, 4, 50)
    logs = logits - logsumexp(logits, axis=1, keepdims=True)
    total = logsumexp(logs, axis=0)
    terms = [logsumexp(logsumexp(logs[y == y[i]], axis=0) - total + logs[i]) for i in range(50)]
    assert leep(np.exp(logs), y) == pytest.approx(np.mean(terms), rel=1e-12)


def test_nce_is_minus_the_conditional_entropy() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.integers(0, 4, 300), rng.integers(0, 3, 300)
    shares = np.bincount(y) / 300
    entropy = -(shares * np.log(shares)).sum()
    assert nce(z, y) == pytest.approx(mutual_info_score(y, z) - entropy, abs=1e-12)
    assert nce(y + 10, y) == 0


# --- GBC -------------------------------------------------------------------------------------------


def test_bhattacharyya_of_two_known_gaussians() -> None:
    d, v1, v2 = 3, 0.5, 2.0
    mu = torch.tensor([1.0, -2.0, 0.5])
    # the general form for full covariances, with S = (S1 + S2)/2
    s1, s2 = v1 * np.eye(d), v2 * np.eye(d)
    s = (s1 + s2) / 2
    expected = mu.numpy() @ np.linalg.solve(s, mu.numpy()) / 8 + 0.5 * math.log(
        np.linalg.det(s) / math.sqrt(np.linalg.det(s1) * np.linalg.det(s2))
    )
    found = bhattacharyya(torch.zeros(3), v1, mu, v2)
    assert found == pytest.approx(expected, rel=1e-12)
    dropped = float(mu.square().sum()) / (8 * 1.25) + 0.5 * math.log(1.25 / math.sqrt(v1 * v2))
    assert abs(found - dropped) > 0.2  # without the factor d


def test_bhattacharyya_is_the_overlap_integral() -> None:
    x = np.linspace(-30, 30, 200_001)
    density = [
        np.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for m, v in ((0, 1.5), (1, 0.5))
    ]
    overlap = np.sqrt(density[0] * density[1]).sum() * (x[1] - x[0])
    assert bhattacharyya(torch.zeros(1), 1.5, torch.ones(1), 0.5) == pytest.approx(
        -math.log(overlap), rel=1e-6
    )


def test_gbc_of_two_gaussians_with_known_moments() -> None:
    # ± pairs give exact means; per-dimension variances 1 and 4 exactly
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)
    f = np.vstack((square, 2 * square + np.array([3.0, 0.0])))
    labels = np.array([0] * 4 + [1] * 4)
    distance = 9 / (8 * 2.5) + (2 / 2) * math.log(2.5 / 2)
    assert gbc(f, labels, dimensions=None) == pytest.approx(-2 * math.exp(-distance), rel=1e-12)
    assert gbc(f, labels) == pytest.approx(
        -2 * math.exp(-distance), rel=1e-9
    )  # PCA in 2 dimensions is a rotation


def test_gbc_counts_only_dimensions_with_variance() -> None:
    f, labels = clusters(90, 3, 3)
    wide = np.hstack((f, np.full((90, 5), 2.0)))
    assert gbc(wide, labels) == pytest.approx(gbc(f, labels), rel=1e-9)


def test_gbc_keeps_the_leading_components() -> None:
    f, labels = clusters(200, 10, 3)
    f[:, :2] *= 30
    centred = f - f.mean(0)
    vectors = np.linalg.eigh(centred.T @ centred)[1][:, -2:]
    assert gbc(f, labels, dimensions=2) == pytest.approx(gbc(f @ vectors, labels, dimensions=None), rel=1e-9)


def test_gbc_of_a_class_with_one_sample_uses_the_floor() -> None:
    f = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [0.01, 0.0]])
    labels = np.array([0, 0, 0, 1])
    variance = (2 + 2) / 3 / 2
    average = (variance + VARIANCE_FLOOR) / 2
    distance = 1e-4 / (8 * average) + math.log(average / math.sqrt(variance * VARIANCE_FLOOR))
    assert gbc(f, labels, dimensions=None) == pytest.approx(-2 * math.exp(-distance), rel=1e-9)


# --- all of them -----------------------------------------------------------------------------------

SCORES: list[Callable[..., float]] = [logme, h_score, gbc]


@pytest.mark.parametrize("score", SCORES)
def test_better_separated_classes_score_higher(score: Callable[..., float]) -> None:
    values = [score(*clusters(300, 8, 4, spread=spread)) for spread in (0.0, 0.5, 2.0)]
    assert values == sorted(values)
    assert values[2] - values[0] > 0.1


@pytest.mark.parametrize("score", SCORES)
def test_row_order_array_library_and_unknown_labels_do_not_matter(score: Callable[..., float]) -> None:
    f, labels = clusters(120, 9, 3)
    order = np.random.default_rng(3).permutation(120)
    value = score(f, labels)
    assert score(f[order], labels[order]) == pytest.approx(value, rel=1e-9)
    assert score(torch.tensor(f), torch.tensor(labels)) == value
    more, marked = np.vstack((f, 99 * f[:7])), np.concatenate((labels, np.full(7, -1)))
    assert score(more, marked) == pytest.approx(value, rel=1e-9)


def test_row_order_does_not_matter_for_leep_and_nce() -> None:
    rng = np.random.default_rng(4)
    theta, y = rng.dirichlet(np.ones(5), 60), rng.integers(0, 3, 60)
    order = rng.permutation(60)
    assert leep(theta[order], y[order]) == pytest.approx(leep(theta, y), rel=1e-12)
    assert nce(theta.argmax(1)[order], y[order]) == pytest.approx(nce(theta.argmax(1), y), rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_a_class_with_one_sample_is_allowed(score: Callable[..., float]) -> None:
    f, labels = clusters(41, 5, 2)
    labels[-1] = 2
    assert math.isfinite(score(f, labels))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("fault", ["nan", "one class", "length", "empty", "fraction"])
def test_bad_input_is_refused(score: Callable[..., float], fault: str) -> None:
    f, labels = clusters(30, 4, 2)
    words = {
        "nan": "NaN",
        "one class": "1 known class",
        "length": "labels",
        "empty": "features",
        "fraction": "labels",
    }
    if fault == "nan":
        f[3, 1] = np.nan
    elif fault == "one class":
        labels[:] = 1
    elif fault == "length":
        labels = labels[:-1]
    elif fault == "empty":
        f, labels = f[:0], labels[:0]
    else:
        labels = labels + 0.5
    with pytest.raises(DataError, match=words[fault]):
        score(f, labels)


def test_bad_input_of_leep_nce_and_gbc_is_refused() -> None:
    with pytest.raises(DataError, match="softmax"):
        leep(np.array([[2.0, -1.0]]), np.array([0]))
    with pytest.raises(DataError, match="labels"):
        leep(np.array([[0.5, 0.5]]), np.array([0, 1]))
    with pytest.raises(DataError, match="source_labels"):
        nce(np.array([0, -1]), np.array([0, 1]))
    with pytest.raises(DataError, match="labels"):
        nce(np.array([0, 1]), np.array([0, 1, 1]))
    with pytest.raises(UsageError, match="dimensions"):
        gbc(*clusters(30, 4, 2), dimensions=0)
    constant = np.ones((10, 3))
    for score in (gbc, h_score):
        with pytest.raises(DataError, match="constant"):
            score(constant, np.arange(10) % 2)
