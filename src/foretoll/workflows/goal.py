"""What an update is meant to reach: its metric, the scale of that metric on the target, and the quality target."""

from __future__ import annotations

from foretoll.data import TaskData
from foretoll.errors import DataError, UsageError
from foretoll.quality import evaluate, scale_of
from foretoll.records import SHARES, DataCard, Interval, TrainingSettings
from foretoll.records.evaluations import EvaluationSchedule
from foretoll.tasks import check_metric, check_until, get_task, known_metric
from foretoll.workflows.context import Update

DEFAULT_SHARE = 0.95  # of the model's quality on its source, where no target is named
USUAL = "accuracy"  # what settings have where nobody names a metric


def on_data(settings: TrainingSettings, data: TaskData, instead: TaskData | None = None) -> TrainingSettings:
    """The settings with a metric of the data's task, and the scale of it on their training targets.

    Without a named metric it is the task's first. `instead`: other data of the same task, for targets without labels.

    Raises:
        UsageError: the task has no metric of that name.
        DataError: the targets are all alike, so that there is nothing to learn.

    """
    task, name = get_task(data.card.task), settings.metric
    if known_metric(name, task.name) is None:
        if name == USUAL and settings.until is not None:
            others = ", ".join(metric.name for metric in task.metrics)
            raise UsageError(
                f"{data.name} is a {task.title}, which has no accuracy: say in which metric {settings.until:g} is "
                f"meant, with --metric ({others})"
            )
        name = task.metrics[0].name if name == USUAL else check_metric(name, task.name)
    metric = known_metric(name, task.name)
    assert metric is not None  # noqa: S101  (for the type checker)
    if settings.until is not None:
        metric.check_until(settings.until)
    if (metric.trivial, metric.best) == (0.0, 1.0):  # a share is its own progress
        return settings.model_copy(update={"metric": name, "scale": None})
    labels = data.train.labels
    if labels is None and instead is not None and instead.card.task == task.name:
        labels = instead.train.labels
    if labels is None:
        raise DataError(f"{data.name} has no labels, without which {metric.title} says nothing: give some")
    scale = scale_of(name, labels, task.width(data.classes), task.name)
    return settings.model_copy(update={"metric": name, "scale": scale})


def with_evaluations(settings: TrainingSettings, target: DataCard) -> TrainingSettings:
    """The settings with the first evaluation of a run on these data, where nobody named it and there is no patience.

    Patience counts evaluations: more of them early on would end the run sooner.
    """
    if settings.first_evaluation is not None or settings.patience is not None:
        return settings
    per_epoch, samples = settings.steps_per_epoch(target.train), settings.samples_per_step
    first = EvaluationSchedule.first_of(per_epoch, settings.evals_per_epoch, samples, target.validation)
    return settings.model_copy(update={"first_evaluation": first}) if first else settings


def in_unit(quality: Interval | None, settings: TrainingSettings) -> Interval | None:
    """A forecast progress as a quality in the metric's unit."""
    if quality is None or settings.scale is None:
        return quality
    value = settings.scale.value
    ends = [None if end is None else value(end) for end in (quality.low, quality.median, quality.high)]
    low, median, high = ends if settings.scale.higher_is_better else ends[::-1]
    return Interval(median=median, low=low, high=high, level=quality.level)


def with_target(update: Update, settings: TrainingSettings, until: float | None) -> TrainingSettings:
    """Fix metric and quality target: as named, else 95 % of the model's quality on its source's validation split.

    Of a metric that is no share, 95 % of its way from the trivial prediction to the best one. Raises UsageError for a
    task shift without a named target: no number would be a fair guess.
    """
    until = settings.until if until is None else until
    settings = on_data(settings.model_copy(update={"until": until}), update.target, update.source)
    if until is None:
        if update.task_shift:
            raise UsageError("a new task has no natural quality target: name one, for example --until 0.9")
        source = update.known_source
        if source is None:
            raise UsageError(
                "without labelled data of the source there is no usual quality target: name one (--until 0.9), or give "
                "labels (of a table by label=)"
            )
        on_source = evaluate(update.model, source.validation, metric=settings.metric, device=update.device)
        until = _usual(on_data(settings, source), settings, on_source.quality)
        if settings.progress(until) == 0:
            raise UsageError(
                f"the model is never right on its source {source.card.uri}: give the data that it was trained "
                "on, or name a quality target, for example --until 0.9"
            )
    # raised before, in an estimate that is carried out
    if settings.aim is not None and until == settings.until:
        until = settings.aim
    until = check_until(until, settings.metric)
    if settings.sure is None:
        return settings.model_copy(update={"until": until, "aim": None})
    raised = _raised(until, settings, update.target.card)
    return settings.model_copy(update={"until": raised, "aim": until})


def _raised(until: float, settings: TrainingSettings, target: DataCard) -> float:
    """What validation data have to show: a model that is just at the target shows it with 1 − sure, by chance."""
    metric, samples = known_metric(settings.metric, target.task), target.validation
    assert metric is not None and settings.sure is not None  # noqa: S101  (for the type checker)
    from scipy.special import ndtri

    margin = float(ndtri(settings.sure)) * metric.error(until, samples)
    raised = until + margin if metric.direction == "higher" else until - margin
    if not metric.low <= raised <= metric.high:
        raise UsageError(
            f"{samples:,} validation samples cannot show {metric.title} {until:g} with --sure {settings.sure:g}: even "
            f"{metric.best:g} is within their error; give more data, or a lower --until or --sure"
        )
    return float(f"{raised:.4g}")


def _usual(on_source: TrainingSettings, on_target: TrainingSettings, quality: float) -> float:
    """The usual share of a quality on the source, on the scale of the target."""
    progress = DEFAULT_SHARE * on_source.progress(quality)
    value = (on_target.scale or SHARES).value(progress)
    return round(value, 3) if on_target.scale is None else float(f"{value:.3g}")
