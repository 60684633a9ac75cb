"""What updates would cost, from what those of this life took and from its newest estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from foretoll.records import Decision, LifeCard, LifeEvent, Offer, ServedBatch, Toll

UNKNOWN_END = 1e300  # of a forecast without an upper end: no budget bears it
ESTIMATE_S = 15.0  # what an estimate takes: an update that takes less is made without one
STEP = 4.0  # forward passes that a training step is like, at most
HANDED_IN = "outputs handed in"  # the note of a look that ran no model


def measured_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """What the updates of this life took so far, by option; the upper end is a quarter above the dearest."""
    options = {
        event.key: event.decision.option for event in events if event.kind == "claim" and event.decision
    }
    costs: dict[str, list[float]] = {}
    tolls: dict[str, list[Toll]] = {}
    promoted: dict[str, list[bool]] = {}
    for event in events:
        option = options.get(event.key) if event.kind == "update" else None
        cost = getattr(event.spent, card.cost) if event.spent is not None else None
        if option is not None and cost is not None and event.spent is not None:
            tolls.setdefault(option, []).append(event.spent)
            costs.setdefault(option, []).append(cost)
            promoted.setdefault(option, []).append(bool(event.promoted))
    return tuple(
        Offer(
            option=option,
            cost=sum(each) / len(each),
            cost_high=1.25 * max(each),
            share=(sum(promoted[option]) + 1) / (len(each) + 1),  # rejected ones win nothing
            energy_kwh=_mean([toll.energy_kwh for toll in tolls[option]]),
            duration_s=_mean([toll.duration_s for toll in tolls[option]]),
        )
        for option, each in costs.items()
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class Bound(NamedTuple):
    """What an update may be expected to take, and what it can take at most."""

    middle: float
    most: float


def update_bounds(card: LifeCard, events: Sequence[LifeEvent]) -> dict[str, Bound | None]:
    """What an update can take, by cost, as far as what looks took says it; None where it does not.

    A look is a forward pass; a training step is three of them, and one more stands for what it does beside. So the
    samples that an update goes through at most, at what a sample cost in the dearest look, are an upper end; looks also
    load the model. In the middle a third of that, at what a sample cost in the median look.
    """
    looks = [e for e in events if e.kind == "look" and e.served is not None and e.spent is not None]
    looks = [e for e in looks if e.note != HANDED_IN and e.served and looked_at(card, e.served)]
    labelled = [e.served for e in events if e.kind == "labels" and e.served][-card.window :]
    samples = sum(batch.samples if card.look else batch.labelled for batch in labelled)
    passes = samples * (card.settings.max_epochs * (STEP * 0.6 + 0.2) + 1)
    passes /= 1 - card.continual.rehearse  # what an update rehearses comes on top
    found: dict[str, Bound | None] = {}
    for cost in ("energy_kwh", "emissions_kg", "duration_s"):
        each = [
            (getattr(e.spent, cost), looked_at(card, e.served)) for e in looks[-card.window :] if e.served
        ]
        known = [value / count for value, count in each if value is not None]
        told = labelled and known and len(known) == len(each)  # not where the cost of one look is not known
        found[cost] = Bound(median(known) * passes / 3, max(known) * passes) if told else None
    return found


def bounded_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """Offers by `update_bounds`; empty where no look ran the model, or its cost is not known."""
    found = update_bounds(card, events)
    cost, duration, energy = found[card.cost], found["duration_s"], found["energy_kwh"]
    if cost is None or duration is None:
        return ()
    return tuple(
        Offer(
            option=option,
            cost=cost.middle,
            cost_high=cost.most,
            energy_kwh=None if energy is None else energy.middle,
            duration_s=duration.middle,
        )
        for option in card.options
    )


def looked_at(card: LifeCard, batch: ServedBatch) -> int:
    """How many samples of a batch the model was run on, also where an older life does not say it."""
    return min(batch.samples, card.look or batch.samples) if batch.looked is None else batch.looked


def rough_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """The same, where an update takes less than an estimate would; else empty."""
    duration = update_bounds(card, events)["duration_s"]
    return bounded_offers(card, events) if duration is not None and duration.most <= ESTIMATE_S else ()


def settled_offers(
    card: LifeCard, events: Sequence[LifeEvent], decide: Callable[[Sequence[Offer]], Decision]
) -> tuple[Offer, ...]:
    """The same, where an estimate could not change the decision; else empty.

    It could not where the same option is due whether updates are free, or that option takes what it can take at most
    and the others are free.
    """
    taken = {offer.option: offer for offer in measured_offers(card, events)}
    found = tuple(taken.get(offer.option, offer) for offer in bounded_offers(card, events))
    free = [offer.model_copy(update={"cost": 0.0, "cost_high": 0.0}) for offer in found]
    chosen = decide(free).option if free else None
    if chosen is None:
        return ()
    dear = [
        offer.model_copy(update={"cost": offer.cost_high}) if offer.option == chosen else none
        for offer, none in zip(found, free, strict=True)
    ]
    return found if decide(dear).option == decide(found).option == chosen else ()


def known_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """What updates took so far, and of options that none was made by the newest estimate, as far as there is one."""
    measured = measured_offers(card, events)
    taken = {offer.option for offer in measured}
    estimated = next((event.offers for event in reversed(events) if event.kind == "offers"), ())
    return (*measured, *(offer for offer in estimated if offer.option not in taken))
