"""Builds what of the docs is made by programs and takes seconds: the tables of docs/indices.md and docs/settings.md.

    python docs/build.py            # write
    python docs/build.py --check    # only say whether it is up to date, exit 1 if not

What is measured is written by the benchmarks; each page names its command.
"""

from __future__ import annotations

import sys
from pathlib import Path

from foretoll.indices.table import INDICES
from foretoll.records.settings import setting_fields

DOCS = Path(__file__).resolve().parent
START, END = "<!-- table: written by a script -->", "<!-- end of table -->"


def table() -> str:
    """The table of indices in Markdown."""
    lines = ["| name | what it is | shift | needs | sees | source |", "| --- | --- | --- | --- | --- | --- |"]
    for entry in INDICES.values():
        row = entry.as_row()
        cells = (f"`{entry.name}`", entry.title, row["shift"], row["needs"], row["sees"], row["source"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def settings_table() -> str:
    """A line for each training setting in Markdown, from the record."""
    lines = ["| name | default | what it is |", "| --- | --- | --- |"]
    for name, field in setting_fields().items():
        value = field.default
        default = "" if value is None or value in ((), {}) else f"`{str(value).lower().strip('()')}`"
        lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines)


TABLES = {"indices.md": table, "settings.md": settings_table}


def built(name: str) -> tuple[str, str]:
    """A page as it is, and with the table of today."""
    old = (DOCS / name).read_text(encoding="utf-8")
    before, rest = old.split(START)
    _, after = rest.split(END)
    return old, f"{before}{START}\n\n{TABLES[name]()}\n\n{END}{after}"


def main() -> int:
    """Write or check."""
    stale = {name: new for name in TABLES for old, new in [built(name)] if old != new}
    if "--check" in sys.argv:
        return int(bool(stale))
    for name, new in stale.items():
        (DOCS / name).write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
