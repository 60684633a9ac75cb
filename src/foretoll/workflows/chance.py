"""What is no better than guessing: a model on its own source, or a quality target on few samples."""

from __future__ import annotations

from collections.abc import Mapping

from foretoll.data import TaskData, stratified_sample
from foretoll.quality import chance_ceiling, chance_level, evaluate
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Update

LOOKED_AT = 256  # samples of the source, where its quality is not known yet


def chance_warnings(
    update: Update,
    settings: TrainingSettings,
    signals: Mapping[str, float | None] | None = None,
    samples: int = 0,
) -> tuple[str, ...]:
    """Warnings of an update: its model is no better than chance on its source, its target is met by chance.

    `signals`: what was seen already of `samples` samples of the source; without `source_quality` the model is
    evaluated on some of its source's validation samples.
    """
    return (
        *_source_warnings(update, settings, signals or {}, samples),
        *target_warnings(update.target, settings),
    )


def _source_warnings(
    update: Update, settings: TrainingSettings, signals: Mapping[str, float | None], samples: int
) -> tuple[str, ...]:
    split = update.source.train
    quality = signals.get("source_quality")
    if quality is None or not samples:
        split = stratified_sample(update.source.validation, LOOKED_AT, seed=settings.seed)
        seen = evaluate(update.model, split, metric=settings.metric, device=update.device)
        quality, samples = seen.quality, seen.samples
    if split.labels is None or quality > chance_ceiling(split.labels, settings.metric, samples):
        return ()
    level = chance_level(split.labels, settings.metric)
    return (
        f"the model has {settings.metric.replace('_', ' ')} {quality:.3f} on its own source ({samples:,} samples), no "
        f"better than chance ({level:.3f}): check the order of the labels, the preprocessing and the weights before "
        "anything else here is believed",
    )


def target_warnings(target: TaskData, settings: TrainingSettings) -> tuple[str, ...]:
    """That guessing may meet the quality target on the target's validation samples."""
    labels, until = target.validation.labels, settings.until
    if labels is None or until is None or until > chance_ceiling(labels, settings.metric, len(labels)):
        return ()
    return (
        f"chance may meet the target: {settings.metric.replace('_', ' ')} {until:g} on {len(labels):,} validation "
        f"samples, where guessing has {chance_level(labels, settings.metric):.3f}; give more of them, or a higher "
        "--until",
    )
