"""Records turned into words, tables and pictures. Nothing is estimated or measured here.

A record is composed once, as blocks (`document`), by the stories `update_document`, `comparison_document` and
`study_document`; `terminal`, `html` and `markdown` render blocks, one medium each. `jsonfile` writes the JSON twin,
`words` holds the formatted numbers that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import UsageError
from foretoll.records import Comparison, Estimate, LifeCard, LifeEvent, LifePlan, ModelSize, Run
from foretoll.report.jsonfile import read_comparison, read_estimate, write_badge, write_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from foretoll.report.document import Block, Document

MARKDOWN = (".md", ".markdown")


def estimate_table(estimate: Estimate, run: Run | None = None) -> RenderableType:
    """The forecast costs, beside the measured ones where there is a run, and what they mean and rest on."""
    from foretoll.report.terminal import Terminal
    from foretoll.report.update_document import update_answer

    return Terminal(lambda: update_answer(estimate, run))


def measured_table(estimate: Estimate, run: Run) -> RenderableType:
    """The costs of a run beside a forecast that its reader has seen, without what was said of the forecast."""
    from foretoll.report.terminal import Terminal
    from foretoll.report.update_document import measured_answer

    return Terminal(lambda: measured_answer(estimate, run))


def run_table(run: Run) -> RenderableType:
    """A run that was measured: its costs with their basis, its quality before and after."""
    from foretoll.report.terminal import Terminal
    from foretoll.report.update_document import update_answer

    return Terminal(lambda: update_answer(None, run))


def comparison_table(comparison: Comparison) -> RenderableType:
    """All candidates side by side, the recommended one marked, and what follows from them."""
    from foretoll.report.comparison_document import comparison_answer
    from foretoll.report.terminal import Terminal

    return Terminal(lambda: comparison_answer(comparison))


def ledger_table(runs: Sequence[Run]) -> RenderableType:
    """One row for each run, in the order given; nothing of it is cut, however narrow the terminal."""
    from foretoll.report.ledger_list import ledger_blocks
    from foretoll.report.terminal import Terminal

    return Terminal(lambda: ledger_blocks(runs))


def life_table(card: LifeCard, events: Sequence[LifeEvent]) -> RenderableType:
    """What a deployed model served, batch by batch, what was decided, and the bill."""
    from foretoll.report.life import life_blocks
    from foretoll.report.terminal import Terminal

    return Terminal(lambda: life_blocks(card, events))


def life_bill_table(card: LifeCard, events: Sequence[LifeEvent]) -> RenderableType:
    """What a life cost, by what was paid for and by year."""
    from foretoll.report.life_bill import bill_blocks
    from foretoll.report.terminal import Terminal

    return Terminal(lambda: bill_blocks(card, events))


def plan_table(plan: LifePlan) -> RenderableType:
    """Schedules of updates: the one to take, what each option could do, and what quality a budget buys."""
    from foretoll.report.plan import plan_blocks
    from foretoll.report.terminal import Terminal

    return Terminal(lambda: plan_blocks(plan))


def blocks_shown(blocks: Callable[[], Sequence[Block]]) -> RenderableType:
    """Any blocks, for a terminal."""
    from foretoll.report.terminal import Terminal

    return Terminal(blocks)


def size_table(found: ModelSize) -> RenderableType:
    """What training a model takes, from its configuration alone."""
    from foretoll.report.elsewhere import size_blocks

    return blocks_shown(lambda: size_blocks(found))


def indices_table(rows: Iterable[object]) -> RenderableType:
    """A table of mappings, dataclasses or named tuples, one column per key, truth values as yes and no."""
    from foretoll.report.ledger_list import table_of
    from foretoll.report.terminal import Terminal

    found = table_of(rows)
    return Terminal(lambda: [found])


def document_of(
    *,
    estimate: Estimate | None = None,
    run: Run | None = None,
    comparison: Comparison | None = None,
    title: str | None = None,
) -> Document:
    """The story of an estimate, a run or both, or of a comparison. UsageError where none or too much is given."""
    if comparison is not None:
        if estimate is not None or run is not None:
            raise UsageError("a page is of a comparison, or of an estimate and a run: write two pages")
        from foretoll.report.comparison_document import comparison_document

        return comparison_document(comparison, title=title)
    from foretoll.report.update_document import update_document

    return update_document(estimate, run, title=title)


def write_report(
    path: str | Path,
    *,
    estimate: Estimate | None = None,
    run: Run | None = None,
    comparison: Comparison | None = None,
    title: str | None = None,
) -> Path:
    """Write one self-contained page, or Markdown where `path` ends in .md: of an estimate, a run or both, or of a
    comparison; atomically. Returns the path.

    Raises UsageError where none or too much is given, ForetollError where the file cannot be written.
    """
    document = document_of(estimate=estimate, run=run, comparison=comparison, title=title)
    if Path(path).suffix.lower() in MARKDOWN:
        from foretoll.report.markdown import write_markdown

        return write_markdown(path, document)
    from foretoll.report.html import write_page  # Jinja2 is loaded only for a page

    return write_page(path, document)


def write_life(path: str | Path, card: LifeCard, events: Sequence[LifeEvent]) -> Path:
    """Write the page of a life, or Markdown where `path` ends in .md; atomically. Returns the path."""
    from foretoll.report.life_document import life_document

    document = life_document(card, events)
    if Path(path).suffix.lower() in MARKDOWN:
        from foretoll.report.markdown import write_markdown

        return write_markdown(path, document)
    from foretoll.report.html import write_page

    return write_page(path, document)


def write_reports(
    folder: Path,
    *,
    estimate: Estimate | None = None,
    run: Run | None = None,
    comparison: Comparison | None = None,
) -> Path:
    """Write report.html, and beside it report.md (for pull requests, model cards) and badge.json (the costs).

    Returns the path of the page. A comparison has no badge.
    """
    from foretoll.report.html import write_page
    from foretoll.report.markdown import write_markdown

    document = document_of(estimate=estimate, run=run, comparison=comparison)
    write_markdown(folder / "report.md", document)
    if comparison is None:
        write_badge(folder / "badge.json", estimate=estimate, run=run)
    return write_page(folder / "report.html", document)


Estimate.present_with(estimate_table)
Run.present_with(run_table)
Comparison.present_with(comparison_table)
LifePlan.present_with(plan_table)
ModelSize.present_with(size_table)

__all__ = [
    "blocks_shown",
    "comparison_table",
    "document_of",
    "estimate_table",
    "indices_table",
    "ledger_table",
    "life_bill_table",
    "life_table",
    "measured_table",
    "plan_table",
    "read_comparison",
    "read_estimate",
    "run_table",
    "size_table",
    "write_badge",
    "write_json",
    "write_life",
    "write_report",
    "write_reports",
]
