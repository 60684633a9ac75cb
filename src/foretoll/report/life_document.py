"""The page of a life: what was served, updates with their forecast beside what they took, the next one, the bill."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.decide.amount import HUMAN
from foretoll.decide.offers import UNKNOWN_END, known_offers
from foretoll.records import Decision, LifeCard, LifeEvent, Offer, ServedBatch, ServedMetric
from foretoll.report.document import (
    Document,
    Footer,
    Headline,
    Line,
    Lines,
    Table,
    facts,
    known,
    table,
)
from foretoll.report.life import decision_lines, served_table
from foretoll.report.life_bill import bill_blocks, spent_by_kind
from foretoll.report.life_earlier import earlier_text
from foretoll.report.life_figures import lead_figure, quality_figure, spending_figure
from foretoll.report.life_words import (
    difference_text,
    difference_unit,
    floor_title,
    quality_title,
    value_text,
    worth_title,
)
from foretoll.report.words import MISSING, data_name, model_name, plain, two_digits
from foretoll.version import __version__


def life_document(card: LifeCard, events: Sequence[LifeEvent]) -> Document:
    """Everything that is to be said of a life."""
    return Document(
        f"foretoll: life of {plain(card.name)}",
        known([_headline(card, events), _now(card, events), _next(card, events, known_offers(card, events))]),
        known(
            [
                quality_figure(card, events),
                lead_figure(events, card.served),
                spending_figure(card, events),
                _updates(card, events),
                *bill_blocks(card, events),
                served_table(card, events),
                _rests_on(card),
                Footer([f"foretoll {__version__}", f"life {plain(card.name)}"]),
            ]
        ),
    )


def _looks(events: Sequence[LifeEvent]) -> list[LifeEvent]:
    return [event for event in events if event.kind == "look" and event.served is not None]


def _newest_labelled(events: Sequence[LifeEvent]) -> ServedBatch | None:
    found = [e.served for e in events if e.kind == "labels" and e.served is not None]
    return max(found, key=lambda batch: batch.number, default=None)


def _headline(card: LifeCard, events: Sequence[LifeEvent]) -> Headline:
    looks, updates = _looks(events), [event for event in events if event.kind == "update"]
    newest = _newest_labelled(events)
    quality = (
        "no labels have come yet"
        if newest is None or newest.quality is None
        else f"batch {newest.number}, the newest with labels, was served with "
        f"{'' if card.served.metric.share else card.served.metric.title + ' '}{value_text(card.served, newest.quality)}"
    )
    took = spent_by_kind(events)
    whole = took["look"].plus(took["offers"]).plus(took["update"])
    served = sum(bool(event.promoted) for event in updates)
    made = f"{len(updates)} update{'s' if len(updates) != 1 else ''}"
    made += f", {served} of them served," if updates else ""
    batches = f"{len(looks):,} batch{'es' if len(looks) != 1 else ''}"
    sentence = f"{batches} and {made} took {whole.text('energy_kwh')} and {whole.text('emissions_kg')} CO2e; {quality}."
    moment = f"{max(e.at for e in events):%-d %B %Y}" if events else f"{card.started_at:%-d %B %Y}"
    return Headline(f"Life of {plain(card.name)}", sentence, "Life", moment)


def _newest_decision(events: Sequence[LifeEvent]) -> Decision | None:
    decisions = [event.decision for event in events if event.kind == "decision" and event.decision]
    return decisions[-1] if decisions else None


def _now(card: LifeCard, events: Sequence[LifeEvent]) -> Lines | None:
    decision = _newest_decision(events)
    if decision is None:
        return None
    groups = []
    for line in decision_lines(card, decision):
        title, _, rest = line.partition(" ")
        groups.append(Line(title.capitalize(), (rest.strip(),)))
    return Lines(groups)


def _next(card: LifeCard, events: Sequence[LifeEvent], offers: Sequence[Offer]) -> Table | None:
    """What the next update would cost and win, by option."""
    decision = _newest_decision(events)
    if not offers:
        return None
    human = HUMAN[card.cost]
    looks = _looks(events)
    samples = sum(e.served.samples for e in looks[-card.window :] if e.served) / max(
        len(looks[-card.window :]), 1
    )
    lead = decision.figures.get("lead") if decision is not None else None
    rows = []
    for offer in offers:
        answers = None if lead is None else lead * offer.share * samples * card.window
        gain = (
            MISSING
            if answers is None
            else f"{two_digits(answers)} {card.served.counted}"
            + (f", worth {human(max(answers, 0.0) * card.worth)}" if card.worth is not None else "")
        )
        high = MISSING if offer.cost_high >= UNKNOWN_END else human(offer.cost_high)
        rows.append((plain(offer.option), human(offer.cost), high, gain, f"{100 * offer.share:.0f} %"))
    heads = ("option", "cost", "at most", f"wins in {card.window} batches", "of the lead")
    note = "Cost: what updates of this life took, and else its estimate; with what finding out and judging takes."
    return table("The next update", heads, rows, numbers=(1, 2), note=note)


def _updates(card: LifeCard, events: Sequence[LifeEvent]) -> Table:
    """Each update: what was forecast when it was decided, and what came of it."""
    human = HUMAN[card.cost]
    claims = {event.key: event.decision for event in events if event.kind == "claim"}
    labelled = {e.key: e.served for e in events if e.kind == "labels" and e.served is not None}
    looks = _looks(events)
    rows = []
    for event in events:
        if event.kind != "update":
            continue
        decision = claims.get(event.key)
        figures = decision.figures if decision is not None else {}
        forecast, lead = figures.get("cost"), figures.get("lead")
        took = getattr(event.spent, card.cost) if event.spent is not None else None
        before = [look for look in looks if look.number < event.number][-card.window :]
        after = [look for look in looks if look.number > event.number and look.model == event.key]
        gained = _gain(
            card.served,
            _mean(card.served, before, labelled),
            _mean(card.served, after[: card.window], labelled),
        )
        rows.append(
            (
                plain(event.key),
                f"{event.at:%Y-%m-%d %H:%M}",
                plain((decision.option if decision is not None else None) or MISSING),
                MISSING if forecast is None else human(forecast),
                MISSING if took is None else human(took),
                MISSING if lead is None else difference_text(card.served, lead),
                gained if event.promoted else "not served",
                MISSING if event.earlier is None else earlier_text(event.earlier, card.served),
                plain(event.note),
            )
        )
    heads = (
        "update",
        "made at",
        "option",
        "forecast cost",
        "it took",
        "forecast lead",
        f"{quality_title(card.served)} after − before",
        "on what came before",
        "judged",
    )
    note = (
        f"Leads and qualities in {difference_unit(card.served)}. After − before: labelled batches, at most "
        f"{card.window} on each side; other batches are not alike, so this is no proof of what the update won."
    )
    return table(
        "Updates, forecast beside measurement", heads, rows, numbers=(3, 4, 5, 6, 7), note=note, wide=True
    )


def _mean(served: ServedMetric, looks: Sequence[LifeEvent], labelled: dict[str, ServedBatch]) -> float | None:
    found = [labelled[look.key] for look in looks if look.key in labelled]
    return served.pooled((batch.quality or 0.0, batch.labelled) for batch in found)


def _gain(served: ServedMetric, before: float | None, after: float | None) -> str:
    return MISSING if before is None or after is None else difference_text(served, after - before)


def _rests_on(card: LifeCard) -> Table:
    human = HUMAN[card.cost]
    if card.worth is not None:
        worth = (worth_title(card.served), human(card.worth))
    else:
        worth = (floor_title(card.served), f"{card.floor or 0.0:g}")
    rows = [
        ("Model", model_name(card.model)),
        ("Made on", data_name(card.source)),
        ("Begun", f"{card.started_at:%Y-%m-%d %H:%M}"),
        ("Policy", plain(card.policy)),
        ("Options", ", ".join(plain(option) for option in card.options)),
        ("Window", f"{card.window} batches"),
        worth,
        ("Updates go on from", f"the {card.continual.update_from} model"),
        ("Rehearsed", f"{100 * card.continual.rehearse:g} % of an update's samples"),
        ("Samples kept", f"{card.continual.remember:,} at the most"),
    ]
    if card.start_quality is not None:
        title = quality_title(card.served)
        rows.append(
            (f"{title[0].upper()}{title[1:]} at the start", value_text(card.served, card.start_quality))
        )
    return facts("Life", rows)
