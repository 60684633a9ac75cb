"""Quality of a model on a split: one streaming pass, any metric of a table, plus the mean cross-entropy.

Every metric is a function of the confusion matrix, so that its value does not depend on how the split is
cut into batches. Batches are as small as memory asks for: `samples_that_fit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.data.limits import samples_at_once
from foretoll.errors import DataError, UsageError, unknown_name
from foretoll.models.anatomy import first_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretoll.data import Split
    from foretoll.models import Model


WORK_BYTES = 512_000_000  # of inputs and activations that a pass without gradients may hold at once
_SMALL = 4_096  # numbers of one input: of so small ones any batch fits
_HELD = (
    4  # times the largest activation: what goes in and out of a layer, a branch kept for later, work space
)
_LOOK = 64  # texts among which the longest is looked for


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


CHANCE_Z = 1.645  # guessing lies below this many standard errors above its level 19 times in 20


def chance_level(labels: Tensor, metric: str) -> float:
    """What guessing reaches on these labels (n,): the share of the most frequent class; of other metrics 1/C."""
    _, counts = torch.unique(labels, return_counts=True)
    if metric == "accuracy":
        return float(counts.max() / counts.sum())
    return 1.0 / len(counts)


def chance_ceiling(labels: Tensor, metric: str, samples: int) -> float:
    """The quality on `samples` samples up to which it may be chance: its level and its sampling error."""
    level = chance_level(labels, metric)
    error = math.sqrt(max(level * (1 - level), 0.0) / max(samples, 1))
    return min(level + CHANCE_Z * error, 1.0)


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
def samples_that_fit(model: Model, split: Split, most: int) -> int:
    """How many samples may go through the model at once without gradients: `most`, or fewer of large ones.

    By the sizes of one sample (of texts a long one) and of the largest output of a layer for it. Fewer than `most`
    are a power of two, so that parts of a split that are looked at apart have their batches in the same places.
    """
    inputs = next(split.batches(1 if model.card.preprocessing.kind != "text" else _LOOK)).inputs
    plan = model.card.preprocessing
    numbers = 0
    if isinstance(inputs, Tensor):
        inputs = inputs[:1]
        numbers = inputs.numel()
        taken = (plan.channels or 1) * math.prod((plan.resize or plan.size or ()) if plan.size else (0,))
        if max(numbers, taken) <= _SMALL:
            return most
    else:
        inputs = [max(inputs, key=len)]
    largest = [0]

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        largest[0] = max(largest[0], 0 if tensor is None else tensor.numel())

    leaves = [module for module in model.network.modules() if not any(True for _ in module.children())]
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for leaf in leaves:
            stack.callback(leaf.register_forward_hook(note).remove)
        model(inputs)
    fit = samples_at_once(4 * (2 * numbers + _HELD * largest[0]), most, WORK_BYTES)
    return fit if fit == most else 1 << (fit.bit_length() - 1)


def check_batch_of_one(network: nn.Module) -> None:
    """Refuse to train a network with batch norm on one sample, which has no variance; frozen ones are no obstacle."""
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in network.modules()):
        raise UsageError(
            "batches of one sample cannot train a network with batch norm: give --batch-size 2 or more"
        )


@torch.no_grad()
def evaluate(
    model: Model,
    split: Split,
    *,
    metric: str = "accuracy",
    batch_size: int = 512,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Evaluate `model` on a labelled split in one pass, in batches of at most `batch_size` samples.

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
        for inputs, labels in split.batches(samples_that_fit(model, split, batch_size)):
            truth = labels.to(device)
            logits = model(inputs.to(device) if isinstance(inputs, Tensor) else inputs)
            confusion += torch.bincount(truth * classes + logits.argmax(dim=1), minlength=classes * classes)
            loss += F.cross_entropy(logits.float(), truth, reduction="none").double().sum().cpu()
    matrix = confusion.view(classes, classes).cpu().double()
    return Evaluation(float(METRICS[metric](matrix)), float(loss) / len(split), len(split))
