"""Replays of recorded lives: the oracle against all schedules, laws of a replay, budgets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.decide.policies import POLICIES, get_policy
from foretoll.decide.replay import FIRST, Possible, RecordedLife, oracle, replay, worth_at
from foretoll.errors import UsageError
from foretoll.records import ServedBatch


def _served(name: str, number: int, quality: float, lead: float, samples: int = 100) -> ServedBatch:
    return ServedBatch(
        name=f"{name}{number}",
        number=number,
        samples=samples,
        labelled=samples,
        quality=quality,
        lead=lead,
        lead_error=0.01,
        confidence=quality,
        ks=1 - quality,
        psi=1 - quality,
    )


def make_life(
    count: int, seed: int, *, options: tuple[str, ...] = ("finetune",), drift: float = 0.1
) -> RecordedLife:
    """A made life whose first model loses `drift` a batch; an update is as good as new and ages in the same way."""
    draw = np.random.default_rng(seed)

    def quality(age: int, best: float) -> float:
        return float(np.clip(best - drift * age + draw.normal(0, 0.02), 0, 1))

    first = {}
    for j in range(count):
        q = quality(j, 0.9)
        first[j] = _served("b", j, q, 0.9 - q)
    updates = []
    for m, option in itertools.product(range(count - 1), options):
        best = 0.9 if option == "finetune" else 0.85
        served = {}
        for j in range(m + 1, count):
            q = quality(j - m - 1, best)
            served[j] = _served("b", j, q, 0.9 - q)
        cost = float(draw.uniform(0.8, 1.2)) * (10 if option == "finetune" else 3)
        updates.append(Possible(m, option, cost, served))
    return RecordedLife(f"made {seed}", Possible(FIRST, "", 0.0, first), tuple(updates), start=0.9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 5), st.sampled_from([1.0, 10.0, 50.0, 300.0]), st.integers(0, 2))
def test_the_oracle_is_the_best_of_all_schedules(count: int, seed: int, price: float, delay: int) -> None:
    life = make_life(count, seed, options=("finetune", "head"))
    worth = worth_at(life, price)
    by = {(u.last, u.option): u for u in life.updates}
    least = math.inf
    for schedule in itertools.product([None, "finetune", "head"], repeat=count):
        current, total, valid = life.first, 0.0, True
        for now, option in enumerate(schedule):
            batch = current.served[now]
            total += (1 - (batch.quality or 0)) * batch.samples
            if option is None:
                continue
            update = by.get((now - delay, option))
            if update is None:
                valid = now - delay >= count - 1  # after the last batch nothing is served any more
                break
            current, total = update, total + update.cost / worth
        if valid:
            least = min(least, total)
    assert oracle(life, price=price, delay=delay) == pytest.approx(least / life.mean_samples / count * 100)


@pytest.mark.parametrize("name", sorted(POLICIES))
@settings(max_examples=15, deadline=None)
@given(st.integers(3, 12), st.integers(0, 5), st.sampled_from([1.0, 30.0, 300.0]), st.integers(0, 3))
def test_no_policy_beats_the_oracle_and_each_says_the_same_again(name, count, seed, price, delay) -> None:  # type: ignore[no-untyped-def]
    life = make_life(count, seed, options=("finetune", "head"))
    done = replay(life, get_policy(name), price=price, delay=delay)
    assert done.loss >= oracle(life, price=price, delay=delay) - 1e-9
    assert done == replay(life, get_policy(name), price=price, delay=delay)
    assert len(done.qualities) == len(done.decisions) == count
    by = {(u.last, u.option): u.cost for u in life.updates}
    made = [by.get((n - delay, d.option or "")) for n, d in enumerate(done.decisions[:-1])]
    assert done.spent == pytest.approx(sum(cost for cost in made if cost is not None))


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_what_comes_later_changes_no_decision(name: str) -> None:
    one, other = make_life(10, 0), make_life(10, 1)
    mixed_first = {j: (one if j < 5 else other).first.served[j] for j in range(10)}
    mixed = [
        Possible(
            a.last,
            a.option,
            a.cost if a.last < 5 else b.cost,
            {j: (a if j < 5 else b).served[j] for j in a.served},
        )
        for a, b in zip(one.updates, other.updates, strict=True)
    ]
    life = RecordedLife("mixed", Possible(FIRST, "", 0.0, mixed_first), tuple(mixed), start=0.9)
    # the price is set by the mean cost, of all updates: the worth is given alike
    price = 20.0
    same = price * life.mean_cost / one.mean_cost
    before = replay(one, get_policy(name), price=price).decisions[:5]
    after = replay(life, get_policy(name), price=same * one.mean_samples / life.mean_samples).decisions[:5]
    assert [d.action for d in before] == [d.action for d in after]


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
def test_the_budget_is_kept_by_what_was_really_spent(name: str, share: float) -> None:
    life = make_life(14, 3, options=("finetune", "head"))
    budget = share * sum(u.cost for u in life.updates if u.option == "finetune")
    assert replay(life, get_policy(name), price=5.0, budget=budget).spent <= budget


def test_never_and_every_are_the_ends() -> None:
    life = make_life(10, 0)
    never, every = (replay(life, get_policy(name), price=5.0) for name in ("keep", "every"))
    assert never.spent == 0 and never.promoted == () and never.mean_quality < every.mean_quality
    assert every.promoted == tuple(range(9)) and every.least_quality >= never.least_quality
    assert never.share_under(0.5) > every.share_under(0.5) == 0


def test_an_update_that_fails_the_gate_is_paid_and_not_served() -> None:
    life = make_life(6, 0)
    gated = RecordedLife(
        "gated",
        life.first,
        tuple(Possible(u.last, u.option, u.cost, u.served, {FIRST: False}) for u in life.updates),
    )
    done = replay(gated, get_policy("every"), price=5.0)
    assert done.promoted == () and done.rejected and done.spent > 0
    assert done.qualities == replay(life, get_policy("keep"), price=5.0).qualities


def test_rent_is_near_the_oracle_on_a_life_that_drifts_steadily() -> None:
    prices = [5.0, 20.0, 100.0]
    for seed in range(3):
        life = make_life(30, seed, drift=0.05)
        best = sum(oracle(life, price=p) for p in prices)
        rent, never = (
            sum(replay(life, get_policy(n), price=p).loss for p in prices) - best for n in ("rent", "keep")
        )
        assert 0 <= rent < 0.25 * never


def test_bad_lives_are_refused() -> None:
    life = make_life(4, 0)
    with pytest.raises(UsageError, match="free"):
        worth_at(life, 0)
    with pytest.raises(UsageError, match="without a gap"):
        RecordedLife("x", Possible(FIRST, "", 0.0, {1: life.first.served[1]}), ())
    with pytest.raises(UsageError, match="says nothing of 3"):
        RecordedLife(
            "x", life.first, (Possible(0, "head", 1.0, {1: life.first.served[1], 2: life.first.served[2]}),)
        )
