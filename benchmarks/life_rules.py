"""Other rules than that of `foresight` on the lives of `lives.py`, each chosen on the other streams.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_rules.py --folder DIR

A rule updates where the forecast lead, lowered by `z` of the way to its lower end, pays the update back within `ahead`
batches, and what was lost since the last update, at a lower bound of `doubt` standard errors, has come up to the cost
times (`least` + `rising` × cost in batches of right answers). With least 1 and the others 0 it is `foresight`. What is
known of a served model at a time is worked out once for all rules and prices, so that a rule takes half a second. The
second table has the look-ahead of `foresight` alone, on all seeds and on those that its default was not chosen on.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foretoll.decide.policies.base import View, recent_lead
from foretoll.decide.policies.foresight import ONLY_HEAD
from foretoll.decide.policies.rent import avoidable_loss
from foretoll.decide.replay import FIRST, Possible, RecordedLife, oracle, worth_at
from foretoll.decide.timeline import OF_LABELS
from foretoll.forecast.lead import LeadForecast, LeadModel, lead_features
from life_leads import rows_of, without
from life_records import recorded
from lives import DELAYS, PRICES

DOUBTS = (1.0, 2.0)
AHEADS = (4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0)  # of foresight


class Rule(NamedTuple):
    """See above."""

    ahead: float
    least: float = 1.0
    rising: float = 0.0
    z: float = 0.0
    doubt: float = 1.0


RULES = tuple(
    Rule(*each)
    for each in itertools.product(
        (6.0, 8.0, 12.0), (0.5, 1.0), (0.0, 0.5, 1.0, 2.0, 4.0), (0.0, 0.2, 0.4), DOUBTS
    )
)


class Known(NamedTuple):
    """What is known of a served model at a time, where a lead was measured."""

    lead: float
    samples: float  # of a batch
    lost: dict[float, float]  # answers, by doubt
    forecasts: dict[bool, LeadForecast]  # by whether the head alone is updated
    last: int  # batch whose labels came last


@dataclass
class Lived:
    """A recorded life, with the forecast that was learned without its stream, and what is known at any time."""

    stream: str
    life: RecordedLife
    model: LeadModel
    states: dict[tuple[str, int, int, int, int], Known | None] = field(default_factory=dict)

    def known(self, served: Possible, begin: int, now: int, delay: int) -> Known | None:
        """Of a model that serves since a batch; None where no lead was measured, or it is none."""
        key = (served.option, served.last, begin, now, delay)
        if key not in self.states:
            self.states[key] = self._known(served, begin, now, delay)
        return self.states[key]

    def _known(self, served: Possible, begin: int, now: int, delay: int) -> Known | None:
        since = tuple(
            served.served[j] if j + delay <= now else served.served[j].model_copy(update=OF_LABELS)
            for j in range(begin, now + 1)
        )
        view = View(since, (), worth=1.0)
        lead = recent_lead(view.measured[-view.window :])
        if not view.measured or lead <= 0:
            return None
        start = self.life.start if served.last == FIRST else None
        forecasts = {}
        for only_head in (False, True):
            features = lead_features(since, start, only_head=only_head)
            assert features is not None  # a lead was measured
            forecasts[only_head] = self.model(features)
        lost = {doubt: avoidable_loss(view, doubt) for doubt in DOUBTS}
        samples = sum(batch.samples for batch in since) / len(since)
        return Known(lead, samples, lost, forecasts, view.measured[-1].number)

    def loss(self, rule: Rule, price: float, delay: int) -> float:
        """Points a batch that are lost under a rule."""
        life, worth = self.life, worth_at(self.life, price)
        served, begin, tried, promoted, spent, wrong = life.first, 0, -1, -1, 0.0, 0.0
        costs: dict[str, list[float]] = {}
        for now in range(life.batches):
            batch = served.served[now]
            wrong += (1 - (batch.quality or 0.0)) * batch.samples
            known = None if now < begin or now == life.batches - 1 else self.known(served, begin, now, delay)
            if known is None or (tried > promoted and known.last <= tried):
                continue
            best: tuple[float, float, Possible] | None = None
            for option, update in life.available(now, delay).items():
                cost = float(np.mean(costs.get(option, [update.cost]))) / worth  # in right answers
                found = known.forecasts[option == ONLY_HEAD]
                lead = max(found.value - rule.z * (found.value - found.low), 0.0)
                gain = lead * known.samples * rule.ahead - cost
                if update is not served and gain >= 0 and (best is None or gain > best[0]):
                    best = gain, cost, update
            if best is None:
                continue
            _, cost, update = best
            if not known.lost[rule.doubt] >= max(
                cost * (rule.least + rule.rising * cost / known.samples), 1e-12
            ):
                continue
            spent, tried = spent + update.cost, now
            costs.setdefault(update.option, []).append(update.cost)
            if update.gate.get(served.last, True):
                served, begin, promoted = update, now + 1, now
        return (wrong + spent / worth) / life.mean_samples / life.batches * 100


def main() -> None:
    """Score all rules, and choose by the other streams."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the records are")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    recordings = [(stream, life) for _, stream, _, life in recorded(chosen.folder, chosen.seeds)]
    rows = rows_of(recordings)
    streams = sorted({stream for stream, _ in recordings})
    models = {stream: without(rows, stream) for stream in streams}
    lives = [Lived(stream, life, models[stream]) for stream, life in recordings]
    cases = list(itertools.product(PRICES, DELAYS))
    least = np.array([[oracle(each.life, price=p, delay=d) for p, d in cases] for each in lives])
    where = np.array([streams.index(each.stream) for each in lives])
    excess = np.empty((len(RULES), len(streams), len(PRICES)))
    for i, rule in enumerate(RULES):
        lost = np.array([[each.loss(rule, p, d) for p, d in cases] for each in lives]) - least
        excess[i] = by_stream(lost, where)
    means = excess.mean(-1)
    best = [int(np.delete(means, j, axis=1).mean(1).argmin()) for j in range(len(streams))]
    held = np.array([excess[i, j] for j, i in enumerate(best)])
    print("| rule | excess | rule chosen on the other streams, less it |\n|---|--:|--:|")
    print(f"| chosen on the other streams | {held.mean():.2f} | |")
    for rule in (Rule(8.0), Rule(12.0)):
        other = excess[RULES.index(rule)]
        print(f"| `foresight:{rule.ahead:g}` | {other.mean():.2f} | {paired(held - other)} |")
    i = int(means.mean(1).argmin())
    print(f"| the best of {len(RULES)} in hindsight: {RULES[i]} | {means[i].mean():.2f} | |", flush=True)
    print("\n" + aheads_table(lives, least, streams, cases))


