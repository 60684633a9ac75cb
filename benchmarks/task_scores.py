"""How well tasks other than classification are forecast out of sample: the table of docs/tasks.md.

    OMP_NUM_THREADS=1 python benchmarks/task_scores.py

Data sets are left out, a quarter at a time, as source and as target; the open runs of each task on them are forecast by
what is left: the runs of all tasks, as the forecaster does it; the runs of the same task alone; and those of
classification alone, which is what there was before. Of a task with few runs intervals are widened, as the forecaster
does it. Seed 0; the last line is one JSON object.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foretoll.forecast.case import CLASSIFICATION, RISING
from foretoll.forecast.forecaster import FEW_OF_TASK, OTHER_TASKS
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.reference import reference_lessons
from foretoll.forecast.regressor import CostModel, Table
from foretoll.records import Outcome
from foretoll.tasks import get_task
from pages import ROOT, markdown_table, replace_ledger_block

FOLDS = 4
FEWEST = 10  # open runs of a task, to say anything
FEWEST_LEARNED = 20
COMMON = 0.6  # share of a task's runs that know a feature, for it to be used
LEVEL = 0.9


@dataclass(frozen=True)
class Told:
    """One run and what was foretold of it; logs of steps."""

    took: float
    limit: float
    censored: bool
    median: float | None
    low: float | None
    high: float | None
    reach: float

    @property
    def held(self) -> bool:
        """Whether the interval holds what happened; of a run that spent its budget, whether it reaches beyond."""
        over = self.high is None or self.high >= (self.limit if self.censored else self.took) - 1e-9
        return over and (self.censored or (self.low is not None and self.low <= self.took + 1e-9))


def main() -> None:
    """Score, write the table, say."""
    lessons = [x for x in reference_lessons() if not x.decided and x.responses["epochs"] is not None]
    rows, found = [], {}
    for task in sorted({x.task for x in lessons} - {CLASSIFICATION}):
        asked = [x for x in lessons if x.task == task]
        if len(asked) < FEWEST:
            continue
        few = sum(x.task == task for x in reference_lessons()) < FEW_OF_TASK
        widen = OTHER_TASKS if few else 1.0
        ways: dict[str, Callable[[Lesson], bool]] = {
            "all tasks": lambda x: True,
            "this task alone": lambda x, task=task: x.task == task,  # type: ignore[misc]
            "classification alone": lambda x: x.task == CLASSIFICATION,
        }
        for way, learned in ways.items():
            told = forecast([x for x in lessons if learned(x)], asked, widen=widen)
            if not told:  # what is left of it when data sets are left out is too little to learn from
                continue
            measures = scored(told)
            found[f"{task}, {way}"] = measures
            rows.append([get_task(task).title, way, *(_said(*one) for one in measures.values())])
    head = [
        "task", "learned from", "open runs", "that reached", "median factor", "90th percentile", "90 % held",
        "width", "Brier",
    ]  # fmt: skip
    replace_ledger_block(ROOT / "docs" / "tasks.md", "task-scores", markdown_table(head, rows))
    print(json.dumps({name: {k: v for k, (v, _) in of.items()} for name, of in found.items()}))


def forecast(lessons: Sequence[Lesson], asked: Sequence[Lesson], *, widen: float = 1.0) -> list[Told]:
    """Each run by the lessons of other data sets; `widen`: factor on the intervals."""
    fold = {name: i % FOLDS for i, name in enumerate(sorted({x.source_name for x in asked}))}
    counts = Counter(name for x in asked for name, value in x.features.items() if value is not None)
    known = {name for name, count in counts.items() if count >= COMMON * len(asked)}
    told = []
    for part in range(FOLDS):
        test = [x for x in asked if fold[x.source_name] == part]
        names = {x.source_name for x in test} | {x.target_name for x in test}
        rest = [x for x in lessons if not names & {x.source_name, x.target_name}]
        if not test or len(rest) < FEWEST_LEARNED:
            continue
        model = CostModel(table_of(rest, known))
        predicted = model.predict_all(
            [x.features for x in test],
            [""] * len(test),
            [x.source_name for x in test],
            [bool(x.features["task_shift"]) for x in test],
            limits=[x.limit for x in test],
            options=[x.option for x in test],
            widen=widen,
        )
        for x, one in zip(test, predicted, strict=True):
            ends = [one.quantile(level) for level in (0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2)]
            took, censored = float(x.responses["epochs"] or 0.0), x.outcome is Outcome.CENSORED
            told.append(Told(took, x.limit, censored, *ends, one.cdf(x.limit)))
    return told


def table_of(lessons: Sequence[Lesson], known: set[str]) -> Table:
    """What times are learned from."""
    return Table(
        rows=[{name: value for name, value in x.features.items() if name in known} for x in lessons],
        y=np.array([x.responses["epochs"] for x in lessons], dtype=float),
        censored=np.array([x.outcome is Outcome.CENSORED for x in lessons]),
        weights=np.ones(len(lessons)),
        groups=[x.group for x in lessons],
        owners=["" for _ in lessons],
        rising=RISING,
        limits=np.array([x.limit for x in lessons]),
        options=[x.option for x in lessons],
        lower=np.array([x.lower for x in lessons]),
    )


def _said(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def scored(told: Sequence[Told]) -> dict[str, tuple[float | None, int]]:
    """Measures with their number of decimals; None where no run reached its target."""
    reached = [one for one in told if not one.censored]
    off = [abs((one.limit if one.median is None else one.median) - one.took) for one in reached]
    widths = [
        min(one.limit if one.high is None else one.high, one.limit) - one.low
        for one in reached
        if one.low is not None
    ]
    return {
        "runs": (len(told), 0),
        "reached": (len(reached), 0),
        "median_factor": (math.exp(float(np.median(off))) if off else None, 2),
        "factor_90": (math.exp(float(np.quantile(off, 0.9))) if off else None, 1),
        "held": (float(np.mean([one.held for one in told])), 2),
        "width": (math.exp(float(np.median(widths))) if widths else None, 1),
        "brier": (float(np.mean([(one.reach - (not one.censored)) ** 2 for one in told])), 2),
    }


if __name__ == "__main__":
    main()
