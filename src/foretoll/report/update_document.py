"""The story of an update: its forecast, its measurement, or both side by side, as one document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from markupsafe import Markup

from foretoll.errors import UsageError
from foretoll.records import Estimate, Run
from foretoll.report import plots, reasons, story
from foretoll.report.costs import CostRow, cost_rows, interval_level
from foretoll.report.curve import budgets_table, curve_figure, targets_table
from foretoll.report.details import angles, detail_tables, recipe
from foretoll.report.display import displayed
from foretoll.report.document import (
    Block,
    Column,
    Document,
    Footer,
    Headline,
    Line,
    Lines,
    Outcome,
    Row,
    Table,
    Warnings,
    known,
)
from foretoll.report.elsewhere import hardware_rows, money_row
from foretoll.report.pilot import pilot_table
from foretoll.report.projection import projection_figure
from foretoll.report.samples import samples_figure, samples_table
from foretoll.report.words import (
    goal_text,
    metric_name,
    optimizer_of,
    option_settings_text,
    percent,
    quality_text,
)
from foretoll.version import __version__

BAR_WIDTH = 190.0


def update_document(
    estimate: Estimate | None, run: Run | None = None, *, title: str | None = None
) -> Document:
    """Everything that is to be said of an update. UsageError where there is neither an estimate nor a run."""
    estimate, run = displayed(estimate), displayed(run)
    record = estimate if estimate is not None else run
    if record is None:
        raise UsageError("a report needs an estimate or a run: pass at least one of estimate= and run=")
    rows = cost_rows(estimate, run)
    return Document(
        title or f"foretoll: {story.task_text(record)}",
        known([_headline(estimate, run, title), *_answer(estimate, run, rows)]),
        known([*_figures(estimate, run, rows), *detail_tables(estimate, run), _footer(estimate, run)]),
    )


def update_answer(estimate: Estimate | None, run: Run | None = None) -> list[Block]:
    """The answer alone, without the pictures and tables that it rests on."""
    estimate, run = displayed(estimate), displayed(run)
    return known(
        [_headline(estimate, run, None), *_answer(estimate, run, cost_rows(estimate, run), pictures=False)]
    )


def measured_answer(estimate: Estimate, run: Run) -> list[Block]:
    """What a run adds to a forecast that was shown before it: costs side by side, the outcome, and new warnings."""
    forecast, measured = displayed(estimate), displayed(run)
    said = set(reasons.warnings(forecast))
    return known(
        [
            _headline(forecast, measured, None),
            Outcome(story.verdict(measured), story.TONES[measured.outcome]),
            Warnings([text for text in reasons.warnings(forecast, measured) if text not in said]),
            _costs(forecast, measured, cost_rows(forecast, measured), pictures=False),
            Lines([reasons.finding_out(forecast, measured)]),
        ]
    )


def _headline(estimate: Estimate | None, run: Run | None, title: str | None) -> Headline:
    if estimate is not None:
        kind = "Estimate before retraining" if run is None else "Estimate and measured update"
        moment = estimate.created_at if run is None else run.started_at
        return Headline(
            story.task_text(estimate, size=True), story.headline(estimate), title or kind, _moment(moment)
        )
    if run is None:
        return Headline("", "")
    return Headline(
        story.task_text(run, size=True),
        story.run_headline(run),
        title or "Measured update",
        _moment(run.started_at),
    )


def _answer(
    estimate: Estimate | None, run: Run | None, rows: Sequence[CostRow], *, pictures: bool = True
) -> list[Block]:
    outcome = [Outcome(story.verdict(run), story.TONES[run.outcome])] if run is not None else []
    lines = reasons.lines(estimate, run) if estimate is not None else _run_lines(run)
    return [
        *outcome,
        Warnings(reasons.warnings(estimate, run)),
        _costs(estimate, run, rows, pictures=pictures),
        *(
            []
            if estimate is None
            else filter(
                None,
                (
                    pilot_table(estimate),
                    targets_table(estimate),
                    budgets_table(estimate),
                    samples_table(estimate),
                    hardware_rows(estimate),
                ),
            )
        ),
        Lines(lines),
    ]


def _asked(estimate: Estimate) -> list[Table]:
    """What was asked for beside the one target and this machine."""
    return [
        found
        for found in (targets_table(estimate), budgets_table(estimate), hardware_rows(estimate))
        if found is not None
    ]


def _costs(estimate: Estimate | None, run: Run | None, rows: Sequence[CostRow], *, pictures: bool) -> Table:
    scale = plots.ratio_scale(rows, 14, BAR_WIDTH - 14)
    bars = [
        plots.small_bar(row, scale, BAR_WIDTH) if pictures and estimate is not None else Markup("")
        for row in rows
    ]
    columns = [Column("cost")]
    if estimate is not None:
        level = percent(interval_level(estimate))
        columns += [Column("forecast"), Column(f"{level} interval")]
    if run is not None:
        columns.append(Column("measured"))
    found = [_reached(estimate, run)]
    for row, bar in zip(rows, bars, strict=True):
        cells = [row.label]
        if estimate is not None:
            cells += [row.forecast, row.interval]
        if run is not None:
            cells.append(row.measured)
        found.append(Row(cells, row.note, picture=bar))
    if estimate is not None and (paid := money_row(estimate)) is not None:
        found.append(replace(paid, cells=[*paid.cells, *([""] if run is not None else [])]))
    axis = plots.small_axis(scale, BAR_WIDTH) if any(bars) else Markup("")
    return Table(columns, [row for row in found if row is not None], main=True, axis=axis)


def _reached(estimate: Estimate | None, run: Run | None) -> Row | None:
    record = estimate if estimate is not None else run
    if record is None or (until := story.until_of(record)) is None:
        return None
    note = f"{goal_text(record.settings.metric, until)} within {story.budget_text(record.settings)}"
    cells = ["target reached"]
    if estimate is not None:
        unknown = estimate.reach_probability is None
        note += "; probability unknown" if unknown else ""
        if estimate.served_probability is not None:
            note += f"; on unseen data: {percent(estimate.served_probability)}"
        cells += [percent(estimate.reach_probability), ""]
    if run is not None:
        cells.append(story.outcome_short(run))
    return Row(cells, note, tone=story.TONES[run.outcome] if run is not None else "")


def _run_lines(run: Run | None) -> list[Line]:
    if run is None:
        return []
    found = [reasons.read(run)]
    if run.quality is not None:
        metric, quality = run.quality.metric, run.quality
        before, after = quality_text(metric, quality.before), quality_text(metric, quality.after)
        known = [f"{before} before"] if quality.before is not None else []
        text = f"{metric_name(metric)} {', '.join([*known, f'{after} after'])} the update, on the test data"
        found.append(Line("Quality", (text,)))
    found.append(Line("Option", tuple(filter(None, (option_settings_text(run.option_settings),)))))
    optimizer = optimizer_of(run.option_settings, run.settings)
    found.append(Line("Settings", (f"{recipe(run.settings, optimizer=optimizer)}; {run.steps:,} steps",)))
    if run.checkpoint:
        found.append(Line("Saved", (run.checkpoint,)))
    return [line for line in (*found, Line("Run", (run.id,))) if line.sentences]


def _figures(estimate: Estimate | None, run: Run | None, rows: Sequence[CostRow]) -> list[Block | None]:
    found: list[Block | None] = []
    if estimate is not None:
        found += [
            curve_figure(estimate),
            samples_figure(estimate),
            plots.options_figure(estimate, run),
            plots.forecast_figure(rows),
        ]
        found += [projection_figure(estimate), plots.angles_figure(angles(estimate))]
    if run is not None:
        expected = estimate.forecast.epochs if estimate is not None else None
        found += [plots.curve_figure(run, expected), plots.tensors_figure(run)]
    return found


def _footer(estimate: Estimate | None, run: Run | None) -> Footer:
    parts = [f"foretoll {__version__}"]
    if estimate is not None:
        parts.append(f"estimate {estimate.id} ({estimate.schema_})")
    if run is not None:
        parts.append(f"run {run.id} ({run.schema_})")
    return Footer(parts)


def _moment(moment: datetime) -> str:
    return f"{moment:%-d %B %Y, %H:%M}"
