"""The story of a comparison: the recommendation, every candidate in one table, pictures, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import Comparison, EnergyBasis
from foretoll.report import comparison as said
from foretoll.report.comparison_plots import reach_figure, tradeoff_figure
from foretoll.report.details import energy_table, hardware_table, recipe
from foretoll.report.display import displayed
from foretoll.report.document import (
    Block,
    Column,
    Document,
    Footer,
    Headline,
    Lines,
    Outcome,
    Row,
    Table,
    Warnings,
    facts,
    known,
    table,
)
from foretoll.report.elsewhere import compared_hardware
from foretoll.report.words import (
    MISSING,
    NO_SOURCE,
    count,
    data_name,
    goal_text,
    grid_text,
    metric_name,
    model_name,
    option_name,
    targets_text,
)
from foretoll.version import __version__


def comparison_document(comparison: Comparison, *, title: str | None = None) -> Document:
    """Everything that is to be said of a comparison."""
    comparison = displayed(comparison)
    figures = [tradeoff_figure(comparison), reach_figure(comparison)]
    footer = Footer([f"foretoll {__version__}", f"comparison {comparison.id} ({comparison.schema_})"])
    return Document(
        title or f"foretoll: {said.task_text(comparison)}",
        _answer(comparison, title),
        known([*figures, *_details(comparison), footer]),
    )


def comparison_answer(comparison: Comparison) -> list[Block]:
    """The answer alone, without the pictures and tables that it rests on."""
    return _answer(displayed(comparison), None)


def _answer(comparison: Comparison, title: str | None) -> list[Block]:
    kind = "Comparison, forecast and measured" if said.was_measured(comparison) else "Comparison"
    best, advised = comparison.measured_best, comparison.recommendation.candidate
    good = best is not None and comparison.regret is not None and best == advised
    label = "Recommended" if advised is not None else "No recommendation"
    moment = f"{comparison.created_at:%-d %B %Y, %H:%M}"
    measured = said.measured(comparison)
    return known(
        [
            Headline(said.task_text(comparison), said.headline(comparison), title or kind, moment, label),
            Outcome(measured, "good" if good else "unsure") if measured else None,
            Warnings(comparison.warnings),
            _candidates(comparison),
            Lines(said.sentences(comparison)),
            _measured(comparison),
            compared_hardware(
                comparison, [(said.title(comparison, c), i) for i, c in said.usable(comparison)]
            ),
            _resources(comparison),
            table("Not usable, or failed", ("option", "why"), said.unusable(comparison)),
        ]
    )


def _candidates(comparison: Comparison) -> Table:
    """All candidates that can be used, the recommended one marked."""
    shown = said.main_facts(comparison)
    rows = []
    for i, candidate in said.usable(comparison):
        notes = [
            "recommended" if i == comparison.recommendation.candidate else "",
            f"over budget: {candidate.over_budget}" if candidate.over_budget else "",
            "cheapest that reached the target" if i == comparison.measured_best else "",
        ]
        rows.append(
            Row(
                (said.title(comparison, candidate), *(fact.cell(candidate) for fact in shown)),
                "; ".join(filter(None, notes)),
                tone="aside" if candidate.over_budget else "",
                chosen=i == comparison.recommendation.candidate,
            )
        )
    return Table([Column("option"), *(fact.column for fact in shown)], rows, main=True)


def _facts(comparison: Comparison, shown: Sequence[said.Fact], title: str, note: str) -> Table:
    """A fact a column, a candidate a row."""
    rows = [
        Row((said.title(comparison, c), *(fact.cell(c) for fact in shown)))
        for _, c in said.usable(comparison)
    ]
    return Table([Column("option"), *(fact.column for fact in shown)], rows if shown else (), title, note)


def _measured(comparison: Comparison) -> Table:
    note = f"Validation: {metric_name(comparison.settings.metric)} on the data by which a run stops."
    return _facts(
        comparison, said.measured_facts(comparison), "Epochs and emissions, forecast and measured", note
    )


def _resources(comparison: Comparison) -> Table:
    note = (
        "Pareto: optimal where no other candidate reaches more for less. Trains: trainable parameters. Memory: what "
        "training holds between two steps. Weights: whether the "
        "source's own are served. Per 1,000: serving so many samples in batches of "
        f"{comparison.settings.batch_size}."
    )
    return _facts(comparison, said.other_facts(comparison), "What each candidate needs", note)


def _details(comparison: Comparison) -> list[Block | None]:
    return [
        table("Notes on the forecasts", ("option", "note"), _notes(comparison)),
        energy_table(_without_totals(comparison.energy)),
        _case(comparison),
        hardware_table(comparison.hardware),
    ]


def _notes(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (said.title(comparison, candidate), "; ".join(candidate.warnings))
        for _, candidate in said.usable(comparison)
        if candidate.warnings
    ]


def _without_totals(energy: EnergyBasis | None) -> EnergyBasis | None:
    """The basis without its totals, which are those of one probe among many."""
    if energy is None:
        return None
    parts = tuple(part.model_copy(update={"energy_kwh": None}) for part in energy.components)
    return energy.model_copy(update={"components": parts})


def _case(comparison: Comparison) -> Table:
    rows = [
        (
            name if len(comparison.models) > 1 else f"model {name}",
            f"{model_name(card)}, {count(card.parameters)} parameters, {targets_text(card)}",
        )
        for name, card in comparison.models.items()
    ]
    own = {f"source of {name}": card for name, card in comparison.sources.items()}
    for name, card in {**(own or {"source": comparison.source}), "target": comparison.target}.items():
        if card is None:
            rows.append((name, NO_SOURCE))
            continue
        sizes = f"{card.train:,} train, {card.validation:,} validation, {card.test:,} test"
        rows.append((name, f"{data_name(card)} ({card.uri}): {targets_text(card)}; {sizes}"))
    options = dict.fromkeys(candidate.option for candidate in comparison.candidates)
    rows += [
        ("target quality", goal_text(comparison.settings.metric, comparison.until)),
        ("settings", recipe(comparison.settings, rates=said.rates_text(comparison))),
        ("options", ", ".join(map(option_name, options))),
        ("budget", comparison.budget or "none"),
        ("requests", f"{comparison.requests:,} samples served after the update"),
    ]
    grid = comparison.grid
    where = f"{grid_text(grid)} ({grid.source}, {grid.level})" if grid is not None else MISSING
    return facts("Case and settings", [*rows, ("grid", where)])
