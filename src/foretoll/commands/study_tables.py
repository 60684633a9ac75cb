"""`foretoll study table` and `study plot`: read runs, relate, show. Loads no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType

from foretoll.commands.output import warn
from foretoll.errors import UsageError, unknown_name
from foretoll.report.document import Document
from foretoll.report.markdown import markdown as as_markdown
from foretoll.report.terminal import Terminal
from foretoll.research.columns import COSTS
from foretoll.research.findings import StudyTables
from foretoll.research.study_tables import study_blocks
from foretoll.research.tables import study_tables
from foretoll.sharing import anonymous as nameless
from foretoll.study.reading import study_runs


def tables_of(
    where: str, *, option: str, cost: str = "all", everything: bool = False, trained: bool = False
) -> StudyTables:
    """The tables of the runs at a place. UsageError for an unknown cost or place."""
    _costs(cost)
    found = study_runs(where)
    warn(found.notes)
    tables = study_tables(found.runs, option=option, everything=everything, trained=trained)
    return replace(tables, notes=found.notes)


def tables_text(
    tables: StudyTables, cost: str, *, by_kind: bool = False, markdown: bool = False
) -> RenderableType:
    """The tables for a terminal, or as Markdown."""
    blocks = study_blocks(tables, _costs(cost), by_kind=by_kind)
    return as_markdown(Document("", blocks)) if markdown else Terminal(lambda: blocks)


def write_page(where: str, out: Path, *, option: str, anonymous: bool = False) -> Path:
    """Write the page of pictures; UsageError where no run can be drawn."""
    from foretoll.research.study_document import write_study_page  # Jinja2 is loaded only for a page

    found = study_runs(where)
    warn(found.notes)
    if not any(run.option == option for run in found.runs):
        raise UsageError(
            f"{where!r} has no {option} run to draw: name another --option, or run the study first"
        )
    runs = [nameless(run) for run in found.runs] if anonymous else found.runs
    return write_study_page(out, runs, option=option)


def _costs(cost: str) -> list[str]:
    if cost != "all" and cost not in COSTS:
        raise UsageError(unknown_name("cost", cost, ("all", *COSTS)))
    return list(COSTS) if cost == "all" else [cost]
