"""A large table whose target needs some 2,000 of 37,250 steps: what is trained and forecast, by its evaluations."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import foretoll
from foretoll.records import Estimate, Interval, Run
from scale_data import folder

COLUMNS, HIDDEN, CLASSES, TESTED = 20, 24, 5, 20_000
UNTIL = 0.889
SCHEDULES = (("four an epoch", 0), ("and before them", None))


def section(args: argparse.Namespace) -> list[str]:
    """The section of benchmarks/scale.md."""
    with folder(args.work) as work:
        source, target = _rows(work, 30_000, 5), _rows(work, args.up_to, 6)
        model = work / "model-steps"
        settings = foretoll.TrainingSettings(max_epochs=5)
        if not model.exists():
            foretoll.train("foretoll:mlp", source, out=model, settings=settings, ledger=work / "steps.db")
        rows = []
        for name, first in SCHEDULES:
            rows.append(_row(name, first, (str(model), source, target), work))
            print(rows[-1], file=sys.stderr)
    return [
        f"A table of {args.up_to:,} rows of {COLUMNS} numbers whose {CLASSES} classes a random network gives,",
        f"fine-tuned to {UNTIL} validation accuracy: four evaluations an epoch, and those after 128, 256, 512, … steps",
        "before (the default of so large a job). Forecast: median and 90 % interval; training, evaluating: seconds.",
        "",
        "| evaluations | steps an epoch | steps forecast | steps trained | training | evaluating | evaluations |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
    ]


def _row(name: str, first: int | None, words: tuple[str, str, str], work: Path) -> str:
    settings = foretoll.TrainingSettings(first_evaluation=first)
    ledger = work / f"steps-{first}-{time.time_ns()}.db"  # neither learns from the other's run
    told: Estimate = foretoll.estimate(*words, until=UNTIL, settings=settings, ledger=ledger)
    run: Run = foretoll.retrain(*words, until=UNTIL, settings=settings, ledger=ledger)
    per_epoch, epochs, training, looks = (
        run.steps_per_epoch,
        told.forecast.epochs,
        run.training,
        run.evaluation,
    )
    assert per_epoch is not None and epochs is not None and training is not None and looks is not None
    seconds = f"{training.duration_s:.1f} | {looks.duration_s:.1f} | {run.evaluations}"
    return f"| {name} | {per_epoch:,} | {_steps(epochs, per_epoch)} | {run.steps:,} | {seconds} |"


def _steps(epochs: Interval, per_epoch: int) -> str:
    low, median, high = (f"{(end or 0) * per_epoch:,.0f}" for end in (epochs.low, epochs.median, epochs.high))
    return f"{median} ({low} … {high})"


def _rows(work: Path, count: int, teacher: int) -> str:
    """Rows whose classes are the largest of the outputs of a network that nobody trained."""
    path = work / f"taught{count}-{teacher}.npz"
    if not path.exists():
        random, weights = np.random.default_rng(teacher + 100), np.random.default_rng(teacher)
        inner, bias = weights.normal(0, 0.5, (COLUMNS, HIDDEN)), weights.normal(0, 1, HIDDEN)
        outer = weights.normal(0, 1, (HIDDEN, CLASSES))
        x = random.normal(0, 1, (count, COLUMNS)).astype(np.float32)
        outputs = np.maximum(x @ inner + bias, 0) @ outer
        y = (outputs - outputs.mean(0)).argmax(1)
        cut = count - min(TESTED, count // 5)
        np.savez(path, x_train=x[:cut], y_train=y[:cut], x_test=x[cut:], y_test=y[cut:])
    return f"npz:{path}"
