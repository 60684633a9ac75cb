"""Records turned into words, tables and pictures. Nothing is estimated or measured here.

`terminal` prints tables, `html` writes one self-contained page, `jsonfile` writes the JSON twin,
`words` holds the sentences and formatted numbers that all of them share.
"""

from __future__ import annotations

from pathlib import Path

from foretoll.records import Estimate, Run
from foretoll.report.jsonfile import read_estimate, write_json
from foretoll.report.terminal import estimate_table, indices_table, ledger_table, run_table

Estimate.present_with(estimate_table)
Run.present_with(run_table)


def write_report(
    path: str | Path, *, estimate: Estimate | None = None, run: Run | None = None, title: str | None = None
) -> Path:
    """Write one self-contained page; see `foretoll.report.html.write_report`."""
    from foretoll.report import html  # Jinja2 is loaded only for a page

    return html.write_report(path, estimate=estimate, run=run, title=title)


__all__ = [
    "estimate_table",
    "indices_table",
    "ledger_table",
    "read_estimate",
    "run_table",
    "write_json",
    "write_report",
]
