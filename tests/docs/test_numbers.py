"""No number of the docs comes from a ledger older than the one that ships."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from foretoll.forecast.reference import RUNS, reference_runs

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"<!-- ([\w-]+): written by a script -->(.*?)<!-- end of \1 -->", re.DOTALL)
LINE = re.compile(r"\*From the ledger that ships: ([\d,]+) runs, ([0-9a-f]{12})\.\*")
# the pages whose numbers are those of the shipped ledger; other blocks come from runs of their own
PAGES = {
    "../README.md": {"headline"},
    "studies.md": {"buying", "ledger"},
    "recoverability_gap.md": {"worth"},
    "replication.md": {"basis", "summary", "summary-trained", "costs", "kinds", "tasks", "seeds"},
    "compare.md": {"decisions"},
    "tasks.md": {"task-scores"},
    "forecasts.md": {"aims", "intervals", "reliability", "scores", "source-models"},
    "curve.md": {"curves", "samples"},
}


@pytest.mark.parametrize("page", PAGES)
def test_numbers_are_those_of_the_ledger_that_ships(page: str) -> None:
    runs, digest = f"{len(reference_runs()):,}", hashlib.sha256(RUNS.read_bytes()).hexdigest()[:12]
    blocks = dict(BLOCK.findall((DOCS / page).read_text(encoding="utf-8")))
    assert blocks.keys() >= PAGES[page]
    for name in PAGES[page]:
        assert LINE.findall(blocks[name]) == [(runs, digest)], f"{page}, {name} is out of date: make numbers"


def test_no_other_page_tells_numbers_of_another_ledger() -> None:
    digest = hashlib.sha256(RUNS.read_bytes()).hexdigest()[:12]
    for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        assert {found for _, found in LINE.findall(page.read_text(encoding="utf-8"))} <= {digest}, page.name


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_tables_are_whole(page: Path) -> None:
    """Every row of a table has as many cells as its head, and no row stands alone or is empty."""
    lines = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL).splitlines()
    head: int | None = None
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("|"):
            head = None
            continue
        cells = re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "code", line).strip())[1:-1]
        if head is None:
            assert re.match(r"^\|[\s:|-]+\|$", after), f"{page.name}: a row without a head: {line[:80]}"
            head = len(cells)
        assert len(cells) == head, f"{page.name}: {len(cells)} cells under {head}: {line[:80]}"
        assert any(cell.strip() for cell in cells), f"{page.name}: an empty row"
