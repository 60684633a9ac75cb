"""How often intervals of every cost hold, on runs of whole groups that were left out, by the forecaster that ships.

    OMP_NUM_THREADS=1 python benchmarks/interval_scores.py ["data sets" "task pairs" …]

Fits four models anew for every group and set of known signals: some five CPU minutes for each way of leaving out, which
are those named, by default all of `COST_SPLITS`; what was found of the others before is kept. Writes
benchmarks/results/interval_scores.json and the block of docs/forecasts.md. Last line: one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from foretoll.forecast.case import CLASSIFICATION
from foretoll.forecast.reference import reference_runs
from foretoll.options.table import DEFAULT
from foretoll.report.score_tables import COSTS
from foretoll.research.leave_out import rows_of
from foretoll.research.score import COST_SPLITS, cost_measures
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

FOUND = RESULTS / "interval_scores.json"


def main(splits: list[str]) -> None:
    """Leave out, forecast, write."""
    rows = rows_of(reference_runs(), option=DEFAULT, task=CLASSIFICATION)
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    for name in splits:
        found[name] = cost_measures(rows, name)
        FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {found[name]}", flush=True)
    page = ROOT / "docs" / "forecasts.md"
    replace_ledger_block(page, "intervals", f"{_held(found)}\n\n{_warned(found)}")
    print(json.dumps(found))


def _held(found: dict[str, Any]) -> str:
    """Share held and median width, a cost a column."""
    rows = [
        [name, *(cell(cost, block["intervals"].get(cost)) for cost in COSTS)] for name, block in found.items()
    ]
    return markdown_table(["left out", *COSTS.values()], rows)


def cell(cost: str, measures: dict[str, float] | None) -> str:
    """The share of intervals that held a cost, and their median width; a dash where there is none."""
    if measures is None:
        return "–"
    width = f"{measures['width']:.2f}" if cost == "quality" else f"{measures['width']:.1f} ×"
    return f"{measures['held']:.1%}, {width}"


def _warned(found: dict[str, Any]) -> str:
    """How many runs come with a warning, and how far off their forecasts are."""
    rows = []
    for name, block in found.items():
        unlike = block["unlike"]
        factors = [unlike[key] for key in ("median_factor_warned", "median_factor_not")]
        rows.append([name, f"{unlike['warned']:.1%}", *("–" if f is None else f"{f:.2f}" for f in factors)])
    return markdown_table(["left out", "warned", "median factor, warned", "median factor, not"], rows)


if __name__ == "__main__":
    main(sys.argv[1:] or list(COST_SPLITS))
