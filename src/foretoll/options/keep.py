"""Option `keep`: serve the source model as it is; what every update is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.options.base import Option

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model


class Keep(Option):
    """Do nothing. The run is `reached` where the model already meets the target, else `censored`."""

    name = "keep"
    summary = "leave the model as it is"
    title = "keep as it is"
    phrase = "Keeping {model} as it is"
    takes_steps = False
    changes_weights = False
    serves_new_task = False

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.clone()

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """Nothing is trained."""
        return {}
