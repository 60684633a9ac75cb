"""How well retrainings of pretrained models are forecast by the ledger that ships: a block of docs/forecasts.md.

    FORETOLL_DATA=FOLDER PYTHONPATH=FOLDER/models foretoll study run pretrained --trust-code --out study-pretrained
    OMP_NUM_THREADS=1 python benchmarks/pretrained_scores.py study-pretrained

The runs of the study `pretrained`, each forecast by the runs that ship and began with random weights, as a user would
be told who brings that model. Left out are runs that their first evaluation decides, and options that take no step.
Last line: one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from foretoll.forecast import Forecaster
from foretoll.forecast.case import CLASSIFICATION, EPOCH_OFFSET
from foretoll.forecast.forecaster import HARD, UNLIKE, Prediction
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_runs
from foretoll.options.table import traits_of
from foretoll.research.leave_out import Row, of_others, rows_of
from foretoll.research.open_runs import is_open, open_measures
from foretoll.study.reading import study_runs
from pages import ROOT, markdown_table, replace_block

PAGE = ROOT / "docs" / "forecasts.md"
HEAD = [
    "runs", "open", "that reached", "median factor", "90 % within factor", "within 2 ×", "90 % held",
    "of those that reached", "median width", "mean chance told", "warned: unlike all runs", "warned: hard",
]  # fmt: skip


@dataclass(frozen=True)
class Told:
    """An open run with the forecast of it."""

    row: Row
    made: Prediction
    median: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        """Whether the interval holds what came; of a run that missed its target, whether it reaches the budget."""
        if self.row.censored:
            return self.high >= self.row.case.max_epochs - 1e-9
        return self.low <= self.row.epochs + 1e-9 and self.row.epochs <= self.high + 1e-9


def told_of(rows: Sequence[Row], learned: Sequence[Row]) -> list[Told]:
    """Forecasts of rows by what other rows teach, whoever owns them."""
    lessons = lessons_of([row.run for row in learned])
    forecaster = Forecaster(before=[replace(x, model_id="", weights_digest="") for x in lessons])
    found = []
    for row in rows:
        case = row.case.model_copy(update={"model_id": "", "weights_digest": ""})
        made = forecaster.foretell(case, time_only=True)
        epochs = made.forecast.epochs
        if (
            epochs is not None
            and epochs.median is not None
            and epochs.low is not None
            and epochs.high is not None
        ):
            found.append(Told(row, made, epochs.median, epochs.low, epochs.high))
    return found


def measured(told: Sequence[Told]) -> dict[str, float]:
    """Errors of those that reached their target, intervals and chances of all, and how many are warned of."""
    reached = [one for one in told if not one.row.censored]
    errors = open_measures(
        [one.row for one in told], range(len(told)), np.array([one.median for one in told])
    )
    return {
        "open": len(told),
        **errors,
        "held": float(np.mean([one.held for one in told])),
        "held_reached": float(np.mean([one.held for one in reached])) if reached else np.nan,
        "width": float(np.median([(one.high + EPOCH_OFFSET) / (one.low + EPOCH_OFFSET) for one in told])),
        "chance": float(np.mean([one.made.reach_probability for one in told])),
        "unlike": float(np.mean([(one.made.unlike or 0.0) > UNLIKE for one in told])),
        "too_long": sum(one.median > one.row.epochs for one in reached),
        "hard": float(np.mean([(one.made.hardness or 0.0) > HARD for one in told])),
    }


def cells(name: str, found: dict[str, float]) -> list[str]:
    """A line of the table; a dash where no run reached its target."""
    reached = ["–"] * 3
    if found["runs"]:
        reached = [f"{found['median_factor']:.2f}", f"{found['factor_0.9']:.1f}", f"{found['within_2']:.0%}"]
    return [
        name,
        f"{found['open']:.0f}",
        f"{found['runs']:.0f}",
        *reached,
        f"{found['held']:.0%}",
        f"{found['held_reached']:.0%}" if found["runs"] else "–",
        f"{found['width']:.1f} ×",
        *(f"{found[key]:.0%}" for key in ("chance", "unlike", "hard")),
    ]


def network(row: Row) -> str:
    """The architecture's name, without the library or the folder that it comes from."""
    return row.run.model.arch.partition("?")[0].rpartition("/")[2].rpartition(":")[2]


def main(where: str) -> None:
    """Forecast, score, write."""
    learned = [row for row in rows_of(reference_runs(), task=CLASSIFICATION) if not of_others(row.run)]
    runs = [run for run in study_runs(where).runs if "study:pretrained" in run.tags and of_others(run)]
    rows = [row for row in rows_of(runs, task=CLASSIFICATION) if traits_of(row.case.option).takes_steps]
    told = told_of([row for row in rows if is_open(row)], learned)
    every = measured(told)
    lines = [cells("all", every)]
    for name in sorted({network(one.row) for one in told}):
        lines.append(cells(name, measured([one for one in told if network(one.row) == name])))
    low, high = (every[f"median_factor_{end}"] for end in ("low", "high"))
    heading = (
        f"`python benchmarks/pretrained_scores.py study-pretrained`, {date.today()}: {len(rows)} runs by options that "
        f"take steps, of which the first evaluation decides {len(rows) - len(told)}; forecast by {len(learned):,} runs "
        f"of classification that ship. Median factor of all, 95 % interval: {low:.2f} … {high:.2f} (bootstrap over "
        f"pairs of data sets); {every['too_long']:.0f} of the {every['runs']:.0f} that reached their target were told "
        "to take longer than they did."
    )
    text = f"{heading}\n\n{markdown_table(HEAD, lines)}"
    replace_block(PAGE, "pretrained", text)
    print(json.dumps(every))


if __name__ == "__main__":
    main(sys.argv[1])
