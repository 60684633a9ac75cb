"""Classification: each sample has one class. Cross-entropy; metrics of the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, Tally, TargetScale, Task

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

MAX_CLASSES = 10_000
FEWEST_ROWS = 100  # of fewer rows any number of classes is possible
MOST_DIFFERENT = 0.5


class Confusion(Tally):
    """The confusion matrix, counted in whole numbers: rows are true classes, columns predicted ones."""

    def __init__(self, classes: int, device: Any) -> None:
        import torch

        self.classes, self.samples = classes, 0
        self._counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of logits (B, C) and class numbers (B,)."""
        import torch

        self.samples += len(targets)
        pairs = targets * self.classes + outputs.argmax(dim=1)
        self._counts += torch.bincount(pairs, minlength=self.classes * self.classes)

    def merge(self, other: Confusion) -> None:
        """Add another one's counts."""
        self.samples += other.samples
        self._counts += other._counts.to(self._counts.device)

    def matrix(self) -> Tensor:
        """The counts, float64 (C, C)."""
        return self._counts.view(self.classes, self.classes).cpu().double()


def accuracy(tally: Confusion) -> float:
    """The share of samples whose class is predicted."""
    confusion = tally.matrix()
    return float(confusion.diagonal().sum() / confusion.sum())


def balanced_accuracy(tally: Confusion) -> float:
    """The mean over the classes that occur of the share that is predicted."""
    confusion = tally.matrix()
    support = confusion.sum(dim=1)
    seen = support > 0
    return float((confusion.diagonal()[seen] / support[seen]).mean())


def macro_f1(tally: Confusion) -> float:
    """The mean F1 over the classes that occur or are predicted."""
    confusion = tally.matrix()
    support, predicted = confusion.sum(dim=1), confusion.sum(dim=0)
    seen = (support + predicted) > 0
    return float((2 * confusion.diagonal()[seen] / (support + predicted)[seen]).mean())


