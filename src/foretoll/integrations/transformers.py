"""A callback for the Trainer of transformers: forecast before the first step, one run in the ledger after the last.

>>> trainer = Trainer(..., callbacks=[ForetollCallback(source=old, target=new, until=0.9)])  # doctest: +SKIP
"""

from __future__ import annotations

import atexit
import math
from typing import Any

from foretoll.errors import MissingExtraError
from foretoll.integrations.settings import planned_settings
from foretoll.records import TrainingSettings
from foretoll.tracking import TrackedRun, track
from foretoll.training.guard import Guard, harmless

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingExtraError("the callback for transformers' Trainer", "hf,accelerate") from error


class ForetollCallback(TrainerCallback):
    """Tracks every `train()` of a Trainer.

    metric: the name under which `compute_metrics` gives the quality (with or without "eval_")
    stops: end the training where `until`, or another stop rule, is met
    how: the arguments of `foretoll.track`; those of its `settings` that TrainingArguments name are taken from there

    `run` is the run of the last training. One that an exception ends is closed when the process ends.
    """

    def __init__(self, *, metric: str = "accuracy", stops: bool = True, **how: Any) -> None:
        self.metric, self.stops, self.how = metric, stops, how
        self.run: TrackedRun | None = None
        self.guard = Guard(strict=bool(how.get("strict")))

    @harmless
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forecast, and begin to record."""
        self._close()
        loader: Any = kwargs.get("train_dataloader")
        per_epoch = self.how.get("steps_per_epoch")
        if per_epoch is None and hasattr(loader, "__len__"):
            per_epoch = max(math.ceil(len(loader) / args.gradient_accumulation_steps), 1)
        settings = planned_settings(
            self.guard, self.how, lambda named: settings_of(args, state, metric=self.metric, named=named)
        )
        how = self.how | {"settings": settings, "steps_per_epoch": per_epoch}
        self.run = track(kwargs["model"], kwargs["optimizer"], **how).start()
        atexit.register(self._close)

    @harmless
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> Any:
        """Record an evaluation; ask the Trainer to stop where the target is met."""
        found = metrics or {}
        quality = found.get(f"eval_{self.metric}", found.get(self.metric))
        if self.run is not None and quality is not None:
            self.run.evaluate(quality, found.get("eval_loss"))
            if self.stops and self.run.stop:
                control.should_training_stop = True
        return control

    @harmless
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the run."""
        if self.run is not None:
            self.run.finish()
        atexit.unregister(self._close)

    def _close(self) -> None:
        """End a run that nobody ended, because an exception left the Trainer."""
        if self.run is not None:
            self.run.finish(SystemExit())
        atexit.unregister(self._close)


def settings_of(args: Any, state: Any, *, metric: str, named: TrainingSettings) -> TrainingSettings:
    """What TrainingArguments say of a training, under foretoll's names; `named` wins."""
    kind = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    schedule = {"linear": "linear", "cosine": "cosine"}.get(kind, "constant")
    found: dict[str, Any] = {
        "metric": metric.removeprefix("eval_"),
        "batch_size": args.train_batch_size * args.world_size,
        "accumulate": args.gradient_accumulation_steps,
        "max_epochs": float(args.num_train_epochs) if args.max_steps <= 0 else 1e6,
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "label_smoothing": args.label_smoothing_factor,
        "seed": args.seed,
        "schedule": schedule,
        "warmup": float(args.get_warmup_steps(state.max_steps)),
        "compile": bool(args.torch_compile),
    }
    if args.max_steps > 0:
        found["max_steps"] = args.max_steps
    if args.max_grad_norm:
        found["clip_norm"] = float(args.max_grad_norm)
    kept = {name: getattr(named, name) for name in named.model_fields_set}
    return TrainingSettings.model_validate(found | kept)
