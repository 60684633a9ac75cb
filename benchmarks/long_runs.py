"""How good forecasts of long jobs are: runs of the study `long`, before their first step and after their first looks.

    FORETOLL_DATA=/my/data foretoll study run long
    OMP_NUM_THREADS=1 python benchmarks/long_runs.py --take study-long
    OMP_NUM_THREADS=1 python benchmarks/long_runs.py

`--take` keeps the study's runs, trimmed as those of the ledger that ships, as benchmarks/results/long_runs.jsonl.gz;
they are no part of that ledger. Without it they are scored. Everything was learned from the ledger that ships without
any run from or to a run's source data, and without all the others of the study, but where a line says so. What a pilot
does is what `benchmarks/anytime.py` does. Writes benchmarks/results/long_runs.json and a block of docs/forecasts.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anytime import Answer, Goes, followed, scores, spending, steps_of
from foretoll.exchange.files import read_runs, write_runs
from foretoll.forecast import Forecaster
from foretoll.forecast.case import CLASSIFICATION, case_of_run, decided
from foretoll.forecast.kept import ArrayStore
from foretoll.forecast.lessons import Lesson, lessons_of
from foretoll.forecast.live import OF_CURVE, OF_FORECAST, LiveModel
from foretoll.forecast.reference import reference_lessons, reference_runs
from foretoll.forecast.trimming import trimmed
from foretoll.ledger import Ledger
from foretoll.records import Run
from foretoll.research.leave_out import Fold, Row, rows_of
from foretoll.research.metrics import Outcomes, spearman
from foretoll.research.peers import METHODS, Method
from foretoll.research.score import forecast_left_out
from foretoll.study.places import LEDGER, find_study
from foretoll.study.plan import cells_of
from foretoll.study.study_file import read_study
from live import OFFSET, Before, History, forecasts_before, histories
from live import rows_of as rows_of_states
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

RUNS = RESULTS / "long_runs.jsonl.gz"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/long_runs.py"
PAGE = ROOT / "docs" / "forecasts.md"
STUDY = "long"
LARGE = 1000  # steps
SPENDS = (0.0, 0.01, 0.03, 0.1)
FEWEST = 5  # runs that a median is taken of
PEERS = ("static (settings only)", "recoverability gap alone")


def take(folder: Path) -> int:
    """Keep the runs of a study's folder, as a ledger that ships would keep them; how many there are."""
    wanted = {f"cell:{cell.key}" for cell in cells_of(read_study(find_study(STUDY)))}
    found = Ledger.open(str(folder / LEDGER)).select(tag=f"study:{STUDY}", newest_first=False).runs
    kept = [shortened(trimmed(run)) for run in found if run.outcome.complete and wanted & {*run.tags}]
    write_runs(RUNS, sorted(kept, key=lambda run: run.id))
    return len(kept)


def shortened(run: Run) -> Run:
    """A run without the columns of its table, and with six digits of every number: a file that many runs fit into."""
    model, target = (each.model_copy(update={"layout": None}) for each in (run.model, run.target))
    source = run.source and run.source.model_copy(update={"layout": None})
    whole = run.model_copy(update={"model": model, "source": source, "target": target})
    text = json.dumps(whole.model_dump(mode="json", by_alias=True))
    return Run.model_validate(json.loads(text, parse_float=lambda digits: float(f"{float(digits):.6g}")))


def told_before(runs: Sequence[Run], *, also: Sequence[Run] = ()) -> Before:
    """What a user would be told of each open run before it, by the ledger that ships without its source data.

    `also`: further runs to learn from, those of the same data left out as well.
    """
    lessons = [nobodys(lesson) for lesson in (*reference_lessons(), *lessons_of(also))]
    cases = {run.id: case for run in runs if (case := case_of_run(run)) is not None and not decided(case)}
    found: Before = {}
    for data in sorted({case.source_name for case in cases.values()}):
        kept = [x for x in lessons if data not in (x.source_name, x.target_name)]
        forecaster = Forecaster(before=kept, store=ArrayStore.of_user())
        for run, case in cases.items():
            if case.source_name == data:
                seen = {name: value for name, value in case.signals.items() if not name.startswith("ntk_")}
                one = case.model_copy(update={"model_id": "", "weights_digest": "", "signals": seen})
                made = forecaster.foretell(one, time_only=True)
                if made.forecast.epochs is not None and made.reach_probability is not None:
                    found[run] = made.forecast.epochs, made.reach_probability
    return found


