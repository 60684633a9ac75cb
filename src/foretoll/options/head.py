"""Option `head`: train the head alone, on what the frozen backbone says of each sample once (`cached_head`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.options.base import Option, Training

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings


class Head(Option):
    """Train the head on cached inputs; a task shift gets a new head first."""

    name = "head"
    summary = "train the head alone, on outputs of the backbone that are computed once"
    title = "retrain the head"
    phrase = "Retraining the head of {model}"
    lr_factor = 10.0  # measured: docs/options.md

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.with_head_for(target, seed=seed) if task_shift else model.clone()

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The head's parameters."""
        return head_parameters(model)

    def _frozen(self, model: Model, *, task_shift: bool) -> str | None:
        return None  # the head is trained even where it is frozen

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """A head that shares its weights with an earlier layer (a token embedding) cannot be trained apart from it."""
        why = super().suits(model, target, task_shift=task_shift)
        shared = why is None and not task_shift and shares_weights(model)
        layer = "the token embedding" if model.task.name == "language" else "an earlier layer"
        return (
            f"head would train {layer} too, whose weights the head of {model.card.arch} shares; use lora, "
            "partial or finetune"
            if shared
            else why
        )

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        from foretoll.options.cached_head import HeadTraining

        return HeadTraining(
            prepared,
            target.train,
            target.validation,
            self.trainable(prepared),
            stored=not settings.augment,  # samples that change come through the backbone in every epoch
        )


def shares_weights(model: Model) -> bool:
    """Whether a layer outside the head uses the head's own weights (a tied embedding)."""
    inside = {id(p) for p in head_parameters(model).values()}
    heads = model.head_names()
    return any(
        id(parameter) in inside
        for name, parameter in model.network.named_parameters(remove_duplicate=False)
        if not any(name.startswith(f"{head}.") for head in heads)
    )


def head_parameters(model: Model) -> dict[str, nn.Parameter]:
    """The parameters of the head, and of heads beside it, by their name within the network."""
    return {
        f"{head}.{name}": parameter
        for head in model.head_names()
        for name, parameter in model.layer(head).named_parameters()
    }
