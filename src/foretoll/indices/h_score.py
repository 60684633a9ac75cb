"""H-score: how much of the spread of the representations the classes explain, in whitened units.

Sources: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019;
with shrinkage: Ibrahim et al., "Newer is not always better: Rethinking Transferability Metrics, Their
Peculiarities, Stability and Performance", 2021; Ledoit & Wolf 2004.

Deviations:
1. Both covariances are divided by n (the released code mixes n and n − 1), so that the unshrunk score lies in
   [0, classes − 1] exactly.
2. From `WIDE` dimensions on, fewer samples than dimensions never meet a d × d matrix: class means lie in the span of
   the samples, and the eigenvalues there are those of the n × n products. It is exact.
3. Ibrahim et al. multiply the score by (1 − shrinkage); `damped=True` does, the default does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._arrays import batch_matrix, class_labels, labelled, sums_by_class
from foretoll.indices._moments import (
    WIDE,
    Covariance,
    MomentAccumulator,
    centred_covariance,
    covariance,
    ledoit_wolf,
)
from foretoll.indices._validate import Array


def h_score(features: Array, labels: Array, *, shrink: bool = True, damped: bool = False) -> float:
    """H = tr(cov(F)⁻¹ cov(E[F | y])), at least 0; higher promises easier transfer. No unit.

    Args:
        features: representations, shape (n, d), n ≥ 2.
        labels: class numbers, shape (n,), at least two classes.
        shrink: Ledoit-Wolf shrinkage of cov(F); without it a singular cov(F) is inverted on its range.
        damped: multiply by 1 − shrinkage, as Ibrahim et al. do.

    Raises:
        DataError: NaN, infinity, one class only, constant features, or lengths that differ.
    """
    f, position, classes = labelled(features, labels)
    if WIDE < f.shape[1] > len(f):
        return _of_few(f - f.mean(0), position, classes, shrink=shrink, damped=damped)
    total = centred_covariance(f, shrink=shrink)
    counts = position.bincount().double()
    means = sums_by_class(f - total.mean, position, classes) / counts[:, None]
    return _trace(total, means, counts, damped)


class HScore(MomentAccumulator):
    """The H-score accumulated batch by batch, in O(d² + classes · d) memory; `compute()` is float64.

    `update(representations, labels)`, representations (B, d), labels (B,), −1 for samples to leave out.
    """

    class_sums: Tensor
    class_counts: Tensor

    def __init__(self, num_classes: int, *, shrink: bool = True, damped: bool = False) -> None:
        super().__init__()
        self.num_classes, self.shrink, self.damped = num_classes, shrink, damped

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        super()._make_states(key, device)
        self._add_zeros("class_sums", (self.num_classes, key[0]), device, torch.float64)
        self._add_zeros("class_counts", (self.num_classes,), device, torch.int64)

    def update(self, representations: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        batch = batch_matrix(representations)
        y = class_labels(labels, len(batch), classes=self.num_classes).to(batch.device)
        y, batch = y[y >= 0], self._add("samples", batch[y >= 0])
        self.class_sums += self._at_home(sums_by_class(batch, y, self.num_classes))
        self.class_counts += self._at_home(sums_by_class(torch.ones_like(y), y, self.num_classes))

    def _shift(self, step: Tensor) -> None:
        super()._shift(step)
        self.class_sums += self._at_home(torch.outer(self.class_counts.cpu().double(), step))

    def _value(self) -> Tensor:
        """The H-score."""
        self._require_data()
        counts = self.class_counts.cpu()
        seen = counts > 0
        if int(seen.sum()) < 2:
            raise DataError(f"the H-score has seen {int(seen.sum())} classes: update it with at least two")
        total = covariance(self._sums("samples"), shrink=self.shrink)
        means = self.class_sums.cpu()[seen] / counts[seen, None] - total.mean
        return torch.tensor(_trace(total, means, counts[seen].double(), self.damped), dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.num_classes, self.shrink, self.damped)


def _trace(total: Covariance, means: Tensor, counts: Tensor, damped: bool) -> float:
    """tr(Σ⁺ Σ_c (n_c/n) m_c m_cᵀ) with centred class means m (C, d)."""
    values, vectors = torch.linalg.eigh(total.matrix)
    kept = _not_rounding(values, len(values))
    whitened = (means @ vectors[:, kept]) / values[kept].sqrt()
    score = float((counts / counts.sum()) @ whitened.square().sum(1))
    return score * (1 - total.shrinkage) if damped else score


def _of_few(centred: Tensor, position: Tensor, classes: int, *, shrink: bool, damped: bool) -> float:
    """The same of centred samples (n, d) with n < d, in O(d n²) time and O(d n) memory.

    With X Xᵀ = U g Uᵀ the direction vₖ = Xᵀuₖ/√gₖ has the variance λₖ = (1 − s) gₖ/n + s μ, and the means of the
    classes, A X, have the coordinate (A U)ₖ √gₖ along it.
    """
    n, width = centred.shape
    scale, shrinkage = ledoit_wolf(centred) if shrink else (0.0, 0.0)
    squares, vectors = torch.linalg.eigh(centred @ centred.T)
    squares = squares.clamp(min=0)
    values = (1 - shrinkage) / n * squares + shrinkage * scale
    kept = _not_rounding(values, width)
    counts = position.bincount().double()
    means = sums_by_class(vectors[:, kept], position, classes) / counts[:, None]
    score = float((counts / n) @ (means.square() @ (squares[kept] / values[kept])))
    return score * (1 - shrinkage) if damped else score


def _not_rounding(values: Tensor, width: int) -> Tensor:
    """Which eigenvalues (k,) of a covariance (width, width) are more than rounding; DataError where none is."""
    kept = values > width * torch.finfo(torch.float64).eps * values.max()
    if not bool(kept.any()):
        raise DataError("all features are constant: the H-score needs representations that vary")
    return kept
