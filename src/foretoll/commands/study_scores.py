"""`foretoll study score` and `study pack`: how good forecasts are, and the runs that they rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import RenderableType

from foretoll.commands.output import warn
from foretoll.errors import UsageError
from foretoll.forecast.reference import RUNS, pack, reference_runs
from foretoll.forecast.shipped import write_fits
from foretoll.records import Run
from foretoll.report.document import Document
from foretoll.report.markdown import markdown as as_markdown
from foretoll.report.score_tables import score_blocks
from foretoll.report.terminal import Terminal
from foretoll.research.score import FEWEST_ROWS, score_all
from foretoll.study.places import REFERENCE
from foretoll.study.reading import study_runs


def scored(where: str, *, option: str, jobs: int) -> dict[str, Any]:
    """The score table of the runs at a place; `reference` means those that ship with foretoll."""
    found = score_all(_runs(where), option=option, jobs=jobs)
    if not found["splits"]:
        raise UsageError(
            f"{where!r} has {found['runs']} usable {option} runs, a score needs {FEWEST_ROWS} in several groups: "
            "run more of the study first"
        )
    return found


def score_text(found: dict[str, Any], *, markdown: bool = False) -> RenderableType:
    """The table for a terminal, or as Markdown."""
    blocks = score_blocks(found)
    return as_markdown(Document("", blocks), level=2) if markdown else Terminal(lambda: blocks)


def packed(where: str, into: Path | None) -> tuple[int, int]:
    """Write the reference files from a study's runs: their number and the bytes written.

    `reference` means the runs that ship: they stay as they are, and their models are fitted anew.
    Raises UsageError where there is no run of a study: the reference would be replaced by nothing.
    """
    folder = into or RUNS.parent
    if where == REFERENCE and into is None:
        return len(reference_runs()), write_fits(folder)
    runs = _runs(where)
    if not runs:
        raise UsageError(f"{where!r} has no run of a study to pack: name a study's folder, ledger or export")
    count, size = pack(runs, into=into)
    return count, size + write_fits(folder)


def _runs(where: str) -> list[Run]:
    return list(reference_runs()) if where == REFERENCE else _study_runs(where)


def _study_runs(where: str) -> list[Run]:
    """The study's own runs, without those that made its source models."""
    found = study_runs(where)
    warn(found.notes)
    return [run for run in found.runs if any(tag.startswith("study:") for tag in run.tags)]
