"""Builds what of the docs is made by programs and takes seconds: the table of indices in docs/indices.md.

    python docs/build.py            # write
    python docs/build.py --check    # only say whether it is up to date, exit 1 if not

What is measured is written by the benchmarks; each page names its command.
"""

from __future__ import annotations

import sys
from pathlib import Path

from foretoll.indices.table import INDICES

PAGE = Path(__file__).resolve().parent / "indices.md"
START, END = "<!-- table: written by a script -->", "<!-- end of table -->"


def table() -> str:
    """The table of indices in Markdown."""
    lines = ["| name | what it is | shift | needs | sees | source |", "| --- | --- | --- | --- | --- | --- |"]
    for entry in INDICES.values():
        row = entry.as_row()
        cells = (f"`{entry.name}`", entry.title, row["shift"], row["needs"], row["sees"], row["source"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def built(page: str) -> str:
    """The page with the table of today."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    """Write or check."""
    old = PAGE.read_text(encoding="utf-8")
    new = built(old)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
