"""Option `scratch`: the same architecture, fresh weights, trained on the target alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.errors import ModelError
from foretoll.options.base import Option

if TYPE_CHECKING:
    from foretoll.data import TaskData
    from foretoll.models import Model


class Scratch(Option):
    """Train all weights from a fresh initialisation: what reuse is compared with."""

    name = "scratch"
    summary = "the same architecture with fresh weights, trained on the target alone"
    title = "train from scratch"
    phrase = "Training {model} from scratch"
    label = "from scratch"
    reuses_weights = False
    trains_all = True

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        from foretoll.models import fresh_copy

        return fresh_copy(model, target, seed=seed)

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """A module in memory, or a factory that loads weights, needs layers that initialise themselves: it is tried."""
        from foretoll.models.fresh import LIBRARIES, fresh_copy

        why = super().suits(model, target, task_shift=task_shift)
        if why is None and not model.card.arch.startswith(LIBRARIES):
            try:
                fresh_copy(model, target, seed=0)
            except ModelError as error:
                why = str(error)
        return why
