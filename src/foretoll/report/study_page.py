"""The page of a study: pictures first, then the tables they go with. No scripts, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foretoll import __version__
from foretoll.options.table import DEFAULT
from foretoll.records import Run
from foretoll.report.details import Grid
from foretoll.report.display import displayed
from foretoll.report.html import page_environment
from foretoll.report.jsonfile import write_text
from foretoll.report.plots import Figure
from foretoll.report.study_pictures import CSS, levels_figure, repeat_figure, scatter
from foretoll.report.study_tables import NOTE, SHIFTS, correlation_grid, spread_grid
from foretoll.report.words import MISSING, plain
from foretoll.study.columns import COSTS, REPEAT, columns
from foretoll.study.findings import Section, StudyTables
from foretoll.study.leave_out import Row, rows_of
from foretoll.study.tables import shift_of, study_tables


@dataclass(frozen=True)
class HeatCell:
    """One cell of the heat table: its text, and how strongly it is coloured (0 to 60 %)."""

    text: str
    strength: int
    against: bool


@dataclass(frozen=True)
class HeatRow:
    """One signal of the heat table."""

    title: str
    cells: Sequence[HeatCell]
    is_repeat: bool


@dataclass(frozen=True)
class Heat:
    """Correlation of every signal with one cost, kind by kind."""

    title: str
    heads: Sequence[str]
    rows: Sequence[HeatRow]
    note: str


@dataclass(frozen=True)
class Part:
    """One sort of shift on the page."""

    title: str
    figures: Sequence[Figure]
    heat: Heat | None
    grids: Sequence[Grid]


@dataclass(frozen=True)
class StudyPage:
    """Everything that the template shows."""

    title: str
    eyebrow: str
    headline: str
    parts: Sequence[Part]
    note: str
    footer: Sequence[str]


def write_study_page(path: str | Path, runs: Sequence[Run], *, option: str = DEFAULT) -> Path:
    """Write the page of a study's runs, atomically; returns its path. ForetollError where it cannot be written."""
    return write_text(path, render_study_page(runs, option=option))


def render_study_page(runs: Sequence[Run], *, option: str = DEFAULT) -> str:
    """The page as one string of HTML, with nothing to load from elsewhere."""
    template = page_environment().get_template("study.html.j2")
    return template.render(page=_page([displayed(run) for run in runs], option), css=CSS) + "\n"


def _page(runs: Sequence[Run], option: str) -> StudyPage:
    rows = rows_of(runs, option=option)
    tables = study_tables(runs, option=option)
    studies = sorted(
        {tag.removeprefix("study:") for run in runs for tag in run.tags if tag.startswith("study:")}
    )
    parts = [
        _part(section, [row for row in rows if shift_of(row) == section.shift]) for section in tables.sections
    ]
    if tables.sections:
        parts.append(Part("Seeds", [], None, [spread_grid(tables)]))
    name = ", ".join(studies) or "a ledger"
    last = max((run.started_at for run in runs), default=None)
    return StudyPage(
        title=f"foretoll study: {name}",
        eyebrow=" · ".join(["Study", name, last.strftime("%-d %B %Y") if last else ""]),
        headline=_headline(tables),
        parts=parts,
        note=NOTE,
        footer=[f"foretoll {__version__}", f"{len(runs)} runs in the ledger"],
    )


def _headline(tables: StudyTables) -> str:
    if not tables.sections:
        return f"{tables.runs} usable {tables.option} runs: too few to relate anything yet."
    first = tables.sections[0]
    found = [
        a for a in first.associations if a.cost == "epochs" and a.scope == "pooled" and a.spearman is not None
    ]
    best = max((a for a in found if a.signal != REPEAT), key=lambda a: a.spearman or 0.0, default=None)
    repeat = next((a for a in found if a.signal == REPEAT), None)
    text = f"{tables.runs} runs of {tables.option}, {tables.censored} of which did not reach their target."
    if best is not None:
        text += f" Under {SHIFTS[first.shift]}, {best.title} orders the epochs best ({best.spearman:.2f}"
        text += f"; another seed: {repeat.spearman:.2f})." if repeat else ")."
    return text


def _part(section: Section, rows: list[Row]) -> Part:
    task = section.shift == "task"
    wanted = ("recoverability_gap", "inv_ari") if task else ("recoverability_gap", "resque")
    known = {column.name: column for column in columns(rows, everything=True)}
    figures: list[Figure | None] = []
    for name in wanted:
        if name in known:
            caption = (
                "Colours: the target." if section.shift != "distribution" else "Colours: the kind of shift."
            )
            figures.append(
                scatter(
                    rows,
                    known[name],
                    _colour(section),
                    title=f"Epochs against {known[name].title}",
                    caption=caption,
                )
            )
    if section.shift == "distribution":
        figures.append(levels_figure(rows))
    figures.append(repeat_figure(rows))
    grids = [correlation_grid(section, cost) for cost in COSTS]
    return Part(
        f"{SHIFTS[section.shift][:1].upper()}{SHIFTS[section.shift][1:]}: {section.runs} runs of "
        f"{section.settings} settings, {section.censored} not reached",
        [figure for figure in figures if figure is not None],
        heat_of(section, "epochs"),
        [grid for grid in grids if grid is not None],
    )


def _colour(section: Section) -> Callable[[Row], str]:
    if section.shift == "distribution":
        return lambda row: row.case.shift_kind
    return lambda row: row.case.target_name


def heat_of(section: Section, cost: str) -> Heat | None:
    """Spearman of every signal with a cost, by kind of shift; None where there are no kinds."""
    of = {(k.signal, k.kind): k for k in section.kinds if k.cost == cost}
    kinds = sorted({kind for _, kind in of})
    if not kinds:
        return None
    rows = []
    for name, title in section.signals():
        found = [of.get((name, kind)) for kind in kinds]
        if any(found):
            rows.append(HeatRow(title, [_cell(k.spearman if k else None) for k in found], name == REPEAT))
    runs = {kind: max(k.runs for (_, other), k in of.items() if other == kind) for kind in kinds}
    heads = [f"{plain(kind)} ({runs[kind]})" for kind in kinds]
    note = "Spearman correlation with the epochs over all runs of a kind (their number in brackets)."
    return Heat(f"{COSTS[cost][:1].upper()}{COSTS[cost][1:]}: index by kind of shift", heads, rows, note)


def _cell(value: float | None) -> HeatCell:
    if value is None:
        return HeatCell(MISSING, 0, against=False)
    return HeatCell(f"{value:.2f}".replace("-", "−"), round(60 * abs(value)), against=value < 0)
