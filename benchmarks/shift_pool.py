"""Every index on 12 shifts of MNIST, Fashion-MNIST and CIFAR-10, and two retrainings whose cost RESQUE misjudges.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 python benchmarks/shift_pool.py

Small CNNs trained by foretoll. Writes benchmarks/results/shift_pool.json, which benchmarks/blind_spots.py draws.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from foretoll.data import open_data
from foretoll.indices.gradients import gradient_norms
from foretoll.ledger import Ledger
from foretoll.workflows.context import Accounting
from foretoll.workflows.retrain import retrain
from lab import SETTINGS, look, look_renormalised, trained, uri, values
from label_free import DATA, SHIFTS
from pages import RESULTS

LIMIT = 1875  # of which 1,500 are the training part
MISJUDGED = {
    "Fashion-MNIST": ("brightness:0.3", "rotation:20"),
    "CIFAR-10": ("gaussian_noise:0.3", "inversion:0.6"),
}
RETRAINED = 5000  # of which 4,000 are the training part
SEEDS = (0, 1)


def study(name: str) -> dict[str, Any]:
    """All indices of every shift of one data set."""
    model, _ = trained(name, 10_000)
    here = look(model, open_data(uri(name, f"part=1/2&limit={LIMIT}")).train)
    clean = look(model, open_data(uri(name, f"part=2/2&limit={LIMIT}")).train)
    until = 0.95 * clean.accuracy
    found: dict[str, Any] = {"until": until, "shifts": {}}
    for shift in SHIFTS:
        target = open_data(uri(name, f"part=2/2&limit={LIMIT}&shift={shift}"))
        there, again = look(model, target.train), look_renormalised(model, target.train)
        row = values(here, there, until, clean=clean, again=again)
        row["initial_quality"] = there.accuracy
        row["initial_gradient_norm"] = float(gradient_norms(model, target.train, SETTINGS).mean())
        found["shifts"][shift] = row
    return found


def retrained(name: str, until: float) -> dict[str, Any]:
    """The measured cost of the two shifts of a data set."""
    model, source = trained(name, 10_000)
    return {shift: cost(model, source.card.uri, name, shift, until) for shift in MISJUDGED[name]}


def cost(model: Any, source: str, name: str, shift: str, until: float) -> list[dict[str, Any]]:
    """Epochs until the target in real retrainings of all weights, and how each ended."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            run = retrain(
                model,
                source,
                uri(name, f"part=2/2&limit={RETRAINED}&shift={shift}"),
                until=until,
                settings=SETTINGS.model_copy(
                    update={"seed": seed, "max_epochs": 5.0, "evals_per_epoch": 4, "lr": 1e-3}
                ),
                device="cpu",
                accounting=Accounting(energy="none"),
                ledger=Ledger.open(Path(folder) / "ledger.db"),
            )
            runs.append({"epochs": run.toll.epochs, "outcome": run.outcome.value})
    return runs


def main() -> None:
    """Measure and write; `--retrain` keeps the shifts as they were and measures the retrainings again."""
    torch.set_num_threads(1)
    path = RESULTS / "shift_pool.json"
    if "--retrain" in sys.argv:
        results = json.loads(path.read_text(encoding="utf-8"))
    else:
        results = {name: study(name) for name in DATA}
    for name in MISJUDGED:
        results[name]["retrained"] = retrained(name, results[name]["until"])
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1, default=float) + "\n", encoding="utf-8")
    print(json.dumps({name: results[name]["retrained"] for name in MISJUDGED}))


if __name__ == "__main__":
    main()
