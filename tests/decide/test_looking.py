"""What watching may take: the bound holds for any costs, and the cost of a look is told from looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.decide.looking import LEAST, estimate_too_dear, left_for_looks, look_cost, samples_to_look_at
from foretoll.decide.offers import bounded_offers, looked_at
from foretoll.records import (
    Continual,
    LifeCard,
    LifeEvent,
    Looking,
    Offer,
    ServedBatch,
    Toll,
    TrainingSettings,
)
from foretoll.workflows.life_terms import said_looking

BEGIN = datetime(2026, 12, 1, tzinfo=UTC)


def _card(**said: object) -> LifeCard:
    """What a card says of looks; the rest of it is not read."""
    given = {
        "look": 1000,
        "watch_share": 0.05,
        "skip_looks": False,
        "window": 8,
        "cost": "energy_kwh",
        "options": ("finetune",),
        "settings": TrainingSettings(max_epochs=4),
        "continual": Continual(),
        **said,
    }
    return cast(LifeCard, SimpleNamespace(**given))


class _Told:
    """A life as its events tell it: a look takes `fixed` and `a_sample` kWh a sample, with its labels a tenth more."""

    def __init__(self, card: LifeCard, fixed: float, a_sample: float, samples: int = 2000) -> None:
        self.card, self.fixed, self.a_sample, self.samples = card, fixed, a_sample, samples
        self.events: list[LifeEvent] = []
        self.looked: list[int] = []

    def add(self, kind: str, key: str, **known: object) -> None:
        at = BEGIN + timedelta(hours=len(self.events))
        found = {"number": len(self.events), "kind": kind, "key": key, "at": at, **known}
        self.events.append(LifeEvent.model_validate(found))

    def serve(self) -> None:
        count = samples_to_look_at(self.card, self.events, self.samples)
        number = len(self.looked)
        batch = ServedBatch(name=f"b{number}", number=number, samples=self.samples, looked=count)
        self.looked.append(count)
        spent = Toll(energy_kwh=self.fixed + self.a_sample * count, duration_s=1.0) if count else None
        self.add("look", batch.name, served=batch, spent=spent)
        known = batch.model_copy(update={"labelled": count, "quality": 0.9 if count else None})
        self.add(
            "labels", batch.name, served=known, spent=Toll(energy_kwh=self.fixed / 10) if count else None
        )

    def update(self, cost: float) -> None:
        self.add("update", f"u{len(self.events)}", promoted=True, spent=Toll(energy_kwh=cost))

    def watched(self) -> float:
        """What looks and labels took."""
        watching = [e.spent for e in self.events if e.kind in ("look", "labels") and e.spent]
        return sum(each.energy_kwh or 0.0 for each in watching)


costs = st.floats(1e-9, 1e-3)


@settings(max_examples=60, deadline=None)
@given(costs, costs, st.floats(1e-6, 10.0), st.booleans(), st.integers(1, 6), st.integers(1, 9))
def test_watching_takes_its_share_and_the_least_looks(
    fixed: float, a_sample: float, update: float, skip: bool, window: int, between: int
) -> None:
    """All looks after the first update, but those at the least samples, keep below the share of what updates take."""
    life = _Told(_card(skip_looks=skip, window=window), fixed, a_sample)
    for _ in range(3):
        life.serve()
    began, forced = life.watched(), 0.0
    for number in range(40):
        if number % between == 0:
            life.update(update)
        left = left_for_looks(life.card, life.events, "energy_kwh")
        assert left is not None
        before = life.watched()
        life.serve()
        took = life.watched() - before
        if life.looked[-1] <= LEAST and took > left:
            forced += took
    made = sum(e.spent.energy_kwh or 0.0 for e in life.events if e.kind == "update" and e.spent)
    assert life.watched() <= max(0.05 * (made + update), began) * (1 + 1e-9) + forced
    if skip:
        gaps = "".join("x" if each else "." for each in life.looked)
        assert "." * window not in gaps, "of `window` batches one is looked at"
    else:
        assert min(life.looked) >= LEAST


def test_where_updates_are_dear_all_that_may_be_looked_at_is() -> None:
    life = _Told(_card(), 1e-6, 1e-8)
    for _ in range(4):
        life.update(1.0)
        life.serve()
    assert life.looked == [1000] * 4
    assert samples_to_look_at(life.card, life.events, 300) == 300
    assert samples_to_look_at(_card(watch_share=0.0, look=0), life.events, 5000) == 5000


def test_before_labels_came_nothing_bounds_a_look_and_then_what_looks_took() -> None:
    life = _Told(_card(), 0.0, 1e-6)
    assert left_for_looks(life.card, life.events, "energy_kwh") is None
    life.serve()
    assert life.looked == [1000]
    (bound,) = bounded_offers(life.card, life.events)
    left = left_for_looks(life.card, life.events, "energy_kwh")
    assert left == pytest.approx(0.05 * bound.cost_high - life.watched())
    life.add(
        "offers",
        "o",
        offers=(Offer(option="finetune", cost=9, cost_high=9, energy_kwh=9),),
        spent=Toll(energy_kwh=0.1),
    )
    assert left_for_looks(life.card, life.events, "energy_kwh") == pytest.approx(0.45 - life.watched() - 0.1)


def test_a_look_costs_what_looks_of_other_sizes_say() -> None:
    life = _Told(_card(watch_share=0.0), 3e-6, 2e-8)
    life.serve()
    only = look_cost(life.card, life.events, "energy_kwh")
    assert only is not None and only.only == 1000 and only.of(1000) == pytest.approx(life.watched())
    life.samples = 400
    life.serve()
    found = look_cost(life.card, life.events, "energy_kwh")
    assert found is not None and found.only is None
    assert (found.fixed, found.a_sample) == pytest.approx((3.3e-6, 2e-8))
    assert look_cost(life.card, [], "energy_kwh") is None


def test_what_was_looked_at_is_told_of_older_lives_too() -> None:
    old = ServedBatch(name="b", number=0, samples=1500)
    assert looked_at(_card(), old) == 1000 and looked_at(_card(look=0), old) == 1500
    assert looked_at(_card(), old.model_copy(update={"looked": 0})) == 0
    assert said_looking(None) == Looking() and said_looking(0).most == 0


def test_an_estimate_is_made_where_watching_may_take_it() -> None:
    life = _Told(_card(), 1e-6, 1e-8)
    life.serve()  # of a second, as each look here
    for seconds, dear in ((100.0, True), (320.0, False)):  # with the next one, 5 % of them are 10 s, and 31
        life.add("update", f"u{seconds:g}", promoted=True, spent=Toll(energy_kwh=1.0, duration_s=seconds))
        assert estimate_too_dear(life.card, life.events) is dear
        assert not estimate_too_dear(_card(watch_share=0.0), life.events)
