"""Lives of models, lived over: what each policy costs above the best schedule there was.

    FORETOLL_DATA=/path/to/data python benchmarks/life_records.py --folder DIR
    FORETOLL_DATA=/path/to/data python benchmarks/lives.py --folder DIR [--write]

Replays all policies on the lives that are recorded, at six prices and two label delays. A policy with a parameter has
it from the other streams, the forecast of `foresight` is learned on them, and RetrainOpt (`pip install
retrainopt==0.4.2`, left out where it is missing) is tuned on the first third of the life itself. `--write` puts the
scores into results/lives.json and the table into docs/life.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, partial
from pathlib import Path

import numpy as np

from foretoll.atomic import replacing
from foretoll.decide.policies import get_policy
from foretoll.decide.policies.base import WINDOW, Choice, Policy, Verdict, View
from foretoll.decide.policies.foresight import Foresight
from foretoll.decide.replay import LAST_LABEL, RecordedLife, Replay, last_label, oracle, replay, worth_at
from foretoll.forecast.lead import LeadModel
from life_leads import report, rows_of, without
from life_records import recorded
from pages import RESULTS, ROOT, replace_block

PRICES = (3.0, 10.0, 30.0, 60.0, 120.0, 240.0)
DELAYS = (0, 4)
GRID = {
    "periodic": (1, 2, 4, 8, 12, 16, 24),
    "floor": (0.5, 0.6, 0.7, 0.8, 0.9),
    "drop": (0.02, 0.05, 0.1, 0.2, 0.3),
    "ks": (0.1, 0.2, 0.3, 0.4, 0.6),
    "psi": (0.1, 0.2, 0.4, 0.8, 1.6),
    "adwin": (0.05, 0.2, 0.5, 0.9),
    "confidence": (0.02, 0.05, 0.1, 0.2),
    "cara": (0.3, 1, 3, 10, 30),
    "upf": (0.3, 0.5, 0.7, 0.9),
    "foresight": (8, 12, 16, 24),
}
PLAIN = ("rent", "keep", "every")
Make = Callable[[RecordedLife, float, int], Policy]


class Knows(Policy):
    """A bound for any forecast: it knows the next batches under the served model and under the update."""

    name = "knows"
    title = "knows the next 8 batches"

    def __init__(self, life: RecordedLife, price: float, delay: int) -> None:
        self.life, self.delay, self.worth = life, delay, worth_at(life, price)

    def _due(self, view: View, choice: Choice) -> Verdict:
        update = self.life.available(view.now, self.delay)[choice.offer.option]
        served = next((u for u in self.life.updates if self._serves(view, u.last)), self.life.first)
        coming = range(view.now + 1, min(view.now + 1 + WINDOW, self.life.batches))
        won = sum(
            ((update.served[j].quality or 0) - (served.served[j].quality or 0)) * update.served[j].samples
            for j in coming
        )
        return Verdict(won * self.worth > update.cost, "it knows")

    def _serves(self, view: View, last: int) -> bool:
        return bool(view.updated) and last == max(view.updated) - self.delay


class RetrainOpt(Policy):
    """RetrainOpt's online policies (Yang and Mathioudakis 2026), by its own package, tuned on the first third."""

    name = "retrainopt"
    title = "RetrainOpt"
    needs = ("labels",)

    def __init__(self, life: RecordedLife, price: float, *, learned: bool) -> None:
        import retrainopt

        self.reference = 1 - (life.start or 0.0)
        steps = life.batches // 3
        share = (
            worth_at(life, price) * life.mean_samples
        )  # joules that all wrong answers of a batch are worth
        option = "finetune"
        made = {u.last: u for u in life.updates if u.option == option}

        class Blocks(retrainopt.TimelineDataset):  # type: ignore[misc, name-defined]
            num_steps = steps

            def get_train_block(self, step: int) -> list[int]:
                return [step]

            def get_eval_block(self, step: int) -> list[int]:
                return [step]

            def train_size(self, step: int) -> int:
                return 1

        class Models(retrainopt.ModelAdapter):  # type: ignore[misc, name-defined]
            def fit(self, train_data: list[int], *, step: int, n_samples: int, random_seed: int) -> int:
                return step

            def evaluate(self, model: int, eval_data: list[int], *, step: int) -> float:
                served = life.first.served if model < 0 else made[model].served
                return 1 - (served[step + 1].quality or 0.0)  # an update after a batch serves the next one

        config = retrainopt.PlannerConfig(n_choices=(1.0,), loss_cost_weight=1.0)
        found = retrainopt.collect_online_training_data(
            Blocks(),
            Models(),
            config,
            history_steps=steps,
            initial_model=-1,
            initial_reference_loss=self.reference,
            training_cost_fn=lambda *, step, n_samples, training_seconds, model: made[step].cost / share,
        )
        self.state = retrainopt.OnlineState
        self.policy = (
            retrainopt.LearnedOnlinePolicy(random_seed=0).fit(found.states, found.decisions)
            if learned
            else retrainopt.BaseOnlinePolicy.from_plan(found.plan)
        )

    def _due(self, view: View, choice: Choice) -> Verdict:
        losses = [1 - (batch.quality or 0.0) for batch in view.labelled]
        if not losses:
            return Verdict(False, "no labels")
        reference = losses[0] if view.updated else self.reference
        stale = [loss - reference for loss in losses]
        state = self.state(view.now, stale[-1], sum(stale), len(view.since))
        return Verdict(self.policy.decide(state, train_size=1).action.value == "retrain", "RetrainOpt")


