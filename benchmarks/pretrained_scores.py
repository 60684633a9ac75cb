"""How well retrainings of pretrained models are forecast by the ledger that ships: blocks of docs/forecasts.md.

    FORETOLL_DATA=FOLDER PYTHONPATH=FOLDER/models foretoll study run pretrained --trust-code --out study-pretrained
    OMP_NUM_THREADS=1 python benchmarks/pretrained_scores.py study-pretrained
    OMP_NUM_THREADS=1 python benchmarks/pretrained_scores.py                          # from what is kept
    FORETOLL_DATA=FOLDER PYTHONPATH=FOLDER/models foretoll study run pretrained_more --trust-code
    OMP_NUM_THREADS=1 python benchmarks/pretrained_scores.py study-pretrained_more    # keeps its runs, too

The runs of the study `pretrained`, each forecast by the runs that ship and began with random weights, as a user would
be told who brings that model; and those of `pretrained_more`, which are not in the ledger that ships, also by all runs
of it. Left out are runs that their first evaluation decides, and options that take no step. The runs of the second are
kept as benchmarks/results/pretrained_more.jsonl.gz, the figures beside them. Last line: one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from foretoll.exchange.files import write_runs
from foretoll.forecast import Forecaster
from foretoll.forecast.case import CLASSIFICATION, EPOCH_OFFSET
from foretoll.forecast.forecaster import HARD, UNLIKE, Prediction
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.trimming import trimmed
from foretoll.options.table import traits_of
from foretoll.records import Run
from foretoll.research.leave_out import Row, of_others, rows_of
from foretoll.research.open_runs import is_open, open_measures
from foretoll.sharing import anonymous
from foretoll.study.reading import study_runs
from pages import RESULTS, ROOT, markdown_table, replace_block

PAGE = ROOT / "docs" / "forecasts.md"
FIRST, MORE = "pretrained", "pretrained_more"
RUNS = RESULTS / f"{MORE}.jsonl.gz"
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


def told_by_other_networks(asked: Sequence[Row], ships: Sequence[Row], study: Sequence[Row]) -> list[Told]:
    """Forecasts of rows by what the ledger that ships and the study teach, but for runs of the row's own network."""
    found = []
    for name in sorted({network(row) for row in asked}):
        learned = [row for row in (*ships, *study) if not of_others(row.run) or network(row) != name]
        found += told_of([row for row in asked if network(row) == name], learned)
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


def scored_runs(where: str | None) -> tuple[str, list[Run]]:
    """The name of the study of a folder, and its runs of networks that others trained; without one, what is kept."""
    found = study_runs(where or str(RUNS)).runs
    more = [run for run in found if f"study:{MORE}" in run.tags and of_others(run)]
    if where and more:
        write_runs(RUNS, [anonymous(trimmed(run).model_copy(update={"curve": run.curve})) for run in more])
    return (
        (MORE, more)
        if more
        else (FIRST, [run for run in found if f"study:{FIRST}" in run.tags and of_others(run)])
    )


def main(where: str | None) -> None:
    """Forecast, score, write."""
    name, runs = scored_runs(where)
    ships = rows_of(reference_runs(), task=CLASSIFICATION)
    learned = [row for row in ships if not of_others(row.run)]
    rows = [row for row in rows_of(runs, task=CLASSIFICATION) if traits_of(row.case.option).takes_steps]
    told = told_of([row for row in rows if is_open(row)], learned)
    every = measured(told)
    lines = [cells("all", every)]
    if name == MORE:
        by_all = measured(told_of([one.row for one in told], ships))
        lines.append(cells("all, by the whole ledger", by_all))
        others = measured(told_by_other_networks([one.row for one in told], ships, rows))
        lines.append(cells("all, by ledger and study, without the network's own runs", others))
        every |= {f"{key}_by_all": value for key, value in by_all.items()}
        every |= {f"{key}_by_others": value for key, value in others.items()}
    for one_network in sorted({network(one.row) for one in told}):
        lines.append(cells(one_network, measured([one for one in told if network(one.row) == one_network])))
    low, high = (every[f"median_factor_{end}"] for end in ("low", "high"))
    folder = f" study-{name}" if name == FIRST else ""
    heading = (
        f"`python benchmarks/pretrained_scores.py{folder}`, {date.today()}: {len(rows)} runs by options that "
        f"take steps, of which the first evaluation decides {len(rows) - len(told)}; forecast by {len(learned):,} runs "
        f"of classification that ship. Median factor of all, 95 % interval: {low:.2f} … {high:.2f} (bootstrap over "
        f"pairs of data sets); {every['too_long']:.0f} of the {every['runs']:.0f} that reached their target were told "
        "to take longer than they did."
    )
    text = f"{heading}\n\n{markdown_table(HEAD, lines)}"
    replace_block(PAGE, name.replace("_", "-"), text)
    if name == MORE:
        (RESULTS / f"{MORE}.json").write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(every))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
