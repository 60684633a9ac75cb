"""The score table of docs/forecasts.md, from the ledger that ships, and how long it took.

    OMP_NUM_THREADS=1 python benchmarks/forecast_scores.py

The same figures as `foretoll study score reference --json`. Writes benchmarks/results/forecast_scores.json and the
block of the page. Last line: one JSON object with what the page's first paragraph rests on.
"""

from __future__ import annotations

import json
import platform
import time
from datetime import date

from foretoll.forecast.reference import reference_runs
from foretoll.measure import describe_hardware
from foretoll.report.score_tables import score_markdown
from foretoll.study.score import score_all
from pages import RESULTS, ROOT, replace_block

PAGE = ROOT / "docs" / "forecasts.md"
COMMAND = "foretoll study score reference --markdown"


def main() -> None:
    """Score, write, say."""
    began = time.perf_counter()
    found = score_all(reference_runs(), jobs=2)
    took_s = time.perf_counter() - began
    machine = describe_hardware("cpu")
    heading = (
        f"`{COMMAND}`: {took_s / 60:.1f} min on {machine.cpu}, {machine.cores} cores, Python "
        f"{platform.python_version()}, {date.today()}; {found['runs']} fine-tuning runs, seed 0.\n\n"
    )
    replace_block(PAGE, "scores", heading + score_markdown(found))
    (RESULTS / "forecast_scores.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = ("spearman", "concordance", "median_factor", "coverage_0.9", "auc")
    figures = {
        split: {name: block["methods"]["foretoll"].get(name) for name in shown}
        | {"ahead": block["ahead_of_best_peer"], "best_peer": block["best_peer"]}
        for split, block in found["splits"].items()
    }
    print(json.dumps({"minutes": took_s / 60, "splits": figures}))


if __name__ == "__main__":
    main()
