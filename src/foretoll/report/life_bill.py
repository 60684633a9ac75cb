"""What a life cost, by what it was spent on and by year."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from foretoll.decide.amount import HUMAN
from foretoll.decide.looking import LEAST
from foretoll.records import ANSWERS, LifeCard, LifeEvent, ServedMetric, Toll
from foretoll.report.document import Block, Note, Table, known, table
from foretoll.report.life_earlier import earlier_data, earlier_table, last_label_data, last_label_note
from foretoll.report.life_words import quality_title, value_text
from foretoll.report.words import MISSING, two_digits
from foretoll.units import human_duration, human_energy, human_mass

KINDS = (("look", "looks"), ("offers", "estimates"), ("update", "updates"))
DAYS = 365.25  # of a year
COSTS = ("energy_kwh", "emissions_kg", "duration_s")


@dataclass
class Spent:
    """Sums of what several events took; a cost that one of them does not know makes no sum wrong unseen."""

    events: int = 0
    energy_kwh: float = 0.0
    emissions_kg: float = 0.0
    duration_s: float = 0.0
    unknown: set[str] = field(default_factory=set)

    def add(self, toll: Toll | None) -> None:
        """Add what one event took; None where it took nothing that was measured."""
        self.events += 1
        self.take(toll)

    def take(self, toll: Toll | None) -> None:
        """The same of what is no event of its own."""
        if toll is None:
            return
        for cost in HUMAN:
            value = getattr(toll, cost)
            if value is None:
                self.unknown.add(cost)
            else:
                setattr(self, cost, getattr(self, cost) + value)

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(
            self.events + other.events,
            self.energy_kwh + other.energy_kwh,
            self.emissions_kg + other.emissions_kg,
            self.duration_s + other.duration_s,
            self.unknown | other.unknown,
        )

    def text(self, cost: str) -> str:
        """A cost with its unit; at least so much where a part of it was not measured."""
        value = getattr(self, cost)
        if cost in self.unknown:
            return MISSING if not value else f"≥ {HUMAN[cost](value)}"
        return HUMAN[cost](value)


def spent_by_kind(events: Iterable[LifeEvent]) -> dict[str, Spent]:
    """What looks, estimates and updates took."""
    found = {kind: Spent() for kind, _ in KINDS}
    for event in events:
        if event.kind == "offers" and event.spent is None:
            continue  # no estimate was made
        if event.kind == "labels":  # the other half of a look
            found["look"].take(event.spent)
        if event.kind in found:
            found[event.kind].add(event.spent)
    return found


@dataclass
class Year:
    """One calendar year of a life."""

    batches: int = 0
    samples: int = 0
    labelled: int = 0
    qualities: list[tuple[float, float]] = field(
        default_factory=list
    )  # of batches, with their labelled samples
    updates: int = 0
    served: int = 0  # of the updates
    spent: Spent = field(default_factory=Spent)

    def quality(self, served: ServedMetric = ANSWERS) -> float | None:
        """Quality of the labelled samples; None where there are none."""
        return served.pooled(self.qualities)


def years(events: Sequence[LifeEvent]) -> dict[int, Year]:
    """The life by calendar year (UTC) of its batches and updates."""
    found: dict[int, Year] = {}
    labelled = {e.key: e.served for e in events if e.kind == "labels" and e.served is not None}
    for event in events:
        if event.kind not in ("look", "labels", "offers", "update"):
            continue
        year = found.setdefault(event.at.year, Year())
        year.spent.take(event.spent)
        if event.kind == "look" and event.served is not None:
            batch = labelled.get(event.key, event.served)
            year.batches += 1
            year.samples += batch.samples
            year.labelled += batch.labelled
            year.qualities.append((batch.quality or 0.0, batch.labelled))
        elif event.kind == "update":
            year.updates += 1
            year.served += bool(event.promoted)
    return dict(sorted(found.items()))


def days_of(events: Sequence[LifeEvent]) -> float | None:
    """Days that the batches stand for: from first to last, and one mean distance more; None of fewer than two."""
    times = [event.at for event in events if event.kind == "look"]
    if len(times) < 2:
        return None
    seconds = (max(times) - min(times)).total_seconds()
    return seconds / 86400 * len(times) / (len(times) - 1) or None


def bill_blocks(card: LifeCard, events: Sequence[LifeEvent]) -> list[Block]:
    """The bill by what was paid for, by year, what is left of the budget, and what updates forgot."""
    return known(
        [
            bill_table(events, card),
            year_table(events, card.served),
            *budget_notes(card, events),
            last_label_note(events, card.served),
            earlier_table(events, card.served),
        ]
    )


def bill_table(events: Sequence[LifeEvent], card: LifeCard) -> Table:
    """What looks, estimates and updates took, and all together."""
    found = spent_by_kind(events)
    rejected = sum(event.promoted is False for event in events if event.kind == "update")
    rows = []
    for kind, title in KINDS:
        name = title + (f" ({rejected} not served)" if kind == "update" and rejected else "")
        rows.append(_costs(name, found[kind]))
    whole = Spent()
    for each in found.values():
        whole = whole.plus(each)
    rows.append(_costs("together", whole))
    heads = ("", "number", "energy", "CO2e", "time")
    return table("Bill", heads, rows, numbers=range(1, len(heads)), note=_share(found, card, events))


def _share(found: dict[str, Spent], card: LifeCard, events: Sequence[LifeEvent]) -> str:
    watching = found["look"].plus(found["offers"])
    updates = found["update"]
    if not updates.energy_kwh or "energy_kwh" in watching.unknown:
        return ""
    share = watching.energy_kwh / updates.energy_kwh
    said = f"{share:,.0f} times" if share >= 10 else f"{two_digits(100 * share)} % of"
    text = f"Watching and estimating took {said} the updates' energy"
    left_out = sum(e.served is not None and e.served.looked == 0 for e in events if e.kind == "look")
    if left_out:
        text += f"; {left_out:,} batches were not looked at, so that it takes less"
    if card.watch_share and share > card.watch_share:
        least = (
            f"{LEAST} samples of one batch in {card.window}"
            if card.skip_looks
            else f"{LEAST} samples of each batch"
        )
        text += f": more than the {100 * card.watch_share:g} % that it was to take, "
        text += f"since {least} are looked at in any case" + (
            "" if card.skip_looks else " (--skip-looks leaves batches out)"
        )
        text += _in_answers(watching, updates, card, events)
    return f"{text}."


def _in_answers(watching: Spent, updates: Spent, card: LifeCard, events: Sequence[LifeEvent]) -> str:
    """What keeping to the share would save, in answers, beside those that updates could have won; in words."""
    if not card.worth or card.cost in watching.unknown | updates.unknown:
        return ""
    more = getattr(watching, card.cost) - card.watch_share * getattr(updates, card.cost)
    labelled = [e.served for e in events if e.kind == "labels" and e.served is not None]
    won = sum(max(batch.lead or 0.0, 0.0) * batch.samples for batch in labelled)
    amount = partial(card.served.amount, digits=0)
    return (
        f". Keeping to it would save what {amount(max(more, 0.0) / card.worth)} are worth; where models were "
        f"behind the newest data, {amount(won)} were lost, and more are where updates are seen later"
    )


def _costs(name: str, spent: Spent) -> tuple[str, ...]:
    return (name, f"{spent.events:,}", *(spent.text(cost) for cost in COSTS))


def year_table(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> Table:
    """Each calendar year, and where the batches span a day or more what a whole year takes at this rate."""
    rows = []
    for number, year in years(events).items():
        quality = year.quality(served)
        rows.append(
            (
                str(number),
                f"{year.batches:,}",
                f"{year.samples:,}",
                MISSING if quality is None else value_text(served, quality),
                f"{year.updates:,}",
                *(year.spent.text(cost) for cost in COSTS),
            )
        )
    days, note = days_of(events), ""
    if days is not None and days >= 1:
        whole = Year()
        for year in years(events).values():
            whole.updates += year.updates
            whole.batches += year.batches
            whole.spent = whole.spent.plus(year.spent)
        factor = DAYS / days
        note = (
            f"At the rate of these {days:.0f} days a year has {whole.batches * factor:,.0f} batches and "
            f"{whole.updates * factor:.2g} updates, and takes {human_energy(whole.spent.energy_kwh * factor)}, "
            f"{human_mass(whole.spent.emissions_kg * factor)} CO2e and "
            f"{human_duration(whole.spent.duration_s * factor)}."
        )
    heads = ("year", "batches", "samples", quality_title(served), "updates", "energy", "CO2e", "time")
    return table("By year", heads, rows, numbers=range(1, len(heads)), note=note)


def budget_notes(card: LifeCard, events: Sequence[LifeEvent]) -> list[Block]:
    """What is left of the budget; nothing where there is none."""
    if card.budget is None:
        return []
    human = HUMAN[card.cost]
    spent = sum(getattr(event.spent, card.cost) or 0.0 for event in events if event.spent is not None)
    span = f"{card.budget_days:g} days" if card.budget_days else f"{card.budget_batches} batches"
    return [
        Note(
            f"Of the budget of {human(card.budget)} for {span}, {human(max(card.budget - spent, 0.0))} is left."
        )
    ]


def bill_data(card: LifeCard, events: Sequence[LifeEvent]) -> dict[str, object]:
    """The bill as plain data: kWh, kg and s by what was paid for and by year; None where a part is not known."""

    def plain(spent: Spent) -> dict[str, object]:
        return {"number": spent.events} | {
            cost: None if cost in spent.unknown else getattr(spent, cost) for cost in COSTS
        }

    return {
        "life": card.name,
        "metric": card.served.metric.name,
        "by_kind": {title: plain(spent_by_kind(events)[kind]) for kind, title in KINDS},
        "by_year": {
            str(number): {
                "batches": year.batches,
                "samples": year.samples,
                "quality": year.quality(card.served),
                "updates": year.updates,
                "served": year.served,
                **{cost: plain(year.spent)[cost] for cost in COSTS},
            }
            for number, year in years(events).items()
        },
        "last_label": last_label_data(events, card.served),
        "on_what_came_before": earlier_data(events),
        "budget": card.budget,
        "unit": card.cost,
    }


def export_lines(card: LifeCard, events: Sequence[LifeEvent]) -> list[str]:
    """The life as JSON lines: its card, then each event, oldest first."""
    return [card.model_dump_json(by_alias=True), *(event.model_dump_json() for event in events)]
