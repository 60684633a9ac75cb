"""Option `distill`: a smaller architecture learns on the target from what the source model says (`distillation`).

Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531. The source is the
teacher as it is where it serves the same task. For a new task, or where a `teacher` is named, it is first retrained on
the target by an option, and what that costs is part of the toll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import ForetollError, UsageError
from foretoll.options.base import Option, Training
from foretoll.tasks import get_task

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
    teacher: the option that makes the teacher of the source first; "": the source as it is, or, for a new task,
    `finetune`. teacher_epochs: for how many epochs.
    temperature: of the softened outputs. share: of the teacher's part in the loss, from 0 to 1.
    """

    name = "distill"
    summary = "train a smaller architecture on the target and on what the source says of it"
    title = "distil into a smaller model"
    phrase = "Distilling {model} into a smaller model"
    reuses_weights = False
    in_reference = False
    flags: ClassVar[Mapping[str, str]] = {
        "student": "distill: the smaller architecture: foretoll:cnn?width=8, timm:NAME, …",
        "teacher": "distill: the option that makes the teacher of the source first: finetune, head, …",
    }

    def __init__(
        self,
        student: str = "",
        teacher: str = "",
        teacher_epochs: int = 3,
        temperature: float = 2.0,
        share: float = 0.5,
    ) -> None:
        if temperature <= 0 or not 0 <= share <= 1 or teacher_epochs < 1:
            raise UsageError(
                f"{self.name}: the temperature lies above 0, share between 0 and 1, and teacher_epochs above 0"
            )
        if teacher.partition("?")[0] == self.name:
            raise UsageError(f"{self.name}: a teacher cannot be distilled itself: name another option")
        self.student, self.teacher, self.teacher_epochs = student, teacher, teacher_epochs
        self.temperature, self.share = temperature, share
        if teacher:
            self._teach(task_shift=False)  # refused here where there is no such option

    def architectures(self) -> tuple[str, ...]:
        """The student's, and what its teacher's option names."""
        teach = self._teach(task_shift=False)
        own = (self.student,) if self.student else ()
        return own + (teach.architectures() if teach is not None else ())

    def settings_for(self, model: Model, target: TaskData, *, task_shift: bool) -> dict[str, str]:
        """The student that is built, and what makes its teacher where that is not the source as it is."""
        found = super().settings_for(model, target, task_shift=task_shift)
        teach = self._teach(task_shift=task_shift)
        found["student"] = self._architecture(target)
        if teach is None:
            return {key: value for key, value in found.items() if key != "teacher_epochs"}
        return found | {"teacher": self.teacher or teach.name}

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        from foretoll.models import build_model

        student = build_model(self._architecture(target), data=target, seed=seed)
        classes = target.classes if task_shift else model.classes
        return student if student.classes == classes else student.with_new_head(classes, seed=seed)

    def start(
        self,
        model: Model,
        target: TaskData,
        settings: TrainingSettings,
        *,
        task_shift: bool,
        device: torch.device,
    ) -> Training:
        """The student beside a frozen copy of the teacher, or beside one that is still to be trained."""
        from foretoll.options.distillation import DistillTraining, TaughtTraining, teaching_settings

        student = self.prepare(model, target, task_shift=task_shift, seed=settings.seed).to(device)
        plain = Training(student, target.train, target.validation, self.trainable(student))
        how: dict[str, Any] = {
            "teacher": model.clone().to(device),
            "temperature": self.temperature,
            "share": self.share,
        }
        teach = self._teach(task_shift=task_shift)
        training = DistillTraining(plain, **how)
        if teach is not None:
            theirs = teaching_settings(settings, teach, model, self.teacher_epochs)

            def lesson() -> Training:
                return teach.start(model, target, theirs, task_shift=task_shift, device=device)

            training = TaughtTraining(plain, lesson=lesson, teach=teach, settings=theirs, **how)
        training.freeze(settings.freeze)
        return training

    def _teach(self, *, task_shift: bool) -> Option | None:
        """The option that makes the teacher; None: the source is the teacher."""
        from foretoll.options.table import DEFAULT, get_option

        name = self.teacher or (DEFAULT if task_shift else "")
        return get_option(name) if name else None

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """All weights of the student."""
        return dict(model.network.named_parameters())

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """It needs a teacher that can be made, a loss of imitating it, and a student for these data."""
        task = get_task(target.card.task) if target.card.labelled else model.task
        if not task.imitates or (not task_shift and not model.task.imitates):
            return f"{self.name} knows no loss of imitating the outputs of a {task.title}; use finetune"
        teach = self._teach(task_shift=task_shift)
        why = teach.suits(model, target, task_shift=task_shift) if teach is not None else None
        if why is not None:
            return f"{self.name} cannot make its teacher: {why}"
        if not self.student and target.card.parts:
            return (
                f"{self.name} has no small student for several inputs; use finetune, or name one (student=)"
            )
        if not self.student and target.kind not in STUDENTS:
            return f"{self.name} has no small student for {target.kind} data; use finetune, or name one (student=)"
        try:
            self._prepare(model, target, task_shift=task_shift, seed=0)
        except ForetollError as error:
            return f"{self.name} cannot build its student: {error}"
        return None

    def _architecture(self, target: TaskData) -> str:
        return self.student or STUDENTS.get(target.kind, "")
