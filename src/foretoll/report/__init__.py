"""Records turned into words, tables and pictures. Nothing is estimated or measured here.

`terminal` prints tables, `html` writes one self-contained page, `jsonfile` writes the JSON twin,
`words` holds the sentences and formatted numbers that all of them share.
"""

from __future__ import annotations

from pathlib import Path

from foretoll.errors import UsageError
from foretoll.records import Comparison, Estimate, Run
from foretoll.report.comparison_table import comparison_table
from foretoll.report.jsonfile import read_comparison, read_estimate, write_json
from foretoll.report.terminal import estimate_table, indices_table, ledger_table, run_table

Estimate.present_with(estimate_table)
Run.present_with(run_table)
Comparison.present_with(comparison_table)


def write_report(
    path: str | Path,
    *,
    estimate: Estimate | None = None,
    run: Run | None = None,
    comparison: Comparison | None = None,
    title: str | None = None,
) -> Path:
    """Write one self-contained page: of an estimate, a run or both, or of a comparison; atomically. Returns the path.

    Raises UsageError where none or too much is given, ForetollError where the file cannot be written.
    """
    if comparison is not None:
        if estimate is not None or run is not None:
            raise UsageError("a page is of a comparison, or of an estimate and a run: write two pages")
        from foretoll.report import comparison_page

        return comparison_page.write_comparison(path, comparison, title=title)
    from foretoll.report import html  # Jinja2 is loaded only for a page

    return html.write_report(path, estimate=estimate, run=run, title=title)


__all__ = [
    "comparison_table",
    "estimate_table",
    "indices_table",
    "ledger_table",
    "read_comparison",
    "read_estimate",
    "run_table",
    "write_json",
    "write_report",
]
