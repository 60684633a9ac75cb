"""Option `recalibrate`: re-estimate the batch-norm statistics on the target; no weight changes.

Source: adaptive batch normalisation (Li et al. 2017, arXiv 1603.04779; Schneider et al. 2020, arXiv 2006.16971).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from foretoll.options.base import Option, Training

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings


class RecalibrationPass(Training):
    """One pass without gradients over the target's training part, as `renormalised` describes it.

    The pass has its own batch size and order (by the samples' ids), so the statistics depend on the samples alone,
    not on the batch size or the seed of the run.
    """

    prepares: ClassVar[bool] = True

    def begin(self) -> bool:
        """Replace the statistics; weights keep their values."""
        from foretoll.representation import renormalised

        again = renormalised(self.model, self.train, device=self.model.device)
        if again is None:
            return False
        self.model.network.load_state_dict(again.network.state_dict())
        return True


class Recalibrate(Option):
    """Estimate the mean and variance of every batch normalisation anew."""

    name = "recalibrate"
    summary = "re-estimate the batch-norm statistics on the target; no weight changes"
    title = "re-estimate normalisation"
    phrase = "Re-estimating the normalisation of {model}"
    known_from = "renormalised_quality"
    takes_steps = False
    serves_new_task = False

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        return model.clone()

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """Nothing is trained."""
        return {}

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        return RecalibrationPass(prepared, target.train, target.validation, self.trainable(prepared))

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """Only a model with batch-norm statistics has something to re-estimate."""
        why = super().suits(model, target, task_shift=task_shift)
        if why is None and not _has_statistics(model):
            why = (
                f"recalibrate re-estimates batch-norm statistics, and {model.card.arch} has none; "
                "use another option, such as head or finetune"
            )
        return why


def _has_statistics(model: Model) -> bool:
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(m, _BatchNorm) and m.running_mean is not None for m in model.network.modules())
