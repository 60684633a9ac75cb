"""The story of a study: its pictures, then the tables they go with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from foretoll.options.table import DEFAULT
from foretoll.records import Run
from foretoll.report.display import displayed
from foretoll.report.document import (
    Block,
    Column,
    Document,
    Footer,
    Headline,
    Note,
    Row,
    Section,
    Table,
    known,
)
from foretoll.report.html import write_page
from foretoll.report.words import MISSING, plain
from foretoll.research.columns import COSTS, REPEAT, columns
from foretoll.research.findings import Section as ShiftSection
from foretoll.research.findings import StudyTables
from foretoll.research.leave_out import Row as StudyRow
from foretoll.research.leave_out import rows_of
from foretoll.research.study_pictures import levels_figure, repeat_figure, scatter
from foretoll.research.study_tables import NOTE, SHIFTS, correlation_table, spread_table
from foretoll.research.tables import shift_of, study_tables
from foretoll.version import __version__


def write_study_page(path: str | Path, runs: Sequence[Run], *, option: str = DEFAULT) -> Path:
    """Write the page of a study's runs, atomically; returns its path. ForetollError where it cannot be written."""
    return write_page(path, study_document(runs, option=option))


def study_document(runs: Sequence[Run], *, option: str = DEFAULT) -> Document:
    """Everything that is to be said of a study's runs."""
    runs = [displayed(run) for run in runs]
    rows = rows_of(runs, option=option)
    tables = study_tables(runs, option=option)
    studies = sorted(
        {tag.removeprefix("study:") for run in runs for tag in run.tags if tag.startswith("study:")}
    )
    name = ", ".join(studies) or "a ledger"
    last = max((run.started_at for run in runs), default=None)
    blocks: list[Block] = [
        Headline(f"Study: {name}", _headline(tables), f"Study · {name}", f"{last:%-d %B %Y}" if last else "")
    ]
    for section in tables.sections:
        blocks += _part(section, [row for row in rows if shift_of(row) == section.shift])
    if tables.sections:
        blocks += [Section("Seeds"), spread_table(tables)]
    footer = Footer([f"foretoll {__version__}", f"{len(runs)} runs in the ledger"])
    return Document(f"foretoll study: {name}", [*blocks, Note(NOTE), footer])


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


def _part(section: ShiftSection, rows: list[StudyRow]) -> list[Block]:
    """One sort of shift: pictures, signals by kind of shift, and what orders each cost."""
    task = section.shift == "task"
    wanted = ("recoverability_gap", "inv_ari") if task else ("recoverability_gap", "resque")
    of = {column.name: column for column in columns(rows, everything=True)}
    caption = "Colours: the target." if section.shift != "distribution" else "Colours: the kind of shift."
    figures: list[Block | None] = [
        scatter(rows, of[name], _colour(section), title=f"Epochs against {of[name].title}", caption=caption)
        for name in wanted
        if name in of
    ]
    if section.shift == "distribution":
        figures.append(levels_figure(rows))
    title = SHIFTS[section.shift]
    return known(
        [
            Section(
                f"{title}: {section.runs} runs of {section.settings} settings, {section.censored} not reached"
            ),
            *figures,
            repeat_figure(rows),
            heat_table(section, "epochs"),
            *(correlation_table(section, cost) for cost in COSTS),
        ]
    )


def _colour(section: ShiftSection) -> Callable[[StudyRow], str]:
    if section.shift == "distribution":
        return lambda row: row.case.shift_kind
    return lambda row: row.case.target_name


def heat_table(section: ShiftSection, cost: str) -> Table | None:
    """Spearman of every signal with a cost, by kind of shift, shaded; None where there are no kinds."""
    of = {(k.signal, k.kind): k for k in section.kinds if k.cost == cost}
    kinds = sorted({kind for _, kind in of})
    if not kinds:
        return None
    rows = []
    for name, title in section.signals():
        found = [of.get((name, kind)) for kind in kinds]
        if any(found):
            values = [k.spearman if k else None for k in found]
            rows.append(
                Row(
                    (title, *(MISSING if v is None else f"{v:.2f}".replace("-", "−") for v in values)),
                    tone="aside" if name == REPEAT else "",
                    shades=[0 if v is None else round(60 * v) for v in values],
                )
            )
    runs = {kind: max(k.runs for (_, other), k in of.items() if other == kind) for kind in kinds}
    heads = [Column("signal"), *(Column(f"{plain(kind)} ({runs[kind]})", number=True) for kind in kinds)]
    note = "Spearman correlation with the epochs over all runs of a kind (their number in brackets)."
    return Table(heads, rows, f"{COSTS[cost]}: index by kind of shift", note, wide=True)
