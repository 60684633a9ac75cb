"""How the option `distill` trains: (1 − s)·L + s·I, with L the task's loss and I that of imitating the teacher.

I is the task's own (`Task.imitation`): T²·KL(softmax(teacher/T) ‖ softmax(student/T)) for classes, the same of each
label's two answers for labels, and the squared error to the teacher's numbers for a regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from foretoll.options.base import Training
from foretoll.options.optimizer import usual_rate
from foretoll.options.reading import step_batches
from foretoll.options.stepper import Stepper

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretoll.models import Model
    from foretoll.options.base import Option
    from foretoll.records import TrainingSettings

OF_NAMES: dict[str, Any] = {"freeze": (), "lr_multipliers": {}}  # settings that name parts of the student


class DistillTraining(Training):
    """The student is trained; the teacher is in evaluation mode, without gradients, on the very same inputs."""

    def __init__(self, plain: Training, *, teacher: Model, temperature: float, share: float) -> None:
        super().__init__(plain.model, plain.train, plain.validation, plain.trainable)
        self.teacher = _still(teacher)
        self.temperature, self.share = temperature, share

    def held(self) -> nn.Module:
        """Student and teacher are both in memory."""
        return nn.ModuleList([self.model.network, self.teacher.network])

    def step_loss(self, loss: Tensor, inputs: Any, outputs: Tensor) -> Tensor:
        """The task's loss and the teacher's part, mixed."""
        with torch.no_grad():
            told = self.teacher(inputs)
        task, scale = self.model.task, self.model.card.targets
        imitated = task.imitation(outputs.float(), told.float(), self.temperature, scale).mean()
        return (1 - self.share) * loss + self.share * imitated


class TaughtTraining(DistillTraining):
    """The teacher is first trained on the target by an option of its own, which is measured as preparation."""

    prepares: ClassVar[bool] = True

    def __init__(
        self, plain: Training, *, lesson: Callable[[], Training], teach: Option, settings: TrainingSettings,
        teacher: Model, temperature: float, share: float,
    ) -> None:  # fmt: skip
        super().__init__(plain, teacher=teacher, temperature=temperature, share=share)
        self._lesson, self._teach, self._settings = lesson, teach, settings

    def begin(self) -> bool:
        """Train the teacher for its epochs; the student stays as it is."""
        training, settings = self._lesson(), self._settings
        training.open()
        training.begin()
        if self._teach.takes_steps:
            stepper = Stepper(training, self._teach, settings, device=self.model.device)
            for epoch in range(int(settings.max_epochs)):
                order = (settings.seed * 1_000_003 + epoch) % 2**63
                training.into_training()
                for batches in step_batches(training.train, settings, order):
                    stepper.take(batches)
                training.after_epoch()
        self.teacher = _still(training.finish())
        return False


def teaching_settings(
    settings: TrainingSettings, teach: Option, model: Model, epochs: int
) -> TrainingSettings:
    """Those that the teacher is trained with: at most its own usual rate, which may be lower than the student's."""
    rate = min(settings.lr, usual_rate(teach, model.card.arch, settings.optimizer))
    return settings.model_copy(update={**OF_NAMES, "lr": rate, "max_epochs": epochs})


def _still(teacher: Model) -> Model:
    return teacher.eval().requires_grad_(False)
