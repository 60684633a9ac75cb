"""One self-contained page: the answer first, then pictures, then everything it rests on. No scripts, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from foretoll import __version__
from foretoll.errors import UsageError
from foretoll.records import Estimate, Outcome, Run
from foretoll.report import plots, reasons, story
from foretoll.report.details import Grid, angles, grids
from foretoll.report.display import displayed
from foretoll.report.jsonfile import write_text
from foretoll.report.projection import projection_figure
from foretoll.report.words import (
    MISSING,
    glue,
    percent,
    plain,
)

if TYPE_CHECKING:
    from jinja2 import Environment

BAR_WIDTH = 190.0


@dataclass(frozen=True)
class Page:
    """Everything that the template shows."""

    title: str
    eyebrow: str
    headline: str
    outcome: str = ""
    good: bool = False
    warnings: Sequence[str] = ()
    heads: Sequence[str] = ()
    toll: Sequence[Sequence[str]] = ()
    bars: Sequence[Markup] = ()
    axis: Markup | None = None
    lines: Sequence[reasons.Line] = ()
    figures: Sequence[plots.Figure] = ()
    grids: Sequence[Grid] = ()
    footer: Sequence[str] = field(default_factory=tuple)


def write_report(
    path: str | Path, *, estimate: Estimate | None = None, run: Run | None = None, title: str | None = None
) -> Path:
    """Write report.html from an estimate, a run, or both; atomically. Returns the path.

    Raises UsageError where neither is given, ForetollError where the file cannot be written.
    """
    return write_text(path, render_report(estimate=estimate, run=run, title=title))


def render_report(
    *, estimate: Estimate | None = None, run: Run | None = None, title: str | None = None
) -> str:
    """The page as one string of HTML, with nothing to load from elsewhere."""
    template = page_environment().get_template("report.html.j2")
    return template.render(page=_page(displayed(estimate), displayed(run), title)) + "\n"


def page_environment() -> Environment:
    """Jinja2 with everything escaped and nothing undefined."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("foretoll.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["glue"] = glue
    return environment


def _page(estimate: Estimate | None, run: Run | None, title: str | None) -> Page:
    record = estimate if estimate is not None else run
    if record is None:
        raise UsageError("a report needs an estimate or a run: pass at least one of estimate= and run=")
    rows = story.cost_rows(estimate, run)
    scale = plots.ratio_scale(rows, 14, BAR_WIDTH - 14)
    bars = [plots.small_bar(row, scale, BAR_WIDTH) for row in rows] if estimate is not None else []
    drawn = any(bars)
    kind = "Measured update" if estimate is None else "Estimate before retraining"
    kind = "Estimate and measured update" if estimate is not None and run is not None else kind
    moment = run.started_at if run is not None else estimate.created_at if estimate is not None else None
    return Page(
        title=title or f"foretoll: {story.task_text(record)}",
        eyebrow=" · ".join([title or kind, moment.strftime("%-d %B %Y, %H:%M") if moment else ""]),
        headline=_headline(estimate, run),
        outcome=story.verdict(run) if run is not None else "",
        good=run is not None and run.outcome is Outcome.REACHED,
        warnings=reasons.warnings(estimate, run),
        heads=_toll_heads(estimate, run),
        toll=_toll(estimate, run, rows),
        bars=[Markup(""), *bars] if drawn else [],
        axis=plots.small_axis(scale, BAR_WIDTH) if drawn else None,
        lines=_lines(estimate, run),
        figures=_figures(estimate, run, rows),
        grids=grids(estimate, run),
        footer=_footer(estimate, run),
    )


def _lines(estimate: Estimate | None, run: Run | None) -> list[reasons.Line]:
    if estimate is not None:
        return reasons.lines(estimate, run)
    read = reasons.read(run) if run is not None else None
    return [read] if read is not None and read.sentences else []


def _headline(estimate: Estimate | None, run: Run | None) -> str:
    if estimate is not None:
        return story.headline(estimate)
    return story.run_headline(run) if run is not None else ""


# --- the answer ----------------------------------------------------------------------------------


def _toll_heads(estimate: Estimate | None, run: Run | None) -> list[str]:
    heads = []
    if estimate is not None:
        heads += ["forecast", f"{percent(story.interval_level(estimate))} interval"]
    return [*heads, "measured"] if run is not None else heads


def _toll(estimate: Estimate | None, run: Run | None, rows: Sequence[story.CostRow]) -> list[list[str]]:
    """Label, note, then one cell per head."""
    settings = estimate.settings if estimate is not None else run.settings if run is not None else None
    until = estimate.until if estimate is not None else run.settings.until if run is not None else None
    budget = f"within {settings.max_epochs:g} epochs" if settings else ""
    goal = f"{plain(settings.metric)} {story.human_level(until)} " if settings and until is not None else ""
    first = [f"{goal}reached", budget]
    if estimate is not None:
        first += [
            percent(estimate.reach_probability),
            "" if estimate.reach_probability is not None else MISSING,
        ]
    if run is not None:
        first.append(story.outcome_short(run))
    table = [first]
    for row in rows:
        cells = [row.label, row.note]
        if estimate is not None:
            cells += [row.forecast, row.interval]
        if run is not None:
            cells.append(row.measured)
        table.append(cells)
    return table


def _figures(estimate: Estimate | None, run: Run | None, rows: Sequence[story.CostRow]) -> list[plots.Figure]:
    found: list[plots.Figure | None] = []
    if estimate is not None:
        found += [plots.options_figure(estimate, run), plots.forecast_figure(rows)]
        found.append(projection_figure(estimate))
        found.append(plots.angles_figure(angles(estimate)))
    if run is not None:
        expected = estimate.forecast.epochs if estimate is not None else None
        found += [plots.curve_figure(run, expected), plots.tensors_figure(run)]
    return [figure for figure in found if figure is not None]


def _footer(estimate: Estimate | None, run: Run | None) -> list[str]:
    parts = [f"foretoll {__version__}"]
    if estimate is not None:
        parts.append(f"estimate {estimate.id} ({estimate.schema_})")
    if run is not None:
        parts.append(f"run {run.id} ({run.schema_})")
    return parts
