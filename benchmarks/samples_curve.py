"""How many labelled samples: forecasts for 1/8, 1/4, 1/2 and all of the data from one look, against real updates.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 nice python benchmarks/samples_curve.py

Small models are trained on one half of a data set and updated to a shifted other half (`UPDATES`), with all of the
target's training samples and with stratified parts of them; validation and test data, settings and seed stay the
same. The forecast is made as `estimate --samples-curve` makes it, from the look and the pilot at all samples, by a
forecaster which saw no run from or to any data set of the group. Two simple guesses stand beside it: the forecast for
all samples at every size, and a power law of the error through that forecast, whose exponent the probe's own errors
on nested parts of the look give.

Updates that were made are kept in benchmarks/results/samples_curve.jsonl and not made again (`--anew`: all are). Writes
the block of docs/curve.md.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foretoll.data import stratified_sample
from foretoll.forecast import Case, Forecaster
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.models import build_model, load_model
from foretoll.records import Outcome, TrainingSettings
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Accounting, Runtime, Update, open_update
from foretoll.workflows.goal import with_target
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.planned import case_of_update, start_quality
from foretoll.workflows.rates import settled
from foretoll.workflows.retrain import retrain_update, take_signals
from foretoll.workflows.samples_curve import agreed, case_of_part, parts_of
from foretoll.workflows.train import train_model
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE, MADE = ROOT / "docs" / "curve.md", RESULTS / "samples_curve.jsonl"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/samples_curve.py"
IMAGES = {
    "mnist": "npz:{data}/mnist.npz",
    "fashion_mnist": "npz:{data}/fashion_mnist.npz",
    "kmnist_test10k_split": "npz:{data}/kmnist_test10k_split.npz",
    "usps": "npz:{data}/usps.npz",
}
TABLES = {"adult": "parquet:{data}/adult.parquet", "elec2": "parquet:{data}/elec2.parquet"}
NOISE, ROTATION, OF_TABLES = "gaussian_noise:0.3", "rotation:35", "gaussian_noise:0.6"
UPDATES = (
    *((name, OF_TABLES, "finetune") for name in TABLES),
    *((name, NOISE, "finetune") for name in IMAGES),
    *((name, ROTATION, "finetune") for name in ("mnist", "fashion_mnist")),
    *((name, NOISE, "head") for name in ("mnist", "fashion_mnist", "kmnist_test10k_split")),
    *((name, ROTATION, "head") for name in ("mnist", "fashion_mnist")),
)
# data sets that are left out together: a forecast has seen no run from or to any of its group
GROUPS = (("mnist", "fashion_mnist", "kmnist_test10k_split"), ("usps", "adult", "elec2"))
SAMPLES = 2400  # of each side, before the split into training, validation and test
RECIPE = {"batch_size": 32, "max_epochs": 12.0, "seed": 0}
RUNTIME = Runtime(accounting=Accounting(energy="none"))
NAMES = ("1/8", "1/4", "1/2", "1")


class Reading(NamedTuple):
    """One size of one update: what was forecast, what the simple guesses say, and what came."""

    share: str
    low: float
    median: float
    high: float
    flat: float
    power: float
    quality: float
    reach: float
    flat_reach: float
    reached: bool
    epochs: float
    took: float


def key_of(name: str, shift: str, option: str) -> str:
    """The name of an update in what is kept."""
    return f"{name} {shift} {option}"


def uri(name: str, query: str) -> str:
    """The URI of a data set in the folder that FORETOLL_DATA names."""
    folder = os.environ.get("FORETOLL_DATA", "")
    if not Path(folder, "mnist.npz").is_file():
        sys.exit("set FORETOLL_DATA to the folder of the data sets that this file names")
    return f"{(IMAGES | TABLES)[name].format(data=folder)}?{query}&limit={SAMPLES}"


def trained(name: str, ledger: Ledger) -> Any:
    """A small model of one half of a data set."""
    arch = "foretoll:mlp" if name in TABLES else "foretoll:cnn"
    settings = TrainingSettings(max_epochs=8, batch_size=32, lr=2e-3)
    done = train_model(
        partial(build_model, arch), uri(name, "part=1/2"), settings, replace(RUNTIME, ledger=ledger)
    )
    return done.model


def carried_out(update: Update, option: str, settings: TrainingSettings) -> dict[str, Any]:
    """One look, and the update by all samples and by parts of them: the cases that a forecast sees, and what came."""
    target, whole = update.target, len(update.target.train)
    sizes = (*parts_of(whole), whole)
    seen = take_signals(update, settings, fewer=sizes[:-1])
    pilot = pilot_signals(update, option, settings)
    case = case_of_update(update, option, settings, seen, pilot, start_quality(update, settings))
    came = []
    for size in sizes:
        part = stratified_sample(target.train, size, seed=0)
        card = target.card.model_copy(update={"train": len(part)})
        smaller = replace(update, target=replace(target, card=card, train=part))
        run = retrain_update(smaller, option, settings, RUNTIME, RunMetadata(signals=case.signals)).run
        came.append(
            {
                "reached": run.outcome is Outcome.REACHED,
                "epochs": run.toll.epochs,
                "quality": None if run.quality is None else run.quality.after,
            }
        )
    settings_json = settings.model_dump(mode="json")
    return {
        "case": case.model_dump(mode="json"),
        "settings": settings_json,
        "fewer": {str(size): seen.of_fewer.get(size) for size in sizes[:-1]},
        "came": came,
    }


def make(made: dict[str, Any]) -> dict[str, Any]:
    """Carry out what was not yet, and keep it line by line; all updates by their names."""
    models: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, MADE.open("a", encoding="utf-8") as kept:
        ledger = Ledger.open(Path(folder) / "ledger.db")
        for name, shift, option in UPDATES:
            key = key_of(name, shift, option)
            if key in made:
                continue
            model = models.get(name) or models.setdefault(name, trained(name, ledger))
            target = uri(name, f"part=2/2&shift={shift}")
            update = open_update(load_model(model), uri(name, "part=1/2"), target, device="cpu")
            settings = with_target(update, TrainingSettings(**RECIPE), None)
            settings, _ = settled(update, option, settings)
            line = {"key": key, "set": name, **carried_out(update, option, settings)}
            made[key] = line
            kept.write(json.dumps(line) + "\n")
            kept.flush()
            print(f"{key}: {time.process_time():.0f} s", flush=True)
    return {key: made[key] for key in (key_of(*one) for one in UPDATES)}


class QualityForecaster(Forecaster):
    """Without the forecasts that are not scored here, each of which takes a fit."""

    def _positive(self, cost: str, case: Case, widen: float) -> None:
        return None


def read(line: dict[str, Any], forecaster: Forecaster) -> Iterator[Reading]:
    """The forecast of one update by size, beside what came; nothing where its first evaluation decides."""
    whole_case = Case.model_validate(line["case"])
    settings = TrainingSettings.model_validate(line["settings"])
    cases = [case_of_part(whole_case, int(size), fewer, settings) for size, fewer in line["fewer"].items()]
    cases.append(whole_case)
    known = [
        (i, case.model_copy(update={"weights_digest": "", "model_id": ""}))
        for i, case in enumerate(cases)
        if case
    ]
    made = agreed([forecaster.foretell(case) for _, case in known])
    if made[-1].already_met or made[-1].quality is None:
        return
    whole = made[-1]
    exponent = slope([(case.train_samples, case.signals.get("probe_accuracy")) for _, case in known])
    for (i, case), told in zip(known, made, strict=True):
        came, share = line["came"][i], case.train_samples / known[-1][1].train_samples
        median = whole.quality.median
        yield Reading(
            NAMES[i],
            told.quality.low,
            told.quality.median,
            told.quality.high,
            median,
            1 - (1 - median) * share**-exponent,
            came["quality"],
            told.reach_probability,
            whole.reach_probability,
            came["reached"],
            told.forecast.epochs.median,
            came["epochs"],
        )


def slope(points: Sequence[tuple[int, float | None]]) -> float:
    """b of error ∝ samples^−b, by least squares on the probe's errors; 0 where they do not fall."""
    known = [(math.log(n), math.log(max(1 - q, 1e-3))) for n, q in points if q is not None]
    if len(known) < 2:
        return 0.0
    x, y = np.array(known).T
    return max(-float(np.polyfit(x, y, 1)[0]), 0.0)


