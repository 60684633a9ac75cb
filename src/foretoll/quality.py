"""Quality of a model on a split: one streaming pass, any metric of the model's task, plus the mean loss.

Metrics are functions of what the task's tally adds up, so that a value does not depend on how the split is
cut into batches. Batches are as small as memory asks for (`samples_that_fit`), and are halved where it runs out all the
same.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretoll.data.limits import samples_at_once
from foretoll.errors import DataError, ModelError, UsageError, is_out_of_memory, one_line
from foretoll.models.anatomy import first_tensor
from foretoll.records import Quality, QualityScale
from foretoll.smaller_batches import SmallerBatches
from foretoll.tasks import Metric, Whole, check_metric, get_task, known_metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretoll.data import Split
    from foretoll.models import Model
    from foretoll.models.model import Inputs


WORK_BYTES = 512_000_000  # of inputs and activations that a pass without gradients may hold at once
_SMALL = 4_096  # numbers of one input: of so small ones any batch fits
_HELD = (
    4  # times the largest activation: what goes in and out of a layer, a branch kept for later, work space
)
_LOOK = 64  # texts among which the longest is looked for


@dataclass(frozen=True)
class Evaluation:
    """Quality in the metric's unit, the task's mean loss, and the number of samples both rest on.

    error: standard error of the quality, from the samples themselves where the metric can say it
    """

    quality: float
    loss: float
    samples: int
    error: float | None = None


CHANCE_Z = 1.645  # guessing lies below this many standard errors above its level 19 times in 20


def chance_level(labels: Tensor, metric: str, task: str = "classification") -> float:
    """What guessing reaches on these targets, see `Task.chance`."""
    return get_task(task).chance(labels, _metric(metric, task))


def chance_ceiling(labels: Tensor, metric: str, samples: int, task: str = "classification") -> float:
    """The quality on `samples` samples up to which it may be chance: its level and its sampling error."""
    level, of = chance_level(labels, metric, task), _metric(metric, task)
    error = CHANCE_Z * get_task(task).chance_error(labels, of, samples)
    return min(level + error, of.high) if of.direction == "higher" else max(level - error, of.low)


def _metric(name: str, task: str) -> Metric:
    found = known_metric(check_metric(name, task), task)
    assert found is not None  # noqa: S101  (for the type checker)
    return found


def scale_of(metric: str, targets: Tensor, width: int, task: str = "classification") -> QualityScale:
    """What values of a metric are worth on these training targets.

    Raises:
        DataError: a constant prediction is already perfect: there is nothing to learn.

    """
    of = _metric(metric, task)
    trivial = get_task(task).chance(targets, of, width) if of.trivial is None else of.trivial
    if not math.isfinite(trivial) or trivial == of.best:
        raise DataError(
            f"a constant prediction has {of.title} {trivial:g} on these targets: there is nothing to learn from them"
        )
    return QualityScale(trivial=trivial, best=of.best)


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


def check_trainable(loss: Tensor) -> None:
    """Refuse to train what no gradient reaches: frozen parameters, a forward without gradients."""
    if not loss.requires_grad:
        raise ModelError(
            "no gradient reaches a trainable parameter of the network: its forward detaches its outputs or switches "
            "gradients off (torch.no_grad), or all is frozen; change that, or use the option keep"
        )


def backward(loss: Tensor, scaler: torch.amp.GradScaler | None = None) -> None:
    """Add the gradients of a loss, scaled for fp16 where a `scaler` is given.

    Raises ModelError where none reaches the network, or where its own backward pass fails.
    """
    check_trainable(loss)
    try:
        (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]  # untyped in torch
    except RuntimeError as error:
        if is_out_of_memory(error) or type(error).__module__.startswith("torch._"):  # a compiler's own
            raise
        raise ModelError(
            f"the network's gradients cannot be computed ({one_line(str(error), 120)}): let no layer write in place "
            "into what they need, or use the option keep"
        ) from error


BATCH_OF_ONE = "batches of one sample cannot train a network with batch norm: give --batch-size 2 or more"


def check_batch_of_one(network: nn.Module) -> None:
    """Refuse to train a network with batch norm on one sample, which has no variance; frozen ones are no obstacle."""
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in network.modules()):
        raise UsageError(BATCH_OF_ONE)


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
        UsageError: a metric that its task has not.

    """
    task = model.task
    found = _metric(metric, task.name)
    if split.labels is None:
        raise DataError("the quality of a model cannot be measured on unlabelled data: give labels")
    if len(split) == 0:
        raise DataError("the split to evaluate on is empty: raise limit= or give more data")
    width, scale = model.card.num_classes, model.card.targets
    check_targets(split.labels, width)
    tally = Whole() if found.whole else task.tally(width, device=device)
    loss, mass = (torch.zeros((), dtype=torch.float64) for _ in range(2))
    smaller = SmallerBatches()
    with evaluating(model):
        for inputs, labels in split.batches(samples_that_fit(model, split, batch_size)):

            def outputs_of(rows: slice, inputs: Inputs = inputs) -> Tensor:
                part = inputs[rows]
                logits: Tensor = model(part.to(device) if isinstance(part, Tensor) else part)
                return logits if smaller.most is None else logits.clone()  # the network may give it again

            truth = labels.to(device)
            parts = smaller.parts(len(labels), outputs_of)
            logits = parts[0] if len(parts) == 1 else torch.cat(parts)
            tally.update(logits, truth)
            each, counts = task.losses(logits.float(), truth, scale).double(), task.mass(truth)
            loss += (each * counts).sum().cpu()
            mass += counts.sum().cpu()
    quality = found.compute(tally)
    error = None if found.measured is None else found.error_of(tally, quality)
    return Evaluation(quality, float(loss) / max(float(mass), 1.0), len(split), error)


def check_targets(targets: Tensor, width: int) -> None:
    """Refuse targets that a model of this width has no output for (DataError)."""
    if targets.is_floating_point():
        if targets.ndim == 2 and targets.shape[1] != width:
            raise DataError(
                f"the data have {targets.shape[1]} targets and the model {width} outputs: use an option that replaces "
                "the head, or give as many"
            )
    elif int(targets.max()) >= width:
        raise DataError(
            f"the data have a label {int(targets.max())} but the model has only {width} outputs: "
            "use an option that replaces the head, or choose classes="
        )


def quality_of(metric: str, before: Evaluation | None, after: Evaluation) -> Quality:
    """The quality of a run by what its model was before and after; a number that is not finite is None."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return Quality(
        metric=metric,
        before=before.quality if before else None,
        after=after.quality,
        loss_before=finite(before.loss) if before else None,
        loss_after=finite(after.loss),
        error=None if after.error is None else finite(after.error),
    )
