"""Which runs a ledger should buy next: the widest interval per second of training first, the shortest, or any.

    OMP_NUM_THREADS=1 nice python benchmarks/buying.py

From the fine-tuning runs of the ledger that ships, of the data sets with at least `FEWEST_OF_DATA` of them. The data
sets are left out in `GROUPS` groups: the open runs of the others are for sale, and those of the group are forecast.
Each buyer starts with the same `START` runs, drawn, and then spends the seconds that the runs took, batch after batch,
by forecasts of what it has bought so far: a batch is as long as all before it together, halved, so that the forecasts
are made anew twice for each doubling. What a run will take is not known before it is bought: it is the forecast's
median times the seconds of an epoch, which a step probe tells. What is bought at random stands beside it. Writes
benchmarks/results/buying.json and the block of docs/studies.md.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from foretoll.forecast import Forecaster
from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.forecast.forecaster import Prediction
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_runs
from foretoll.research.leave_out import Row, rows_of
from foretoll.research.open_runs import is_open, open_measures
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "studies.md"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/buying.py"
GROUPS, SEEDS = 3, 3
FEWEST_OF_DATA = 100  # open runs from it
START = 20  # runs
SHARES = (0.05, 0.1, 0.2, 0.4)  # of the seconds of all that is for sale, where buyers are compared
MOST_TOLD = 120  # runs of the group that is left out, of those forecast each time
COMMON = 0.95  # signals that fewer of the runs know are left out, so that all runs are forecast by the same
Score = Callable[[Row, Prediction, float], float]  # the highest is bought first; seconds: told


def told_epochs(row: Row, made: Prediction) -> tuple[float, float, float]:
    """Low, median and high."""
    epochs = made.forecast.epochs
    assert epochs is not None and epochs.low is not None  # enough was bought to learn from
    most = row.case.max_epochs
    return (
        epochs.low,
        most if epochs.median is None else epochs.median,
        most if epochs.high is None else epochs.high,
    )


def width(row: Row, made: Prediction) -> float:
    """Logarithm of the ratio of the interval's ends."""
    low, _, high = told_epochs(row, made)
    return math.log((high + EPOCH_OFFSET) / (low + EPOCH_OFFSET))


BUYERS: dict[str, Score | None] = {
    "any": None,
    "widest interval first": lambda row, made, seconds: width(row, made),
    "widest interval per second first": lambda row, made, seconds: width(row, made) / seconds,
    "shortest first": lambda row, made, seconds: -seconds,
}


def seconds_of(row: Row) -> float:
    """What a run took."""
    return row.run.toll.duration_s or 0.0


def told_seconds(row: Row, made: Prediction) -> float:
    """What it is told to take: the steps' own time is known."""
    _, median, _ = told_epochs(row, made)
    return (median + EPOCH_OFFSET) * seconds_of(row) / row.epochs


def usable(rows: Sequence[Row]) -> list[Row]:
    """The open runs that know what most know, of data sets that have enough, with no more than that known of them."""
    rows = [
        row
        for row in rows
        if is_open(row) and row.case.option == "finetune" and row.epochs and seconds_of(row)
    ]
    sources = Counter(row.case.source_name for row in rows)
    large = {name for name, count in sources.items() if count >= FEWEST_OF_DATA}
    rows = [row for row in rows if {row.case.source_name, row.case.target_name} <= large]
    known = Counter(name for row in rows for name, value in row.case.signals.items() if value is not None)
    common = {name for name, count in known.items() if count >= COMMON * len(rows)}
    found = []
    for row in rows:
        signals = {
            name: value for name, value in row.case.signals.items() if name in common and value is not None
        }
        if len(signals) == len(common):
            update = {"signals": signals, "model_id": "", "weights_digest": ""}
            found.append(replace(row, case=row.case.model_copy(update=update)))
    return found


def forecaster_of(rows: Sequence[Row]) -> Forecaster:
    """What some runs teach, of nobody's own model."""
    lessons = lessons_of([row.run for row in rows])
    return Forecaster(before=[replace(one, model_id="", weights_digest="") for one in lessons])


def bought(sale: Sequence[Row], score: Score | None, seed: int) -> Iterator[list[Row]]:
    """What a buyer has when each share of the sale's seconds is spent."""
    rng = np.random.default_rng(seed)
    left = [sale[k] for k in rng.permutation(len(sale))]
    mine, left = left[:START], left[START:]
    whole, spent = sum(map(seconds_of, sale)), sum(map(seconds_of, mine))
    for share in SHARES:
        while spent < share * whole and left:
            if score is not None:
                forecaster = forecaster_of(mine)
                made = [forecaster.foretell(row.case, time_only=True) for row in left]
                keys = [score(row, one, told_seconds(row, one)) for row, one in zip(left, made, strict=True)]
                left = [left[k] for k in np.argsort(keys)[::-1]]
            until = min(share * whole, spent * math.sqrt(2))
            while spent < until and left:
                row = left.pop(0)
                mine.append(row)
                spent += seconds_of(row)
        yield list(mine)


