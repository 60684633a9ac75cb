"""Forecast beside measurement for ten recipes of the kind that people use, each seen by a pilot that runs that recipe.

    OMP_NUM_THREADS=1 python benchmarks/recipes.py            # some ten minutes of one core
    OMP_NUM_THREADS=1 python benchmarks/recipes.py --write    # the table of docs/settings.md from the results alone

A small convolutional network is trained on one half of scikit-learn's digits, and updated by fine-tuning to the other
half under blur. For each recipe and three seeds: the forecast as `foretoll estimate` gives it, with the ledger that
ships and no other run, then the update itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from foretoll.ledger import Ledger
from foretoll.records import Outcome, TrainingSettings
from foretoll.workflows import Accounting, estimate, retrain, train
from pages import RESULTS, ROOT, markdown_table, replace_block

SOURCE, TARGET = "digits?part=1/2", "digits?part=2/2&shift=gaussian_blur:1.5"
UNTIL, MOST = 0.93, 30.0
FILE = RESULTS / "recipes.json"
PLAIN = {"batch_size": 16, "lr": 5e-4}
RECIPES: dict[str, dict[str, Any]] = {
    "accumulation × 4": {"accumulate": 4},
    "SGD with cosine": {"optimizer": "sgd", "lr": 0.01, "schedule": "cosine"},
    "AdamW at 5e-5 with warm-up": {
        "optimizer": "adamw", "lr": 5e-5, "warmup": 0.1, "schedule": "linear", "weight_decay": 0.01,
    },
    "augmentation": {"augment": ("crop:1", "rotate:10")},
    "frozen backbone": {"freeze": ("backbone",)},
    "label smoothing": {"label_smoothing": 0.1},
    "patience": {"patience": 6, "lr": 3e-4},
    "bf16": {"precision": "bf16"},
    "weight decay groups": {
        "optimizer": "adamw", "weight_decay": 0.05, "decay_norms": False, "lr_multipliers": {"head": 10.0},
        "clip_norm": 1.0,
    },
    "class weights": {"class_weights": "balanced"},
}  # fmt: skip


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    if "--write" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            measure(found, Path(folder))
    replace_block(ROOT / "docs" / "settings.md", "recipes", table(found))


def measure(found: dict[str, Any], folder: Path) -> None:
    """Forecast, then carry out, each recipe with each seed."""
    accounting, model = Accounting(energy="none", region="DE"), folder / "source"
    train(
        "foretoll:cnn?width=8", SOURCE, out=model, settings=TrainingSettings(max_epochs=20, batch_size=32),
        accounting=accounting, ledger=Ledger.open(folder / "source.db"),
    )  # fmt: skip
    for name, recipe in RECIPES.items():
        for seed in range(3):
            key = f"{name}, seed {seed}"
            if key in found:
                continue
            settings = TrainingSettings.model_validate(
                {"until": UNTIL, "max_epochs": MOST, **PLAIN, **recipe, "seed": seed}
            )
            empty = Ledger.open(folder / f"{len(found)}.db")
            began = time.perf_counter()
            told = estimate(
                str(model), SOURCE, TARGET, settings=settings, accounting=accounting, ledger=empty
            )
            run = retrain(str(model), SOURCE, TARGET, settings=settings, accounting=accounting, ledger=empty)
            epochs = told.forecast.epochs
            assert epochs is not None and run.toll.epochs is not None
            found[key] = {
                "recipe": name,
                "forecast": [epochs.low, epochs.median, epochs.high],
                "reach": told.reach_probability,
                "quality": [told.signals.get(f"pilot{n}_quality") for n in (8, 24)],
                "reached": run.outcome is Outcome.REACHED,
                "epochs": run.toll.epochs,
                "after": run.quality.after if run.quality else None,
            }
            FILE.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{key}: {found[key]} in {time.perf_counter() - began:.0f} s", flush=True)


def table(found: dict[str, Any]) -> str:
    """One row a recipe, the measured epochs seed by seed, and what the rows come to."""
    rows = []
    for name in RECIPES:
        seeds = [row for row in found.values() if row["recipe"] == name]
        told = dict.fromkeys("{1:.1f} ({0:.1f} … {2:.1f})".format(*row["forecast"]) for row in seeds)
        measured = [
            f"{row['epochs']:.1f}" if row["reached"] else f"not in {row['epochs']:.1f}" for row in seeds
        ]
        reach = median(row["reach"] for row in seeds if row["reach"] is not None)
        rows.append([name, "; ".join(told), f"{100 * reach:.0f} %", "; ".join(measured)])
    head = ["recipe", "forecast epochs (90 % interval)", "probability to reach", "measured epochs, by seed"]
    reached = [row for row in found.values() if row["reached"]]
    inside = sum(row["forecast"][0] <= row["epochs"] <= row["forecast"][2] for row in reached)
    near = sum(0.5 <= row["epochs"] / row["forecast"][1] <= 2 for row in reached)
    open_ended = sum(row["forecast"][2] >= MOST for row in found.values())
    total, missed = len(found), [row["reach"] for row in found.values() if not row["reached"]]
    said = (
        f"{len(reached)} of {total} updates reached the target: {inside} within the interval, {near} within a "
        f"factor of two of the median. The interval goes up to the budget in {open_ended} of {total}. {len(missed)} "
        f"did not reach it; the probability forecast for them was {100 * min(missed):.0f} … {100 * max(missed):.0f} %."
    )
    return f"{markdown_table(head, rows)}\n\n{said}"


if __name__ == "__main__":
    main()
