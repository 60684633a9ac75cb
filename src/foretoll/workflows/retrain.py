"""`foretoll retrain`: carry out one option on a target, measure it, remember it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.arguments import check_out
from foretoll.errors import LedgerError
from foretoll.indices.collect import DEFAULT_SAMPLES, Collector, collect
from foretoll.ledger import Ledger
from foretoll.models import Loading
from foretoll.options import Option, get_option
from foretoll.options.part import TrainingState
from foretoll.options.table import DEFAULT, named
from foretoll.random_states import keeps_random_states
from foretoll.records import Estimate, MadeForecast, Run, TrainingSettings
from foretoll.tasks import check_until
from foretoll.training.guard import is_refusal
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out, require_labels
from foretoll.workflows.chance import chance_warnings
from foretoll.workflows.context import (
    Accounting,
    Data,
    ModelLike,
    Runtime,
    Update,
    Watcher,
    open_update,
)
from foretoll.workflows.goal import with_evaluations, with_target
from foretoll.workflows.keeping import guarded
from foretoll.workflows.kept_pilot import kept_pilot
from foretoll.workflows.live import SO, forecast_before
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.rates import Named, rising, settled

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey


@keeps_random_states
def retrain(
    model: ModelLike,
    source: Data = None,
    target: Data = None,
    *,
    option: str | Option = DEFAULT,
    until: float | None = None,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    lr: Named = None,
    weights: str | Path | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | str | Path | None = None,
    estimate: Estimate | None = None,
    from_pilot: str | Path | None = None,
    out: str | Path | None = None,
    tags: tuple[str, ...] = (),
    watcher: Watcher | None = None,
    trust_code: bool = False,
) -> Run:
    """Carry out an update of `model` by `option`, measure what it costs, and add the run to the ledger.

    Before the first step the signals that a forecast rests on are taken, so that the run improves later forecasts.

    >>> run = foretoll.retrain("model-dir", "npz:old.npz", "npz:new.npz", until=0.9, out="updated")  # doctest: +SKIP
    >>> run.outcome, run.toll.epochs, run.toll.energy_kwh, run.quality.after  # doctest: +SKIP

    Args:
        model: as in `foretoll.estimate`.
        source: what the model was trained on: a data URI such as "npz:old.npz", a torch Dataset or DataLoader, arrays,
            or `TaskData`. None or "none" where nobody has it; what needs it is then left out, and a warning says so.
        target: what the model is to serve now, in the same forms. It must have labels for anything that trains.
        option: the way to reuse the model, by name or as an object.
        until: the validation quality that ends the run, in the metric's unit; None: that of `settings`, else 95 % of
            the quality on the source.
        task: whether the target is a new task; None: decided by the names of the classes.
        settings: the training settings; None: those of docs/settings.md.
        lr: as in `foretoll.estimate`.
        weights: the file or folder of the weights, where `model` names an architecture.
        embedding_layer: name of the layer that represents a sample; found where it is not named.
        head: name of the layer that classifies, or of one of several outputs; found where it is not named.
        device: "cpu", "cuda", "cuda:1", …; "auto" takes CUDA where there is one.
        accounting: how energy and emissions are counted, and the price; None: the best meter of this machine, and the
            world average of emissions.
        ledger: where runs are read and written: open, a path or a database URL; None: the user's own.
        estimate: the estimate of this very update; it is kept with the run, so that both can be compared.
        from_pilot: the folder of a pilot that an estimate kept (`PilotBudget.keep`), whose steps are the first ones.
        out: the folder for the updated model; None: it is not saved.
        tags: words by which the run is found in the ledger.
        watcher: is called with the progress; None: nobody.
        trust_code: let a checkpoint name the function that builds its network; it is then imported and run.

    Returns:
        The run: how it ended, its six costs, the quality before and after on test data, and its curve. A target that
            was not reached within the budget is an outcome (`censored`), not an error.

    Raises:
        UsageError: an argument is no name or number that can be used; the sentence names the nearest valid ones.
        DataError: data that cannot be read or do not fit the model.
        ModelError: a model that cannot be loaded or trained.
    """
    settings = settings or TrainingSettings()
    option = named(option)
    if until is not None:
        check_until(until, settings.metric)
    check_out(out)
    runtime = guarded(Runtime.of(device, accounting, ledger, watcher))
    loading = Loading(weights, embedding_layer, head, trust_code)
    runtime.check(settings, to_write=True)
    runtime.watcher.stage("open data and model")
    update = open_update(
        model,
        source,
        target,
        task=task,
        loading=loading,
        device=runtime.device,
        seed=settings.seed,
    )
    require_labels(update.target, option)
    get_option(option).require_suited(update.model, update.target, task_shift=update.task_shift)
    settings = with_evaluations(with_target(update, settings, until), update.target.card)
    settings, _ = settled(update, option, settings, lr, watcher=runtime.watcher)
    begun = None if from_pilot is None else kept_pilot(from_pilot, update, option, settings)
    made = estimate.made_forecast if estimate is not None else None
    warnings: tuple[str, ...] = ()
    if estimate is not None and (
        unlike := estimate.unlike(option, update.model.card.arch, update.target.card.uri, settings)
    ):
        made = None
        warnings = (
            f"the estimate was made for another update ({'; '.join(unlike)}): not kept with this run",
        )
        runtime.watcher.note(warnings[0])
    metadata = RunMetadata(forecast=made, tags=tags, warnings=warnings)
    return retrain_update(
        update, option, settings, runtime, metadata, begun=begun, out=Path(out) if out else None
    ).run


def retrain_update(
    update: Update,
    option: str,
    settings: TrainingSettings,
    runtime: Runtime,
    metadata: RunMetadata = RunMetadata(),  # noqa: B008  (it is frozen)
    *,
    begun: TrainingState | None = None,
    out: Path | None = None,
) -> RunResult:
    """Carry out an opened update; signals are taken from the data unless they are given.

    `begun`: where the training goes on from.
    Where there is no forecast, and the run may be given up, it is made here.
    """
    runtime = guarded(runtime)
    watcher, ledger, guard = runtime.watcher, runtime.ledger, runtime.guard
    signals, forecast = metadata.signals, metadata.forecast
    require_labels(update.target, option)
    get_option(option).require_suited(update.model, update.target, task_shift=update.task_shift)
    if signals is None:

        def look() -> tuple[Mapping[str, float | None], MadeForecast | None]:
            return _look(update, option, settings, runtime, forecast)

        so = "the run is recorded without signals, and no forecast learns from it"
        looked = guard.call("looking at the target", look, so=so, passes=is_refusal)
        signals, forecast = looked or ({}, forecast)
    seen = 0 if update.source is None else min(len(update.source.train), DEFAULT_SAMPLES)
    taken = signals
    chance = guard.call("looking for chance", lambda: chance_warnings(update, settings, taken, seen), so=SO)
    warnings = [*(chance or ()), *update.model.card.notes]
    if begun is not None:
        warnings.append(f"its first {begun.recorded.steps:,} steps were taken by the pilot of its forecast")
    watcher.stage(f"{option} on {update.target.name}")
    ancestors = guard.call(
        "reading the model's ancestors",
        lambda: _lineage(update.model.card.run_id, ledger),
        so="the run is recorded without them",
    )
    known = replace(
        metadata,
        signals=signals,
        forecast=forecast,
        lineage=ancestors or (),
        warnings=(*metadata.warnings, *warnings),
    )
    return carry_out(get_option(option), update, settings, runtime, known, begun=begun, out=out)


def _look(
    update: Update,
    option: str,
    settings: TrainingSettings,
    runtime: Runtime,
    forecast: MadeForecast | None,
) -> tuple[Mapping[str, float | None], MadeForecast | None]:
    """The signals of an update, and its forecast where one is needed and not made yet."""
    watcher, ledger = runtime.watcher, runtime.ledger
    watcher.stage("look at the target through the model (signals)")
    pilot = pilot_signals(update, option, settings)
    for warning in rising(pilot, settings.lr):
        watcher.note(warning)
    survey = take_signals(update, settings)
    if forecast is None and settings.give_up is not None and ledger is not None:
        watcher.stage("forecast the chance of reaching the target")
        forecast = forecast_before(update, option, settings, survey, pilot, ledger)
    return survey.signals | pilot, forecast


def _lineage(parent: str | None, ledger: Ledger | None) -> tuple[str, ...]:
    """The runs behind the source model, oldest first, as far as the ledger knows them."""
    if parent is None:
        return ()
    try:
        return tuple(run.id for run in ledger.lineage(parent)) if ledger is not None else (parent,)
    except LedgerError:  # made on another ledger
        return (parent,)


def take_signals(
    update: Update,
    settings: TrainingSettings,
    *,
    samples: int = DEFAULT_SAMPLES,
    collector: Collector = collect,
    fewer: Sequence[int] = (),
) -> Survey:
    """Look at an update's source and target through its model; `fewer` as in `survey`."""
    from foretoll.indices.survey import survey  # its accumulators take seconds to import

    return survey(
        update.model,
        update.source,
        update.target,
        settings,
        task_shift=update.task_shift,
        clean=update.clean,
        samples=samples,
        collector=collector,
        fewer=fewer,
    )
