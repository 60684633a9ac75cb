"""`foretoll retrain`: carry out one option on a target, measure it, remember it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.arguments import check_out, check_until
from foretoll.errors import LedgerError, UsageError
from foretoll.indices.collect import DEFAULT_SAMPLES, Collector, collect
from foretoll.ledger import Ledger
from foretoll.options import get_option
from foretoll.quality import check_metric, evaluate
from foretoll.records import Run, TrainingSettings
from foretoll.workflows.carry_out import CarriedOut, carry_out, require_labels
from foretoll.workflows.chance import chance_warnings
from foretoll.workflows.context import (
    Accounting,
    Data,
    Job,
    ModelLike,
    Watcher,
    choose_device,
    open_job,
)
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.rates import Named, rising, settled

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey

DEFAULT_SHARE = 0.95  # of the model's quality on its source, where no target is named


def retrain(
    model: ModelLike,
    source: Data,
    target: Data,
    *,
    option: str = "finetune",
    until: float | None = None,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    lr: Named = None,
    weights: str | Path | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | None = None,
    out: str | Path | None = None,
    tags: tuple[str, ...] = (),
    watcher: Watcher | None = None,
    trust_code: bool = False,
) -> Run:
    """Retrain `model` on `target` by `option` until the validation quality reaches `until`; return the run.

    `source` is what the model was trained on; `task` says whether the target is a new task (None: decided by
    the class names). Before training, the signals that a forecast rests on are taken, so that the run
    teaches the forecaster. `lr` as in `foretoll.estimate`. The run is appended to the ledger; with `out`, the updated
    model is saved there. `trust_code` lets a checkpoint name the function that builds its network.
    """
    settings = settings or TrainingSettings()
    accounting = accounting or Accounting()
    get_option(option)
    check_metric(settings.metric)
    if until is not None:
        check_until(until)
    check_out(out)
    accounting.check(choose_device(device))
    watcher = watcher or Watcher()
    watcher.stage("open data and model")
    job = open_job(
        model,
        source,
        target,
        task=task,
        weights=weights,
        embedding_layer=embedding_layer,
        head=head,
        device=device,
        seed=settings.seed,
        trust_code=trust_code,
    )
    require_labels(job.target, option)
    get_option(option).require_suited(job.model, job.target, task_shift=job.task_shift)
    settings, _ = settled(job, option, with_target(job, settings, until), lr, watcher=watcher)
    return retrain_job(
        job,
        option,
        settings,
        accounting=accounting,
        ledger=Ledger.open() if ledger is None else ledger,
        out=Path(out) if out else None,
        tags=tags,
        watcher=watcher,
    ).run


def retrain_job(
    job: Job,
    option: str,
    settings: TrainingSettings,
    *,
    accounting: Accounting,
    ledger: Ledger | None,
    signals: dict[str, float | None] | None = None,
    out: Path | None = None,
    tags: tuple[str, ...] = (),
    watcher: Watcher | None = None,
) -> CarriedOut:
    """Retrain an opened job; `signals` are taken from the data unless they are given."""
    watcher = watcher or Watcher()
    require_labels(job.target, option)
    get_option(option).require_suited(job.model, job.target, task_shift=job.task_shift)
    if signals is None:
        watcher.stage("look at the target through the model (signals)")
        pilot = pilot_signals(job, option, settings)
        for warning in rising(pilot, settings.lr):
            watcher.note(warning)
        signals = take_signals(job, settings).signals | pilot
    seen = min(len(job.source.train), DEFAULT_SAMPLES)
    warnings = (*chance_warnings(job, settings, signals, seen), *job.model.card.notes)
    watcher.stage(f"{option} on {job.target.name}")
    return carry_out(
        get_option(option),
        job.model,
        job.target,
        settings,
        source=job.source,
        task_shift=job.task_shift,
        device=job.device,
        accounting=accounting,
        ledger=ledger,
        signals=signals,
        out=out,
        tags=tags,
        watcher=watcher,
        lineage=_lineage(job.model.card.run_id, ledger),
        warnings=warnings,
    )


def _lineage(parent: str | None, ledger: Ledger | None) -> tuple[str, ...]:
    """The runs behind the source model, oldest first, as far as the ledger knows them."""
    if parent is None:
        return ()
    try:
        return tuple(run.id for run in ledger.lineage(parent)) if ledger is not None else (parent,)
    except LedgerError:  # made on another ledger
        return (parent,)


def take_signals(
    job: Job,
    settings: TrainingSettings,
    *,
    samples: int = DEFAULT_SAMPLES,
    collector: Collector = collect,
) -> Survey:
    """Look at a job's source and target through its model."""
    from foretoll.indices.survey import survey  # its accumulators take seconds to import

    return survey(
        job.model,
        job.source,
        job.target,
        settings,
        task_shift=job.task_shift,
        clean=job.clean,
        device=job.device,
        samples=samples,
        collector=collector,
    )


def with_target(job: Job, settings: TrainingSettings, until: float | None) -> TrainingSettings:
    """Fix the quality target: as named, else 95 % of the model's quality on its source's validation split.

    Raises UsageError for a task shift without a named target: no number would be a fair guess.
    """
    until = settings.until if until is None else until
    if until is None:
        if job.task_shift:
            raise UsageError("a new task has no natural quality target: name one, for example --until 0.9")
        on_source = evaluate(job.model, job.source.validation, metric=settings.metric, device=job.device)
        until = round(DEFAULT_SHARE * on_source.quality, 3)
        if until == 0:
            raise UsageError(
                f"the model is never right on its source {job.source.card.uri}: give the data that it was trained "
                "on, or name a quality target, for example --until 0.9"
            )
    return settings.model_copy(update={"until": check_until(until)})
