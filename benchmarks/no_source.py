"""How good forecasts are without data of the source, out of sample: the block of docs/forecasts.md.

    OMP_NUM_THREADS=1 python benchmarks/no_source.py

Whole data sets (as source and as target) are left out of the runs that ship; the rest is learned from and calibrated on
by what is known without the source's data, as an estimate without `--source` does. Beside it the same with them.
Writes benchmarks/results/no_source.json and the block of the page; last line: one JSON object.
"""

from __future__ import annotations

import json
import platform
import time
from datetime import date

from joblib import Parallel, delayed

from foretoll.forecast.case import OF_SOURCE, features
from foretoll.forecast.reference import reference_runs
from foretoll.measure import describe_hardware
from foretoll.options.table import DEFAULT
from foretoll.research.leave_out import rows_of, splits_of
from foretoll.research.peers import Method
from foretoll.research.score import forecast_left_out, scores
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"
LEFT_OUT = "data sets"
OPTIONS = {"finetune": DEFAULT, "all options": None}
MEASURES = (
    "open_runs",
    "spearman_open",
    "median_factor_open",
    "coverage_0.9",
    "width_0.9",
    "auc_open",
    "brier",
)
WITH, WITHOUT = "with the source's data", "without"
METHODS = {
    WITH: Method("foretoll", lambda run, case: features(case), calibrated=True),
    WITHOUT: Method(
        "foretoll, no source data",
        lambda run, case: {name: value for name, value in features(case).items() if name not in OF_SOURCE},
        calibrated=True,
    ),
}


def main() -> None:
    """Score, write, say."""
    began = time.perf_counter()
    tasks = [(option, method) for option in OPTIONS for method in METHODS]
    done = Parallel(n_jobs=2)(delayed(scored)(option, method) for option, method in tasks)
    found = {f"{option}, {method}": told for (option, method), told in zip(tasks, done, strict=True)}
    took_s = time.perf_counter() - began
    machine = describe_hardware("cpu")
    head = [
        "runs of",
        "open runs",
        "Spearman",
        "median factor",
        "90 % held",
        "90 % width",
        "AUC reached",
        "Brier",
    ]
    body = [
        [name, f"{told['open_runs']:.0f}", *(_number(told[m]) for m in MEASURES[1:])]
        for name, told in found.items()
    ]
    heading = (
        f"`OMP_NUM_THREADS=1 python benchmarks/no_source.py`: {took_s / 60:.1f} min on {machine.cpu}, {machine.cores} "
        f"cores (shared), Python {platform.python_version()}, {date.today()}; whole data sets left out, seed "
        "0; all columns of open runs.\n\n"
    )
    replace_ledger_block(PAGE, "no source", heading + markdown_table(head, body))
    (RESULTS / "no_source.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"minutes": took_s / 60, "found": found}))


def scored(option: str, method: str) -> dict[str, float | None]:
    """The measures of one method on the runs of one option, or of all."""
    rows = rows_of(reference_runs(), option=OPTIONS[option])
    fold = next(each for each in splits_of(rows) if each.name == LEFT_OUT)
    told = scores(forecast_left_out(rows, fold, METHODS[method]), rows)
    return {name: told[name] for name in MEASURES}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
