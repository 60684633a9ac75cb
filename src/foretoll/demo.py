"""The main job on real data that come with scikit-learn: 8 × 8 images of handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foretoll.arguments import check_out
from foretoll.decide.spending import Budget
from foretoll.errors import ForetollError
from foretoll.ledger import Ledger
from foretoll.options.table import DEFAULT
from foretoll.records import Estimate, Outcome, Run, TrainingSettings
from foretoll.report import write_json, write_reports
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows.context import open_update
from foretoll.workflows.estimate import estimate_update
from foretoll.workflows.goal import with_target
from foretoll.workflows.retrain import retrain_update
from foretoll.workflows.train import train_model

SOURCE = "digits?part=1/2"
TARGET = "digits?part=2/2&shift=rotation:35"
TAG = "demo"


@dataclass(frozen=True)
class DemoResult:
    """What the demo found, and where the page is."""

    estimate: Estimate
    run: Run
    report: Path


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    accounting: Accounting | None = None,
    ledger: Ledger | None = None,
    watcher: Watcher | None = None,
) -> DemoResult:
    """Train a source model, shift the data, forecast, write the forecast down, then really retrain.

    Writes to `out`: source/ and updated/ (checkpoints), estimate.json, run.json, report.html, and the demo's
    own ledger, so that the user's is not filled with runs on digits.
    """
    accounting, watcher = accounting or Accounting(), watcher or Watcher()
    check_out(out)
    ledger = ledger or Ledger.open(out / "ledger.db")
    settings = TrainingSettings(seed=seed, batch_size=32, max_epochs=20)
    source = train_model(
        "foretoll:cnn",
        SOURCE,
        out=out / "source",
        settings=settings.model_copy(update={"max_epochs": 12.0}),
        accounting=accounting,
        ledger=ledger,
        tags=(TAG,),
        watcher=watcher,
    )
    if source.run.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    if source.model is None:
        raise ForetollError(f"the source model of the demo could not be trained: {source.run.reason}")
    update = open_update(source.model, SOURCE, TARGET, seed=seed)
    settings = with_target(update, settings, None)
    estimate = estimate_update(
        update,
        DEFAULT,
        settings,
        budget=Budget(runs=8, duration_s=30),
        accounting=accounting,
        ledger=ledger,
        watcher=watcher,
    )
    write_json(out / "estimate.json", estimate)  # before the first step of the retraining
    done = retrain_update(
        update,
        DEFAULT,
        settings,
        accounting=accounting,
        ledger=ledger,
        signals=estimate.signals,
        forecast=estimate.made_forecast,
        out=out / "updated",
        tags=(TAG,),
        watcher=watcher,
    )
    write_json(out / "run.json", done.run)
    report = write_reports(out, estimate=estimate, run=done.run)
    if done.run.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    return DemoResult(estimate, done.run, report)