@dataclass(frozen=True, eq=False)
class Same:
    """A life that is the same where its name is: what is tuned on it is tuned once for all label delays."""

    life: RecordedLife

    def __hash__(self) -> int:
        return hash(self.life.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.life.name == self.life.name


@dataclass(frozen=True)
class Score:
    """How a policy did over the seeds of a life, meaned over prices and delays; `by_price`: its excess at each."""

    excess: float  # points a batch above the oracle
    updates: float
    joules: float
    quality: float
    least: float
    by_price: tuple[float, ...]


@dataclass(frozen=True)
class Lives:
    """All recorded lives by name, the stream and kind of each, and the least loss at each price and delay."""

    seeds: dict[str, list[RecordedLife]]
    stream: dict[str, str]
    kind: dict[str, str]
    best: dict[tuple[str, float, int], float]

    def score(self, name: str, make: Make) -> Score:
        """The score of a policy on the lives of one name."""
        return self._score(
            name, lambda life, price, delay: replay(life, make(life, price, delay), price=price, delay=delay)
        )

    def dummy(self) -> dict[str, Score]:
        """The score of naming the last label seen, without any model."""

        def lived(life: RecordedLife, _price: float, _delay: int) -> Replay:
            found = last_label(life)
            assert found is not None  # rows are in time order, or in random order
            return found

        return {name: self._score(name, lived) for name in self.seeds}

    def _score(self, name: str, lived: Callable[[RecordedLife, float, int], Replay]) -> Score:
        done: list[tuple[float, float, Replay]] = []
        for life in self.seeds[name]:
            for price in PRICES:
                for delay in DELAYS:
                    each = lived(life, price, delay)
                    done.append((price, each.loss - self.best[life.name, price, delay], each))
        return Score(
            excess=float(np.mean([excess for _, excess, _ in done])),
            updates=float(np.mean([len(each.promoted) + len(each.rejected) for *_, each in done])),
            joules=float(np.mean([each.spent for *_, each in done])),
            quality=float(np.mean([each.mean_quality for *_, each in done])),
            least=float(np.mean([each.least_quality for *_, each in done])),
            by_price=tuple(float(np.mean([e for p, e, _ in done if p == price])) for price in PRICES),
        )

    def one_seed(self, seed: int) -> Lives:
        """The same lives with one of their seeds."""
        seeds = {name: each[seed : seed + 1] for name, each in self.seeds.items() if len(each) > seed}
        return Lives(seeds, self.stream, self.kind, self.best)

    def scores(self, make: Callable[[str], Make]) -> dict[str, Score]:
        """The score on all lives, by name; the policy may depend on which one."""
        return {name: self.score(name, make(name)) for name in self.seeds}

    def tuned(self, each: dict[float, dict[str, Score]]) -> dict[str, Score]:
        """Each life with the parameter that was best on the other streams."""

        def best(name: str) -> float:
            others = [other for other in self.seeds if self.stream[other] != self.stream[name]]
            return min(each, key=lambda value: float(np.mean([each[value][o].excess for o in others])))

        return {name: each[best(name)][name] for name in self.seeds}


def read_lives(folder: Path, seeds: int) -> Lives:
    """The recorded lives, with their oracles."""
    lives = Lives({}, {}, {}, {})
    for name, stream, kind, life in recorded(folder, seeds):
        lives.seeds.setdefault(name, []).append(life)
        lives.stream[name], lives.kind[name] = stream, kind
        for price in PRICES:
            for delay in DELAYS:
                lives.best[life.name, price, delay] = oracle(life, price=price, delay=delay)
    return lives


def all_scores(lives: Lives, folder: Path, learned_seeds: int) -> tuple[dict[str, dict[str, Score]], str]:
    """Scores by policy and life, and how the forecast of the lead did; each policy's are kept in `folder`."""
    rows = rows_of((lives.stream[name], life) for name, seeds in lives.seeds.items() for life in seeds)
    models = {stream: without(rows, stream) for stream in set(lives.stream.values())}
    found = {
        name: kept(folder, name, lambda n=name: lives.scores(lambda _: lambda *_a: get_policy(n)))
        for name in PLAIN
    }
    found["knows the next 8"] = kept(folder, "knows", lambda: lives.scores(lambda _: Knows))
    found[LAST_LABEL] = lives.dummy()
    seeds = max(len(each) for each in lives.seeds.values())
    for name, grid in GRID.items():
        found[name] = kept(folder, name, lambda n=name, g=grid: lives.tuned(scores_on(lives, n, g, models)))
    try:
        names = ["RetrainOpt Base", *(["RetrainOpt Learned"] if learned_seeds else [])]
        for name in names:
            found[name] = by_seed(lives, folder, name, learned_seeds if name.endswith("Learned") else seeds)
    except ImportError:
        print("RetrainOpt is not installed, and left out")
    return found, report(rows)


def by_seed(lives: Lives, folder: Path, name: str, seeds: int) -> dict[str, Score]:
    """The scores of RetrainOpt, Base or Learned, on so many seeds; each seed's are kept, since Learned takes long."""
    make = cache(lambda same, price: RetrainOpt(same.life, price, learned=name.endswith("Learned")))

    def scored(seed: int) -> dict[str, Score]:
        return lives.one_seed(seed).scores(lambda _: lambda life, price, _d: make(Same(life), price))

    found = [kept(folder, f"{name} {seed}", partial(scored, seed)) for seed in range(seeds)]
    return {life: mean_score([each[life] for each in found if life in each]) for life in lives.seeds}


def mean_score(scores: list[Score]) -> Score:
    """The mean of scores of as many replays each."""
    values = {
        key: float(np.mean([getattr(score, key) for score in scores]))
        for key in ("excess", "updates", "joules", "quality", "least")
    }
    by_price = tuple(float(each) for each in np.mean([score.by_price for score in scores], axis=0))
    return Score(**values, by_price=by_price)


def scores_on(
    lives: Lives, name: str, grid: tuple[float, ...], models: dict[str, LeadModel]
) -> dict[float, dict[str, Score]]:
    """The scores of a policy with each parameter."""
    if name == "foresight":
        return {
            value: lives.scores(
                lambda life, v=value: lambda *_a: Foresight(v, model=models[lives.stream[life]])
            )
            for value in grid
        }
    return {
        value: lives.scores(lambda _, text=f"{name}:{value:g}": lambda *_a: get_policy(text))
        for value in grid
    }


def kept(folder: Path, name: str, make: Callable[[], dict[str, Score]]) -> dict[str, Score]:
    """Scores that are kept as they are made, so that scoring goes on where it was stopped."""
    path = folder / f"{name.strip().replace(' ', '_')}.json"
    if path.exists():
        return {
            life: Score(**{**score, "by_price": tuple(score["by_price"])})
            for life, score in json.loads(path.read_text()).items()
        }
    scores = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, ".part") as part:
        part.write(json.dumps({life: asdict(score) for life, score in scores.items()}).encode())
    print(name, file=sys.stderr, flush=True)
    return scores


