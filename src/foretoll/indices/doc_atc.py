"""Accuracy on unlabelled target data, from confidences: DoC and ATC.

Sources: Guillory et al., "Predicting with Confidence on Unseen Distributions", ICCV 2021 (DoC, difference of
confidences); Garg et al., "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", ICLR 2022 (ATC,
average thresholded confidence).

Deviations:
1. DoC: the plain difference, without the regression on other shifts that Guillory et al. fit on top; the
   calibrator that all scores share takes its place. The prediction is not clipped to [0, 1], which would lose the
   order of the worst cases.
2. ATC: where ties between scores leave no threshold with exactly the source error below it, the threshold with the
   nearest share is used (the lower one of two equally near).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._accumulator import Accumulator
from foretoll.indices._arrays import as_probabilities, check_side, class_labels, vector
from foretoll.indices._validate import Array, check_choice


def max_confidence(outputs: Array, *, from_logits: bool = False) -> Tensor:
    """c(x) = max_z p(z | x), shape (n,), float64; `outputs` are probabilities, or logits, of shape (n, classes)."""
    return as_probabilities(outputs, from_logits=from_logits).amax(1)


def negative_entropy(outputs: Array, *, from_logits: bool = False) -> Tensor:
    """s(x) = Σ_z p(z | x) log p(z | x) in nats, at most 0, shape (n,), float64; `outputs` as in `max_confidence`."""
    p = as_probabilities(outputs, from_logits=from_logits)
    score: Tensor = torch.special.xlogy(p, p).sum(1)
    return score


def doc(source_confidence: Array, target_confidence: Array, source_accuracy: float) -> float:
    """Predicted target accuracy = source accuracy − (mean source confidence − mean target confidence).

    Args:
        source_confidence: max softmax of each held-out source sample, shape (n,).
        target_confidence: the same of each target sample, shape (m,).
        source_accuracy: accuracy on the held-out source samples, in [0, 1].

    Raises:
        DataError: empty, NaN, or an accuracy outside [0, 1].
    """
    if not 0 <= source_accuracy <= 1:
        raise DataError(f"source_accuracy is {source_accuracy}: give a share between 0 and 1")
    source = vector(source_confidence, "source_confidence")
    target = vector(target_confidence, "target_confidence")
    return float(source_accuracy - (source.mean() - target.mean()))


def atc(source_scores: Array, source_correct: Array, target_scores: Array) -> float:
    """Predicted target accuracy = share of target scores at or above t, with P_source(s < t) = source error.

    Args:
        source_scores: score of each held-out source sample, shape (n,): negative entropy or max confidence.
        source_correct: whether the model was right on it, shape (n,), bool or 0/1.
        target_scores: the same score of each target sample, shape (m,).

    Raises:
        DataError: empty, NaN, lengths that differ, or `source_correct` not 0/1.
    """
    scores = vector(source_scores, "source_scores")
    correct = vector(source_correct, "source_correct")
    target = vector(target_scores, "target_scores")
    if len(scores) != len(correct):
        raise DataError(
            f"source_correct has {len(correct)} entries for {len(scores)} source_scores: give one per sample"
        )
    if not bool(((correct == 0) | (correct == 1)).all()):
        raise DataError("source_correct must hold only true and false (1 and 0)")
    return float((target >= atc_threshold(scores, correct)).double().mean())


def atc_threshold(source_scores: Tensor, source_correct: Tensor) -> float:
    """The score t below which the share of source samples is nearest to the source error; infinite if all are wrong."""
    error = float(1 - source_correct.double().mean())
    values, counts = torch.unique(source_scores.double(), return_counts=True)
    below = torch.cat((torch.zeros(1, dtype=torch.int64), counts.cumsum(0))).double() / len(source_scores)
    # argmin takes the first of equals, the lower threshold; rounding makes near-equals equal
    best = int(((below - error).abs() * 2**40).round().argmin())
    return float(values[best]) if best < len(values) else float("inf")


class _Confidences(Accumulator[Tensor]):
    """What DoC and ATC share: two sides, labels on the source side, any number of classes but always the same."""

    def __init__(self, *, from_logits: bool = True) -> None:
        super().__init__()
        self.from_logits = from_logits

    def _correct(self, outputs: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise DataError("source batches need labels: the source accuracy is part of the prediction")
        known = class_labels(labels, len(outputs), classes=outputs.shape[1])
        if bool((known < 0).any()):
            raise DataError("source batches hold samples of unknown class: pass labelled source samples only")
        return outputs.detach().argmax(1) == known.to(outputs.device)

    def _settings(self) -> tuple[Any, ...]:
        return (self.from_logits,)


class DifferenceOfConfidences(_Confidences):
    """DoC accumulated batch by batch: five sums. `compute()` is the predicted target accuracy, float64.

    `update(logits, labels, side="source")`, `update(logits, side="target")`; logits (B, classes), labels (B,).
    """

    source_confidence: Tensor
    source_correct: Tensor
    source_count: Tensor
    target_confidence: Tensor
    target_count: Tensor

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        for name in ("source_confidence", "target_confidence"):
            self._add_zeros(name, (), device, torch.float64)
        for name in ("source_correct", "source_count", "target_count"):
            self._add_zeros(name, (), device, torch.int64)

    def update(self, outputs: Tensor, labels: Tensor | None = None, *, side: str) -> None:
        """Add a batch of one side."""
        check_side(side)
        confidence = max_confidence(outputs, from_logits=self.from_logits)
        correct = self._correct(outputs, labels) if side == "source" else None
        self._size((outputs.shape[1],), outputs.device)
        if correct is not None:
            self.source_confidence += self._at_home(confidence.sum())
            self.source_correct += self._at_home(correct.sum())
            self.source_count += len(confidence)
        else:
            self.target_confidence += self._at_home(confidence.sum())
            self.target_count += len(confidence)

    def _value(self) -> Tensor:
        """The predicted target accuracy."""
        self._require_data()
        if not (int(self.source_count) and int(self.target_count)):
            raise DataError(
                "DoC has seen no samples of one side: update it with source and with target batches"
            )
        accuracy = self.source_correct.double() / self.source_count
        source = self.source_confidence / self.source_count
        return accuracy - (source - self.target_confidence / self.target_count)


class AverageThresholdedConfidence(_Confidences):
    """ATC accumulated batch by batch; keeps one score per sample. `compute()` is the predicted target accuracy.

    `update(logits, labels, side="source")`, `update(logits, side="target")`; logits (B, classes), labels (B,).
    `score` is "entropy" (negative entropy) or "confidence" (max softmax).
    """

    source_scores: list[Tensor]
    source_correct: list[Tensor]
    target_scores: list[Tensor]

    def __init__(self, *, score: str = "entropy", from_logits: bool = True) -> None:
        super().__init__(from_logits=from_logits)
        check_choice("ATC score", score, ("entropy", "confidence"))
        self.score = score

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        for name in ("source_scores", "source_correct", "target_scores"):
            self._add_state(name, None, "cat")

    def update(self, outputs: Tensor, labels: Tensor | None = None, *, side: str) -> None:
        """Add a batch of one side."""
        check_side(side)
        function = negative_entropy if self.score == "entropy" else max_confidence
        scores = function(outputs, from_logits=self.from_logits)
        correct = self._correct(outputs, labels) if side == "source" else None
        self._size((outputs.shape[1],), outputs.device)
        if correct is not None:
            self.source_scores.append(self._at_home(scores))
            self.source_correct.append(self._at_home(correct))
        else:
            self.target_scores.append(self._at_home(scores))

    def _value(self) -> Tensor:
        """The predicted target accuracy."""
        self._require_data()
        if not (len(self.source_scores) and len(self.target_scores)):
            raise DataError(
                "ATC has seen no samples of one side: update it with source and with target batches"
            )
        parts = (self.source_scores, self.source_correct, self.target_scores)
        return torch.tensor(atc(*(torch.cat(part) for part in parts)), dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.score, self.from_logits)