def by_stream(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Means over the lives of each stream and over label delays: (streams, prices) of (lives, prices × delays)."""
    by_price = values.reshape(len(values), len(PRICES), len(DELAYS)).mean(-1)
    return np.array([by_price[where == j].mean(0) for j in range(int(where.max()) + 1)])


def paired(difference: np.ndarray) -> str:
    """The mean of a difference (streams, prices), with a 90 % interval over streams and prices, drawn together."""
    draw = np.random.default_rng(0)
    n, m = difference.shape
    drawn = [
        difference[np.ix_(draw.integers(n, size=n), draw.integers(m, size=m))].mean() for _ in range(2000)
    ]
    low, high = np.quantile(drawn, [0.05, 0.95])
    return f"{difference.mean():+.2f} ({low:+.2f} … {high:+.2f})"


def aheads_table(
    lives: list[Lived], least: np.ndarray, streams: list[str], cases: list[tuple[float, int]]
) -> str:
    """The look-ahead of `foresight`: each less 12, and that which is best on the other streams less 12."""
    lost = {
        a: np.array([[each.loss(Rule(a), p, d) for p, d in cases] for each in lives]) - least for a in AHEADS
    }
    later = np.array([not each.life.name.endswith("/0") for each in lives])
    where = np.array([streams.index(each.stream) for each in lives])
    lines = [
        "| look-ahead, batches | excess, all seeds | less 12 | excess, later seeds | less 12 |",
        "|---|--:|--:|--:|--:|",
    ]
    found: dict[str, list[np.ndarray]] = {}
    for kept in (np.ones_like(later), later):
        excess = {a: by_stream(values[kept], where[kept]) for a, values in lost.items()}
        for a, values in excess.items():
            found.setdefault(f"{a:g}", []).append(values)
        best = [
            min(AHEADS, key=lambda a: float(np.delete(excess[a], j, axis=0).mean()))
            for j in range(len(streams))
        ]
        title = "best on the other streams"
        found.setdefault(title, []).append(np.array([excess[a][j] for j, a in enumerate(best)]))
    for name, both in found.items():
        cells = [
            f"{values.mean():.2f} | {paired(values - base)}"
            for values, base in zip(both, found["12"], strict=True)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
