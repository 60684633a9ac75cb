"""DoC, ATC and calibration error against hand computations and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from foretoll.errors import DataError, UsageError
from foretoll.indices.doc_atc import (
    AverageThresholdedConfidence,
    DifferenceOfConfidences,
    atc,
    doc,
    max_confidence,
    negative_entropy,
)
from foretoll.indices.separability import expected_calibration_error


def test_confidence_and_entropy_by_hand() -> None:
    p = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(max_confidence(p), [0.5, 1.0])
    np.testing.assert_allclose(negative_entropy(p), [-1.5 * math.log(2), 0.0], atol=1e-12)
    logits = np.log(np.array([[0.5, 0.3, 0.2]])) + 5
    np.testing.assert_allclose(max_confidence(logits, from_logits=True), [0.5])
    extreme = negative_entropy(np.array([[1e4, 0.0]]), from_logits=True)
    assert extreme.tolist() == [0.0]


def test_doc_by_hand() -> None:
    assert doc(np.array([0.9, 0.7]), np.array([0.6, 0.5, 0.4]), 0.95) == pytest.approx(0.95 - (0.8 - 0.5))
    confidence = np.array([0.3, 0.8])
    assert doc(confidence, confidence, 0.6) == pytest.approx(0.6)
    assert doc(np.array([0.9]), np.array([0.2]), 0.5) == pytest.approx(-0.2)  # not clipped: order is kept


def test_atc_threshold_leaves_the_source_error_below_it() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=200)
    correct = rng.random(200) < 0.73
    threshold = np.sort(scores)[int((~correct).sum())]  # as many scores below it as there are errors
    target = rng.normal(-0.4, 1, size=500)
    assert atc(scores, correct, target) == pytest.approx((target >= threshold).mean())
    assert atc(scores, correct, scores) == pytest.approx(correct.mean())  # no shift: the source accuracy


def test_atc_at_the_ends_and_with_ties() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    assert atc(scores, np.zeros(3), scores) == 0.0
    assert atc(scores, np.ones(3), np.array([0.05, 0.1, 0.9])) == pytest.approx(2 / 3)
    # shares below the candidates 0.5, 0.9 and ∞ are 0, 2/3 and 1: the one nearest to the error 1/2 is 0.9
    tied = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.9])
    assert atc(tied, np.array([1, 0, 1, 0, 1, 0]), np.array([0.6, 0.95])) == 0.5


def test_row_order_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    scores, correct, target = rng.random(50), rng.random(50) < 0.5, rng.random(30)
    order = rng.permutation(50)
    assert atc(scores[order], correct[order], target[::-1].copy()) == atc(scores, correct, target)
    assert doc(scores[order], target, 0.5) == pytest.approx(doc(scores, target, 0.5), abs=1e-14)


def test_calibration_error_against_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(500, 4, generator=generator, dtype=torch.float64).softmax(1)
    y = torch.randint(4, (500,), generator=generator)
    found = expected_calibration_error(p.amax(1), p.argmax(1) == y)
    assert found == pytest.approx(float(multiclass_calibration_error(p, y, 4, n_bins=15)), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    # bins of 0.5: {0.5, 0.3} with gap |1 − 0.8|, {1.0} with gap |0 − 1|
    assert expected_calibration_error(
        np.array([0.5, 0.3, 1.0]), np.array([1, 0, 0]), bins=2
    ) == pytest.approx(0.4)
    assert expected_calibration_error(np.array([0.75] * 4), np.array([1, 1, 1, 0])) == pytest.approx(0)


def test_bad_input_is_refused() -> None:
    good = np.array([0.5, 0.6])
    with pytest.raises(DataError, match="NaN"):
        doc(np.array([0.5, np.nan]), good, 0.5)
    with pytest.raises(DataError, match="source_accuracy"):
        doc(good, good, 95.0)
    with pytest.raises(DataError, match="empty"):
        doc(good, good[:0], 0.5)
    with pytest.raises(DataError, match="3 entries for 2"):
        atc(good, np.ones(3), good)
    with pytest.raises(DataError, match="true and false"):
        atc(good, np.array([0.5, 1]), good)
    with pytest.raises(DataError, match="softmax"):
        max_confidence(np.array([[0.9, 0.9]]))
    with pytest.raises(DataError, match="one number a sample"):
        atc(good[:, None], np.ones(2), good)
    with pytest.raises(DataError, match="confidences"):
        expected_calibration_error(np.array([1.5]), np.array([1]))
    with pytest.raises(DataError, match="2 entries for 1"):
        expected_calibration_error(np.array([0.5]), np.array([1, 1]))
    with pytest.raises(UsageError, match="bins"):
        expected_calibration_error(good, np.ones(2), bins=0)


def test_accumulators_refuse_what_they_cannot_use() -> None:
    metric = DifferenceOfConfidences()
    logits = torch.zeros(3, 4)
    with pytest.raises(DataError, match="need labels"):
        metric.update(logits, side="source")
    with pytest.raises(UsageError, match="side"):
        metric.update(logits, side="left")
    with pytest.raises(DataError, match="unknown class"):
        metric.update(logits, torch.tensor([0, 1, -1]), side="source")
    with pytest.raises(DataError, match="4 classes"):
        metric.update(logits, torch.tensor([0, 1, 4]), side="source")
    metric.update(logits, side="target")
    with pytest.raises(DataError, match="one side"):
        metric.compute()
    with pytest.raises(UsageError, match="ATC score"):
        AverageThresholdedConfidence(score="margin")
