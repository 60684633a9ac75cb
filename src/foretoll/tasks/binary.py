"""Binary classification with one logit: whether a sample is of the positive class. Binary cross-entropy.

Two classes with a logit each are `classification`; this one is for networks with a single output, and is taken where
it is said (task=binary). The positive class is the second of both in sorted order, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, TargetScale, Whole
from foretoll.tasks.multilabel import Counts, Multilabel, all_right, average_precision, exact_match, micro_f1

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor


def balanced_accuracy(tally: Counts) -> float:
    """The mean over the classes that occur of the share that is predicted."""
    tp, fp, fn, tn = (float(count) for count in tally.table()[:, 0])
    shares = [right / (right + wrong) for right, wrong in ((tp, fn), (tn, fp)) if right + wrong]
    return sum(shares) / len(shares)


def roc_auc(tally: Whole) -> float:
    """The probability that a positive sample has a higher logit than a negative one, ties by halves (Mann-Whitney)."""
    import torch

    outputs, targets = tally.both()
    scores, positive = outputs[:, 0].double(), targets[:, 0] > 0.5
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return 0.5
    distinct, place, sizes = torch.unique(scores, return_inverse=True, return_counts=True)
    del distinct
    sizes = sizes.double()
    ranks = (sizes.cumsum(0) - (sizes - 1) / 2)[place]  # the mean rank of equal scores
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def roc_auc_error(value: float, samples: int) -> float:
    """Standard error where half of the samples are positive (Hanley and McNeil 1982, Radiology 143(1))."""
    m = max(samples / 2, 1.0)
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (m - 1) * (first - value**2) + (m - 1) * (second - value**2)
    return math.sqrt(max(variance, 0.0)) / m


def precision_over_recall(tally: Whole) -> float:
    """Average precision of the positive class; 1 where it does not occur."""
    outputs, targets = tally.both()
    found = average_precision(outputs[:, 0], targets[:, 0])
    return 1.0 if found is None else found


class Binary(Multilabel):
    """Targets: 0 or 1 float32 (n, 1). Outputs: one logit."""

    name = "binary"
    title = "binary classification"
    groups_are: ClassVar[str] = "the two classes"
    by_sample: ClassVar[str] = "accuracy"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "accuracy", exact_match, each=all_right),
        Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
        Metric("f1", "F1", micro_f1),
        Metric("average_precision", "average precision", precision_over_recall, whole=True),
        Metric(
            "roc_auc", "ROC AUC", roc_auc, trivial=0.5, whole=True, error=roc_auc_error
        ),
    )  # fmt: skip

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Never: two classes are taken for classification unless it is said."""
        return False

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Texts, truth values or numbers of two kinds as float32 (n, 1); 1 is the second in sorted order.

        `names`: of both classes, or of the positive one.
        """
        import numpy as np

        found = np.asarray(values)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.dtype.kind == "O":
            found = found.astype(str)
        if found.ndim != 1 or found.dtype.kind not in "fiubU":
            raise DataError(
                f"{where} has labels of type {found.dtype} and shape {found.shape}: give one a sample"
            )
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise DataError(
                f"{where} has {int((~np.isfinite(found)).sum())} NaN labels: remove or fill them before"
            )
        kinds, numbers = np.unique(found, return_inverse=True)
        if len(kinds) > 2 or (len(kinds) < 2 and not np.isin(kinds, (0, 1)).all()):
            raise DataError(
                f"{where} has {len(kinds):,} different labels: a binary classification has two; choose them "
                "with classes= in a data URI, or leave task=binary out"
            )
        if found.dtype.kind != "U" and np.isin(kinds, (0, 1)).all():
            numbers = found.astype(np.int64)
        positive = f"{kinds[-1]:g}" if found.dtype.kind == "f" else str(kinds[-1])
        if names is not None and len(names) in (1, 2):
            positive = str(names[-1])
        return numbers.astype(np.float32)[:, None], (positive,)

    def said(self, names: Sequence[str]) -> str:
        """Which class is the positive one."""
        return f"binary, with one logit for {names[0]!r}"

    def groups(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """0 and 1."""
        return (targets[:, 0] > 0.5).long()

    def predicted_groups(self, outputs: Tensor, scale: TargetScale | None = None) -> Tensor:
        """1 where the logit is above 0."""
        return (outputs[:, 0] > 0).long()

    def group_names(self, names: Sequence[str], scale: TargetScale | None = None) -> tuple[str, ...]:
        """The positive class and its opposite."""
        return (f"not {names[0]}", names[0])
