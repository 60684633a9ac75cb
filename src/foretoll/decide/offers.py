"""What updates would cost, from what those of this life took and from its newest estimate."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import LifeCard, LifeEvent, Offer

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
    promoted: dict[str, list[bool]] = {}
    for event in events:
        option = options.get(event.key) if event.kind == "update" else None
        cost = getattr(event.spent, card.cost) if event.spent is not None else None
        if option is not None and cost is not None:
            costs.setdefault(option, []).append(cost)
            promoted.setdefault(option, []).append(bool(event.promoted))
    return tuple(
        Offer(
            option=option,
            cost=sum(each) / len(each),
            cost_high=1.25 * max(each),
            share=(sum(promoted[option]) + 1) / (len(each) + 1),  # rejected ones win nothing
        )
        for option, each in costs.items()
    )


def rough_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """What an update can take at most by what looks took, where that is less than an estimate would take.

    A look is a forward pass; a training step is three of them, and one more stands for what it does beside. So the
    samples that an update goes through at most, at what a sample cost in the dearest look, are an upper end; a third of
    it is taken for the cost, since looks also load the model. Empty where no look ran the model, its cost is not known,
    or an update may take longer than an estimate.
    """
    looks = [e for e in events if e.kind == "look" and e.served is not None and e.spent is not None]
    looks = [e for e in looks if e.note != HANDED_IN][-card.window :]
    each: dict[str, float] = {}
    for cost in ("duration_s", card.cost):
        known = [
            (getattr(e.spent, cost), e.served.samples)
            for e in looks
            if e.served is not None and e.served.samples
        ]
        if not known or any(value is None for value, _ in known):
            return ()
        each[cost] = max(value / samples for value, samples in known)
    labelled = [e.served.labelled for e in events if e.kind == "labels" and e.served is not None][
        -card.window :
    ]
    passes = sum(labelled) * (card.settings.max_epochs * (STEP * 0.6 + 0.2) + 1)
    if not labelled or each["duration_s"] * passes > ESTIMATE_S:
        return ()
    most = each[card.cost] * passes
    return tuple(Offer(option=option, cost=most / 3, cost_high=most) for option in card.options)


def known_offers(card: LifeCard, events: Sequence[LifeEvent]) -> tuple[Offer, ...]:
    """What updates took so far, and of options that none was made by the newest estimate, as far as there is one."""
    measured = measured_offers(card, events)
    taken = {offer.option for offer in measured}
    estimated = next((event.offers for event in reversed(events) if event.kind == "offers"), ())
    return (*measured, *(offer for offer in estimated if offer.option not in taken))
