"""The life of a model for people: its decisions, a table of what was served, the bill, and figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from foretoll.decide.budget import HUMAN
from foretoll.records import Decision, LifeCard, LifeEvent
from foretoll.report.terminal import plain_table
from foretoll.report.words import plain
from foretoll.units import human_energy

LINES = 30  # batches of a table, the newest


def decision_lines(card: LifeCard, decision: Decision) -> list[str]:
    """A decision in one to three lines."""
    human = HUMAN[card.cost]
    what = f"update by {decision.option}" if decision.action == "update" else "keep the served model"
    lines = [f"decision {what}: {decision.reason}"]
    cost, gain = decision.figures.get("cost"), decision.figures.get("gain")
    lead = decision.figures.get("lead")
    parts = []
    if lead is not None:
        parts.append(f"a model fitted to the newest data is {100 * lead:+.1f} points better")
    if cost:
        parts.append(f"an update would cost {human(cost)}")
    if gain is not None and cost:
        parts.append(f"and win {human(gain)} worth of answers within {card.window} batches")
    if parts:
        lines.append(f"figures  {', '.join(parts)}")
    if decision.would_change:
        lines.append(f"changes  with {decision.would_change}")
    return lines


def life_table(card: LifeCard, events: Sequence[LifeEvent]) -> RenderableType:
    """What was served, batch by batch, with the decisions; below it the bill."""
    return _LifeTable(card, tuple(events))


class _LifeTable:
    """The table for the width at hand: a narrow terminal gets fewer columns, and no cut ones."""

    def __init__(self, card: LifeCard, events: Sequence[LifeEvent]) -> None:
        self.card, self.events = card, events

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        card, events = self.card, self.events
        looks = [e for e in events if e.kind == "look" and e.served is not None]
        yield Text(plain(f"life of {card.name}, policy {card.policy}"), style="bold")
        if len(looks) > LINES:
            yield Text(f"the newest {LINES} of {len(looks):,} batches")
        rows = list(_rows(looks[-LINES:], events))
        wide = options.max_width >= WIDE
        titles = [title for title in _TITLES if wide or title not in _WIDE_ONLY]
        table = plain_table(padding=(0, 2, 0, 0))
        for title in titles:
            table.add_column(Text(title, style="bold"), no_wrap=True)
        for row in rows:
            table.add_row(*(Text(plain(row[title])) for title in titles))
        yield table
        yield _bill(card, events)


_TITLES = ("batch", "served at", "model", "samples", "labels", "quality", "lead, points", "KS", "decision")
_WIDE_ONLY = ("samples", "labels")
WIDE = 100


def _rows(looks: Sequence[LifeEvent], events: Sequence[LifeEvent]) -> Iterator[dict[str, str]]:
    labelled = {e.key: e.served for e in events if e.kind == "labels"}
    decided = {e.decision.after: e.decision for e in events if e.kind == "decision" and e.decision}
    for event in looks:
        batch = labelled.get(event.key) or event.served
        if batch is None:
            continue
        decision = decided.get(batch.number)
        lead = "" if batch.lead is None else f"{100 * batch.lead:+.1f} ± {100 * (batch.lead_error or 0):.1f}"
        update = decision is not None and decision.action == "update"
        yield {
            "batch": str(batch.number),
            "served at": f"{event.at:%m-%d %H:%M}",
            "model": event.model.removeprefix("update-").lstrip("0"),
            "samples": f"{batch.samples:,}",
            "labels": f"{batch.labelled:,}",
            "quality": "" if batch.quality is None else f"{batch.quality:.3f}",
            "lead, points": lead,
            "KS": "" if batch.ks is None else f"{batch.ks:.2f}",
            "decision": "" if decision is None else f"update by {decision.option}" if update else "keep",
        }


def _bill(card: LifeCard, events: Sequence[LifeEvent]) -> RenderableType:
    """What looks, estimates and updates cost, and how much of the budget is left."""
    human = HUMAN[card.cost]
    titles = {"look": "looks", "offers": "estimates", "update": "updates"}
    table = plain_table(padding=(0, 2, 0, 0))
    for title in (
        "bill",
        "number",
        "energy",
        card.cost.partition("_")[0] if card.cost != "energy_kwh" else "",
    ):
        if title:
            table.add_column(Text(title, style="bold"))
    total = 0.0
    for kind, title in titles.items():
        spent = [event.spent for event in events if event.kind == kind and event.spent is not None]
        energy = sum(each.energy_kwh or 0.0 for each in spent)
        cost = sum(getattr(each, card.cost) or 0.0 for each in spent)
        total += cost
        name = title
        if kind == "update":
            rejected = sum(event.promoted is False for event in events if event.kind == "update")
            name += f" ({rejected} not served)" if rejected else ""
        cells = [name, str(len(spent)), human_energy(energy)]
        table.add_row(
            *(Text(cell) for cell in (cells if card.cost == "energy_kwh" else [*cells, human(cost)]))
        )
    if card.budget is None:
        return table
    span = f"{card.budget_days:g} days" if card.budget_days else f"{card.budget_batches} batches"
    left = max(card.budget - total, 0.0)
    return Group(table, Text(f"budget   {human(card.budget)} for {span}, {human(left)} left"))


def prometheus(card: LifeCard, events: Sequence[LifeEvent]) -> str:
    """The newest figures in the text format of Prometheus, for node exporter's textfile collector."""
    labelled = [e.served for e in events if e.kind == "labels" and e.served is not None]
    looks = [e.served for e in events if e.kind == "look" and e.served is not None]
    decisions = [e.decision for e in events if e.kind == "decision" and e.decision is not None]
    energy = sum(e.spent.energy_kwh or 0.0 for e in events if e.spent is not None)
    found: list[tuple[str, str, float | None]] = [
        ("batches_total", "batches looked at", len(looks)),
        ("quality", "quality of the newest labelled batch", labelled[-1].quality if labelled else None),
        (
            "lead",
            "by how much a model fitted to newer data is better",
            labelled[-1].lead if labelled else None,
        ),
        ("drift_ks", "Kolmogorov-Smirnov statistic of the newest batch", looks[-1].ks if looks else None),
        (
            "update_due",
            "1 where the newest decision is to update",
            float(decisions[-1].action == "update") if decisions else None,
        ),
        ("energy_joules_total", "energy of looks, estimates and updates", energy * 3.6e6),
    ]
    name = card.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    lines = []
    for key, help_text, value in found:
        if value is None:
            continue
        kind = "counter" if key.endswith("_total") else "gauge"
        lines += [f"# HELP foretoll_life_{key} {help_text}", f"# TYPE foretoll_life_{key} {kind}"]
        lines.append(f'foretoll_life_{key}{{life="{name}"}} {value:.9g}')
    return "\n".join(lines) + "\n"