def table(lives: Lives, found: dict[str, dict[str, Score]]) -> str:
    """Policies, the best first, with an interval over streams (whose lives are drawn together) and price levels."""
    streams = sorted(set(lives.stream.values()))
    draw = np.random.default_rng(0)
    drawn = [
        np.ix_(draw.integers(len(streams), size=len(streams)), draw.integers(len(PRICES), size=len(PRICES)))
        for _ in range(2000)
    ]

    def by_stream(scores: dict[str, Score]) -> np.ndarray:
        return np.array(
            [
                np.mean([s.by_price for n, s in scores.items() if lives.stream[n] == x], axis=0)
                for x in streams
            ]
        )

    ours = by_stream(found["foresight"])
    lines = [
        "| policy | excess | 90 % interval | foresight less it | nothing to win | updates | energy, J | quality "
        "| least |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(found, key=lambda each: by_stream(found[each]).mean()):
        values, scores = by_stream(found[name]), found[name]
        low, high = np.quantile([values[d].mean() for d in drawn], [0.05, 0.95])
        a, b = np.quantile([(ours - values)[d].mean() for d in drawn], [0.05, 0.95])
        still = np.mean([s.excess for n, s in scores.items() if lives.kind[n] == "none"])
        rest = [
            np.mean([getattr(s, key) for s in scores.values()])
            for key in ("updates", "joules", "quality", "least")
        ]
        paired = "" if name == "foresight" else f"{(ours - values).mean():+.1f} ({a:+.1f} … {b:+.1f})"
        lines.append(
            f"| {name} | {values.mean():.2f} | {low:.2f} … {high:.2f} | {paired} | {still:.2f} "
            f"| {rest[0]:.1f} | {rest[1]:.2f} | {rest[2]:.3f} | {rest[3]:.3f} |"
        )
    return "\n".join(lines)


def prices_table(found: dict[str, dict[str, Score]]) -> str:
    """Excess by price level of the policies that weigh a cost, and the dummies."""
    lines = [
        "| policy | " + " | ".join(f"{price:g}" for price in PRICES) + " |",
        "|---" + "|--:" * len(PRICES) + "|",
    ]
    for name in (
        "knows the next 8",
        "foresight",
        "rent",
        "upf",
        "cara",
        "periodic",
        "keep",
        "every",
        LAST_LABEL,
    ):
        values = np.mean([score.by_price for score in found[name].values()], axis=0)
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return "\n".join(lines)


def streams_table(lives: Lives, found: dict[str, dict[str, Score]]) -> str:
    """Excess by stream, meaned over its lives, prices and delays; the stream first where foresight loses most."""
    names = ("foresight", "rent", "cara", "RetrainOpt Base", "RetrainOpt Learned", "keep", "knows the next 8")
    rows = {}
    for stream in set(lives.stream.values()):
        rows[stream] = [
            float(np.mean([s.excess for life, s in found[name].items() if lives.stream[life] == stream]))
            for name in names
            if name in found
        ]
    lines = [
        "| stream | " + " | ".join(name for name in names if name in found) + " |",
        "|---" + "|--:" * sum(name in found for name in names) + "|",
    ]
    for stream, values in sorted(rows.items(), key=lambda each: -each[1][0]):
        lines.append(f"| {stream} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return "\n".join(lines)


def write(lives: Lives, found: dict[str, dict[str, Score]], text: str) -> None:
    """Scores as JSON, and the tables between the marks of docs/life.md."""
    content = {
        "lives": {
            n: {"stream": lives.stream[n], "kind": lives.kind[n], "seeds": len(s)}
            for n, s in lives.seeds.items()
        },
        "scores": {name: {life: asdict(s) for life, s in each.items()} for name, each in found.items()},
    }
    (RESULTS / "lives.json").write_text(json.dumps(_short(content), separators=(",", ":")) + "\n")
    replace_block(ROOT / "docs" / "life.md", "lives", text)


def _short(value: object) -> object:
    """Numbers with four decimals: the last of them are noise, and the file is read by people."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, (list, tuple)) else value


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the records are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--learned-seeds", type=int, default=3, help="of RetrainOpt Learned, which takes half of the time"
    )
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    lives = read_lives(chosen.folder, chosen.seeds)
    found, forecast = all_scores(lives, chosen.folder / f"scores-{chosen.seeds}", chosen.learned_seeds)
    records = sum(len(seeds) for seeds in lives.seeds.values())
    said = (
        f"{records} records of {len(lives.seeds)} lives from {len(set(lives.stream.values()))} streams, "
        f"{platform.machine()}, {date.today()}."
    )
    text = "\n\n".join(
        (
            table(lives, found),
            "Excess by price (points of one batch that a mean update is worth):",
            prices_table(found),
            "Excess by stream:",
            streams_table(lives, found),
            "The forecast of the lead, each stream left out in turn:",
            forecast,
            said,
        )
    )
    print(text)
    if chosen.write:
        write(lives, found, text)


if __name__ == "__main__":
    main()