class Classification(Task):
    """Targets: class numbers int64 (n,). Outputs: logits, one a class."""

    name = "classification"
    title = "classification"
    groups_are: ClassVar[str] = "classes"
    has_probabilities: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "accuracy", "accuracy", accuracy, each=lambda outputs, targets: outputs.argmax(dim=1) == targets
        ),
        Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
        Metric("macro_f1", "macro F1", macro_f1),
    )

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Whole numbers, texts and truth values in one column."""
        return True

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Labels as class numbers with the names of the classes, see `read_labels`."""
        return read_labels(values, where, names=names)

    def said(self, names: Sequence[str]) -> str:
        """So many classes."""
        return f"{len(names):,} classes"

    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Cross-entropy in nats."""
        from torch.nn import functional as F

        return F.cross_entropy(outputs, targets, reduction="none")

    def loss(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Mean cross-entropy in nats."""
        from torch.nn import functional as F

        return F.cross_entropy(outputs, targets)

    imitates: ClassVar[bool] = True

    def imitation(
        self, outputs: Tensor, teacher: Tensor, temperature: float, scale: TargetScale | None = None
    ) -> Tensor:
        """T²·KL(softmax(teacher/T) ‖ softmax(outputs/T)): Hinton, Vinyals & Dean, arXiv 1503.02531."""
        from torch.nn import functional as F

        wanted = F.log_softmax(teacher / temperature, 1)
        each = F.kl_div(F.log_softmax(outputs / temperature, 1), wanted, reduction="none", log_target=True)
        return temperature**2 * each.sum(dim=1)

    def tally(self, width: int, *, device: Any = "cpu") -> Confusion:
        """An empty confusion matrix."""
        return Confusion(width, device)

    def constant(self, targets: Tensor, width: int) -> Tensor:
        """The logarithms of the classes' shares."""
        import torch

        return torch.log((torch.bincount(targets, minlength=width) / max(len(targets), 1)).clamp_min(1e-9))

    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """The share of the most frequent class; of the other metrics 1/C."""
        import torch

        if metric not in self.metrics:
            return super().chance(targets, metric, width or int(targets.max()) + 1)
        _, counts = torch.unique(targets, return_counts=True)
        if metric.name == "accuracy":
            return float(counts.max() / counts.sum())
        return 1.0 / len(counts)

    def groups(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The classes themselves."""
        return targets

    def predicted_groups(self, outputs: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The class with the largest logit."""
        return outputs.argmax(dim=1)

    def group_names(self, names: Sequence[str], scale: TargetScale | None = None) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(names)

    def design(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """One-hot labels."""
        import torch

        return torch.nn.functional.one_hot(targets).double()

    def outputs(self, fitted: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Fitted one-hot labels order the classes as logits do."""
        return fitted


def read_labels(
    values: Any, where: str, *, names: Sequence[str] | None = None
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Labels as class numbers with the names of the classes.

    Integers are class numbers, named by `names` where given; without, they are numbered as they stand where they are
    0 … k − 1 without a gap, and are the names of the classes otherwise (years, codes, a part of a model's numbers).
    Texts and truth values are the class names themselves, in sorted order. Everything else is refused.
    """
    import numpy as np

    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{where} has shape {labels.shape}: labels are one class number a sample, not one-hot; "
            "of several labels a sample say task=multilabel"
        )
    if labels.dtype.kind == "O":
        if any(
            value is None or (isinstance(value, float) and math.isnan(value)) for value in labels.tolist()
        ):
            raise DataError(f"{where} has missing labels: remove those rows, or leave all labels out")
        labels = labels.astype(str)
    if labels.dtype.kind == "U":
        classes, numbers = np.unique(labels, return_inverse=True)
        _check_count(len(classes), len(labels), where)
        return numbers.astype(np.int64), tuple(str(name) for name in classes)
    if labels.dtype.kind == "b":
        return labels.astype(np.int64), ("False", "True")
    if labels.dtype.kind == "f":
        nan = int(np.isnan(labels).sum())
        what = f"{nan} NaN labels" if nan else f"labels of type {labels.dtype}"
        raise DataError(
            f"{where} has {what}: labels are class numbers; store them as integers from 0, or say "
            "task=regression"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where} has labels of type {labels.dtype}: labels are integers from 0, or texts")
    if len(labels) == 0:
        return labels.astype(np.int64), tuple(names or ())
    present, numbers = _numbered(labels)
    low, high = int(present[0]), int(present[-1])
    if low < 0 and (names is not None or present.tolist() != [-1, 1]):
        row = int(np.argmax(labels < 0))
        raise DataError(f"{where} has the negative label {int(labels[row])} in row {row}: labels run from 0")
    if names is None:
        _check_count(len(present), len(labels), where)
        return numbers.astype(np.int64), tuple(str(label) for label in present.tolist())
    if high >= len(names):
        row = int(np.argmax(labels >= len(names)))
        raise DataError(
            f"{where} has the label {int(labels[row])} in row {row}, out of range: labels run from 0 to "
            f"{len(names) - 1}"
        )
    return labels.astype(np.int64), tuple(names)


def _numbered(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The different whole numbers in their order, and the place of each label among them."""
    import numpy as np

    low, high = int(labels.min()), int(labels.max())
    if high - low > len(labels) or high >= 2**62:
        return np.unique(labels, return_inverse=True)
    away = labels.astype(np.int64) - low  # few numbers: without sorting all labels
    there = np.bincount(away) > 0
    return np.flatnonzero(there) + low, (there.cumsum() - 1)[away]


def _check_count(classes: int, rows: int, where: str) -> None:
    """Refuse what no classes are: too many, or measurements and ids, of which nearly every row has its own."""
    if classes > MAX_CLASSES or (rows >= FEWEST_ROWS and classes > MOST_DIFFERENT * rows):
        raise DataError(
            f"{where} has {classes:,} different labels in {rows:,} rows, which are no classes: name the labels among "
            "the columns or keys"
        )