def nobodys(lesson: Lesson) -> Lesson:
    """A lesson of a model that the user does not have."""
    return replace(lesson, model_id="", weights_digest="")


def fitted_without(data: Sequence[str], found: Sequence[History]) -> dict[str, LiveModel]:
    """The live forecast that was learned from these runs without those from or to each of the data sets."""
    names = (*OF_FORECAST, *OF_CURVE)
    rows, made = rows_of_states(found, names), {}
    for name in data:
        kept = np.array([name not in h.data for h in found])[rows.of]
        of = len(np.unique(rows.of[kept])), len({h.data[0] for h in found} - {name})
        ends = rows.lower[kept], rows.upper[kept]
        made[name] = LiveModel.fit(names, rows.x[kept], ends, rows.weights[kept], of=of)
    return made


class Told(NamedTuple):
    """A point forecast of a run, in epochs; None where the method cannot make one."""

    history: History
    epochs: float | None


def by_peer(found: Sequence[History], method: Method) -> list[Told]:
    """What a method of `foretoll study score` says of each run, learned as `told_before` learns."""
    wanted = {h.run.id: h for h in found}
    # a method may be told whole curves: nothing of a run is read before its own forecast but its first epoch
    rows = rows_of((*reference_runs(), *(h.run for h in found)), task=CLASSIFICATION)

    def fold(row: Row) -> str | None:
        return row.case.source_name if row.run.id in wanted else None

    def also_out(row: Row, name: str) -> bool:
        return row.run.id in wanted or name in (row.case.source_name, row.case.target_name)

    told = forecast_left_out(rows, Fold("data sets", fold, also_out), method)
    epochs = {rows[i].run.id: float(value) for i, value in zip(told.rows, told.median, strict=True)}
    return [Told(h, epochs.get(h.run.id)) for h in found]


def order(told: Sequence[Told]) -> float | None:
    """Rank correlation of the foretold epochs with those that came, of all runs, censored ones at their budget."""
    budget = np.array([t.history.course.budget for t in told])
    seen = Outcomes(
        np.array([t.history.epochs for t in told]), budget, np.array([not t.history.reached for t in told])
    )
    return spearman(np.minimum([t.epochs or 0.0 for t in told], budget), seen)


def training(epochs: float) -> Goes:
    """To go on for so many epochs, whatever they cost."""
    return lambda now, seen: seen <= epochs + 1e-9


def of_answers(found: Sequence[Answer]) -> dict[str, float | None]:
    """The scores of `benchmarks/anytime.py`, the rank correlation, and the factor of the duration."""
    looked = [a for a in found if a.history.reached and a.looks]
    factors = [abs(math.log(duration(a) / (a.history.run.curve[-1].duration_s or math.nan))) for a in looked]
    return {
        **scores(found),
        "spearman": order([Told(a.history, a.median) for a in found]),
        "duration_factor": math.exp(float(np.median(factors))) if len(factors) >= FEWEST else None,
    }


def duration(answer: Answer) -> float:
    """Seconds in all, where each epoch takes as long as those so far did."""
    history = answer.history
    at = history.curve[history.states[answer.looks - 1]].epochs
    seen = next(p for p in history.run.curve if abs((p.epochs or 0.0) - at) < 1e-9)
    return (seen.duration_s or math.nan) / at * answer.median


def of_peer(told: Sequence[Told]) -> dict[str, float | None]:
    """The same of a method that gives no interval here."""
    kept = [t for t in told if t.epochs is not None]
    reached = [t for t in kept if t.history.reached]
    factors = np.array([factor(t.epochs or 0.0, t.history) for t in reached])
    return {
        "runs": len(kept),
        "reached": len(reached),
        "median_factor": math.exp(float(np.median(factors))),
        "factor_90": math.exp(float(np.quantile(factors, 0.9))),
        "within_1.5": float(np.mean(factors <= math.log(1.5))),
        "within_2": float(np.mean(factors <= math.log(2))),
        "spearman": order(kept),
    }


