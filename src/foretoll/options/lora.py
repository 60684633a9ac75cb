"""Option `lora`: low-rank adapters beside the backbone's layers, merged into them at the end (`adapters`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.options.base import Option, Training
from foretoll.options.head import head_parameters

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings

RANK = 8


class Lora(Option):
    """Train low-rank adapters and the head."""

    name = "lora"
    summary = f"train low-rank adapters (rank {RANK}) and the head, and merge them"
    title = "low-rank adapters"
    phrase = "Retraining {model} through low-rank adapters"
    moves_weights = True
    lr_factor = 3.0  # measured: docs/options.md

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.with_head_for(target, seed=seed) if task_shift else model.clone()

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The head's parameters; those of the adapters exist once the training has started."""
        return head_parameters(model)

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        from foretoll.options.adapters import LoraTraining, adaptable

        ranks = adaptable(prepared, RANK)
        return LoraTraining(prepared, target.train, target.validation, ranks=ranks, seed=settings.seed)

    def _frozen(self, model: Model, *, task_shift: bool) -> str | None:
        return None  # what is frozen gets no adapter, and without any it does not suit

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """It needs the library, and a layer that can be adapted."""
        why = super().suits(model, target, task_shift=task_shift)
        if why is not None:
            return why
        from foretoll.options.adapters import adaptable, import_peft

        import_peft()
        if not adaptable(model, RANK):
            return (
                f"lora finds no layer of {model.card.arch} that it can adapt (a plain Linear or convolution before "
                "the head, without groups or dilation, and not frozen); use partial or finetune"
            )
        return None
