"""Law of the peers' accumulators: any batch size, order and split of the data gives the pure function's value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._accumulator import Accumulator
from foretoll.indices.doc_atc import (
    AverageThresholdedConfidence,
    DifferenceOfConfidences,
    atc,
    doc,
    max_confidence,
    negative_entropy,
)
from foretoll.indices.frechet import FrechetDistance, frechet
from foretoll.indices.gbc import GaussianBhattacharyya, gbc
from foretoll.indices.h_score import HScore, h_score
from foretoll.indices.leep import Leep, leep
from foretoll.indices.nce import NegativeConditionalEntropy, nce

N, D, CLASSES = 60, 4, 3


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(N) % CLASSES
    x = torch.randn(N, D, generator=generator) + torch.randn(CLASSES, D, generator=generator)[y]
    y[::9] = torch.randint(CLASSES, (len(y[::9]),), generator=generator)
    return x, y


X, Y = data()
P = X.double().softmax(1)
HALF = torch.arange(N) < N // 2  # the source side of two-sided scores
RIGHT = P.argmax(1) == Y


def two_sided(metric: Accumulator, rows: Tensor, *, labels: bool) -> None:
    for side, members in (("source", HALF[rows]), ("target", ~HALF[rows])):
        part = rows[members]
        if not len(part):
            continue
        if labels and side == "source":
            metric.update(X[part], Y[part], side=side)
        else:
            metric.update(X[part], side=side)


Feed = Callable[[Any, Tensor], None]
ONE_SIDED: Feed = lambda metric, rows: metric.update(X[rows], Y[rows])  # noqa: E731
CASES: dict[str, tuple[Callable[[], Accumulator], Feed, float]] = {
    "doc": (
        DifferenceOfConfidences,
        lambda m, r: two_sided(m, r, labels=True),
        doc(max_confidence(P[HALF]), max_confidence(P[~HALF]), float(RIGHT[HALF].double().mean())),
    ),
    "atc": (
        AverageThresholdedConfidence,
        lambda m, r: two_sided(m, r, labels=True),
        atc(negative_entropy(P[HALF]), RIGHT[HALF], negative_entropy(P[~HALF])),
    ),
    "atc, confidence": (
        lambda: AverageThresholdedConfidence(score="confidence"),
        lambda m, r: two_sided(m, r, labels=True),
        atc(max_confidence(P[HALF]), RIGHT[HALF], max_confidence(P[~HALF])),
    ),
    "frechet": (FrechetDistance, lambda m, r: two_sided(m, r, labels=False), frechet(X[HALF], X[~HALF])),
    "frechet, unshrunk": (
        lambda: FrechetDistance(shrink=False),
        lambda m, r: two_sided(m, r, labels=False),
        frechet(X[HALF], X[~HALF], shrink=False),
    ),
    "h_score": (lambda: HScore(CLASSES + 1), ONE_SIDED, h_score(X, Y)),
    "h_score, unshrunk": (lambda: HScore(CLASSES, shrink=False), ONE_SIDED, h_score(X, Y, shrink=False)),
    "gbc": (lambda: GaussianBhattacharyya(CLASSES + 1), ONE_SIDED, gbc(X, Y, dimensions=None)),
    "leep": (Leep, ONE_SIDED, leep(P, Y)),
    "nce": (lambda: NegativeConditionalEntropy(CLASSES), ONE_SIDED, nce(P.argmax(1), Y)),
}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, N), parts=st.integers(1, 4))
def test_any_batch_size_order_and_split_gives_the_same_value(
    case: str, seed: int, batch: int, parts: int
) -> None:
    make, feed, expected = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(N, generator=generator)
    owner = torch.randint(parts, (N,), generator=generator)
    metrics = [make() for _ in range(parts)]
    for number, metric in enumerate(metrics):
        for rows in order[owner == number].split(batch):
            if len(rows):
                feed(metric, rows)
    first, *others = metrics
    for other in others:
        first.merge_state(other)
    # the sums agree to rounding; LEEP keeps its probabilities in float32
    assert float(first.compute()) == pytest.approx(expected, rel=1e-6 if case == "leep" else 1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1] is ONE_SIDED])
def test_samples_of_unknown_class_are_left_out(case: str) -> None:
    make, _, expected = CASES[case]
    metric = make()
    metric.update(torch.cat((X, 50 * X[:5])), torch.cat((Y, torch.full((5,), -1))))
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_values_come_back_as_float64_and_reset_forgets() -> None:
    for make, feed, expected in CASES.values():
        metric = make()
        feed(metric, torch.arange(N))
        assert metric.compute().dtype == torch.float64
        metric.reset()
        feed(metric, torch.arange(N))
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("offset", [1e3, 1e7])
def test_a_mean_that_is_large_against_the_spread_costs_no_digits(offset: float) -> None:
    x = X.double() + offset
    distance, score = FrechetDistance(), HScore(CLASSES)
    for rows in torch.arange(N).split(7):
        other, more = FrechetDistance(), HScore(CLASSES)
        two_sided_rows = (("source", rows[HALF[rows]]), ("target", rows[~HALF[rows]]))
        for side, part in two_sided_rows:
            if len(part):
                other.update(x[part], side=side)
        more.update(x[rows], Y[rows])
        distance.merge_state(other)
        score.merge_state(more)
    assert float(distance.compute()) == pytest.approx(frechet(X[HALF], X[~HALF]), rel=1e-6)
    assert float(score.compute()) == pytest.approx(h_score(X, Y), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_no_data_is_refused(case: str) -> None:
    with pytest.raises(DataError, match="has seen no data"):
        CASES[case][0]().compute()


def test_batches_and_merges_that_do_not_fit_are_refused() -> None:
    metric = HScore(CLASSES)
    metric.update(X, Y)
    with pytest.raises(DataError, match="same model"):
        metric.update(X[:, :2], Y)
    with pytest.raises(DataError, match="3 classes"):
        metric.update(X, Y + 1)
    with pytest.raises(DataError, match="NaN"):
        metric.update(X * float("nan"), Y)
    with pytest.raises(UsageError, match="settings"):
        metric.merge_state(HScore(CLASSES, shrink=False))
    with pytest.raises(UsageError, match="one kind"):
        metric.merge_state(GaussianBhattacharyya(CLASSES))
    assert float(metric.compute()) == pytest.approx(h_score(X, Y), rel=1e-9)  # what was refused left no trace


@pytest.mark.parametrize("make", [lambda: HScore(CLASSES), lambda: GaussianBhattacharyya(CLASSES)])
def test_one_class_is_refused(make: Callable[[], Accumulator]) -> None:
    metric = make()
    metric.update(X, torch.zeros(N, dtype=torch.int64))
    with pytest.raises(DataError, match="has seen 1 classes"):
        metric.compute()
