"""The recoverability gap: how far what is still linearly readable from a frozen model falls short of the target.

gap = quality target − A, with A the cross-fitted accuracy of a linear probe on the frozen representations of the
target; where the model has normalisation statistics, A is the larger of that and of the accuracy on the
representations after those statistics were estimated again on the target. Unit: accuracy, in [−1, 1]; at or
below 0 the classes can be read off as well as wanted, and only the head (or the statistics) has to follow.

The probe is ridge regression on one-hot labels: with Z the centred representations divided by one number (the
root of their mean variance), B = (ZᵀZ + λI)⁻¹ Zᵀ Y, class = argmax of Z·B + mean(Y). Equivalent:
`sklearn.linear_model.RidgeClassifier` on features centred and scaled in common. One number for all channels, not
one for each: then the probe does not change when the representation is rotated or scaled as a whole.
Defined in foretoll (docs/recoverability_gap.md); no paper to deviate from.
"""

# How a sample is kept from the choices that score it:
# 1. Folds are stratified by class, and decided by a hash of the sample's id (of its row, where there are no ids).
# 2. Each sample is scored by a probe that was fitted without its fold.
# 3. λ for a fold comes from closed-form leave-one-out errors of other folds only (of at most about 400 samples:
#    λ is a ratio of variances and does not depend on how many samples there are).
# 4. The common scale comes from all representations; no label enters it.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._bootstrap import NORMAL_90, hash_ids, hash_rows
from foretoll.indices._sample import SampleAccumulator
from foretoll.indices._validate import (
    Array,
    check_ids,
    check_known_labels,
    check_labels,
    check_representations,
)
from foretoll.records import IndexValue
from foretoll.tasks import Metric, TargetScale, Task, Whole

LAMBDAS = tuple(10.0**e for e in range(-3, 6))
TUNING = 400


class Probe(NamedTuple):
    """Cross-fitted accuracy of a linear probe; `standard_error` covers the sampling of the scored samples."""

    accuracy: float
    standard_error: float
    samples: int  # scored
    classes: int
    left_out: tuple[int, ...]  # classes with a single sample: nothing can be learned and scored from one


class RecoverabilityGap(NamedTuple):
    """`value` = target − accuracy, with a 90 % interval from the accuracy's standard error."""

    value: float
    low: float
    high: float
    probe: Probe  # the better of the two
    plain: Probe
    renormalised: Probe | None


def linear_probe_accuracy(
    representations: Array,
    labels: Array,
    *,
    seed: int = 0,
    ids: Array | None = None,
    folds: int = 5,
) -> Probe:
    """Accuracy of a ridge classifier on frozen representations (n, d), each sample scored out of its fold.

    Row order, a rotation and a positive scaling of the representations (with the same `ids`) and other names for
    the classes change nothing. Works for n < d, constant channels and many small classes; samples of unknown class
    (-1) and classes with one sample are left out. Standard error: the larger of the binomial one and of the
    folds' spread. Raises `DataError` with fewer than two classes of two samples, or constant representations.
    """
    if folds < 2:
        raise UsageError(f"folds is {folds}: cross-fitting needs at least 2")
    x = check_representations(representations, allow_constant=False)
    y = check_labels(labels, x.shape[0]).to(x.device)
    keys = hash_rows(x) if ids is None else check_ids(ids, x.shape[0]).to(x.device)
    keys = hash_ids(keys, seed)
    order = torch.argsort(keys)
    x, y, keys = x[order], y[order], keys[order]
    known = y >= 0
    x, y, keys = x[known], y[known], keys[known]
    x, y, keys, left_out = _without_single_samples(x, y, keys)
    check_known_labels(x, y, "labels (classes with two samples or more)")
    classes, y = torch.unique(y, return_inverse=True)
    fold = _folds(y, keys, folds)
    one_hot = torch.nn.functional.one_hot(y).to(x.dtype)
    hits = _out_of_fold(_normalised(x), one_hot, fold, folds).argmax(1) == y
    return _score(hits, fold, folds, len(classes), left_out)


