"""The laws of a policy."""

from __future__ import annotations

import numpy as np

from foretoll.decide.policies import Policy, Spending
from foretoll.decide.timeline import Timeline
from foretoll.records import Decision, Offer, ServedBatch
from foretoll.testing.laws import hold

LIVES = 25
DELAY = 1


def check_policy(policy: Policy, *, seed: int = 0) -> None:
    """Check that a policy keeps the contract of `foretoll.decide.policies.Policy`, on lives drawn from `seed`.

    1. It has a name and a title.
    2. It is blind to the future, and to labels that have not arrived: what comes later changes no decision.
    3. It has no state: asked again, and in another order, it decides the same.
    4. It updates by an option that was offered, whose upper end of cost the budget still bears.
    5. Worth, costs and budget times one number give the same decision; a worth of 0, and a model that has served
       nothing yet, give keep.
    6. One that weighs gain and cost updates wherever an update is free and wins something, and nowhere else.

    Raises:
        ContractError: a law is broken.

    """
    hold(isinstance(policy, Policy), f"{policy!r} is no foretoll.decide.policies.Policy: make it a subclass")
    name = policy.name
    named = bool(name) and not set("?&=: ") & set(name) and str(policy).startswith(name)
    hold(named, f"{name!r} is no name: use letters, digits and -, and begin str(policy) with it")
    hold(bool(policy.title), f"{name} has no title")
    random = np.random.default_rng(seed)
    asked: list[tuple[_Life, Decision]] = []
    for _ in range(LIVES):
        life = _Life(random)
        found = life.asked(policy)
        asked.append((life, found))
        hold(
            life.other_future().asked(policy) == found,
            f"{name}: what comes after a batch changes what it decided",
        )
        late = life.other_labels().asked(policy)
        hold(late == found, f"{name}: labels that have not arrived change what it decides")
        if found.action == "update":
            borne = {offer.option for offer in life.offers if offer.cost_high <= life.spending.left}
            hold(
                found.option in borne, f"{name}: it updates by {found.option}, which the budget does not bear"
            )
        scaled = life.asked(policy, times=4.0)
        same = (scaled.action, scaled.option) == (found.action, found.option)
        hold(same, f"{name}: worth, costs and budget times 4 give another decision")
        worthless = life.asked(policy, worth=0.0)
        hold(worthless.action == "keep", f"{name}: it updates where a right answer is worth nothing")
        if policy.weighs:
            wins, loses = (life.with_lead(lead).asked(policy, times=0.0) for lead in (0.3, -0.3))
            hold(wins.action == "update", f"{name}: it leaves out what costs nothing and wins something")
            hold(loses.action == "keep", f"{name}: it makes an update that wins nothing")
    for life, found in reversed(asked):
        hold(life.asked(policy) == found, f"{name}: asked again it decides something else: it has a state")
    empty = Timeline((), ()).view(0, _offers(random), worth=1.0)
    hold(policy.decide(empty).action == "keep", f"{name}: it updates a model that has served nothing yet")


class _Life:
    """Batches of which those up to `now` were served, with labels that arrive one batch late."""

    def __init__(self, random: np.random.Generator) -> None:
        self.batches = [_batch(random, number) for number in range(int(random.integers(3, 14)))]
        self.now = int(random.integers(1, len(self.batches)))
        self.offers = _offers(random)
        self.spending = Spending(100.0, float(random.uniform(0, 100)), (self.now + 1) / len(self.batches))
        self._random = random

    def asked(self, policy: Policy, *, worth: float = 1.0, times: float = 1.0) -> Decision:
        """What the policy decides after batch `now`, with costs (and what they are weighed against) times a number."""
        offers = [
            offer.model_copy(update={"cost": offer.cost * times, "cost_high": offer.cost_high * times})
            for offer in self.offers
        ]
        spending = Spending(self.spending.budget * times, self.spending.spent * times, self.spending.gone)
        view = Timeline.delayed(self.batches, DELAY).view(
            self.now, offers, worth=worth * (times or 1.0), start=0.9, spending=spending
        )
        return policy.decide(view)

    def other_future(self) -> _Life:
        """Other batches after `now`."""
        later = [_batch(self._random, number) for number in range(self.now + 1, self.now + 4)]
        return self._with([*self.batches[: self.now + 1], *later])

    def other_labels(self) -> _Life:
        """Other labels of the batches whose labels have not arrived."""
        known = self.now - DELAY
        return self._with([b if b.number <= known else _relabelled(b) for b in self.batches])

    def with_lead(self, lead: float) -> _Life:
        """The same lead, well measured, in every batch."""
        return self._with([b.model_copy(update={"lead": lead, "lead_error": 0.005}) for b in self.batches])

    def _with(self, batches: list[ServedBatch]) -> _Life:
        other = object.__new__(_Life)
        other.__dict__.update(self.__dict__, batches=batches)
        return other


def _relabelled(batch: ServedBatch) -> ServedBatch:
    return batch.model_copy(update={"quality": 1 - (batch.quality or 0), "lead": -(batch.lead or 0)})


def _batch(random: np.random.Generator, number: int) -> ServedBatch:
    samples = int(random.integers(1, 500))
    return ServedBatch(
        name=f"b{number}-{random.integers(10**9)}",
        number=number,
        samples=samples,
        labelled=samples,
        quality=float(random.uniform()),
        lead=float(random.uniform(-0.5, 0.5)),
        lead_error=float(random.uniform(0.001, 0.2)),
        confidence=float(random.uniform()),
        ks=float(random.uniform()),
        psi=float(random.uniform(0, 2)),
    )


def _offers(random: np.random.Generator) -> list[Offer]:
    found = []
    for option in ("first", "second", "third")[: int(random.integers(1, 4))]:
        cost = float(random.uniform(0.1, 100))
        high = cost * (1 + float(random.uniform(0, 3)))
        found.append(Offer(option=option, cost=cost, cost_high=high, share=float(random.uniform(0.1, 1))))
    return found