def readings(made: dict[str, Any]) -> list[Reading]:
    """Every update forecast without a run from or to the data sets of its group."""
    lessons = [replace(x, model_id="", weights_digest="") for x in lessons_of(list(reference_runs()))]
    found: list[Reading] = []
    for group in GROUPS:
        learn = [x for x in lessons if not set(group) & {x.source_name, x.target_name}]
        forecaster = QualityForecaster(before=learn)
        for line in made.values():
            if line["set"] in group:
                found += read(line, forecaster)
                print(f"{line['key']}: {time.process_time():.0f} s", flush=True)
    return found


def measures(found: Sequence[Reading]) -> dict[str, float]:
    """Errors of the quality and of its guesses, cover and width of the interval, errors of the probability."""
    quality = np.array([r.quality for r in found])
    reached = np.array([r.reached for r in found], dtype=float)

    def error(values: Sequence[float]) -> float:
        return float(np.mean(np.abs(np.array(values) - quality)))

    both = [abs(math.log((r.epochs + 0.125) / (r.took + 0.125))) for r in found if r.reached]
    return {
        "updates": float(len(found)),
        "reached": float(reached.mean()),
        "error": error([r.median for r in found]),
        "error_flat": error([r.flat for r in found]),
        "error_power": error([r.power for r in found]),
        "bias": float(np.mean([r.median - r.quality for r in found])),
        "held": float(np.mean([r.low - 1e-9 <= r.quality <= r.high + 1e-9 for r in found])),
        "width": float(np.mean([r.high - r.low for r in found])),
        "brier": float(np.mean((np.array([r.reach for r in found]) - reached) ** 2)),
        "brier_flat": float(np.mean((np.array([r.flat_reach for r in found]) - reached) ** 2)),
        "factor": math.exp(float(np.median(both))) if both else math.nan,
    }


