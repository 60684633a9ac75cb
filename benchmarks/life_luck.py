"""What no policy can know of the lives of `lives.py`: the least excess of a schedule that is best on other seeds.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_luck.py --folder DIR [--write]

The oracle of a life knows what each model happened to learn and which samples each batch happened to have. A schedule
that is the best one on the mean of the other seeds of the same life knows the drift, all later leads and the prices,
without that luck. Its excess over the oracle is what is left to a perfect forecast: no policy is asked for less.
`--write` puts the table into docs/life.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foretoll.decide.replay import FIRST, Possible, RecordedLife, oracle, worth_at
from life_records import recorded
from lives import DELAYS, PRICES
from pages import ROOT, replace_block

Schedule = tuple[tuple[int, str], ...]  # after which batch an update was made, and by which option


def best_schedule(life: RecordedLife, price: float, delay: int) -> Schedule:
    """The schedule of the least loss, in hindsight."""
    worth = worth_at(life, price)
    best: dict[tuple[int, str], tuple[float, Possible, Schedule]] = {(FIRST, ""): (0.0, life.first, ())}
    for now in range(life.batches):
        best = {k: (cost + lost(u, now), u, done) for k, (cost, u, done) in best.items()}
        cheapest, _, done = min(best.values(), key=lambda each: each[0])
        for option, update in life.available(now, delay).items():
            made = (cheapest + update.cost / worth, update, (*done, (now, option)))
            key = (update.last, option)
            if key not in best or made[0] < best[key][0]:
                best[key] = made
    return min(best.values(), key=lambda each: each[0])[2]


def loss_of(life: RecordedLife, schedule: Schedule, price: float, delay: int) -> float:
    """What a schedule loses on a life, in points a batch."""
    worth, made = worth_at(life, price), dict(schedule)
    current, total = life.first, 0.0
    for now in range(life.batches):
        total += lost(current, now)
        if now in made:
            update = life.available(now, delay).get(made[now])
            if update is not None:  # a window of one class gave no update with this seed
                current, total = update, total + update.cost / worth
    return total / life.mean_samples / life.batches * 100


def lost(update: Possible, number: int) -> float:
    """Wrong answers on a batch."""
    batch = update.served[number]
    return (1 - (batch.quality or 0.0)) * batch.samples


def mean_life(lives: Sequence[RecordedLife]) -> RecordedLife:
    """The life whose qualities and costs are the means over these; of updates that all of them have."""
    tables = [{(u.option, u.last): u for u in life.updates} for life in lives]
    shared = [key for key in tables[0] if all(key in table for table in tables)]

    def mean(each: Sequence[Possible]) -> Possible:
        served = {
            j: batch.model_copy(
                update={"quality": float(np.mean([u.served[j].quality or 0.0 for u in each]))}
            )
            for j, batch in each[0].served.items()
        }
        return Possible(each[0].last, each[0].option, float(np.mean([u.cost for u in each])), served)

    updates = tuple(mean([table[key] for table in tables]) for key in shared)
    return RecordedLife(lives[0].name, mean([life.first for life in lives]), updates)


def main() -> None:
    """Score, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the records are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    seeds: dict[str, list[RecordedLife]] = {}
    stream: dict[str, str] = {}
    for name, of, _, life in recorded(chosen.folder, chosen.seeds):
        seeds.setdefault(name, []).append(life)
        stream[name] = of
    found: dict[str, dict[str, list[float]]] = {}
    for name, lives in seeds.items():
        if len(lives) < 2:
            continue
        for i, life in enumerate(lives):
            others = [other for j, other in enumerate(lives) if j != i]
            mean = others[0] if len(others) == 1 else mean_life(others)
            for price in PRICES:
                for delay in DELAYS:
                    least = oracle(life, price=price, delay=delay)
                    for title, schedule in (
                        ("best on the mean of the other seeds", best_schedule(mean, price, delay)),
                        ("best on one other seed", best_schedule(others[0], price, delay)),
                        ("never", ()),
                    ):
                        excess = loss_of(life, schedule, price, delay) - least
                        found.setdefault(title, {}).setdefault(stream[name], []).append(excess)
    streams = sorted(set(stream.values()))
    draw = np.random.default_rng(0)
    drawn = [draw.integers(len(streams), size=len(streams)) for _ in range(2000)]
    lines = ["| schedule | excess, points a batch | 90 % interval over streams |", "|---|--:|--:|"]
    for title, by_stream in found.items():
        means = np.array([np.mean(by_stream[each]) for each in streams])
        low, high = np.quantile([means[d].mean() for d in drawn], [0.05, 0.95])
        lines.append(f"| {title} | {means.mean():.2f} | {low:.2f} … {high:.2f} |")
    text = "\n".join(lines)
    print(text)
    if chosen.write:
        replace_block(ROOT / "docs" / "life.md", "luck", text)


if __name__ == "__main__":
    main()
