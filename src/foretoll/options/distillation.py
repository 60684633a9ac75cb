"""How the option `distill` trains: (1 − s)·L + s·T²·KL(softmax(teacher/T) ‖ softmax(student/T)), L the task's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.options.base import Training

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model


class DistillTraining(Training):
    """The student is trained; the teacher is in evaluation mode, without gradients, on the very same inputs."""

    def __init__(
        self,
        model: Model,
        train: Split,
        validation: Split,
        trainable: dict[str, nn.Parameter],
        *,
        teacher: Model,
        temperature: float,
        share: float,
    ) -> None:
        super().__init__(model, train, validation, trainable)
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature, self.share = temperature, share

    def held(self) -> nn.Module:
        """Student and teacher are both in memory."""
        return nn.ModuleList([self.model.network, self.teacher.network])

    def step_loss(self, loss: Tensor, inputs: Any, outputs: Tensor) -> Tensor:
        """The task's loss and the teacher's part, mixed."""
        with torch.no_grad():
            told = self.teacher(inputs)
        t = self.temperature
        soft = F.kl_div(
            F.log_softmax(outputs.float() / t, 1),
            F.log_softmax(told.float() / t, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - self.share) * loss + self.share * t * t * soft
