"""Option `partial`: train the last part of the network; what comes before stays frozen (`last_part`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.options.base import Option, Training

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings


class Partial(Option):
    """Train the last quarter of the network; a task shift gets a new head first."""

    name = "partial"
    summary = "train the last quarter of the layers, the rest frozen"
    title = "retrain the last layers"
    phrase = "Retraining the last layers of {model}"
    moves_weights = True
    lr_factor = 3.0  # measured: docs/options.md

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.with_head_for(target, seed=seed) if task_shift else model.clone()

    def settings_for(self, model: Model, target: TaskData, *, task_shift: bool) -> dict[str, str]:
        """The first layer that is trained."""
        from foretoll.options.last_part import cut_of

        return {"from": cut_of(model).first}

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The parameters after the cut."""
        from foretoll.options.last_part import cut_of

        return cut_of(model).parameters

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        from foretoll.options.last_part import PartialTraining, cut_of

        return PartialTraining(prepared, target.train, target.validation, cut_of(prepared))
