"""The page of a comparison: the recommendation, every candidate in one table, pictures, and what it rests on."""

from __future__ import annotations

from pathlib import Path

from foretoll import __version__
from foretoll.records import Candidate, Comparison, EnergyBasis, Toll
from foretoll.report import comparison as said
from foretoll.report.comparison_plots import reach_figure, tradeoff_figure
from foretoll.report.details import Grid, energy_grid, hardware_grid, recipe
from foretoll.report.display import displayed
from foretoll.report.html import Page, page_environment
from foretoll.report.jsonfile import write_text
from foretoll.report.story import human_level, quality_text
from foretoll.report.words import (
    MISSING,
    cost_text,
    count,
    data_name,
    grid_text,
    model_name,
    option_name,
    percent,
    plain,
)

MAIN = ("chance", "quality", "energy", "duration", "life energy")
"""Columns of the first table; the second holds the others."""


def write_comparison(path: str | Path, comparison: Comparison, *, title: str | None = None) -> Path:
    """Write report.html of a comparison, atomically. Returns the path; ForetollError where it cannot be written."""
    return write_text(path, render_comparison(comparison, title=title))


def render_comparison(comparison: Comparison, *, title: str | None = None) -> str:
    """The page as one string of HTML, with nothing to load from elsewhere."""
    template = page_environment().get_template("report.html.j2")
    return template.render(page=_page(displayed(comparison), title)) + "\n"


def _page(comparison: Comparison, title: str | None) -> Page:
    kind = "Comparison, forecast and measured" if said.was_measured(comparison) else "Comparison"
    moment = comparison.created_at.strftime("%-d %B %Y, %H:%M")
    measured = [line for line in said.sentences(comparison) if line.title == "Measured"]
    best, advised = comparison.measured_best, comparison.recommendation.candidate
    return Page(
        title=title or f"foretoll: {said.task_text(comparison)}",
        eyebrow=" · ".join([title or kind, said.task_text(comparison), moment]),
        headline=said.headline(comparison),
        outcome=". ".join(_capital(s) for s in measured[0].sentences) + "." if measured else "",
        good=best is not None and comparison.regret is not None and best == advised,
        warnings=comparison.warnings,
        heads=_heads(comparison),
        toll=_rows(comparison),
        lines=[line for line in said.sentences(comparison) if line.title not in ("Measured", "Recommended")],
        figures=[f for f in (tradeoff_figure(comparison), reach_figure(comparison)) if f is not None],
        grids=[grid for grid in _grids(comparison) if grid is not None and grid.rows],
        footer=[f"foretoll {__version__}", f"comparison {comparison.id} ({comparison.schema_})"],
    )


def _main(comparison: Comparison) -> list[said.ComparisonColumn]:
    found, seen = [], set()
    for column in said.columns(comparison):
        if column.head in MAIN and column.head not in seen:  # the later ones of a name are the measured ones
            found.append(column)
        seen.add(column.head)
    return found


def _heads(comparison: Comparison) -> list[str]:
    return [column.head for column in _main(comparison)]


def _rows(comparison: Comparison) -> list[list[str]]:
    """Name, note and one cell per head, of each candidate that can be used."""
    columns = _main(comparison)
    rows = []
    for i, candidate in said.usable(comparison):
        notes = [
            "recommended" if i == comparison.recommendation.candidate else "",
            f"over budget: {candidate.over_budget}" if candidate.over_budget else "",
            "measured best" if i == comparison.measured_best else "",
            "on the front" if candidate.on_front else "",
        ]
        name = said.title(comparison, candidate)
        note = "; ".join(note for note in notes if note)
        rows.append([name, note, *(column.cell(candidate) for column in columns)])
    return rows


def _grids(comparison: Comparison) -> list[Grid | None]:
    return [
        _measured(comparison),
        _resources(comparison),
        Grid("Not usable, or failed", ("option", "why"), said.unusable(comparison)),
        Grid("Notes on the forecasts", ("option", "note"), _notes(comparison)),
        energy_grid(_without_totals(comparison.energy)),
        _case(comparison),
        hardware_grid(comparison.hardware),
    ]


def _measured(comparison: Comparison) -> Grid | None:
    if not said.was_measured(comparison):
        return None
    rows = []
    for _, c in said.usable(comparison):
        toll = c.run.toll if c.run is not None else Toll()
        after = c.run.quality.after if c.run is not None and c.run.quality is not None else None
        rows.append(
            (
                said.title(comparison, c),
                said.outcome_text(c),
                percent(c.reach_probability),
                f"{said.with_ends('', c.quality, ends=False)} → {quality_text(after)}",
                f"{said.with_ends('epochs', c.forecast.epochs, ends=False)} → {cost_text('epochs', toll.epochs)}",
                f"{said.with_ends('energy_kwh', c.forecast.energy_kwh, ends=False)} → "
                f"{cost_text('energy_kwh', toll.energy_kwh)}",
            )
        )
    heads = ("option", "outcome", "chance", "quality", "epochs", "energy")
    note = "Foretold → measured."
    return Grid("Forecast and measurement", heads, rows, note=note, numbers=(2, 3, 4, 5))


def _resources(comparison: Comparison) -> Grid:
    rows = []
    for _, c in said.usable(comparison):
        seconds = c.inference.seconds_per_1000 if c.inference is not None else None
        energy = c.inference.energy_kwh_per_1000 if c.inference is not None else None
        rows.append(
            (
                said.title(comparison, c),
                said.with_ends("epochs", c.forecast.epochs),
                said.with_ends("emissions_kg", c.forecast.emissions_kg, ends=False),
                said.size(c.trainable_parameters),
                said.memory_text(c.training_state_bytes),
                said.weights_text(c.changes_weights),
                cost_text("duration_s", seconds),
                cost_text("energy_kwh", energy),
            )
        )
    heads = ("option", "epochs", "CO2e", "trains", "memory", "weights", "time per 1,000", "energy per 1,000")
    note = (
        "Trains: trainable parameters. Memory: what training holds between two steps. Weights: whether the "
        "source's own are served. Per 1,000: serving so many samples in batches of "
        f"{comparison.settings.batch_size}."
    )
    return Grid("What each candidate needs", heads, rows, note=note, numbers=(1, 2, 3, 4, 6, 7))


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


def _case(comparison: Comparison) -> Grid:
    rows = [
        (
            name if len(comparison.models) > 1 else f"model {name}",
            f"{model_name(card)}, {count(card.parameters)} parameters, {card.num_classes} classes",
        )
        for name, card in comparison.models.items()
    ]
    for name, card in (("source", comparison.source), ("target", comparison.target)):
        sizes = f"{card.train:,} train, {card.validation:,} validation, {card.test:,} test"
        rows.append((name, f"{data_name(card)} ({card.uri}): {len(card.classes)} classes; {sizes}"))
    rows += [
        ("target quality", f"{plain(comparison.settings.metric)} {human_level(comparison.until)}"),
        ("settings", recipe(comparison.settings, rates=said.rates_text(comparison))),
        ("options", ", ".join(option_name(name) for name in dict.fromkeys(_options(comparison)))),
        ("budget", comparison.budget or "none"),
        ("requests", f"{comparison.requests:,} samples served after the update"),
    ]
    grid = comparison.grid
    where = f"{grid_text(grid)} ({grid.source}, {grid.level})" if grid is not None else MISSING
    return Grid("Case and settings", ("", ""), [*rows, ("grid", where)])


def _options(comparison: Comparison) -> list[str]:
    found: list[Candidate] = list(comparison.candidates)
    return [candidate.option for candidate in found]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