def linear_probe_progress(
    representations: Array,
    targets: Tensor,
    *,
    task: Task,
    metric: Metric,
    progress: Callable[[float], float],
    scale: TargetScale | None = None,
    groups: Tensor | None = None,
    ids: Array | None = None,
    seed: int = 0,
    folds: int = 5,
) -> Probe:
    """The same probe for another task: ridge on what the task says of its targets, scored as progress in a metric.

    `representations` (n, d), `targets` (n, k); `progress` maps a value of the metric to 0 … 1, and `groups` (n,) are
    what the folds are stratified by. Standard error: the larger of the metric's own sampling error and of the folds'
    spread. Raises `DataError` with fewer than two samples a fold, or constant representations.
    """
    if folds < 2:
        raise UsageError(f"folds is {folds}: cross-fitting needs at least 2")
    x = check_representations(representations, allow_constant=False)
    if len(x) < 2 * folds:
        raise DataError(f"a probe needs at least {2 * folds} samples, and {len(x)} are there: give more")
    keys = hash_rows(x) if ids is None else check_ids(ids, x.shape[0]).to(x.device)
    order = torch.argsort(hash_ids(keys, seed))
    x, keys, y = x[order], hash_ids(keys, seed)[order], targets.to(x.device)[order]
    if task.places:  # of a large vocabulary only what occurs
        y = torch.unique(y.long(), return_inverse=True)[1]
    strata = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    if groups is not None and bool((groups >= 0).all()):
        _, strata = torch.unique(groups.to(x.device)[order], return_inverse=True)
    fold = _folds(strata, keys, folds)
    fitted = _out_of_fold(_normalised(x), task.design(y, scale).to(x.dtype), fold, folds)
    outputs = task.outputs(fitted, scale)

    def scored(rows: Tensor) -> tuple[float, float]:
        tally = Whole() if metric.whole else task.tally(outputs.shape[1], device=outputs.device)
        tally.update(outputs[rows], y[rows])
        value = metric.compute(tally)
        return value, metric.error_of(tally, value)

    value, error = scored(torch.ones_like(fold, dtype=torch.bool))
    each = torch.tensor([progress(scored(fold == f)[0]) for f in range(folds) if bool((fold == f).any())])
    spread = float(each.std() / len(each) ** 0.5) if len(each) > 1 else 0.0
    own = abs(progress(value + error) - progress(value - error)) / 2
    return Probe(progress(value), max(own, spread), len(x), int(strata.max()) + 1, ())


def recoverability_gap(
    representations: Array,
    labels: Array,
    target_quality: float,
    *,
    renormalised: Array | None = None,
    seed: int = 0,
    ids: Array | None = None,
) -> RecoverabilityGap:
    """Quality target minus the accuracy that is still linearly readable from frozen representations of the target.

    `representations` (n, d), `labels` (n,), `target_quality` in [0, 1] as accuracy. `renormalised` (n, d): the
    representations of the same rows after batch-norm statistics were estimated again on the target; None for a
    model without. Errors as `linear_probe_accuracy`.
    """
    if not 0.0 <= target_quality <= 1.0:
        raise UsageError(f"target_quality is {target_quality}: pass an accuracy between 0 and 1")
    plain = linear_probe_accuracy(representations, labels, seed=seed, ids=ids)
    again = None
    if renormalised is not None:
        # without ids the folds follow the rows' content, so that both probes share them
        shared = hash_rows(check_representations(representations)) if ids is None else ids
        again = linear_probe_accuracy(renormalised, labels, seed=seed, ids=shared)
    return gap_of_probes(plain, again, target_quality)


def gap_of_probes(plain: Probe, renormalised: Probe | None, target_quality: float) -> RecoverabilityGap:
    """The gap from the accuracies of probes that were fitted already."""
    best = plain
    if renormalised is not None and renormalised.accuracy > plain.accuracy:
        best = renormalised
    value = target_quality - best.accuracy
    spread = NORMAL_90 * best.standard_error
    return RecoverabilityGap(
        value,
        max(target_quality - 1.0, value - spread),
        min(target_quality, value + spread),
        best,
        plain,
        renormalised,
    )


