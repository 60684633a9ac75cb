"""How good an anytime forecast is: the forecast of a run after its first steps, against what these cost.

    OMP_NUM_THREADS=1 nice python benchmarks/anytime.py

From the ledger that ships: every run that is open after its first evaluation is followed along its recorded curve as
the pilot of an estimate follows it (`foretoll estimate --spend`): the next evaluation is looked at where its steps are
no more than the share of those that the run is forecast to take; what the evaluation itself takes is left out, and so
are the looks before a run's first own evaluation, which no curve of the ledger has. Everything was learned without any
run from or to its source data. A run is also followed for a number of evaluations, whatever they cost. Sizes are those
that the runs had: of a run that reached its target the steps that it took, of any other its whole budget. Writes
benchmarks/results/anytime.json and the block of docs/forecasts.md.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from foretoll.forecast.live import OF_CURVE, OF_FORECAST, LiveModel
from live import History, fitted, forecasts_before, histories
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/anytime.py"
SPENDS = (0.0, 0.01, 0.03, 0.1, 0.3)
LOOKS = (1, 2, 4)
LARGE = 1000  # steps
OFFSET = 0.125  # epochs, as everywhere that factors of epochs are taken


class Answer(NamedTuple):
    """What was said of a run in the end: epochs in all; after so many looks, and this share of its steps."""

    history: History
    median: float
    low: float
    high: float
    looks: int
    spent: float
    sloped: float  # a straight line through the last two evaluations

    @property
    def factor(self) -> float:
        """Log of the factor that the median is off by."""
        return abs(math.log((self.median + OFFSET) / (self.history.epochs + OFFSET)))

    @property
    def sloped_factor(self) -> float:
        """That of the straight line."""
        return abs(math.log((self.sloped + OFFSET) / (self.history.epochs + OFFSET)))

    @property
    def holds(self) -> bool:
        """Whether the interval holds what came: of a run that missed its target, that it ends at the budget."""
        if not self.history.reached:
            return self.high >= self.history.course.budget - 1e-9
        return self.low - 1e-9 <= self.history.epochs <= self.high + 1e-9


Goes = Callable[[Answer, float], bool]  # whether to go on to an evaluation at so many epochs


def steps_of(history: History) -> float:
    """Optimisation steps that a run took, or had to spend."""
    return history.epochs * history.course.steps_per_epoch


def followed(history: History, model: LiveModel, goes: Goes) -> Answer:
    """The answer where the pilot ends: before the first evaluation that it does not go on to."""
    course, before = history.course, history.course.before
    assert before is not None and before.median is not None  # only such runs are followed
    now = Answer(
        history, before.median, before.low or 0.0, before.high or course.budget, 0, 0.0, course.budget
    )
    for looks, place in enumerate(history.states, start=1):
        seen = history.curve[place].epochs
        if not goes(now, seen):
            break
        prefix = history.curve[: place + 1]
        _, left = model(course, prefix)
        ends = [seen + (end or 0.0) for end in (left.median, left.low, left.high)]
        rate = (prefix[-1].progress - prefix[-2].progress) / max(seen - prefix[-2].epochs, 1e-9)
        line = seen + max((course.until - prefix[-1].progress) / rate, 0.0) if rate > 0 else course.budget
        least = seen + 1 / course.evals_per_epoch
        now = Answer(history, *ends, looks, seen / history.epochs, min(max(line, least), course.budget))
    return now


def spending(share: float) -> Goes:
    """To go on while the steps are no more than a share of the forecast ones."""
    return lambda now, seen: seen <= share * now.median + 1e-9


def looking(count: int) -> Goes:
    """To go on for so many evaluations."""
    return lambda now, seen: now.looks < count


def scores(found: Sequence[Answer]) -> dict[str, float]:
    """Factors of those that reached their target, coverage and width of all."""
    factors = np.array([answer.factor for answer in found if answer.history.reached])
    widths = [(answer.high + OFFSET) / (answer.low + OFFSET) for answer in found]
    reached = [answer for answer in found if answer.history.reached]
    return {
        "runs": len(found),
        "reached": len(factors),
        "looked": float(np.mean([answer.looks > 0 for answer in found])),
        "spent": float(np.median([answer.spent for answer in reached])),
        "median_factor": math.exp(float(np.median(factors))),
        "factor_90": math.exp(float(np.quantile(factors, 0.9))),
        "within_1.5": float(np.mean(factors <= math.log(1.5))),
        "within_2": float(np.mean(factors <= math.log(2))),
        "held": float(np.mean([answer.holds for answer in found])),
        "width": float(np.median(widths)),
        "line": math.exp(float(np.median([answer.sloped_factor for answer in reached]))),
    }


def row_of(name: str, found: Sequence[Answer]) -> list[str]:
    """A line of a table."""
    s = scores(found)
    return [
        name, f"{s['runs']:,}", f"{s['reached']:,}", f"{s['looked']:.0%}", f"{s['spent']:.1%}",
        f"{s['median_factor']:.2f}", f"{s['factor_90']:.1f}", f"{s['within_1.5']:.0%}", f"{s['within_2']:.0%}",
        f"{s['held']:.0%}", f"{s['width']:.1f} ×", f"{s['line']:.2f}" if s["looked"] == 1 else "–",
    ]  # fmt: skip


HEAD = [
    "pilot", "runs", "reached", "looked at", "steps spent", "median factor", "90 % within factor", "within 1.5 ×",
    "within 2 ×", "90 % held", "median width", "line through the last two",
]  # fmt: skip


def main() -> None:
    """Follow, score, write."""
    began = time.process_time()
    found = [h for h in histories(forecasts_before()) if h.course.reach is not None]
    models = {
        data: fitted(found, (*OF_FORECAST, *OF_CURVE), without=data) for data in {h.data[0] for h in found}
    }
    parts = {
        f"over {LARGE:,} steps": [h for h in found if steps_of(h) > LARGE],
        f"{LARGE:,} steps and fewer": [h for h in found if steps_of(h) <= LARGE],
    }
    blocks, result = [], {}
    for name, some in parts.items():
        lines = {
            f"spend {share:.0%}": [followed(h, models[h.data[0]], spending(share)) for h in some]
            for share in SPENDS
        }
        for count in LOOKS:
            long = [h for h in some if len(h.states) >= count]
            title = f"{count} evaluation{'s' if count > 1 else ''}"
            if len(long) < len(some):
                lines[f"the {len(long):,} with {count} of them, before"] = [
                    followed(h, models[h.data[0]], spending(0.0)) for h in long
                ]
            lines[title] = [followed(h, models[h.data[0]], looking(count)) for h in long]
        result[name] = {line: scores(answers) for line, answers in lines.items()}
        blocks.append(f"**{name}**\n\n" + markdown_table(HEAD, [row_of(*line) for line in lines.items()]))
    minutes = (time.process_time() - began) / 60
    (RESULTS / "anytime.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    heading = f"`{COMMAND}`: {minutes:.1f} CPU minutes; {len(found):,} open runs.\n\n"
    text = heading + "\n\n".join(blocks)
    replace_ledger_block(PAGE, "anytime", text)
    print(text)


if __name__ == "__main__":
    main()
