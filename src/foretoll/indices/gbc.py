"""GBC: Gaussian Bhattacharyya coefficient, the overlap of the classes as spherical Gaussians.

Source: Pándy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022.

Deviations:
1. The released code averages the variances to one number per class and then drops the dimension d from the
   logarithmic term; here it is kept, so that the value is the coefficient of the Gaussians that are meant.
2. Principal components without variance (fewer samples than dimensions, constant features) are left out, so that d
   counts only dimensions in which the samples differ: by more than about a millionth of the widest, which is what
   float32 tells apart. The PCA is exact, not randomised.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._accumulator import Accumulator
from foretoll.indices._arrays import batch_matrix, class_labels, labelled, sums_by_class
from foretoll.indices._validate import Array

VARIANCE_FLOOR = 1e-4


def gbc(features: Array, labels: Array, *, dimensions: int | None = 64) -> float:
    """−Σ_{i≠j} exp(−D_ij), between −C(C−1) and 0; higher (nearer 0) promises easier transfer.

    D_ij = ‖μ_i − μ_j‖²/(8 v̄) + (d/2) log(v̄/√(v_i v_j)), v̄ = (v_i + v_j)/2, with v_c the mean over the d dimensions
    of the variance within class c (divided by n_c), at least 1e-4: also that of a class with one sample.

    Args:
        features: representations, shape (n, D).
        labels: class numbers, shape (n,), at least two classes.
        dimensions: of the principal components kept at most; None for no PCA.

    Raises:
        DataError: NaN, infinity, one class only, constant features, or lengths that differ.
    """
    f, position, classes = labelled(features, labels)
    f = f - f.mean(0)
    if dimensions is not None:
        f = _principal(f, dimensions)
    counts = position.bincount().double()
    means = sums_by_class(f, position, classes) / counts[:, None]
    spread = sums_by_class((f - means[position]).square().sum(1), position, classes)
    return _overlap(means, spread / (counts * f.shape[1]))


class GaussianBhattacharyya(Accumulator[Tensor]):
    """GBC without PCA accumulated batch by batch, in O(classes · D) memory; `compute()` is float64.

    `update(representations, labels)`, representations (B, D), labels (B,), −1 for samples to leave out. Equals
    `gbc(..., dimensions=None)`.
    """

    sums: Tensor
    squares: Tensor
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        self._add_zeros("sums", (self.num_classes, key[0]), device, torch.float64)
        self._add_zeros("squares", (self.num_classes,), device, torch.float64)
        self._add_zeros("counts", (self.num_classes,), device, torch.int64)

    def update(self, representations: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        batch = batch_matrix(representations)
        y = class_labels(labels, len(batch), classes=self.num_classes).to(batch.device)
        batch, y = batch[y >= 0], y[y >= 0]
        self._size((batch.shape[1],), batch.device)
        self.sums += self._at_home(sums_by_class(batch, y, self.num_classes))
        self.squares += self._at_home(sums_by_class(batch.square().sum(1), y, self.num_classes))
        self.counts += self._at_home(sums_by_class(torch.ones_like(y), y, self.num_classes))

    def _value(self) -> Tensor:
        """The GBC in all D dimensions."""
        self._require_data()
        counts = self.counts.cpu()
        seen = counts > 0
        if int(seen.sum()) < 2:
            raise DataError(f"GBC has seen {int(seen.sum())} classes: update it with at least two")
        weights = counts[seen].double()
        means = self.sums.cpu()[seen] / weights[:, None]
        variances = (self.squares.cpu()[seen] / weights - means.square().sum(1)) / means.shape[1]
        return torch.tensor(_overlap(means, variances), dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.num_classes,)


def bhattacharyya(mean_x: Tensor, variance_x: float, mean_y: Tensor, variance_y: float) -> float:
    """Bhattacharyya distance of two spherical Gaussians in d dimensions; means (d,), variances per dimension."""
    means = torch.stack((mean_x, mean_y)).double()
    return float(_distances(means, torch.tensor([variance_x, variance_y], dtype=torch.float64))[0, 1])


def _overlap(means: Tensor, variances: Tensor) -> float:
    coefficients = torch.exp(-_distances(means, variances.clamp(min=VARIANCE_FLOOR)))
    return -float(coefficients.sum() - coefficients.trace())


def _distances(means: Tensor, variances: Tensor) -> Tensor:
    dimension = means.shape[1]
    average = (variances[:, None] + variances) / 2
    logs = variances.log()
    squared = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square()
    return squared / (8 * average) + dimension / 2 * (average.log() - (logs[:, None] + logs) / 2)


def _principal(centred: Tensor, dimensions: int) -> Tensor:
    """Scores on the leading principal components that have variance."""
    if dimensions < 1:
        raise UsageError(f"dimensions is {dimensions}: give at least 1, or None for no PCA")
    n, d = centred.shape
    variances, vectors = torch.linalg.eigh(centred.T @ centred if n >= d else centred @ centred.T)
    variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
    rank = int((variances > max(n, d) * torch.finfo(torch.float64).eps * variances[0]).sum())
    if rank == 0:
        raise DataError("all features are constant: GBC needs representations that vary")
    kept = min(dimensions, rank)
    leading = vectors[:, :kept]
    scores: Tensor = centred @ leading if n >= d else leading * variances[:kept].sqrt()
    return scores
