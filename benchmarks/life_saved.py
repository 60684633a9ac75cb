"""What `foresight` saves on the lives of `lives.py`: against the best fixed period, and by having options.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_saved.py --folder DIR [--seeds 1] [--write]

For each life, price and label delay: how many updates the fixed period needs that serves at least the mean quality of
`foresight` with the fewest updates (periods of 1 to 24 batches, by finetune, known in hindsight). And whether
`foresight`, which chooses between finetune and head, loses less than the best schedule in hindsight by finetune alone,
and how much less the best schedule of both options does.
Its forecast is learned on the other streams. `--write` puts the tables into docs/life.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from foretoll.decide.policies.foresight import Foresight
from foretoll.decide.replay import Possible, RecordedLife, oracle
from foretoll.decide.replay import replay as lived
from life_leads import rows_of, without
from life_records import recorded
from lives import DELAYS, PRICES
from pages import ROOT, replace_block

OPTION, PERIODS = "finetune", range(1, 25)


def by_period(life: RecordedLife, period: int, delay: int) -> tuple[float, int]:
    """Mean quality and updates of an update by finetune after every `period` batches, where the gate lets it serve."""
    current: Possible = life.first
    qualities, made = [], 0
    for now in range(life.batches):
        qualities.append(current.served[now].quality or 0.0)
        update = life.available(now, delay).get(OPTION)
        if (now + 1) % period or update is None or update is current or now == life.batches - 1:
            continue
        made += 1
        current = update if update.gate.get(current.last, True) else current
    return float(np.mean(qualities)), made


def least_updates(life: RecordedLife, quality: float, delay: int) -> int | None:
    """The fewest updates of a fixed period, or of none, that serve this mean quality; None where no period does."""
    never = float(np.mean([life.first.served[j].quality or 0.0 for j in range(life.batches)]))
    found = [(never, 0), *(by_period(life, period, delay) for period in PERIODS)]
    enough = [made for reached, made in found if reached >= quality - 1e-9]
    return min(enough) if enough else None


def interval_of_saved(sums: np.ndarray) -> tuple[float, float]:
    """The 90 % interval of the per cent that are saved, where whole streams are drawn; rows of `sums` are streams."""
    draw = np.random.default_rng(0)
    drawn = [sums[draw.integers(len(sums), size=len(sums))].sum(0) for _ in range(2000)]
    low, high = np.quantile([100 * (1 - each[0] / each[1]) for each in drawn], [0.05, 0.95])
    return float(low), float(high)


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the records are")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    lives = [(stream, life) for _, stream, _, life in recorded(chosen.folder, chosen.seeds)]
    rows = rows_of(lives)
    models = {stream: without(rows, stream) for stream in {stream for stream, _ in lives}}
    made_by: dict[str, list[tuple[int, int | None]]] = {}
    less: dict[str, list[tuple[float, float]]] = {}
    for stream, life in lives:
        only = replace(life, updates=tuple(u for u in life.updates if u.option == OPTION))
        print(life.name, file=sys.stderr, flush=True)
        for delay in DELAYS:
            for price in PRICES:
                found = lived(life, Foresight(model=models[stream]), price=price, delay=delay)
                # a price is of the mean update of all options: the same worth for finetune alone
                best = oracle(only, price=price * only.mean_cost / life.mean_cost, delay=delay)
                both = oracle(life, price=price, delay=delay)
                less.setdefault(stream, []).append((found.loss - best, both - best))
                made = len(found.promoted) + len(found.rejected)
                if made:
                    made_by.setdefault(stream, []).append(
                        (made, least_updates(life, found.mean_quality, delay))
                    )
    cases = [each for some in made_by.values() for each in some]
    out = [made for made, other in cases if other is None]
    sums = np.array(
        [np.sum([(a, b, 1) for a, b in some if b is not None], axis=0) for some in made_by.values()]
    )  # by stream: updates of foresight, of the period, and cases
    mine, period = (sums[:, i].sum() / sums[:, 2].sum() for i in (0, 1))
    low, high = interval_of_saved(sums)
    means = {stream: np.mean(each, axis=0) for stream, each in less.items()}
    below = sum(1 for mean, _ in means.values() if mean < 0)
    text = "\n".join(
        [
            "| lives × prices × delays with an update | updates of `foresight` | of the best fixed period "
            "| saved (90 % interval over streams) | no fixed period serves as well |",
            "|--:|--:|--:|--:|--:|",
            f"| {len(cases):,} | {mine:.2f} | {period:.2f} "
            f"| {100 * (1 - mine / period):.0f} % ({low:.0f} … {high:.0f}) "
            f"| {100 * len(out) / len(cases):.0f} % (`foresight`: {np.mean(out) if out else 0:.2f} updates) |",
            "",
            "| stream | `foresight` less the best schedule by finetune alone "
            "| the best schedule of both options less it |",
            "|---|--:|--:|",
            *(
                f"| {stream} | {mean:+.2f} | {of_both:+.2f} |"
                for stream, (mean, of_both) in sorted(means.items(), key=lambda each: each[1][0])
            ),
            "",
            f"Points a batch. `foresight` is below the best schedule by finetune alone on {below} of {len(means)} "
            f"streams. {len(lives)} records.",
        ]
    )
    print(text)
    if chosen.write:
        replace_block(ROOT / "docs" / "life.md", "saved", text)


if __name__ == "__main__":
    main()
