"""Multi-label classification: each sample has any number of labels. Binary cross-entropy; metrics of counts per label.

A label is given where its logit is above 0. Average precision needs the scores of all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, Tally, TargetScale, Task, Whole

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor


class Counts(Tally):
    """Right and wrong answers of each label in whole numbers (4, k), and samples whose labels are all right."""

    def __init__(self, width: int, device: Any) -> None:
        import torch

        self.samples = self.exact = 0
        self._counts = torch.zeros(4, width, dtype=torch.int64, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of logits (B, k) and targets 0 or 1 (B, k)."""
        import torch

        given, true = outputs > 0, targets > 0.5
        self.samples += len(targets)
        self.exact += int((given == true).all(dim=1).sum())
        self._counts += torch.stack([given & true, given & ~true, ~given & true, ~given & ~true]).sum(dim=1)

    def merge(self, other: Counts) -> None:
        """Add another one's counts."""
        self.samples += other.samples
        self.exact += other.exact
        self._counts += other._counts.to(self._counts.device)

    def table(self) -> Tensor:
        """True positives, false positives, false negatives and true negatives of each label, float64 (4, k)."""
        return self._counts.cpu().double()


def micro_f1(tally: Counts) -> float:
    """F1 of all labels together; 1 where there is neither a label nor an answer."""
    tp, fp, fn, _ = tally.table().sum(dim=1).tolist()
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def macro_f1(tally: Counts) -> float:
    """The mean F1 of the labels that occur or are given."""
    tp, fp, fn, _ = tally.table()
    seen = (tp + fp + fn) > 0
    return float((2 * tp[seen] / (2 * tp + fp + fn)[seen]).mean()) if bool(seen.any()) else 1.0


def exact_match(tally: Counts) -> float:
    """The share of samples whose labels are all right."""
    return tally.exact / tally.samples


def hamming_accuracy(tally: Counts) -> float:
    """The share of all answers that are right; 1 less the Hamming loss."""
    tp, _, _, tn = tally.table()
    return float((tp + tn).sum()) / (tally.samples * len(tp))


def all_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Whether all labels of each sample are right, bool (B,)."""
    return ((outputs > 0) == (targets > 0.5)).all(dim=1)


def share_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of the labels of each sample that are right, float64 (B,)."""
    return ((outputs > 0) == (targets > 0.5)).double().mean(dim=1)


def mean_average_precision(tally: Whole) -> float:
    """The mean over the labels that occur of the average precision, as scikit-learn's average_precision_score."""
    outputs, targets = tally.both()
    found = [average_precision(outputs[:, i], targets[:, i]) for i in range(targets.shape[1])]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else 1.0


def average_precision(scores: Tensor, truth: Tensor) -> float | None:
    """Σ (recall − recall before) · precision over the distinct scores, from the highest; None without a positive."""
    import torch

    order = torch.argsort(scores, descending=True)
    hits = (truth[order] > 0.5).double().cumsum(0)
    if not len(hits) or float(hits[-1]) == 0:
        return None
    ranked = scores[order]
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])  # of each distinct score
    at = last.nonzero().squeeze(1)
    precision, recall = hits[at] / (at + 1), hits[at] / hits[-1]
    return float((precision * torch.diff(recall, prepend=recall.new_zeros(1))).sum())


class Multilabel(Task):
    """Targets: 0 or 1 float32 (n, k). Outputs: logits, one a label."""

    name = "multilabel"
    title = "multi-label classification"
    has_probabilities: ClassVar[bool] = False  # of classes that exclude each other
    by_sample: ClassVar[str] = "hamming_accuracy"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("micro_f1", "micro F1", micro_f1),
        Metric("macro_f1", "macro F1", macro_f1),
        Metric("mean_average_precision", "mean average precision", mean_average_precision, whole=True),
        Metric("exact_match", "exact match", exact_match, each=all_right),
        Metric("hamming_accuracy", "Hamming accuracy", hamming_accuracy, each=share_right),
    )

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Several columns of 0 and 1, of which a row has none or more; one-hot labels are classes."""
        import numpy as np

        if values.dtype.kind not in "fiub" or values.ndim != 2 or values.shape[1] < 2 or not len(values):
            return False
        return bool(np.isin(values, (0, 1)).all()) and not bool((values.sum(axis=1) == 1).all())

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Truth values (n, k) as float32. `names`: of the k labels."""
        import numpy as np

        found = np.asarray(values)
        if found.dtype.kind not in "fiub" or found.ndim != 2 or found.shape[1] == 0:
            raise DataError(
                f"{where} has targets of type {found.dtype} and shape {found.shape}: several labels a sample are 0 and "
                "1 in (samples, labels)"
            )
        odd = ~np.isin(found, (0, 1))
        if odd.any():
            row, column = np.argwhere(odd)[0].tolist()
            raise DataError(
                f"{where} has the value {found[row, column]:g} in row {row}, label {column}: labels are 0 or 1"
            )
        k = found.shape[1]
        if names is None or len(names) != k:
            names = tuple(f"label {i}" for i in range(k))
        return found.astype(np.float32), tuple(str(name) for name in names)

    def said(self, names: Sequence[str]) -> str:
        """So many labels."""
        return f"{len(names):,} labels, any number of them a sample"

    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Binary cross-entropy in nats, the mean over the labels."""
        from torch.nn import functional as F

        each = F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")
        return each.flatten(1).mean(dim=1)

    imitates: ClassVar[bool] = True

    def imitation(
        self, outputs: Tensor, teacher: Tensor, temperature: float, scale: TargetScale | None = None
    ) -> Tensor:
        """T²·KL of the two answers of each label, softened by T; the mean over the labels."""
        from torch.nn import functional as F

        share = (teacher / temperature).sigmoid()
        softened = outputs / temperature
        cross = F.binary_cross_entropy_with_logits(softened, share, reduction="none")
        least = F.binary_cross_entropy_with_logits(teacher / temperature, share, reduction="none")
        return temperature**2 * (cross - least).flatten(1).mean(dim=1)

    def tally(self, width: int, *, device: Any = "cpu") -> Tally:
        """No answers yet."""
        return Counts(width, device)

    def constant(self, targets: Tensor, width: int) -> Tensor:
        """The log-odds of the labels' shares."""
        import torch

        return torch.logit(targets.double().mean(dim=0).clamp(1e-6, 1 - 1e-6))

    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """The better of the best constant prediction and of giving every label to every sample."""
        import torch

        tally = Whole() if metric.whole else self.tally(targets.shape[1])
        tally.update(torch.ones_like(targets), targets)
        return max(super().chance(targets, metric, width), metric.compute(tally))

    def design(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The labels, each a regression of its own."""
        return targets.double()

    def outputs(self, fitted: Tensor, scale: TargetScale | None = None) -> Tensor:
        """A label is given where its fitted value is above a half."""
        return fitted - 0.5
