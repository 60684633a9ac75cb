"""What an option is: a way to reuse a model, as a preparation of the model and a choice of what is trained.

The contract, tested for every registered option: the source model is never changed; preparing twice with one
seed gives equal weights; the prepared model has one output per class of the target.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from foretoll.errors import DataError

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model


class Option(ABC):
    """A way to reuse a model."""

    name: ClassVar[str]
    summary: ClassVar[str]
    reuses_weights: ClassVar[bool] = True

    def prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        """Return the model to be trained: new weights in memory, the given model untouched.

        Raises:
            DataError: the target is no task shift and has classes the model has no output for.

        """
        check_classes(model, target, task_shift=task_shift)
        return self._prepare(model, target, task_shift=task_shift, seed=seed)

    @abstractmethod
    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        """Build the model to be trained."""

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name within the network; all unless the option says otherwise."""
        return dict(model.network.named_parameters())


def check_classes(model: Model, target: TaskData, *, task_shift: bool) -> None:
    """Refuse a target of the same task that has classes the model has no output for (DataError)."""
    if not task_shift and target.num_classes > model.card.num_classes:
        raise DataError(
            f"the target {target.card.uri} has {target.num_classes} classes but the model "
            f"{model.card.num_classes} outputs: say --task if it is a new task (the head is then replaced)"
        )
