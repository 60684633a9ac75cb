"""Lives lived over: what a policy would have done on recorded batches, what that cost, and the best there was.

All updates start from the first model, so that what happened on a batch depends on which update was in service alone:
every possible update is carried out once, and any policy, price and label delay is replayed on the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foretoll.decide.policies.base import WINDOW, Policy, Spending
from foretoll.decide.timeline import Timeline
from foretoll.errors import UsageError
from foretoll.records import ANSWERS, Decision, Offer, ServedBatch, ServedMetric

LAST_LABEL = "last label"
FIRST = -1  # the model that was deployed at the start


@dataclass(frozen=True)
class Possible:
    """One update that could have been made: of the window that ends with batch `last`, by one option.

    served: what its model does on each later batch, by number. cost: what it took, in the unit of the prices. gate:
    whether it beat another model on labelled rows kept out of its training, by the number of that one (the `last` of
    an update, or FIRST).
    """

    last: int
    option: str
    cost: float
    served: Mapping[int, ServedBatch]
    gate: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordedLife:
    """All that could have happened: batches 0 … n − 1 under the first model and under every possible update."""

    name: str
    first: Possible
    updates: tuple[Possible, ...]
    start: float | None = None  # quality of the first model when it was deployed
    metric: ServedMetric = ANSWERS  # in what qualities and leads are

    def __post_init__(self) -> None:
        numbers = sorted(self.first.served)
        if numbers != list(range(len(numbers))) or not numbers:
            raise UsageError(
                f"the life {self.name} has the batches {numbers[:5]} …: number them from 0, without a gap"
            )
        for update in self.updates:
            missing = set(range(update.last + 1, len(numbers))) - set(update.served)
            if missing:
                raise UsageError(
                    f"the update after batch {update.last} of {self.name} says nothing of {min(missing)}"
                )

    @property
    def batches(self) -> int:
        """How many batches were served."""
        return len(self.first.served)

    @property
    def mean_cost(self) -> float:
        """Mean cost of the possible updates; 0 where there is none."""
        return sum(u.cost for u in self.updates) / len(self.updates) if self.updates else 0.0

    @property
    def mean_samples(self) -> float:
        """Mean samples of a batch."""
        return sum(b.samples for b in self.first.served.values()) / self.batches

    def available(self, now: int, delay: int) -> dict[str, Possible]:
        """The newest update of each option that can be made after batch `now`: of labels that were there."""
        found: dict[str, Possible] = {}
        for update in self.updates:
            newer = update.option not in found or update.last > found[update.option].last
            if update.last + delay <= now and newer:
                found[update.option] = update
        return found


@dataclass(frozen=True)
class Replay:
    """What one policy did over a life; losses in points a batch.

    A point is a hundredth of what a trivial model loses against a perfect one: of accuracy, a share of answers × 100.
    """

    policy: str
    qualities: tuple[float, ...]  # served, by batch
    decisions: tuple[Decision, ...]
    promoted: tuple[int, ...]  # batches after which an update went into service
    rejected: tuple[int, ...]
    spent: float  # of all updates, promoted or not, in the unit of the prices
    loss: float  # points a batch: wrong answers, and updates at their price
    metric: ServedMetric = ANSWERS

    @property
    def mean_quality(self) -> float:
        """Mean over the batches."""
        return sum(self.qualities) / len(self.qualities)

    @property
    def least_quality(self) -> float:
        """The worst batch."""
        return self.metric.worse(*self.qualities)

    def share_under(self, floor: float) -> float:
        """Share of the batches that were served worse than `floor`."""
        return sum(not self.metric.scale.meets(q, floor) for q in self.qualities) / len(self.qualities)


def worth_at(life: RecordedLife, price: float) -> float:
    """The worth of a right answer at which a mean update costs `price` points of accuracy on one mean batch.

    Of a metric with a unit that of one unit on one sample.
    """
    if not price > 0:
        raise UsageError(f"a price of {price:g} points makes updates free: give more than 0")
    return life.mean_cost / (price / 100 * life.metric.unit * life.mean_samples)


def replay(
    life: RecordedLife,
    policy: Policy,
    *,
    price: float,
    delay: int = 0,
    window: int = WINDOW,
    budget: float | None = None,
) -> Replay:
    """Live a life under a policy, where a mean update is worth `price` points on one batch, labels `delay` late.

    `budget`: the most that all updates may cost, in the unit of their costs; it is kept by what they really cost, since
    an offer's upper end is the dearest update so far known.
    """
    worth = worth_at(life, price)
    served: list[ServedBatch] = []
    decisions: list[Decision] = []
    promoted: list[int] = []
    tried: list[int] = []
    known_costs: dict[str, list[float]] = {}
    current, spent = life.first, 0.0
    for now in range(life.batches):
        served.append(current.served[now])
        there = {name: each for name, each in life.available(now, delay).items() if each is not current}
        offers = [_offer(option, update, known_costs.get(option, [])) for option, update in there.items()]
        spending = None if budget is None else Spending(budget, spent, (now + 1) / life.batches)
        view = Timeline.delayed(served, delay).view(
            now,
            offers,
            worth=worth,
            updated=promoted,
            tried=tried,
            start=life.start,
            spending=spending,
            window=window,
            served=life.metric,
        )
        decision = policy.decide(view)
        decisions.append(decision)
        if decision.option is None or now == life.batches - 1:  # after the last batch nothing is served
            continue
        update = there[decision.option]
        if budget is not None and spent + update.cost > budget:
            continue  # it is stopped when the budget is spent, and was not carried out to its end
        spent += update.cost
        known_costs.setdefault(decision.option, []).append(update.cost)
        tried.append(now)
        if update.gate.get(current.last, True):
            promoted.append(now)
            current = update
    qualities = tuple(batch.quality or 0.0 for batch in served)
    return Replay(
        policy=str(policy),
        qualities=qualities,
        decisions=tuple(decisions),
        promoted=tuple(promoted),
        rejected=tuple(n for n in tried if n not in promoted),
        spent=spent,
        loss=_wrong(life, qualities)
        + spent / worth / life.metric.unit / life.mean_samples / life.batches * 100,
        metric=life.metric,
    )


def last_label(life: RecordedLife) -> Replay | None:
    """What naming the last label seen would have served, without any model; None where a batch does not tell.

    It takes each label as known when the next sample is served, which no policy does.
    """
    qualities = tuple(life.first.served[j].last_label for j in range(life.batches))
    known = tuple(quality for quality in qualities if quality is not None)
    if len(known) < len(qualities):
        return None
    return Replay(LAST_LABEL, known, (), (), (), 0.0, _wrong(life, known), life.metric)


def _wrong(life: RecordedLife, qualities: Sequence[float]) -> float:
    """Wrong answers in points a batch."""
    wrong = sum(
        life.metric.loss(quality) * life.first.served[j].samples for j, quality in enumerate(qualities)
    )
    return wrong / life.metric.unit / life.mean_samples / life.batches * 100


def _offer(option: str, update: Possible, before: Sequence[float]) -> Offer:
    """What is known of an update's cost before it is made: that of earlier ones; of the first, its own estimate."""
    cost = float(np.mean(before)) if before else update.cost
    return Offer(option=option, cost=cost, cost_high=max([cost, *before]) * (1.0 if before else 1.5))


def oracle(life: RecordedLife, *, price: float, delay: int = 0) -> float:
    """The least loss (points a batch) of all schedules, in hindsight; every update may be promoted."""
    worth = worth_at(life, price)

    def lost(update: Possible, number: int) -> float:
        batch = update.served[number]
        return life.metric.loss(batch.quality or 0.0) * batch.samples

    best: dict[tuple[int, str], tuple[float, Possible]] = {(FIRST, ""): (0.0, life.first)}
    for now in range(life.batches):
        best = {key: (cost + lost(update, now), update) for key, (cost, update) in best.items()}
        cheapest = min(cost for cost, _ in best.values())
        for option, update in life.available(now, delay).items():
            made = (cheapest + update.cost / worth, update)
            best[update.last, option] = min(
                best.get((update.last, option), made), made, key=lambda each: each[0]
            )
    return min(cost for cost, _ in best.values()) / life.metric.unit / life.mean_samples / life.batches * 100
