"""Small scores of one or two sets of representations or outputs, and features for a cost regressor.

Neighbour accuracy, effective rank (Roy & Vetterli, "The effective rank", EUSIPCO 2007), linear CKA (Kornblith et al.,
"Similarity of Neural Network Representations Revisited", ICML 2019), expected calibration error (Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017), matching of unlabelled clusters with classes by optimal transport,
and the features of a probe regressor in the manner of CAPE.

Deviations:
1. Neighbour votes: of classes with equally many votes, the one whose voters are nearer in sum wins, then the lower
   number. So row order does not matter unless distances are equal.
2. Effective rank: of the matrix as it is, as in the paper; `center=True` subtracts the mean first, which otherwise
   dominates where all activations are positive.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._arrays import labelled, matrix, same_width, vector
from foretoll.indices._validate import Array, check_choice, check_not_constant

BLOCK_ROWS = 1_024


class ClassMatch(NamedTuple):
    """Classes matched with clusters: plan (C, K) of masses, best class of each cluster (K,), and the total cost."""

    plan: Tensor
    classes: Tensor
    cost: float


def knn_accuracy(
    features: Array, labels: Array, *, neighbours: int = 5, metric: Literal["cosine", "euclidean"] = "cosine"
) -> float:
    """Leave-one-out accuracy of the majority of the nearest neighbours, in [0, 1].

    A class with one sample counts: it can only be missed.

    Args:
        features: representations, shape (n, d).
        labels: class numbers, shape (n,), at least two classes; −1 for samples to leave out.
        neighbours: how many vote; fewer where there are fewer other samples.
        metric: distance; with "cosine" a representation of 0 has distance 1 to everything.

    Raises:
        DataError: NaN, infinity, one class only, or lengths that differ.
        UsageError: fewer than one neighbour, or an unknown metric.
    """
    check_choice("metric", metric, ("cosine", "euclidean"))
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}: give at least 1")
    x, position, classes = labelled(features, labels)
    distances, nearest = _nearest(x, min(neighbours, len(x) - 1), metric)
    voters = position[nearest]
    votes = torch.zeros(len(x), classes, dtype=torch.float64).scatter_add_(
        1, voters, torch.ones_like(distances)
    )
    way = torch.zeros(len(x), classes, dtype=torch.float64).scatter_add_(1, voters, distances)
    winning = votes == votes.amax(1, keepdim=True)
    chosen = way.where(winning, torch.full_like(way, math.inf)).argmin(1)
    return float((chosen == position).double().mean())


def _nearest(x: Tensor, count: int, metric: str) -> tuple[Tensor, Tensor]:
    """Distances (n, count) and rows (n, count) of each sample's nearest others."""
    cosine = metric == "cosine"
    # the products that Euclidean distances come from lose fewer digits without the offset
    x = torch.nn.functional.normalize(x, dim=1, eps=1e-300) if cosine else x - x.mean(0)
    found = []
    for start in range(0, len(x), BLOCK_ROWS):
        rows = x[start : start + BLOCK_ROWS]
        distances = (rows @ x.T).neg_().add_(1).clamp_(min=0) if cosine else torch.cdist(rows, x)
        distances.diagonal(start).fill_(math.inf)
        found.append(distances.topk(count, largest=False))
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def effective_rank(features: Array, *, center: bool = False) -> float:
    """exp(−Σ p log p) with p = s/Σs of the singular values s: between 1 and min(n, d).

    Args:
        features: representations, shape (n, d).
        center: subtract the mean of each dimension first.

    Raises:
        DataError: NaN, infinity, or a matrix of zeros (all rows equal, with `center`).
    """
    x = matrix(features, "features")
    if center:
        check_not_constant(x.amin(0), x.amax(0), len(x), "features")
        x = x - x.mean(0)
    s = torch.linalg.svdvals(x)
    if float(s.max()) == 0:
        raise DataError("features are all 0: the effective rank needs representations that vary")
    p = s / s.sum()
    return math.exp(-float(torch.special.xlogy(p, p).sum()))


