"""What is no better than guessing: a model on its own source, or a quality target on few samples."""

from __future__ import annotations

from collections.abc import Mapping

from foretoll.data import TaskData, stratified_sample
from foretoll.quality import chance_ceiling, chance_level, evaluate
from foretoll.records import SHARES, TrainingSettings
from foretoll.tasks import get_task, known_metric
from foretoll.workflows.context import Update
from foretoll.workflows.goal import on_data

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
    source = update.known_source
    if source is None:
        return ()
    split, task = source.train, source.card.task
    if known_metric(settings.metric, task) is None:  # a metric of the target's task, which the source has not
        own = get_task(task).metrics[0].name
        settings, signals = settings.model_copy(update={"metric": own, "until": None}), {}
    settings = on_data(settings, source)
    progress = signals.get("source_quality")
    if progress is None or not samples:
        split = stratified_sample(source.validation, LOOKED_AT, seed=settings.seed)
        seen = evaluate(update.model, split, metric=settings.metric, device=update.device)
        progress, samples = settings.progress(seen.quality), seen.samples
    if split.labels is None:
        return ()
    ceiling = chance_ceiling(split.labels, settings.metric, samples, task)
    if progress > settings.progress(ceiling):
        return ()
    level = chance_level(split.labels, settings.metric, task)
    quality = (settings.scale or SHARES).value(progress)
    worse = " or worse" if settings.scale is not None and progress <= 0 else ""
    return (
        f"the model has {_title(settings, task)} {_number(quality, settings)}{worse} on its own source "
        f"({samples:,} samples), no better than chance ({_number(level, settings)}): check {get_task(task).to_check} "
        "and the weights before anything else here is believed",
    )


def target_warnings(target: TaskData, settings: TrainingSettings) -> tuple[str, ...]:
    """That guessing may meet the quality target on the target's validation samples."""
    labels, until, task = target.validation.labels, settings.until, target.card.task
    if labels is None or until is None or known_metric(settings.metric, task) is None:
        return ()
    scale = settings.scale or SHARES
    if not scale.meets(chance_ceiling(labels, settings.metric, len(labels), task), until):
        return ()
    way = "higher" if scale.higher_is_better else "lower"
    return (
        f"chance may meet the target: {_title(settings, task)} {until:g} on {len(labels):,} validation "
        f"samples, where guessing has {_number(chance_level(labels, settings.metric, task), settings)}; give more of "
        f"them, or a {way} --until",
    )


def _title(settings: TrainingSettings, task: str) -> str:
    metric = known_metric(settings.metric, task)
    return settings.metric if metric is None else metric.title


def _number(value: float, settings: TrainingSettings) -> str:
    return f"{value:.3f}" if settings.scale is None else f"{value:.4g}"