def _without_single_samples(
    x: Tensor, y: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    if not len(y):
        return x, y, keys, ()
    classes, inverse, counts = torch.unique(y, return_inverse=True, return_counts=True)
    keep = counts[inverse] > 1
    return x[keep], y[keep], keys[keep], tuple(classes[counts == 1].tolist())


def _folds(y: Tensor, keys: Tensor, folds: int) -> Tensor:
    """Fold of each sample: classes are dealt out in the order of the keys, each from a fold of its own.

    The first fold of a class follows from its smallest key, not from its number, so that other names for the
    classes change nothing. Rows are sorted by key.
    """
    fold = torch.empty_like(y)
    for c in range(int(y.max()) + 1):
        rows = torch.nonzero(y == c).squeeze(1)
        fold[rows] = (torch.arange(len(rows), device=y.device) + keys[rows[0]] % folds) % folds
    return fold


def _normalised(x: Tensor) -> Tensor:
    """Centred and divided by the root of the mean variance."""
    x = x / x.abs().max()
    z = x - x.mean(0)
    unit: Tensor = z / z.square().mean().sqrt()
    return unit


def _out_of_fold(z: Tensor, target: Tensor, fold: Tensor, folds: int) -> Tensor:
    """What the probe that was fitted without a sample's fold says of it, (n, k)."""
    parts = [p for p in (fold == f for f in range(folds)) if bool(p.any())]
    solve = _Dual(z, target) if z.shape[1] > z.shape[0] else _Primal(z, target, parts)
    fitted = torch.zeros_like(target)
    chosen: dict[tuple[int, ...], float] = {}
    for f, held_out in enumerate(parts):
        tuning = _tuning_folds(f, parts)
        if tuning not in chosen:
            rows = torch.stack([parts[g] for g in tuning]).any(0).nonzero().squeeze(1)[: 2 * TUNING]
            chosen[tuning] = _choose_lambda(z[rows], target[rows])
        fitted[held_out] = solve(f, held_out, chosen[tuning])
    return fitted


class _Primal:
    """Ridge in the space of the channels; a fit part's products are the total less those of the held-out fold."""

    def __init__(self, z: Tensor, target: Tensor, parts: list[Tensor]) -> None:
        self.z, self.target = z, target
        held = [(z[p], target[p]) for p in parts]
        self.grams = [a.T @ a for a, _ in held]
        self.crosses = [a.T @ b for a, b in held]
        self.gram, self.cross = torch.stack(self.grams).sum(0), torch.stack(self.crosses).sum(0)

    def __call__(self, f: int, held_out: Tensor, ridge: float) -> Tensor:
        """Scores of the held-out samples."""
        fit = ~held_out
        n = int(fit.sum())
        mean_y = self.target[fit].mean(0)
        # z is centred as a whole: the fit part's sum is minus the held-out one's
        mean_z = -self.z[held_out].sum(0) / n
        left = self.gram - self.grams[f] - n * torch.outer(mean_z, mean_z)
        right = self.cross - self.crosses[f] - n * torch.outer(mean_z, mean_y)
        left.diagonal().add_(ridge)
        weights = torch.cholesky_solve(right, torch.linalg.cholesky(left))
        return (self.z[held_out] - mean_z) @ weights + mean_y


class _Dual:
    """The same ridge in the space of the samples, for more channels than samples."""

    def __init__(self, z: Tensor, target: Tensor) -> None:
        self.kernel, self.target = z @ z.T, target

    def __call__(self, f: int, held_out: Tensor, ridge: float) -> Tensor:
        """Scores of the held-out samples."""
        fit = ~held_out
        mean_y = self.target[fit].mean(0)
        rows = self.kernel[:, fit]
        inner, outer = rows[fit], rows[held_out]
        column = inner.mean(0)
        left = inner - column - column[:, None] + column.mean()
        outer = outer - outer.mean(1, keepdim=True) - column + column.mean()
        left.diagonal().add_(ridge)
        weights = torch.cholesky_solve(self.target[fit] - mean_y, torch.linalg.cholesky(left))
        return outer @ weights + mean_y


def _tuning_folds(held_out: int, parts: list[Tensor]) -> tuple[int, ...]:
    """Folds other than the held-out one that together have enough samples to choose λ from."""
    taken: list[int] = []
    samples = 0
    for g, rows in enumerate(parts):
        if g != held_out and samples < 0.75 * TUNING:
            taken.append(g)
            samples += int(rows.sum())
    return tuple(taken)


def _choose_lambda(z: Tensor, target: Tensor) -> float:
    """λ with the smallest squared leave-one-out error, in closed form: (y − ŷ) / (1 − leverage)."""
    z = z - z.mean(0)
    centred = target - target.mean(0)
    u, s = _left_vectors(z)
    projected = u.T @ centred
    best, best_error = LAMBDAS[-1], float("inf")
    for value in reversed(LAMBDAS):  # on a tie the stronger ridge
        shrink = s / (s + value)
        leverage = u.square() @ shrink + 1.0 / len(z)
        left = (1.0 - leverage).clamp(min=1e-10)[:, None]
        error = float(((centred - u @ (shrink[:, None] * projected)) / left).square().mean())
        if error < best_error:
            best, best_error = value, error
    return best


def _left_vectors(z: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors and squared singular values, from the smaller of the two Gram matrices."""
    if z.shape[0] <= z.shape[1]:
        s, u = torch.linalg.eigh(z @ z.T)
        return u, s.clamp(min=0.0)
    s, v = torch.linalg.eigh(z.T @ z)
    keep = s > s[-1] * 1e-12
    return (z @ v[:, keep]) / s[keep].sqrt(), s[keep]


def _score(hits: Tensor, fold: Tensor, folds: int, classes: int, left_out: tuple[int, ...]) -> Probe:
    n = len(hits)
    accuracy = float(hits.double().mean())
    binomial = (accuracy * (1.0 - accuracy) / n) ** 0.5
    each = torch.stack([hits[fold == f].double().mean() for f in range(folds) if bool((fold == f).any())])
    spread = float(each.std() / len(each) ** 0.5) if len(each) > 1 else 0.0
    return Probe(accuracy, max(binomial, spread), n, classes, left_out)


class Recoverability(SampleAccumulator[IndexValue]):
    """The recoverability gap over batches of the target, from a bounded sample (all of it up to `capacity`)."""

    def __init__(self, target_quality: float, *, capacity: int = 2000, seed: int = 0) -> None:
        super().__init__(("target",), capacity, seed)
        if not 0.0 <= target_quality <= 1.0:
            raise UsageError(f"target_quality is {target_quality}: pass an accuracy between 0 and 1")
        self.target_quality, self.seed = target_quality, seed

    def _settings(self) -> tuple[Any, ...]:
        return (self.target_quality, *super()._settings())

    def update(
        self, representations: Array, labels: Array, ids: Array, *, renormalised: Array | None = None
    ) -> None:
        """Add a batch: representations (B, d), labels (B,), ids (B,), and the renormalised ones where there are."""
        x = check_representations(representations, dtype=None)
        rows = {"representations": x}
        if renormalised is not None:
            rows["renormalised"] = check_representations(renormalised, "renormalised", dtype=None)
        y = check_labels(labels, x.shape[0])
        self.sampler("target").update(check_ids(ids, x.shape[0]), y, **rows)

    def _value(self) -> IndexValue:
        """Gap with its 90 % interval; the accuracies of the probes in `detail`."""
        sample = self._sample("target")
        gap = recoverability_gap(
            sample.tensors["representations"],
            sample.labels,
            self.target_quality,
            renormalised=sample.tensors.get("renormalised"),
            seed=self.seed,
            ids=sample.ids,
        )
        return gap_value(gap)


def gap_value(gap: RecoverabilityGap) -> IndexValue:
    """The gap as a record."""
    again = gap.renormalised
    return IndexValue(
        name="recoverability_gap",
        value=gap.value,
        low=gap.low,
        high=gap.high,
        samples=gap.probe.samples,
        detail={
            "linear_probe_accuracy": gap.plain.accuracy,
            "linear_probe_accuracy_renormalised": None if again is None else again.accuracy,
            "standard_error": gap.probe.standard_error,
        },
        note=f"{len(gap.probe.left_out)} classes with one sample were left out" if gap.probe.left_out else "",
    )