def measured(learned: Sequence[Row], asked: Sequence[Row]) -> dict[str, float]:
    """How well runs of other data are forecast by what was bought."""
    forecaster = forecaster_of(learned)
    made = [forecaster.foretell(row.case, time_only=True) for row in asked]
    ends = [told_epochs(row, one) for row, one in zip(asked, made, strict=True)]
    median = np.array([middle for _, middle, _ in ends])
    held = [
        high >= row.case.max_epochs - 1e-9 if row.censored else low <= row.epochs + 1e-9 <= high + 2e-9
        for row, (low, _, high) in zip(asked, ends, strict=True)
    ]
    chances = np.array([one.reach_probability for one in made], dtype=float)
    reached = np.array([not row.censored for row in asked])
    return {
        **open_measures(asked, range(len(asked)), median),
        "bought": len(learned),
        "bought_reached": float(np.mean([not row.censored for row in learned])),
        "held": float(np.mean(held)),
        "width": float(np.median([width(row, one) for row, one in zip(asked, made, strict=True)])),
        "brier": float(((chances - reached) ** 2).mean()),
    }


def groups_of(rows: Sequence[Row]) -> list[set[str]]:
    """Data sets in groups of about as many runs."""
    names = [name for name, _ in Counter(row.case.source_name for row in rows).most_common()]
    return [set(names[k::GROUPS]) for k in range(GROUPS)]


def compared(rows: Sequence[Row]) -> dict[str, list[dict[str, float]]]:
    """By buyer and share: what was measured for each group and seed."""
    found: dict[str, list[dict[str, float]]] = {}
    for group in groups_of(rows):
        sale = [row for row in rows if not group & {row.case.source_name, row.case.target_name}]
        others = [row for row in rows if row.case.source_name in group]
        asked = [others[k] for k in np.random.default_rng(0).permutation(len(others))[:MOST_TOLD]]
        for name, score in BUYERS.items():
            for seed in range(SEEDS):
                for share, mine in zip(SHARES, bought(sale, score, seed), strict=True):
                    found.setdefault(f"{name}, {share:.0%}", []).append(measured(mine, asked))
        print(f"{', '.join(sorted(group))}: {time.process_time():.0f} s", flush=True)
    return found


HEAD = [
    "bought", "seconds spent", "runs", "that reached", "median factor", "less than at random in", "within 2 ×",
    "90 % held", "median width", "Brier score of reaching",
]  # fmt: skip


def line(name: str, share: float, found: dict[str, list[dict[str, float]]]) -> list[str]:
    """A line of the table: means over groups and seeds, of factors and widths geometric ones."""
    of, beside = found[f"{name}, {share:.0%}"], found[f"any, {share:.0%}"]

    def mean(key: str) -> float:
        return float(np.mean([one[key] for one in of]))

    factors = [(one["median_factor"], other["median_factor"]) for one, other in zip(of, beside, strict=True)]
    fewer = sum(mine < random for mine, random in factors)
    return [
        name, f"{share:.0%}", f"{mean('bought'):.0f}", f"{mean('bought_reached'):.0%}",
        f"{math.exp(float(np.mean([math.log(mine) for mine, _ in factors]))):.2f}",
        "–" if name == "any" else f"{fewer} of {len(factors)}", f"{mean('within_2'):.0%}", f"{mean('held'):.0%}",
        f"{math.exp(mean('width')):.1f} ×", f"{mean('brier'):.3f}",
    ]  # fmt: skip


def main() -> None:
    """Buy, score, write."""
    began = time.process_time()
    rows = usable(rows_of(reference_runs(), task="classification"))
    found = compared(rows)
    minutes = (time.process_time() - began) / 60
    result = {"cpu_minutes": round(minutes, 2), "found": found}
    (RESULTS / "buying.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sets = sorted({row.case.source_name for row in rows})
    heading = (
        f"`{COMMAND}`: {minutes:.1f} CPU minutes; {len(rows)} open fine-tuning runs of {len(sets)} data sets, left out "
        f"in {GROUPS} groups; {SEEDS} draws of the first {START} runs.\n\n"
    )
    lines = [line(name, share, found) for share in SHARES for name in BUYERS]
    replace_ledger_block(PAGE, "buying", heading + markdown_table(HEAD, lines))
    print(json.dumps({"minutes": minutes}))


if __name__ == "__main__":
    main()
