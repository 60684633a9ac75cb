"""A run as it is planned: what a forecast is asked about, and what a run is from before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from foretoll.forecast.case import Case, case_of
from foretoll.options.table import get_option
from foretoll.quality import evaluate
from foretoll.records import DataCard, ModelCard, Outcome, Run, TrainingSettings
from foretoll.workflows.context import new_run_id

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey
    from foretoll.workflows.context import Update


def planned_run(
    option: str,
    model: ModelCard,
    target: DataCard,
    settings: TrainingSettings,
    *,
    source: DataCard | None,
    task_shift: bool,
    signals: Mapping[str, float | None] | None = None,
) -> Run:
    """The record of a run that has not begun: of a model that comes from `model`, and has a name of its own."""
    run_id = new_run_id()
    return Run(
        id=run_id,
        option=option,
        outcome=Outcome.RUNNING,
        started_at=datetime.now(UTC),
        model=model.model_copy(
            update={
                "run_id": run_id,
                "parent_run_id": model.run_id,
                "weights_digest": None,
                "parent_weights_digest": model.weights_digest,
            }
        ),
        source=source,
        target=target,
        task_shift=task_shift,
        settings=settings,
        steps_per_epoch=settings.steps_per_epoch(target.train),
        signals=dict(signals or {}),
    )


def planned_update(
    update: Update, option: str, settings: TrainingSettings, signals: Mapping[str, float | None]
) -> Run:
    """The run that an option would make of an opened update."""
    return planned_run(
        get_option(option).name,
        update.model.card,
        update.target.card,
        settings,
        source=update.source.card if update.source is not None else None,
        task_shift=update.task_shift,
        signals=signals,
    )


def start_quality(update: Update, settings: TrainingSettings) -> float | None:
    """Progress at the run's own first evaluation, which may already meet the target; None where outputs are new."""
    if update.task_shift:
        return None
    seen = evaluate(update.model, update.target.validation, metric=settings.metric, device=update.device)
    return settings.progress(seen.quality)


def case_of_update(
    update: Update,
    option: str,
    settings: TrainingSettings,
    seen: Survey,
    pilot: dict[str, float | None],
    start_quality: float | None,
) -> Case:
    """What a forecaster may see of an update; `start_quality` as `start_quality` gives it."""
    planned = planned_update(update, option, settings, seen.signals | pilot)
    return case_of(planned, start_quality=start_quality, looked_at=seen.target_samples)
