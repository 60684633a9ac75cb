"""Quality of a model on a split: one streaming pass, any metric of a table, plus the mean cross-entropy.

Every metric is a function of the confusion matrix, so that its value does not depend on how the split is
cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from foretoll.errors import DataError, UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretoll.data import Split
    from foretoll.models import Model


@dataclass(frozen=True)
class Evaluation:
    """Quality in [0, 1], mean cross-entropy in nats, and the number of samples both rest on."""

    quality: float
    loss: float
    samples: int


def _accuracy(confusion: Tensor) -> Tensor:
    return confusion.diagonal().sum() / confusion.sum()


def _balanced_accuracy(confusion: Tensor) -> Tensor:
    support = confusion.sum(dim=1)
    seen = support > 0
    return (confusion.diagonal()[seen] / support[seen]).mean()


def _macro_f1(confusion: Tensor) -> Tensor:
    support, predicted = confusion.sum(dim=1), confusion.sum(dim=0)
    seen = (support + predicted) > 0
    return (2 * confusion.diagonal()[seen] / (support + predicted)[seen]).mean()


METRICS: dict[str, Callable[[Tensor], Tensor]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
}


def check_metric(name: str) -> str:
    """Return `name` if it is a known metric; raise UsageError with the nearest names otherwise."""
    if name not in METRICS:
        raise UsageError(unknown_name("metric", name, METRICS))
    return name


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put every submodule in evaluation mode and give each its own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def evaluate(
    model: Model,
    split: Split,
    *,
    metric: str = "accuracy",
    batch_size: int = 512,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Evaluate `model` on a labelled split in one pass.

    Raises:
        DataError: the split has no labels, is empty, or has labels the model has no output for.
        UsageError: an unknown metric.

    """
    check_metric(metric)
    if split.labels is None:
        raise DataError("the quality of a model cannot be measured on unlabelled data: give labels")
    if len(split) == 0:
        raise DataError("the split to evaluate on is empty: raise limit= or give more data")
    classes = model.card.num_classes
    if int(split.labels.max()) >= classes:
        raise DataError(
            f"the data have a label {int(split.labels.max())} but the model has only {classes} outputs: "
            "use an option that replaces the head, or choose classes="
        )
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64)
    with evaluating(model):
        for inputs, labels in split.batches(batch_size):
            truth = labels.to(device)
            logits = model(inputs.to(device) if isinstance(inputs, Tensor) else inputs)
            confusion += torch.bincount(truth * classes + logits.argmax(dim=1), minlength=classes * classes)
            loss += F.cross_entropy(logits.float(), truth, reduction="sum").double().cpu()
    matrix = confusion.view(classes, classes).cpu().double()
    return Evaluation(float(METRICS[metric](matrix)), float(loss) / len(split), len(split))
