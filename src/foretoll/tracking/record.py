"""The record of a tracked run, as the ledger keeps it: begun before the first step, ended after the last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from torch import nn

from foretoll.measure import describe_hardware
from foretoll.models import weights_digest
from foretoll.models.spec import family_label
from foretoll.records import (
    DataCard,
    ModelCard,
    Outcome,
    Preprocessing,
    Quality,
    Run,
    TrainingSettings,
)
from foretoll.tracking.look import Look, place_of
from foretoll.tracking.observer import Observer
from foretoll.tracking.plan import Plan
from foretoll.tracking.reading import SettingsRead
from foretoll.training import Recording
from foretoll.workflows.context import new_run_id

UNKNOWN = "unknown"
TAG = "tracked"
Kind = Literal["image", "vector", "series", "text"]


def begun(
    plan: Plan,
    look: Look,
    network: nn.Module,
    settings: TrainingSettings,
    *,
    target: DataCard | None,
    digest: str | None,
    notes: Sequence[str],
) -> Run:
    """The start of a run, but for the grid; without data its cards say "unknown"."""
    run_id, opened, estimate = new_run_id(), look.update, look.estimate
    card = opened.model.card if opened else unknown_model(network)
    update = {
        "run_id": run_id,
        "parent_run_id": card.run_id,
        "weights_digest": None,
        "parent_weights_digest": digest or card.weights_digest,
    }
    return Run(
        id=run_id,
        option=plan.option,
        outcome=Outcome.RUNNING,
        started_at=datetime.now(UTC),
        model=card.model_copy(update=update),
        source=opened.source.card if opened and opened.source else None,
        target=opened.target.card if opened else target or unknown_data(),
        task_shift=opened.task_shift if opened else False,
        settings=settings,
        hardware=describe_hardware(place_of(network)),
        signals=dict(estimate.signals) if estimate else {},
        forecast=estimate.made_forecast if estimate else None,
        tags=(TAG, *plan.tags),
        warnings=tuple(dict.fromkeys((*(estimate.warnings if estimate else ()), *notes))),
    )


def ended(
    run: Run,
    recording: Recording,
    read: SettingsRead,
    *,
    seen: Observer,
    trained: int,
    quality: Quality | None,
    digest: str | None,
) -> Run:
    """The run with what was recorded of it. `read`: the settings of the loop, and all there is to say of it."""
    of_reading = recording.reading.notes if recording.reading else ()
    return recording.recorded_in(run).model_copy(
        update={
            "finished_at": datetime.now(UTC),
            "settings": planned(read.settings, recording),
            "target": run.target if run.target.uri != UNKNOWN else unknown_data(seen.input),
            "model": run.model.model_copy(update={"weights_digest": digest}),
            "trainable_parameters": trained,
            "quality": quality,
            "warnings": tuple(dict.fromkeys((*run.warnings, *of_reading, *read.notes))),
        }
    )


def planned(settings: TrainingSettings, recording: Recording) -> TrainingSettings:
    """The settings with the budget and the evaluations that were really there, where nobody planned them.

    A run that ended short of its target spent the budget that it had; one that reached it had at least that much.
    """
    update: dict[str, float | int] = {}
    epochs = recording.epochs
    named = settings.model_fields_set
    if epochs:
        short = recording.outcome is Outcome.CENSORED
        if epochs > settings.max_epochs or (short and "max_epochs" not in named):
            update["max_epochs"] = epochs
        later = sum(point.step > 0 for point in recording.curve)
        if "evals_per_epoch" not in named and later:
            update["evals_per_epoch"] = max(round(later / epochs), 1)
    return settings.model_copy(update=update)


def unknown_model(network: nn.Module) -> ModelCard:
    """The card of a network of which nothing is known but itself."""
    kind = type(network)
    return ModelCard(
        arch=f"module:{kind.__module__}.{kind.__qualname__}",
        family=family_label(kind.__name__),
        num_classes=1,
        classes=(UNKNOWN,),
        preprocessing=Preprocessing(kind="vector"),
        head="",
        parameters=sum(p.numel() for p in network.parameters()),
        has_batch_norm=any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()),
    )


def unknown_data(seen: tuple[tuple[int, ...], bool] | None = None) -> DataCard:
    """The card of data that nobody showed; `seen`: shape of a sample in the loop, and whether it holds integers."""
    shape, integers = seen or ((), False)
    kind: Kind = "vector"
    if integers and len(shape) == 1:
        kind = "text"
    elif len(shape) in (2, 3):
        kind = "series" if len(shape) == 2 else "image"
    return DataCard(
        uri=UNKNOWN, name=UNKNOWN, kind=kind, shape=shape, classes=(), train=0, validation=0, test=0, labelled=False
    )  # fmt: skip


def digest_of(network: nn.Module) -> str:
    """What tells these weights from all others."""
    return weights_digest(network)