def linear_cka(x: Array, y: Array) -> float:
    """‖Yᵀ X‖²/(‖Xᵀ X‖ ‖Yᵀ Y‖) of the centred matrices, in [0, 1]; 1 for equal up to rotation and scale.

    Args:
        x: representations of n samples, shape (n, d).
        y: other representations of the same samples in the same order, shape (n, e).

    Raises:
        DataError: NaN, infinity, a different number of samples, or all rows equal.
    """
    first, second = matrix(x, "x", rows=2), matrix(y, "y", rows=2)
    if len(first) != len(second):
        raise DataError(f"x has {len(first)} samples and y {len(second)}: CKA compares the same samples")
    for table, name in ((first, "x"), (second, "y")):
        check_not_constant(table.amin(0), table.amax(0), len(table), name)
    first, second = first - first.mean(0), second - second.mean(0)
    if max(first.shape[1], second.shape[1]) > len(first):  # the same numbers from the (n, n) products
        one, two = first @ first.T, second @ second.T
        return float((one * two).sum() / (one.norm() * two.norm()))
    return float((second.T @ first).square().sum() / ((first.T @ first).norm() * (second.T @ second).norm()))


def expected_calibration_error(confidences: Array, correct: Array, *, bins: int = 15) -> float:
    """Σ_b (n_b/n) |accuracy_b − mean confidence_b| over equal-width bins of the confidence, in [0, 1].

    Bins are ((b − 1)/bins, b/bins]; a confidence of 0 belongs to the first. Trusted equivalent:
    torchmetrics.functional.classification.multiclass_calibration_error, which puts a confidence that lies
    on an edge into the bin above it.

    Args:
        confidences: max softmax of each sample, shape (n,), in [0, 1].
        correct: whether the model was right, shape (n,), bool or 0/1.
        bins: number of bins.

    Raises:
        DataError: NaN, lengths that differ, or values outside [0, 1].
        UsageError: fewer than one bin.
    """
    if bins < 1:
        raise UsageError(f"bins is {bins}: give at least 1")
    confidence, right = vector(confidences, "confidences"), vector(correct, "correct")
    if len(confidence) != len(right):
        raise DataError(
            f"correct has {len(right)} entries for {len(confidence)} confidences: give one per sample"
        )
    if bool(((confidence < 0) | (confidence > 1 + 1e-6)).any()) or not bool(
        ((right == 0) | (right == 1)).all()
    ):
        raise DataError(
            "confidences must lie in [0, 1] and correct hold only true and false: pass max softmax values"
        )
    position = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, position, right - confidence)
    return float(gaps.abs().sum() / len(confidence))


def match_classes_by_transport(
    source_class_means: Array,
    target_cluster_means: Array,
    *,
    source_weights: Array | None = None,
    target_weights: Array | None = None,
    metric: Literal["cosine", "euclidean"] = "euclidean",
) -> ClassMatch:
    """Which class each unlabelled cluster stands for: the exact optimal transport between their means.

    For as many clusters as classes, equally weighted, this is a one-to-one assignment.

    Args:
        source_class_means: mean representation of each class, shape (C, d).
        target_cluster_means: mean representation of each cluster, shape (K, d).
        source_weights: share of each class, shape (C,), not negative; None for equal ones.
        target_weights: share of each cluster, shape (K,), not negative; None for equal ones.
        metric: cost of moving mass: squared Euclidean distance, or 1 − cosine.

    Raises:
        DataError: NaN, infinity, different dimensions, or weights that are negative, all 0, or of another length.
        UsageError: an unknown metric.
    """
    check_choice("metric", metric, ("cosine", "euclidean"))
    classes = matrix(source_class_means, "source_class_means")
    clusters = matrix(target_cluster_means, "target_cluster_means")
    same_width(classes, clusters, "source_class_means and target_cluster_means")
    if metric == "cosine":
        unit = torch.nn.functional.normalize
        costs = 1 - unit(classes, dim=1, eps=1e-300) @ unit(clusters, dim=1, eps=1e-300).T
    else:
        costs = torch.cdist(classes, clusters, compute_mode="donot_use_mm_for_euclid_dist").square()
    masses = (
        _shares(source_weights, len(classes), "source_weights"),
        _shares(target_weights, len(clusters), "target_weights"),
    )
    if len(classes) == len(clusters) and source_weights is None and target_weights is None:
        plan = _assignment(costs)
    else:
        plan = _transport(*masses, costs)
    return ClassMatch(plan, plan.argmax(0), float((plan * costs).sum()))


