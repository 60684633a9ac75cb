"""Option `distill`: a smaller architecture learns on the target from what the source model says (`distillation`).

Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531. The source is the
teacher as it is; to learn from one that was retrained on the target first, give that model instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from foretoll.errors import ForetollError, UsageError
from foretoll.options.base import Option, Training

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings

STUDENTS = {"image": "foretoll:cnn?width=8", "vector": "foretoll:mlp?width=16&depth=1"}


class Distill(Option):
    """Train a fresh student on the target's labels and the teacher's softened outputs.

    student: its architecture, as `--arch` takes it; "" a small one for the kind of data.
    temperature: of the softened outputs. share: of the teacher's part in the loss, from 0 to 1.
    """

    name = "distill"
    summary = "train a smaller architecture on the target and on what the source says of it"
    title = "distil into a smaller model"
    phrase = "Distilling {model} into a smaller model"
    reuses_weights = False
    serves_new_task = False
    in_reference = False
    flags: ClassVar[Mapping[str, str]] = {
        "student": "distill: the smaller architecture: foretoll:cnn?width=8, timm:NAME, …"
    }

    def __init__(self, student: str = "", temperature: float = 2.0, share: float = 0.5) -> None:
        if temperature <= 0 or not 0 <= share <= 1:
            raise UsageError("distill: the temperature lies above 0, and share between 0 and 1")
        self.student, self.temperature, self.share = student, temperature, share

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        from foretoll.models import build_model

        student = build_model(self._architecture(target), data=target, seed=seed)
        return (
            student if student.classes == model.classes else student.with_new_head(model.classes, seed=seed)
        )

    def start(
        self,
        model: Model,
        target: TaskData,
        settings: TrainingSettings,
        *,
        task_shift: bool,
        device: torch.device,
    ) -> Training:
        """The student beside a frozen copy of the teacher."""
        from foretoll.options.distillation import DistillTraining

        student = self.prepare(model, target, task_shift=task_shift, seed=settings.seed).to(device)
        training = DistillTraining(
            student,
            target.train,
            target.validation,
            self.trainable(student),
            teacher=model.clone().to(device),
            temperature=self.temperature,
            share=self.share,
        )
        training.freeze(settings.freeze)
        return training

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """All weights of the student."""
        return dict(model.network.named_parameters())

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """It needs a teacher that knows the classes, and a student that can be built for these data."""
        if task_shift:
            return (
                f"{self.name} cannot serve a new task: the source says nothing of the classes of {target.card.uri}; "
                "use finetune first, and distil the model that it makes"
            )
        if model.task.name != "classification":
            return f"{self.name} softens the outputs of a classification, and this is {model.task.title}; use finetune"
        if not self.student and target.kind not in STUDENTS:
            return f"{self.name} has no small student for {target.kind} data; use finetune, or name one (student=)"
        try:
            self._prepare(model, target, task_shift=False, seed=0)
        except ForetollError as error:
            return f"{self.name} cannot build its student: {error}"
        return None

    def _architecture(self, target: TaskData) -> str:
        return self.student or STUDENTS.get(target.kind, "")