def factor(epochs: float, history: History) -> float:
    """Log of the factor that so many epochs are off by."""
    epochs = min(epochs, history.course.budget)
    return abs(math.log((epochs + OFFSET) / (history.epochs + OFFSET)))


def answers(found: Sequence[History], models: Mapping[str, LiveModel], goes: Goes) -> list[Answer]:
    """Where the pilots of these runs end, each forecast by the model that was learned without its source data."""
    return [followed(h, models[h.data[0]], goes) for h in found]


HEAD = [
    "forecast", "runs", "reached", "looked at", "steps spent", "median factor", "90 % within factor", "within 1.5 ×",
    "within 2 ×", "Spearman", "90 % held", "median width", "line through the last two", "duration: median factor",
]  # fmt: skip


def row_of(name: str, s: Mapping[str, float | None]) -> list[str]:
    """A line of a table; a dash for what a method does not tell."""

    def told(key: str, form: str, end: str = "") -> str:
        value = s.get(key)
        return "–" if value is None else f"{value:{form}}{end}"

    line = told("line", ".2f") if s.get("looked") == 1 else "–"
    return [
        name, told("runs", ",.0f"), told("reached", ",.0f"), told("looked", ".0%"), told("spent", ".1%"),
        told("median_factor", ".2f"), told("factor_90", ".1f"), told("within_1.5", ".0%"), told("within_2", ".0%"),
        told("spearman", ".2f"), told("held", ".0%"), told("width", ".1f", " ×"), line, told("duration_factor", ".2f"),
    ]  # fmt: skip


def by_data(lines: Mapping[str, Sequence[Answer]]) -> str:
    """The median factor of each left-out data set, by line."""
    names = sorted({a.history.data[0] for found in lines.values() for a in found})
    rows = []
    for data in names:
        row: list[str] = []
        for found in lines.values():
            kept = [a for a in found if a.history.data[0] == data]
            factors = [a.factor for a in kept if a.history.reached]
            row = row or [data, str(len(kept)), str(len(factors))]
            row.append(f"{math.exp(float(np.median(factors))):.2f}" if factors else "–")
        rows.append(row)
    return markdown_table(["left out", "runs", "reached", *lines], rows)


def main() -> None:
    """Take the runs, or score them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="keep the runs of this study's folder")
    folder = parser.parse_args().take
    if folder is not None:
        print(f"{take(folder)} runs in {RUNS}")
        return
    score()


def score() -> None:
    """Forecast, follow, write."""
    began = time.process_time()
    runs = read_runs(RUNS)
    found = histories(told_before(runs), runs)
    shipped = [h for h in histories(forecasts_before()) if h.course.reach is not None]
    data = sorted({h.data[0] for h in found})
    models, taught = fitted_without(data, shipped), fitted_without(data, [*shipped, *found])
    long = [h for h in found if steps_of(h) > LARGE]
    goes = {f"spend {share:.0%}": spending(share) for share in SPENDS} | {"an epoch first": training(1.0)}
    lines = {name: answers(long, models, one) for name, one in goes.items()}
    more = {f"{name}, the study's other data too": answers(long, taught, one) for name, one in goes.items()}
    told = {method.name: by_peer(long, method) for method in METHODS if method.name in PEERS}
    result: dict[str, Mapping[str, float | None]] = {name: of_answers(line) for name, line in lines.items()}
    result |= {name: of_peer(line) for name, line in told.items()}
    result |= {name: of_answers(line) for name, line in more.items()}
    (RESULTS / "long_runs.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    minutes = (time.process_time() - began) / 60
    text = "\n\n".join(
        [
            f"`{COMMAND}`: {minutes:.1f} CPU minutes; {len(runs)} runs of the study `{STUDY}`, of which {len(found)} "
            f"are open after their first evaluation, {len(long)} of these of over {LARGE:,} steps.",
            markdown_table(HEAD, [row_of(*line) for line in result.items()]),
            "Median factor by source data set:",
            by_data(lines),
        ]
    )
    replace_ledger_block(PAGE, "long runs", text)
    print(text)


if __name__ == "__main__":
    main()
