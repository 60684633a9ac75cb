"""The score table of docs/forecasts.md, from the ledger that ships, and how long it took.

    OMP_NUM_THREADS=1 python benchmarks/forecast_scores.py

The same figures as `foretoll study score reference --json`. Writes benchmarks/results/forecast_scores.json and the
blocks of the page: the aims beside what came of them, and all tables; and the headline figures of README.md. Last line:
one JSON object.
"""

from __future__ import annotations

import json
import platform
import time
from datetime import date
from typing import Any

from foretoll.forecast.reference import reference_runs
from foretoll.measure import describe_hardware
from foretoll.report.document import Document
from foretoll.report.markdown import markdown
from foretoll.report.score_tables import score_blocks
from foretoll.research.score import score_all
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"
COMMAND = "foretoll study score reference --markdown"


def main() -> None:
    """Score, write, say."""
    began = time.perf_counter()
    found = score_all(reference_runs(), jobs=2, costs=False)  # these: benchmarks/interval_scores.py
    took_s = time.perf_counter() - began
    machine = describe_hardware("cpu")
    heading = (
        f"`{COMMAND}`: {took_s / 60:.1f} min on {machine.cpu}, {machine.cores} cores, Python "
        f"{platform.python_version()}, {date.today()}; {found['runs']} fine-tuning runs, seed 0.\n\n"
    )
    replace_ledger_block(ROOT / "README.md", "headline", headline(found))
    replace_ledger_block(PAGE, "aims", aims(found))
    replace_ledger_block(PAGE, "scores", heading + markdown(Document("", score_blocks(found)), level=2))
    (RESULTS / "forecast_scores.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = ("spearman", "concordance", "median_factor", "coverage_0.9", "auc")
    figures = {
        split: {name: block["methods"]["foretoll"].get(name) for name in shown}
        | {"ahead": block["ahead_of_best_peer"], "best_peer": block["best_peer"]}
        for split, block in found["splits"].items()
    }
    print(json.dumps({"minutes": took_s / 60, "splits": figures}))


def headline(found: dict[str, Any]) -> str:
    """Open runs that reached their target, and beside them the easy average over all runs."""
    rows = []
    for split, block in found["splits"].items():
        own, repeat = block["open"]["foretoll"], block["open_repeat"]
        if not own["runs"]:
            continue
        rows.append(
            [
                split,
                f"{own['runs']:.0f}",
                f"{own['median_factor']:.2f} ({own['median_factor_low']:.2f} … {own['median_factor_high']:.2f})",
                f"{own['factor_0.9']:.1f}",
                f"{own['within_2']:.0%}",
                f"{repeat['median_factor']:.2f}" if repeat["runs"] else "–",
                f"{block['methods']['foretoll']['median_factor']:.2f}",
            ]
        )
    head = [
        "left out",
        "runs",
        "median factor, 95 % interval",
        "9 of 10 within",
        "within 2 ×",
        "another seed: median factor",
        "all runs: median factor",
    ]
    return markdown_table(head, rows)


def aims(found: dict[str, Any]) -> str:
    """One line for each way to leave out: what was aimed at, and what came of it."""
    rows = []
    for split, block in found["splits"].items():
        own, repeat = block["methods"]["foretoll"], block["repeat"]
        _, low, high = block["ahead_of_best_peer"]["spearman"]
        rows.append(
            [
                split,
                _said(own["spearman"], ".3f"),
                _said(repeat.get("spearman"), ".3f"),
                f"{own['median_factor']:.2f}",
                f"{own['coverage_0.9']:.1%}",
                f"{own['coverage_split_0.9']:.1%}",
                _said(own["auc"], ".2f"),
                f"{low:+.3f} … {high:+.3f}",
            ]
        )
    head = [
        "left out",
        "Spearman (aim: at least 0.90 and within 0.03 of repeat)",
        "repeat",
        "median factor (aim 1.20)",
        "90 % intervals held (aim 87 to 93 %)",
        "ties split",
        "AUC reached (aim 0.95)",
        "Spearman ahead of the best peer that does not train first, 95 % interval",
    ]
    return markdown_table(head, rows)


def _said(value: float | None, form: str) -> str:
    """A measure, or a dash where these runs do not tell it: no second seed, or all of them ended alike."""
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
