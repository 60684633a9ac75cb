"""The main job on real data that come with scikit-learn: 8 × 8 images of handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from foretoll.arguments import check_out
from foretoll.decide.spending import Budget
from foretoll.errors import ForetollError
from foretoll.ledger import Ledger
from foretoll.models import build_model
from foretoll.options.table import DEFAULT
from foretoll.records import Estimate, Outcome, Run, TrainingSettings
from foretoll.report import write_json, write_reports
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Runtime, open_update
from foretoll.workflows.estimate import EstimateRequest, estimate_update
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
    check_out(out)
    runtime = Runtime.of("auto", accounting, ledger or out / "ledger.db", watcher)
    settings = TrainingSettings(seed=seed, batch_size=32, max_epochs=20)
    source = train_model(
        partial(build_model, "foretoll:cnn"),
        SOURCE,
        settings.model_copy(update={"max_epochs": 12.0}),
        runtime,
        out=out / "source",
        tags=(TAG,),
    )
    if source.run.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    if source.model is None:
        raise ForetollError(f"the source model of the demo could not be trained: {source.run.reason}")
    update = open_update(source.model, SOURCE, TARGET, device=runtime.device, seed=seed)
    settings = with_target(update, settings, None)
    estimate = estimate_update(
        update,
        DEFAULT,
        settings,
        runtime,
        EstimateRequest(calibration=Budget(runs=8, duration_s=30)),
    )
    write_json(out / "estimate.json", estimate)  # before the first step of the retraining
    done = retrain_update(
        update,
        DEFAULT,
        settings,
        runtime,
        RunMetadata(signals=estimate.signals, forecast=estimate.made_forecast, tags=(TAG,)),
        out=out / "updated",
    )
    write_json(out / "run.json", done.run)
    report = write_reports(out, estimate=estimate, run=done.run)
    if done.run.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    return DemoResult(estimate, done.run, report)
