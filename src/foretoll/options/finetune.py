"""Option `finetune`: go on training all weights on the target; a task shift gets a new head first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.options.base import Option

if TYPE_CHECKING:
    from foretoll.data import TaskData
    from foretoll.models import Model


class Finetune(Option):
    """Train all weights, starting from the source model's."""

    name = "finetune"
    summary = "train all weights, starting from the source model"
    title = "retrain all weights"
    phrase = "Retraining {model}"
    trains_all = True
    moves_weights = True

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.with_head_for(target, seed=seed) if task_shift else model.clone()
