"""A callback for Lightning (`lightning` and `pytorch_lightning`): forecast before, one run in the ledger after.

>>> trainer = Trainer(callbacks=[ForetollCallback(monitor="val_acc", source=old, target=new, until=0.9)])
... # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any

from foretoll.errors import MissingExtraError
from foretoll.integrations.settings import planned_settings
from foretoll.records import TrainingSettings
from foretoll.tracking import TrackedRun, track
from foretoll.tracking.observer import first_tensor
from foretoll.training.guard import Guard, harmless

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")  # two names of one library, with classes of their own


def _bases() -> tuple[type, ...]:
    """The callback classes of what is loaded, else of what is installed."""
    for names in ([name for name in _PACKAGES if name in sys.modules], _PACKAGES):
        found: list[type] = []
        for name in names:
            try:
                found.append(importlib.import_module(name).Callback)
            except ImportError:
                continue
            if names is _PACKAGES:
                break
        if found:
            return tuple(found)
    raise MissingExtraError("the callback for Lightning", "lightning")


class _Tracking:
    """Tracks every `fit()` of a Trainer that optimises with one optimiser.

    monitor: the name under which the module logs the quality of its validation
    stops: end the training where `until`, or another stop rule, is met
    how: the arguments of `foretoll.track`; those of its `settings` that the Trainer names are taken from there

    `run` is the run of the last fit.
    """

    def __init__(self, *, monitor: str = "val_acc", stops: bool = True, **how: Any) -> None:
        self.monitor, self.stops, self.how = monitor, stops, how
        self.run: TrackedRun | None = None
        self.guard = Guard(strict=bool(how.get("strict")))

    @harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Forecast, and begin to record."""
        per_epoch = self.how.get("steps_per_epoch")
        batches = trainer.num_training_batches
        if per_epoch is None and math.isfinite(batches):
            per_epoch = max(math.ceil(batches / trainer.accumulate_grad_batches), 1)
        settings = planned_settings(self.guard, self.how, lambda named: settings_of(trainer, named))
        how = self.how | {"settings": settings, "steps_per_epoch": per_epoch}
        model = self.how.get("model", pl_module)
        self.run = track(
            model, trainer.optimizers[0], **{k: v for k, v in how.items() if k != "model"}
        ).start()

    @harmless
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A batch is trained on: a module's training step need not call the module itself."""
        tensor = first_tensor([batch])
        if self.run is not None:
            self.run.batch(len(tensor) if tensor is not None and tensor.ndim else None)

    @harmless
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the quality that was logged; ask the Trainer to stop where the target is met."""
        quality = trainer.callback_metrics.get(self.monitor)
        if self.run is None or trainer.sanity_checking or quality is None:
            return
        self.run.evaluate(quality, trainer.callback_metrics.get("val_loss"))
        if self.stops and self.run.stop:
            trainer.should_stop = True

    @harmless
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the run."""
        if self.run is not None:
            self.run.finish()

    @harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write what was recorded up to there."""
        if self.run is not None:
            self.run.finish(exception)


def settings_of(trainer: Any, named: TrainingSettings) -> TrainingSettings:
    """What a Trainer says of a training, under foretoll's names; `named` wins."""
    precision = str(trainer.precision)
    found: dict[str, Any] = {
        "accumulate": trainer.accumulate_grad_batches,
        "precision": "bf16" if "bf16" in precision else "fp16" if precision.startswith("16") else "fp32",
    }
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        found["max_epochs"] = float(trainer.max_epochs)
    if trainer.max_steps is not None and trainer.max_steps > 0:
        found["max_steps"] = trainer.max_steps
    if trainer.gradient_clip_val and trainer.gradient_clip_algorithm in (None, "norm"):
        found["clip_norm"] = float(trainer.gradient_clip_val)
    kept = {name: getattr(named, name) for name in named.model_fields_set}
    return TrainingSettings.model_validate(found | kept)


ForetollCallback: Any = type("ForetollCallback", (_Tracking, *_bases()), {"__doc__": _Tracking.__doc__})