SHOWN = (
    ("mean absolute error of the test quality", "error", "{:.3f}"),
    ("the same quality at every size", "error_flat", "{:.3f}"),
    ("a power law", "error_power", "{:.3f}"),
    ("forecast less measured", "bias", "{:+.3f}"),
    ("90 % interval held", "held", "{:.0%}"),
    ("its mean width", "width", "{:.2f}"),
    ("Brier score of reaching", "brier", "{:.3f}"),
    ("the same probability at every size", "brier_flat", "{:.3f}"),
    ("median factor of the epochs, where reached", "factor", "{:.2f}"),
)


def main() -> None:
    """Carry out, forecast, score, write."""
    if "--anew" in sys.argv:
        MADE.unlink(missing_ok=True)
    made = {}
    if MADE.exists():
        lines = [json.loads(line) for line in MADE.read_text(encoding="utf-8").splitlines()]
        made = {line["key"]: line for line in lines}
    made = make(made)
    found = readings(made)
    blocks = {name: measures([r for r in found if r.share == name]) for name in NAMES}
    blocks["all sizes"] = measures(found)
    head = ["of the data", "updates", "reached", *(name for name, _, _ in SHOWN)]
    rows = [
        [name, f"{b['updates']:.0f}", f"{b['reached']:.0%}", *(form.format(b[key]) for _, key, form in SHOWN)]
        for name, b in blocks.items()
    ]
    heading = (
        f"`{COMMAND}`, with the folder of the data sets as `FORETOLL_DATA`: {len(made)} updates of {len(NAMES)} sizes "
        "each.\n\n"
    )
    replace_ledger_block(PAGE, "samples", heading + markdown_table(head, rows))
    print(json.dumps(blocks, indent=1))


if __name__ == "__main__":
    main()
