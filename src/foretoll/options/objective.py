"""The loss that a step lowers: the task's own, with weights of classes and smoothed labels where they are asked for.

A mean is taken over the weights of a batch's labels (of plain losses: over its samples), as torch does it, so that a
class of weight 2 counts as if each of its samples were there twice. Where several batches make one step, each counts
by its share of that sum: the step is the one that a single batch of all their samples would have made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from foretoll.errors import UsageError, unknown_name
from foretoll.records.settings import BALANCED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from foretoll.models import Model
    from foretoll.options.base import Training
    from foretoll.records import TrainingSettings


CLASSES = "classification"


class Objective:
    """The loss of the settings, for the classes of one training."""

    def __init__(self, training: Training, settings: TrainingSettings) -> None:
        task = training.model.card.task
        if task != CLASSES and (settings.class_weights or settings.label_smoothing):
            name = "class_weights" if settings.class_weights else "label_smoothing"
            raise UsageError(f"{name} is for single classes, and the task is {task}: leave it out")
        self.task = training.model.task
        self.smoothing = settings.label_smoothing
        self.weights: Tensor | None = None
        if settings.class_weights == BALANCED:
            assert training.train.labels is not None  # noqa: S101  (for the type checker)
            self.weights = balanced_weights(training.train.labels, training.model.num_classes)
        elif isinstance(settings.class_weights, dict) and settings.class_weights:
            self.weights = weights_by_class(settings.class_weights, training.model.classes)

    def loss(self, model: Model, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch: outputs of the model and targets, on one device; under low precision in float32."""
        if isinstance(outputs, Tensor) and outputs.dtype in (torch.float16, torch.bfloat16):
            outputs = outputs.float()
        if self.weights is None and not self.smoothing:
            return model.loss(outputs, labels)
        weights = None if self.weights is None else self.weights.to(outputs)
        return F.cross_entropy(outputs, labels, weight=weights, label_smoothing=self.smoothing)

    def mass(self, labels: Tensor) -> float:
        """What the mean of a batch with these labels is taken over."""
        return (
            float(self.task.mass(labels).sum())
            if self.weights is None
            else float(self.weights[labels.cpu()].sum())
        )


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """n / (k · n_c) for each of the k classes that the n labels have, so that all weigh the same; 1 for the others."""
    counts = torch.bincount(labels.cpu(), minlength=classes).double()
    seen = counts > 0
    return torch.where(seen, len(labels) / (seen.sum() * counts.clamp(min=1)), 1.0)


def weights_by_class(weights: Mapping[str, float], classes: Sequence[str]) -> Tensor:
    """Weights in the order of the classes, 1 for those not named; UsageError for a class that there is not."""
    for name in weights:
        if name not in classes:
            raise UsageError(f"class_weights: {unknown_name('class', name, classes)}")
    return torch.tensor([float(weights.get(name, 1.0)) for name in classes], dtype=torch.float64)
