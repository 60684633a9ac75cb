"""Lives of models, lived over: what each policy costs above the best schedule there was.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/lives.py [--workers 2] [--only elec2] [--folder DIR]

Records each life (every possible update is carried out once; a second call goes on where the first was stopped), then
replays all policies at six prices and two label delays. Policies with a parameter have it from the *other* lives.
Prints a table.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from foretoll.decide.policies import get_policy
from foretoll.decide.policies.base import WINDOW, Choice, Policy, Verdict, View
from foretoll.decide.replay import RecordedLife, Replay, oracle, replay, worth_at

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


def every_replay(life: RecordedLife, make: Callable[[float, int], Policy]) -> list[Replay]:
    """The life under a policy, at all prices and delays."""
    return [replay(life, make(p, d), price=p, delay=d) for p in PRICES for d in DELAYS]


@dataclass(frozen=True)
class Score:
    """How a policy did over the seeds of a life, meaned over prices and delays."""

    excess: float  # points a batch above the oracle
    updates: float
    quality: float
    least: float


def score_of(seeds: list[RecordedLife], make: Callable[[RecordedLife, float, int], Policy]) -> Score:
    """The score of a policy on the lives of one name."""
    done = [(life, each) for life in seeds for each in every_replay(life, lambda p, d, e=life: make(e, p, d))]
    best = [oracle(life, price=p, delay=d) for life in seeds for p in PRICES for d in DELAYS]
    return Score(
        excess=float(np.mean([each.loss for _, each in done]) - np.mean(best)),
        updates=float(np.mean([len(each.promoted) + len(each.rejected) for _, each in done])),
        quality=float(np.mean([each.mean_quality for _, each in done])),
        least=float(np.mean([each.least_quality for _, each in done])),
    )


def scores(lives: dict[str, list[RecordedLife]]) -> dict[str, dict[str, Score]]:
    """Scores by policy and life; parameters come from the other lives."""
    found: dict[str, dict[str, Score]] = {}
    for name in PLAIN:
        found[name] = {
            life: score_of(seeds, lambda _e, _p, _d, n=name: get_policy(n)) for life, seeds in lives.items()
        }
    found["knows the next 8"] = {
        life: score_of(seeds, lambda e, p, d: Knows(e, p, d)) for life, seeds in lives.items()
    }
    for name, grid in GRID.items():
        each = {
            value: {
                life: score_of(seeds, lambda _e, _p, _d, text=f"{name}:{value}": get_policy(text))
                for life, seeds in lives.items()
            }
            for value in grid
        }
        found[name] = {
            life: each[_best(each, [other for other in lives if other != life] or [life])][life]
            for life in lives
        }
    return found


def _best(each: dict[float, dict[str, Score]], lives: list[str]) -> float:
    """The parameter with the least mean excess on these lives."""
    return min(each, key=lambda value: float(np.mean([each[value][life].excess for life in lives])))


def table(found: dict[str, dict[str, Score]]) -> str:
    """Policies, the best first, with an interval over the lives."""
    draw = np.random.default_rng(0)
    lines = [
        "| policy | excess, points a batch | 90 % interval over lives | updates a life | mean quality | least |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(found, key=lambda each: np.mean([score.excess for score in found[each].values()])):
        values = list(found[name].values())
        excess = np.array([score.excess for score in values])
        means = [float(np.mean(excess[draw.integers(len(excess), size=len(excess))])) for _ in range(2000)]
        low, high = np.quantile(means, [0.05, 0.95])
        rest = [
            float(np.mean([getattr(score, key) for score in values]))
            for key in ("updates", "quality", "least")
        ]
        lines.append(
            f"| {name} | {excess.mean():.2f} | {low:.2f} … {high:.2f} | {rest[0]:.1f} | {rest[1]:.3f} | {rest[2]:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Record, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="lives whose name holds this")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--folder", type=Path, default=Path("lives"), help="where updates are kept")
    chosen = parser.parse_args()
    made = [each for each in made_lives() if chosen.only in each.name]
    with ProcessPoolExecutor(chosen.workers) as pool:
        waiting = [
            (each.name, pool.submit(record, each, seed, chosen.folder))
            for seed in SEEDS[: chosen.seeds]
            for each in made
        ]
        lives: dict[str, list[RecordedLife]] = {}
        for name, future in waiting:
            lives.setdefault(name, []).append(future.result())
            print(f"recorded {name}", file=sys.stderr, flush=True)
    found = scores(lives)
    print(table(found))
    print(f"{len(lives)} lives, {chosen.seeds} seeds, {platform.machine()}, {date.today()}")


if __name__ == "__main__":
    main()
