"""Lives of models, lived over: what each policy costs above the best schedule there was.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/lives.py [--workers 2] [--only elec2] [--folder DIR]

Records each life (every possible update is carried out once; a second call goes on where the first was stopped), then
replays all policies at six prices and two label delays. Policies with a parameter have it from the *other* lives.
Writes docs/lives.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from foretoll.decide.policies import get_policy
from foretoll.decide.policies.base import WINDOW, Choice, Policy, Verdict, View
from foretoll.decide.replay import RecordedLife, oracle, replay, worth_at

ROOT = Path(__file__).resolve().parents[1]
PRICES = (3.0, 10.0, 30.0, 60.0, 120.0, 240.0)
DELAYS = (0, 4)
SEEDS = (0, 1, 2)
GRID = {
    "periodic": (1, 2, 3, 4, 6, 8, 12, 16, 24),
    "floor": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    "drop": (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    "ks": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6),
    "psi": (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    "adwin": (0.002, 0.05, 0.2, 0.5, 0.9),
    "confidence": (0.01, 0.02, 0.05, 0.1, 0.2),
    "cara": (0.1, 0.3, 1, 3, 10, 30),
}
PLAIN = ("rent", "keep", "every")


@dataclass(frozen=True)
class Made:
    """A life to be recorded: its architecture, the data that its model was trained on, and its batches."""

    name: str
    kind: str
    arch: str
    source: str
    stream: str | tuple[str, ...]
    epochs: float = 4.0
    lr: float = 1e-3


def made_lives() -> Iterator[Made]:
    """All lives: real streams, real data under computed shifts of four kinds, and new speakers."""
    yield Made(
        "elec2",
        "real",
        "foretoll:mlp?width=32",
        "parquet:$D/elec2.parquet?rows=0:3000&split=time",
        "parquet:$D/elec2.parquet?rows=3000:&every=672",
    )
    yield Made(
        "weather",
        "real",
        "foretoll:mlp?width=32",
        "parquet:$D/neweather.parquet?rows=0:2000&split=time",
        "parquet:$D/neweather.parquet?rows=2000:&every=300",
    )
    speakers = (4, 3, 1, 2, 0, 5)  # theo and nicolas, then jackson, lucas, george, yweweler
    npz = "npz:$D/fsdd_8khz.npz"
    yield Made(
        "speech",
        "new speakers",
        "foretoll:cnn1d?width=8",
        f"{npz}?where=speaker:{speakers[0]}|{speakers[1]}",
        tuple(f"{npz}?where=speaker:{speakers[2 + i // 4 % 4]}&part={i % 4 + 1}/4" for i in range(16)),
        epochs=6.0,
    )
    shifts = {
        "none": [""] * 24,
        "gradual": [f"&shift=gaussian_noise:{0.012 * i:.3f}" if i else "" for i in range(24)],
        "sudden": ["" if i < 9 else "&shift=contrast:0.35" for i in range(24)],
        "recurring": ["&shift=contrast:0.4" if i // 4 % 2 else "" for i in range(24)],
    }
    images = {
        "fashion": "npz:$D/fashion_mnist.npz",
        "kmnist": "npz:$D/kmnist_test10k_split.npz",
        "usps": "npz:$D/usps.npz",
    }
    for data, uri in images.items():
        for kind, each in shifts.items():
            yield Made(
                f"{data} {kind}",
                kind,
                "foretoll:cnn?width=4&input_size=16",
                f"{uri}?part=1/26",
                tuple(f"{uri}?part={i + 2}/26{shift}" for i, shift in enumerate(each)),
                epochs=4.0,
                lr=3e-3,
            )
    devices = "npz:$D/ucr_electricdevices.npz"
    yield Made(
        "devices",
        "none",
        "foretoll:cnn1d?width=8",
        f"{devices}?part=1/26",
        tuple(f"{devices}?part={i + 2}/26" for i in range(24)),
        epochs=4.0,
        lr=3e-3,
    )


def record(made: Made, seed: int, folder: Path) -> RecordedLife:
    """Train the first model and record the life."""
    from foretoll.data import open_data
    from foretoll.data.stream import open_stream
    from foretoll.quality import evaluate
    from foretoll.records import TrainingSettings
    from foretoll.workflows.context import Accounting
    from foretoll.workflows.life_recording import record_life
    from foretoll.workflows.train import train_model

    data = os.environ["FORETOLL_DATA"]
    settings = TrainingSettings(max_epochs=made.epochs, lr=made.lr, seed=seed, batch_size=32)
    accounting = Accounting(energy="watts:10")
    source = made.source.replace("$D", data)
    model = train_model(
        made.arch,
        source,
        settings=settings.model_copy(update={"max_epochs": 4 * made.epochs}),
        accounting=accounting,
        ledger=None,
    ).model
    assert model is not None
    given = made.stream if isinstance(made.stream, str) else list(made.stream)
    stream = open_stream(
        given.replace("$D", data) if isinstance(given, str) else [part.replace("$D", data) for part in given]
    )
    start = evaluate(model, open_data(source).test, metric="accuracy", device="cpu").quality
    return record_life(
        model,
        stream,
        name=f"{made.name} {seed}",
        settings=settings,
        accounting=accounting,
        folder=folder / f"{made.name}-{seed}".replace(" ", "_"),
        start=start,
    )


class Knows(Policy):
    """A bound for any forecast: it knows the next batches under the served model and under the update."""

    name = "knows"
    title = "knows the next 8 batches"
    weighs = False

    def __init__(self, life: RecordedLife, price: float, delay: int, ahead: int = WINDOW) -> None:
        self.life, self.delay, self.ahead = life, delay, ahead
        self.cost = worth_at(life, price)

    def _due(self, view: View, choice: Choice) -> Verdict:
        now = view.now
        served = next(
            (u for u in self.life.updates if view.updated and u.last == max(view.updated) - self.delay),
            self.life.first,
        )
        update = self.life.available(now, self.delay)[choice.offer.option]
        coming = range(now + 1, min(now + 1 + self.ahead, self.life.batches))
        won = sum(
            ((update.served[j].quality or 0) - (served.served[j].quality or 0)) * update.served[j].samples
            for j in coming
        )
        return Verdict(won * self.cost > update.cost, "it knows")


def mean_excess(life: RecordedLife, make: Callable[[float, int], Policy]) -> float:
    """Points a batch above the oracle, over prices and delays."""
    return float(
        np.mean(
            [
                replay(life, make(p, d), price=p, delay=d).loss - oracle(life, price=p, delay=d)
                for p in PRICES
                for d in DELAYS
            ]
        )
    )


def score(lives: dict[str, list[RecordedLife]]) -> dict[str, dict[str, float]]:
    """Mean excess by policy and life (over seeds); parameters from the other lives."""
    found: dict[str, dict[str, float]] = {}
    for name in PLAIN:
        found[name] = {
            life: float(np.mean([mean_excess(each, lambda _p, _d, n=name: get_policy(n)) for each in seeds]))
            for life, seeds in lives.items()
        }
    found["knows the next 8"] = {
        life: float(np.mean([mean_excess(each, lambda p, d, e=each: Knows(e, p, d)) for each in seeds]))
        for life, seeds in lives.items()
    }
    for name, grid in GRID.items():
        table = {
            value: {
                life: float(
                    np.mean(
                        [
                            mean_excess(each, lambda _p, _d, n=name, v=value: get_policy(f"{n}:{v}"))
                            for each in seeds
                        ]
                    )
                )
                for life, seeds in lives.items()
            }
            for value in grid
        }
        found[name] = {}
        for life in lives:
            others = [other for other in lives if other != life] or [life]
            best = min(grid, key=lambda value: float(np.mean([table[value][other] for other in others])))
            found[name][life] = table[best][life]
    return found


def page(lives: dict[str, list[RecordedLife]], found: dict[str, dict[str, float]]) -> str:
    """The table as Markdown."""
    draw = np.random.default_rng(0)
    names = list(lives)
    lines = [
        "| policy | excess, points a batch | 90 % interval over lives | updates a life | mean quality | least quality |",  # noqa: E501
        "|---|--:|--:|--:|--:|--:|",
    ]
    order = sorted(found, key=lambda name: np.mean(list(found[name].values())))
    for name in order:
        values = np.array([found[name][life] for life in names])
        means = [float(np.mean(values[draw.integers(len(values), size=len(values))])) for _ in range(2000)]
        low, high = np.quantile(means, [0.05, 0.95])
        lines.append(f"| {name} | {values.mean():.2f} | {low:.2f} … {high:.2f} | | | |")
    return "\n".join(lines)


def main() -> None:
    """Record, replay, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--folder", type=Path, default=Path("lives"))
    chosen = parser.parse_args()
    made = [each for each in made_lives() if chosen.only in each.name]
    with ProcessPoolExecutor(chosen.workers) as pool:
        waiting = {
            (each.name, seed): pool.submit(record, each, seed, chosen.folder)
            for seed in SEEDS[: chosen.seeds]
            for each in made
        }
        lives: dict[str, list[RecordedLife]] = {}
        for (name, _), future in waiting.items():
            lives.setdefault(name, []).append(future.result())
            print(name, flush=True)
    found = score(lives)
    print(page(lives, found))
    for life in lives:
        print(life, {name: round(each[life], 2) for name, each in found.items()})
    print(platform.machine(), date.today())


if __name__ == "__main__":
    main()
