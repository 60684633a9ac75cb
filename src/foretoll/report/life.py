"""The life of a model for people: its decisions, a table of what was served, the bill, and figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foretoll.decide.amount import HUMAN
from foretoll.decide.offers import looked_at
from foretoll.decide.replay import Replay
from foretoll.records import Decision, LifeCard, LifeEvent, ServedMetric
from foretoll.report.document import Block, Column, Row, Table, known
from foretoll.report.life_bill import bill_table, budget_notes
from foretoll.report.life_words import difference_text, difference_unit, quality_title, value_text
from foretoll.report.words import plain

LINES = 30  # batches of a table, the newest


def decision_lines(card: LifeCard, decision: Decision, look: LifeEvent | None = None) -> list[str]:
    """A decision in one to three lines; `look`: the newest, which is mentioned where its batch was left out."""
    human = HUMAN[card.cost]
    what = f"update by {decision.option}" if decision.action == "update" else "keep the served model"
    left_out = look is not None and look.served is not None and look.served.looked == 0
    lines = [f"look     {look.note}"] if look is not None and left_out else []
    lines.append(f"decision {what}: {decision.reason}")
    cost, gain = decision.figures.get("cost"), decision.figures.get("gain")
    lead = decision.figures.get("lead")
    parts = []
    if lead is not None:
        by = difference_text(card.served, lead)
        better = "no better" if float(by) == 0 else f"{by} {difference_unit(card.served)} better"
        parts.append(f"a model fitted to the newest data is {better}")
    if cost:
        parts.append(f"an update would cost {human(cost)}")
    if gain is not None and cost:
        answers = "answers" if card.served.metric.share else "better answers"
        parts.append(f"and win {human(gain)} worth of {answers} within {card.window} batches")
    if parts:
        lines.append(f"figures  {', '.join(parts)}")
    if decision.start_why:
        when = "" if decision.start_at is None else f"{decision.start_at:%Y-%m-%d %H:%M} UTC: "
        lines.append(f"start    {when}{decision.start_why}")
    if decision.would_change:
        lines.append(f"changes  with {decision.would_change}")
    return lines


def life_blocks(card: LifeCard, events: Sequence[LifeEvent]) -> list[Block]:
    """What was served, batch by batch, with the decisions; below it the bill."""
    return known([served_table(card, events), bill_table(events, card), *budget_notes(card, events)])


def served_table(card: LifeCard, events: Sequence[LifeEvent]) -> Table:
    """What was served, batch by batch, with the decisions."""
    looks = [e for e in events if e.kind == "look" and e.served is not None]
    notes = [f"the newest {LINES} of {len(looks):,} batches"] if len(looks) > LINES else []
    seen = [looked_at(card, e.served) for e in looks[-LINES:] if e.served is not None]
    fewer = [
        n
        for n, e in zip(seen, looks[-LINES:], strict=True)
        if e.served is not None and 0 < n < e.served.samples
    ]
    if fewer:
        ends = f"{min(fewer):,}" if min(fewer) == max(fewer) else f"{min(fewer):,} to {max(fewer):,}"
        notes.append(f"of larger batches {ends} samples are looked at, spread over their time")
    if 0 in seen:
        notes.append(f"{seen.count(0):,} of them were not looked at, so that watching takes less")
    note = "; ".join(notes)
    title = f"Life of {plain(card.name)}, policy {plain(card.policy)}"
    columns = (
        Column("batch", number=True),
        Column("served at", below=True),
        Column("model", below=True),
        Column("samples", number=True, below=True),
        Column("labels", number=True, below=True),
        Column(quality_title(card.served), number=True),
        Column(f"lead, {difference_unit(card.served)}", number=True),
        Column("KS", number=True),
        Column("decision"),
    )
    return Table(columns, list(_rows(card.served, looks[-LINES:], events)), title, note, main=True)


def _rows(served: ServedMetric, looks: Sequence[LifeEvent], events: Sequence[LifeEvent]) -> Iterator[Row]:
    labelled = {e.key: e.served for e in events if e.kind == "labels"}
    decided = {e.decision.after: e.decision for e in events if e.kind == "decision" and e.decision}
    for event in looks:
        batch = labelled.get(event.key) or event.served
        if batch is None:
            continue
        decision = decided.get(batch.number)
        lead = "" if batch.lead is None else difference_text(served, batch.lead, batch.lead_error or 0.0)
        update = decision is not None and decision.action == "update"
        cells = (
            str(batch.number),
            f"{event.at:%Y-%m-%d %H:%M}",
            plain(event.model),
            f"{batch.samples:,}",
            f"{batch.labelled:,}",
            "" if batch.quality is None else value_text(served, batch.quality),
            lead,
            "" if batch.ks is None else f"{batch.ks:.2f}",
            "" if decision is None else f"update by {plain(decision.option or '')}" if update else "keep",
        )
        yield Row(cells, chosen=update)


def replay_rows(replays: Sequence[Replay], best: float, floor: float | None) -> list[dict[str, object]]:
    """One row for each policy of a replay, the cheapest first; losses in points a batch (`Replay`)."""
    rows: list[dict[str, object]] = []
    for each in replays:
        row: dict[str, object] = {
            "policy": each.policy,
            "updates": len(each.promoted) + len(each.rejected),
            "not served": len(each.rejected),
            f"mean {each.metric.name}": _four(each, each.mean_quality),
            "least" if each.metric.scale.higher_is_better else "largest": _four(each, each.least_quality),
            "loss": round(each.loss, 3),
            "above the best": round(each.loss - best, 3),
        }
        if floor is not None:
            side = "under" if each.metric.scale.higher_is_better else "above"
            row[f"{side} the floor"] = round(each.share_under(floor), 4)
        rows.append(row)
    return rows


def _four(replay: Replay, value: float) -> float:
    return round(value, 4) if replay.metric.metric.share else float(f"{value:.4g}")


def prometheus(card: LifeCard, events: Sequence[LifeEvent]) -> str:
    """The newest figures in the text format of Prometheus, for node exporter's textfile collector."""
    labelled = [e.served for e in events if e.kind == "labels" and e.served is not None]
    looks = [e.served for e in events if e.kind == "look" and e.served is not None]
    decisions = [e.decision for e in events if e.kind == "decision" and e.decision is not None]
    energy = sum(e.spent.energy_kwh or 0.0 for e in events if e.spent is not None)
    found: list[tuple[str, str, float | None]] = [
        ("batches_total", "batches looked at", len(looks)),
        (
            "quality",
            f"{card.served.name} of the newest labelled batch",
            labelled[-1].quality if labelled else None,
        ),
        (
            "lead",
            "by how much a model fitted to newer data is better",
            labelled[-1].lead if labelled else None,
        ),
        (
            "last_label_quality",
            f"{card.served.name} of naming the last label seen, on the newest labelled batch",
            labelled[-1].last_label if labelled else None,
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
