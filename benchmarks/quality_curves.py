"""Quality for a budget, forecast for left-out data sets: coverage, width and error beside two simple guesses.

    OMP_NUM_THREADS=1 nice python benchmarks/quality_curves.py

From the ledger that ships: of the classifications that their first evaluation does not decide, and whose set of known
signals at least `COMMON` of them share (each set takes a fit of its own), every `EVERY`th is forecast by a forecaster
that saw no run from or to its source's data set, nor to those of its group (data sets are left out in `GROUPS` groups,
which leaves less to learn from than one at a time), and the curve is read at a quarter, half and all of the epochs that
the run itself took. It is held against the best validation quality that the run's stored curve has up to that budget; a
curve is stored thinned, so a budget is the evaluation nearest to it, and one that lies more than `NEAR` times off is
left out. Quality is progress: of a share, such as accuracy, it is the share itself. Writes
benchmarks/results/quality_curves.json and the block of docs/curve.md.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from foretoll.forecast import Forecaster
from foretoll.forecast.learned import known_features
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.quality_curve import QualityCurve, forecast_curve
from foretoll.forecast.reference import reference_runs
from foretoll.options.table import traits_of
from foretoll.records import Outcome
from foretoll.research.leave_out import Row, rows_of
from foretoll.research.open_runs import is_open
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "curve.md"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/quality_curves.py"
SHARES = (("a quarter", 0.25), ("half", 0.5), ("all", 1.0))
NEAR = 1.25
EVERY = 2
COMMON = 50
EQUAL = 1e-5  # qualities that differ by less are the same: one sample is more
GROUPS = 4


SHOWN = ("median_width", "median_error", "median_error_of_now", "median_error_of_pilot")


class Reading(NamedTuple):
    """One curve read at one budget: the forecast, what came, and what the simple guesses say (NaN: nothing)."""

    budget: str
    outcome: str
    low: float
    median: float
    high: float
    best: float
    now: float
    pilot: float


def readings(row: Row, curve: QualityCurve) -> Iterator[Reading]:
    """The curve of a run read at its budgets."""
    run = row.run
    points = [(p.epochs, run.settings.progress(p.quality)) for p in run.curve if p.epochs is not None]
    later = [epochs for epochs, _ in points if epochs > 0]
    if not later:
        return
    signals = row.case.signals
    begun = row.case.start_quality
    now = signals.get("initial_quality") if begun is None else begun
    pilot = signals.get("pilot24_quality")
    for name, share in SHARES:
        wanted = share * later[-1]
        budget = min(later, key=lambda epochs: abs(math.log(epochs / wanted)))
        if not 1 / NEAR <= budget / wanted <= NEAR:
            continue
        found = curve.for_budget(budget)
        assert found.low is not None and found.median is not None and found.high is not None
        best = max(quality for epochs, quality in points if epochs <= budget + 1e-9)
        guesses = (math.nan if guess is None else guess for guess in (now, pilot))
        outcome = "reached" if run.outcome is Outcome.REACHED else "not reached"
        yield Reading(name, outcome, found.low, found.median, found.high, best, *guesses)


def left_out(rows: Sequence[Row]) -> list[Reading]:
    """Readings of the chosen rows, each data set forecast from the runs of other groups."""
    lessons = [replace(x, model_id="", weights_digest="") for x in lessons_of([row.run for row in rows])]
    asked = [k for k, row in enumerate(rows) if is_open(row) and traits_of(row.case.option).takes_steps]
    sets = Counter(_set(rows[k]) for k in asked)
    chosen = [k for k in asked if sets[_set(rows[k])] >= COMMON][::EVERY]
    counts = Counter(rows[k].case.source_name for k in chosen)
    found: list[Reading] = []
    for group in range(GROUPS):
        out = {name for i, (name, _) in enumerate(counts.most_common()) if i % GROUPS == group}
        learn = [
            lesson
            for row, lesson in zip(rows, lessons, strict=True)
            if not out & {row.case.source_name, row.case.target_name}
        ]
        forecaster = Forecaster(before=learn)
        for k in chosen:
            if rows[k].case.source_name not in out:
                continue
            case = rows[k].case.model_copy(update={"model_id": "", "weights_digest": ""})
            curve = forecast_curve(forecaster, case, forecaster.foretell(case))
            found += [] if curve is None else readings(rows[k], curve)
        print(f"{', '.join(sorted(out))}: {time.process_time():.0f} s", flush=True)
    return found


def _set(row: Row) -> tuple[str, frozenset[str]]:
    return row.case.option, known_features(row.case)


def measures(found: Sequence[Reading]) -> dict[str, float]:
    """Coverage, median width and median absolute errors; those of the guesses over the rows that have them."""
    low, median, high, best, now, pilot = np.array([reading[2:] for reading in found]).T
    inside = (low - EQUAL <= best) & (best <= high + EQUAL)
    return {
        "readings": float(len(found)),
        "coverage_0.9": float(inside.mean()),
        "too_low": float((best > high + EQUAL).mean()),
        "median_width": float(np.median(high - low)),
        "median_error": float(np.median(np.abs(median - best))),
        "median_error_of_now": float(np.nanmedian(np.abs(now - best))),
        "median_error_of_pilot": float(np.nanmedian(np.abs(pilot - best))),
        "bias": float(np.median(median - best)),
    }


def table(blocks: dict[str, dict[str, float]]) -> str:
    """The measures, a line for each budget and outcome."""
    rows = [
        [
            name,
            f"{block['readings']:.0f}",
            f"{block['coverage_0.9']:.0%}",
            f"{block['too_low']:.0%}",
            *(f"{block[measure]:.3f}" for measure in SHOWN),
        ]
        for name, block in blocks.items()
    ]
    head = [
        "budget, of the run's own epochs",
        "readings",
        "90 % band held",
        "came out above it",
        "median width",
    ]
    head += ["median absolute error", "of the quality now", "of the quality after the pilot"]
    return markdown_table(head, rows)


def main() -> None:
    """Forecast, score, write."""
    began = time.process_time()
    found = left_out(rows_of(reference_runs(), task="classification"))
    minutes = (time.process_time() - began) / 60
    blocks = {
        f"{name}, {outcome}": measures(chosen)
        for name, _ in SHARES
        for outcome in ("every run", "reached", "not reached")
        if (chosen := [r for r in found if r.budget == name and outcome in ("every run", r.outcome)])
    }
    result = {"cpu_minutes": round(minutes, 2), "every": EVERY, "blocks": blocks}
    (RESULTS / "quality_curves.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    runs = sum(reading.budget == "all" for reading in found)
    heading = (
        f"`{COMMAND}`: {minutes:.1f} CPU minutes; {runs:,} runs, most of whose curves are stored with too few points "
        "for the smaller budgets.\n\n"
    )
    replace_ledger_block(PAGE, "curves", heading + table(blocks))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
