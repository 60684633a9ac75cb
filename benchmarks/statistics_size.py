"""How many samples normalisation statistics need: what the survey reports with fewer, against all 2,000.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 python benchmarks/statistics_size.py

Per data set a small CNN (width 16, 3 epochs on 4,000 images) and four shifts of the other half; the statistics are
estimated on 128 to 2,000 of the target's samples, and probe accuracy, quality and loss taken on all 2,000. Writes
benchmarks/results/statistics_size.json; the last line printed is one JSON object with the largest differences.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch

from foretoll.data import open_data
from foretoll.indices.recoverability import linear_probe_accuracy
from foretoll.indices.survey import NORMALISED, _outputs
from foretoll.representation import renormalised
from lab import FILES, look, trained, uri
from pages import RESULTS

SAMPLES = 2000
SIZES = (128, 256, 512, 1024)
SHIFTS = ("gaussian_noise:0.3", "contrast:0.4", "gaussian_blur:1.2", "rotation:40")


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rows: list[dict[str, Any]] = []
    for name in FILES:
        model, _ = trained(name, 4000)
        for shift in SHIFTS:
            target = open_data(uri(name, f"part=2/2&limit=4000&shift={shift}"))
            split = target.train.take(torch.arange(SAMPLES))
            for size in (*SIZES, SAMPLES):
                fresh = renormalised(model, split, samples=size)
                if fresh is None:
                    sys.exit("the study's model has no batch norm")
                kept = look(fresh, split).kept
                probe = linear_probe_accuracy(kept.representations, kept.labels, ids=kept.ids)
                found = _outputs(kept, "accuracy")
                rows.append(
                    {
                        "data": name,
                        "shift": shift,
                        "samples": size,
                        "probe_accuracy": probe.accuracy,
                        "standard_error": probe.standard_error,
                        "quality": found["quality"],
                        "loss": found["loss"],
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    RESULTS.joinpath("statistics_size.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"current": NORMALISED, "largest_difference": differences(rows)}))


def differences(rows: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Per number of samples, the largest difference to all samples; of the loss as a share."""
    whole = {(r["data"], r["shift"]): r for r in rows if r["samples"] == SAMPLES}
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        all_of_them, worst = whole[row["data"], row["shift"]], found.setdefault(row["samples"], {})
        for name in ("probe_accuracy", "quality", "loss"):
            scale = all_of_them["loss"] if name == "loss" else 1.0
            difference = abs(row[name] - all_of_them[name]) / scale
            worst[name] = round(max(worst.get(name, 0.0), difference), 4)
        worst["standard_errors"] = round(
            max(
                worst.get("standard_errors", 0.0),
                abs(row["probe_accuracy"] - all_of_them["probe_accuracy"]) / all_of_them["standard_error"],
            ),
            2,
        )
    return found


if __name__ == "__main__":
    main()
