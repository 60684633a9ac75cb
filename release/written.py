"""Pages of the docs whose middle a script writes, between two comments."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def block(page: str, name: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of a block. SystemExit where the page has none."""
    text = (DOCS / page).read_text(encoding="utf-8")
    start, end = f"<!-- {name}: written by a script -->\n", f"<!-- end of {name} -->"
    found = re.fullmatch(f"(.*{re.escape(start)})(.*)({re.escape(end)}.*)", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"docs/{page} has no block {name!r}")
    return found[1], found[2], found[3]


def write(page: str, name: str, text: str) -> bool:
    """Put a text between the marks. Returns whether it was there already."""
    before, old, after = block(page, name)
    new = f"\n{text.strip()}\n\n"
    if new != old:
        (DOCS / page).write_text(before + new + after, encoding="utf-8")
    return new == old
