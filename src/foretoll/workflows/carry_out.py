"""Carry out one option, measured, and write the run to the ledger."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from foretoll.arguments import check_out
from foretoll.data import TaskData
from foretoll.errors import DataError, ForetollError, ModelError, is_out_of_memory
from foretoll.interruption import recording, why_stopped
from foretoll.measure import describe_hardware, probe_inference
from foretoll.models import Model, save_checkpoint, weights_digest
from foretoll.options import Option, Training, train_to_target
from foretoll.options.memory import training_state_bytes
from foretoll.options.part import Part, TrainingState
from foretoll.quality import Evaluation, evaluate, quality_of
from foretoll.records import (
    EvalPoint,
    InferenceCost,
    LiveForecast,
    MadeForecast,
    ModelCard,
    Outcome,
    Run,
    TrainingSettings,
)
from foretoll.training import Recording
from foretoll.training.guard import Guard, GuardedMeter
from foretoll.workflows.context import Accounting, Runtime, Update, Watcher, seeded
from foretoll.workflows.keeping import GuardedWatcher, begin, keep
from foretoll.workflows.live import SO, Renewals, check_give_up
from foretoll.workflows.planned import planned_update

_AS_FAR = "the run is recorded as far as it is known"
_WITHOUT = "the run is recorded without it"


@dataclass(frozen=True)
class RunResult:
    """The record of a run and the model it made; None where the run failed or was interrupted early."""

    run: Run
    model: Model | None


@dataclass(frozen=True)
class RunMetadata:
    """What is recorded with a run beside what it measures.

    signals: that its forecast rests on; None: they are still to be taken from the data. forecast: that was made for it.
    lineage: the runs behind its model, oldest first. warnings: come after those of the reading of its data.
    """

    signals: Mapping[str, float | None] | None = None
    forecast: MadeForecast | None = None
    tags: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@recording()
def carry_out(
    option: Option,
    update: Update,
    settings: TrainingSettings,
    runtime: Runtime,
    metadata: RunMetadata = RunMetadata(),
    *,
    begun: TrainingState | None = None,
    out: Path | None = None,
) -> RunResult:
    """Prepare, train to the quality target, measure, save and record.

    `begun`: a pilot that this run goes on from; its steps and what they cost are part of the run.
    Faults of foretoll itself are the runtime's `guard`'s, and stop no training (`foretoll.training.guard`).

    The ledger has the run from before the first step: a killed process leaves an interrupted run, not none. Ctrl-C,
    SIGTERM and SIGHUP end the run as interrupted, with what was measured; further signals wait for the record. A run
    that the ledger cannot take is kept in a file, and the next command that reaches the ledger takes it in.
    """
    model, target, task_shift, device = update.model, update.target, update.task_shift, update.device
    accounting, ledger, guard = runtime.accounting, runtime.ledger, runtime.guard
    watcher = GuardedWatcher(runtime.watcher, guard)
    if ledger is not None:
        ledger.check(to_write=True)
    check_give_up(settings)
    require_labels(target, option.name)
    option.require_suited(model, target, task_shift=task_shift)
    check_out(out)
    planned = planned_update(update, option, settings, metadata.signals).model_copy(
        update={
            "option_settings": option.settings_for(model, target, task_shift=task_shift),
            "grid": accounting.grid,
            "hardware": guard.call("describing the hardware", lambda: describe_hardware(device), so=_WITHOUT),
            "lineage": metadata.lineage,
            "forecast": metadata.forecast,
            "tags": metadata.tags,
            "warnings": _notes(update, metadata.warnings),
        }
    )
    run, updated, problem, known = planned, None, "", False
    try:
        known = ledger is not None and begin(ledger, planned, guard)
        with seeded(settings.seed, device):
            before = None
            if not task_shift and (
                update.source is not None or metadata.signals
            ):  # it serves the target's task
                before = _test(model, target, settings, device)
            training = option.start(model, target, settings, task_shift=task_shift, device=device)
            with GuardedMeter(guard, lambda: accounting.meter(device), device=device) as meter:
                result = train_to_target(
                    option,
                    training,
                    settings,
                    meter=meter,
                    device=device,
                    progress=_Progress(planned, meter, watcher, begun, guard),
                    part=Part(begun),
                )
        run = _ended(planned, result, option, training, guard)
        if result.outcome.complete:
            updated = training.finish()
            _frozen_as(updated, model)
            after = _test(updated, target, settings, device)
            run = _judged(run, before, after, guard)
            updated = _named(updated, run, target, task_shift)
            if out is not None:
                folder, problem = _saved(updated, out)
                run = run.model_copy(update={"checkpoint": folder, "reason": problem or run.reason})
            served = _serving(updated, target, settings, accounting, guard)
            run = run.model_copy(update={"inference": served, "model": _made(run.model, updated)})
    except KeyboardInterrupt as stop:
        run = run.model_copy(update={"outcome": Outcome.INTERRUPTED, "reason": why_stopped(stop)})
    except ForetollError as error:
        run = run.model_copy(update={"outcome": Outcome.FAILED, "reason": str(error)})
        raise
    except Exception as error:
        run = run.model_copy(update={"outcome": Outcome.FAILED, "reason": _why(error, device)})
        raise
    finally:
        told = {"finished_at": datetime.now(UTC), "warnings": (*run.warnings, *guard.faults)}
        run = run.model_copy(update=told)
        if ledger is not None and (known or not guard.strict) and run.outcome is not Outcome.RUNNING:
            keep(ledger, run, guard, known=known)
    if problem:
        raise ModelError(problem)
    return RunResult(run, updated)


class _Progress:
    """Shows each evaluation of a run with what is then left of it, and says when the run is to be given up."""

    def __init__(
        self, run: Run, meter: GuardedMeter, watcher: Watcher, begun: TrainingState | None, guard: Guard
    ) -> None:
        self.run, self.meter, self.watcher, self.guard = run, meter, watcher, guard
        self.renewals: Renewals | None = None
        self.curve = list(begun.recorded.curve) if begun is not None else []
        costs = begun.recorded.phases.values() if begun is not None else ()
        energies = [cost.energy_kwh for cost in costs]
        self._before_kwh = None if None in energies else sum(energy or 0.0 for energy in energies)

    def __call__(self, point: EvalPoint) -> str | None:
        self.curve.append(point)
        found = self.guard.call("forecasting what is left", self._renewed, so=SO)
        if found is not None and found[0] is not None:
            self.watcher.renewed(found[0])
        self.watcher.evaluated(point, self.run.settings)
        return (found[1] or None) if found is not None else None

    def _renewed(self) -> tuple[LiveForecast | None, str]:
        """What is left of the run, and why it is to be given up where it is."""
        run, both = self.run, (self._before_kwh, self.meter.so_far_kwh)
        if self.renewals is None:
            self.renewals = Renewals(run.settings, run.forecast, run.target.validation)
        spent = None if None in both else sum(energy or 0.0 for energy in both)
        found = self.renewals.renew(self.curve, run.steps_per_epoch, spent)
        return found, self.renewals.hopeless


def _why(error: Exception, device: torch.device) -> str:
    """What a run failed of that nobody foresaw."""
    if is_out_of_memory(error):
        return f"out of memory on {device}: try a smaller --batch-size, or smaller images"
    return f"{type(error).__name__}: {error}"[:500]


def _notes(update: Update, warnings: tuple[str, ...]) -> tuple[str, ...]:
    """What a reader of the run must know of its model and data, each sentence once."""
    of_source = update.source.card.notes if update.source is not None else ()
    return tuple(dict.fromkeys((*update.model.card.notes, *of_source, *update.target.card.notes, *warnings)))


def require_labels(target: TaskData, option: str) -> None:
    """Refuse to carry out an option on unlabelled data (DataError)."""
    if target.train.labels is None:
        raise DataError(
            f"{target.card.uri} has no labels: {option} needs them; only foretoll estimate works without"
        )


def _saved(model: Model, out: Path) -> tuple[str | None, str]:
    """Save the updated model; where `out` fails after all (a full disk), in the folder for temporary files.

    A model that was paid for is not thrown away. Returns the folder, and a sentence where it is not `out`.
    """
    try:
        return str(save_checkpoint(model, out).resolve()), ""
    except ModelError as error:
        rescue = Path(tempfile.gettempdir()) / f"foretoll-model-{model.card.run_id}"
        try:
            return str(save_checkpoint(model, rescue)), f"{error}; it is saved in {rescue}"
        except ModelError:
            return None, f"{error}; the run itself is in the ledger"


def _test(model: Model, target: TaskData, settings: TrainingSettings, device: torch.device) -> Evaluation:
    return evaluate(model, target.test, metric=settings.metric, device=device)


def inference_cost(
    model: Model, target: TaskData, settings: TrainingSettings, accounting: Accounting
) -> InferenceCost:
    """What serving a model costs, on validation samples of the target at the batch size of its training."""
    return probe_inference(
        model,
        target.validation,
        batch_size=settings.batch_size,
        device=model.device,
        meter_factory=lambda: accounting.meter(model.device),
    )


def _frozen_as(updated: Model, model: Model) -> None:
    """What the option froze may be trained by the next update; what the user froze in the source stays frozen."""
    frozen = {name for name, p in model.network.named_parameters() if not p.requires_grad}
    for name, parameter in updated.network.named_parameters():
        parameter.requires_grad_(name not in frozen)


def _ended(begun: Run, result: Recording, option: Option, training: Training, guard: Guard) -> Run:
    """The run with what was measured of it; where that cannot be described, with how it ended."""

    def told() -> Run:
        return result.recorded_in(begun).model_copy(
            update={
                "trainable_parameters": sum(p.numel() for p in training.trainable.values()),
                "training_state_bytes": training_state_bytes(option, training, begun.settings),
            }
        )

    run = guard.call("describing the run's end", told, so=_AS_FAR)
    return run or begun.model_copy(update={"outcome": result.outcome, "reason": result.reason})


def _judged(run: Run, before: Evaluation | None, after: Evaluation, guard: Guard) -> Run:
    quality = guard.call(
        "describing the quality", lambda: quality_of(run.settings.metric, before, after), so=_WITHOUT
    )
    return run.model_copy(update={"quality": quality})


def _serving(
    model: Model, target: TaskData, settings: TrainingSettings, accounting: Accounting, guard: Guard
) -> InferenceCost | None:
    return guard.call(
        "measuring what serving costs",
        lambda: inference_cost(model, target, settings, accounting),
        so=_WITHOUT,
    )


def _made(card: ModelCard, model: Model) -> ModelCard:
    """The run's card with what tells the weights that it made."""
    return card.model_copy(update={"weights_digest": model.card.weights_digest})


def _named(model: Model, run: Run, target: TaskData, task_shift: bool) -> Model:
    """Give the updated model its own card: which run made it, from what, on what."""
    card = model.card.model_copy(
        update={
            "run_id": run.id,
            "parent_run_id": run.model.parent_run_id,
            "weights_digest": weights_digest(model.network),
            "parent_weights_digest": run.model.parent_weights_digest,
            "trained_on": target.card.uri,
            "layout": target.card.layout or model.card.layout,
            "classes": target.classes if task_shift or run.source is None else model.card.classes,
        }
    )
    model.card = card
    return model
