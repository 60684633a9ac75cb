"""Runs for the ledger's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from foretoll.records import (
    DataCard,
    EvalPoint,
    ModelCard,
    Outcome,
    Preprocessing,
    Quality,
    Run,
    Toll,
    TrainingSettings,
)

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(run_id: str, number: int = 0, **changes: Any) -> Run:
    """A small valid run, still running; `number` moves its start by as many seconds."""
    data = DataCard(
        uri="digits",
        name="digits",
        kind="image",
        shape=(1, 8, 8),
        classes=("0", "1"),
        train=8,
        validation=4,
        test=4,
    )
    model = ModelCard(
        arch="foretoll:mlp",
        family="mlp",
        num_classes=2,
        classes=("0", "1"),
        preprocessing=Preprocessing(kind="image"),
        head="head",
        parameters=10,
        has_batch_norm=False,
    )
    values: dict[str, Any] = {
        "id": run_id,
        "option": "finetune",
        "outcome": Outcome.RUNNING,
        "started_at": EPOCH + timedelta(seconds=number),
        "model": model,
        "source": data,
        "target": data,
        "settings": TrainingSettings(until=0.9),
    }
    return Run(**(values | changes))


def ended(run: Run, outcome: Outcome = Outcome.REACHED, **changes: Any) -> Run:
    """The same run with its end."""
    values: dict[str, Any] = {
        "outcome": outcome,
        "finished_at": run.started_at + timedelta(seconds=5),
        "toll": Toll(epochs=0.75, energy_kwh=1e-5, duration_s=5.0),
        "quality": Quality(metric="accuracy", before=0.4, after=0.9),
        "curve": tuple(EvalPoint(step=i, epochs=i / 4, quality=i / 10, loss=0.1 * i) for i in range(8)),
        "steps": 8,
        "signals": {"initial_loss": 0.1 + 0.2, "probe_accuracy": None},
    }
    return run.model_copy(update=values | changes)
