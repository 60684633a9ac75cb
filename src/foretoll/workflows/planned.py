"""A run as it is planned: what a forecast is asked about, and what a run is from before its first step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from foretoll.data import stratified_sample
from foretoll.forecast.case import Case
from foretoll.forecast.early import case_of
from foretoll.options.table import get_option
from foretoll.quality import Evaluation, evaluate
from foretoll.records import Outcome, Run, TrainingSettings
from foretoll.workflows.context import new_run_id

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey
    from foretoll.options import Option
    from foretoll.workflows.context import Update


LOOKED_AT_BYTES = 512_000_000  # of stored samples that the quality at the start is measured on
LARGE_SAMPLES = 2_000  # however large they are


def planned_update(
    update: Update,
    option: Option,
    settings: TrainingSettings,
    signals: Mapping[str, float | None] | None = None,
) -> Run:
    """The run that an option would make of an opened update; its model has a name of its own."""
    run_id, model, source, target = new_run_id(), update.model.card, update.source, update.target.card
    return Run(
        id=run_id,
        option=option.name,
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
        source=source.card if source is not None else None,
        target=target,
        task_shift=update.task_shift,
        settings=settings,
        steps_per_epoch=settings.steps_per_epoch(target.train),
        signals=dict(signals or {}),
    )


def settings_asked(update: Update, option: str) -> dict[str, str]:
    """What an option does to an opened update in particular: program, student, part, …"""
    return get_option(option).settings_for(update.model, update.target, task_shift=update.task_shift)


def start_quality(update: Update, settings: TrainingSettings) -> float | None:
    """Progress at the run's own first evaluation, which may already meet the target; None where outputs are new."""
    seen = evaluated_start(update, settings)
    return None if seen is None else settings.progress(seen.quality)


def evaluated_start(update: Update, settings: TrainingSettings) -> Evaluation | None:
    """That evaluation itself. Of large samples (pictures) on a part of those that the run will be evaluated on, by
    class."""
    if update.task_shift:
        return None
    target = update.target
    most = max(LARGE_SAMPLES, LOOKED_AT_BYTES // max(math.prod(target.shape), 1))
    part = stratified_sample(target.validation, min(most, len(target.validation)), seed=0)
    return evaluate(update.model, part, metric=settings.metric, device=update.device)


def case_of_update(
    update: Update,
    option: str,
    settings: TrainingSettings,
    seen: Survey,
    pilot: dict[str, float | None],
    start_quality: float | None,
) -> Case:
    """What a forecaster may see of an update; `start_quality` as `start_quality` gives it."""
    planned = planned_update(update, get_option(option), settings, seen.signals | pilot)
    return case_of(planned, start_quality=start_quality, looked_at=seen.target_samples)