def _transport(source: Tensor, target: Tensor, costs: Tensor) -> Tensor:
    """The plan (C, K) of the least cost that moves masses (C,) to masses (K,): a linear programme, as POT's `emd`."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    rows, columns = costs.shape
    leaves = kron(eye_array(rows), torch.ones(1, columns).numpy())
    arrives = kron(torch.ones(1, rows).numpy(), eye_array(columns))
    sums: Any = vstack([leaves, arrives]).tocsr()[:-1]  # what arrives last follows from the rest
    wanted = torch.cat([source, target])[:-1].numpy()
    found = linprog(costs.flatten().numpy(), A_eq=sums, b_eq=wanted, method="highs-ds")
    if found.x is None:
        raise DataError(f"classes and clusters could not be matched ({found.message}): check their weights")
    return torch.from_numpy(found.x).reshape(rows, columns)


def _assignment(costs: Tensor) -> Tensor:
    """The same plan where all masses are equal: an assignment."""
    plan, rows = torch.zeros_like(costs), torch.arange(len(costs))
    columns = costs.argmin(dim=1)
    if len(set(columns.tolist())) < len(costs):  # else each has its cheapest, and no plan costs less
        from scipy.optimize import linear_sum_assignment

        rows, columns = map(torch.from_numpy, linear_sum_assignment(costs.numpy()))
    plan[rows, columns] = 1 / len(costs)
    return plan


def cape_features(
    *,
    parameters: int,
    initial_loss: float,
    squared_gradient_norm: float,
    ntk_trace: float,
    lr: float,
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """Features of a probe regressor for training cost; logarithms are natural, of values held at 1e-30 or more.

    Args:
        parameters: trainable parameters.
        initial_loss: loss of the model before training, on a batch of the target.
        squared_gradient_norm: ‖∇L‖² of that batch.
        ntk_trace: proxy of the kernel's trace: mean over samples of the squared per-sample gradient norm.
        lr: learning rate.
        batch_size: of the training.
        samples: training samples.

    Raises:
        DataError: a value that is negative, NaN or infinite.
    """
    given = {
        "parameters": float(parameters),
        "initial_loss": float(initial_loss),
        "squared_gradient_norm": float(squared_gradient_norm),
        "ntk_trace": float(ntk_trace),
        "lr": float(lr),
        "batch_size": float(batch_size),
        "samples": float(samples),
    }
    for name, value in given.items():
        if not 0 <= value < math.inf:
            raise DataError(
                f"{name} is {value}: the probe features need finite numbers that are not negative"
            )
    return {f"log_{name}": math.log(max(value, 1e-30)) for name, value in given.items()}


def _shares(weights: Array | None, count: int, name: str) -> Tensor:
    if weights is None:
        return torch.full((count,), 1 / count, dtype=torch.float64)
    values = vector(weights, name)
    if len(values) != count:
        raise DataError(f"{name} has {len(values)} entries for {count} means: give one for each")
    if bool((values < 0).any()) or float(values.sum()) == 0:
        raise DataError(f"{name} must not be negative, nor all 0: pass shares or counts")
    return values / values.sum()
