"""The table of docs/live.md is that of the benchmark, which is the one that its numbers come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEASURED = (ROOT / "benchmarks" / "live.md").read_text(encoding="utf-8")
TOLD = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")


def cells(text: str, *begin: str) -> list[str]:
    """The cells of the one row that begins with these."""
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")
    ]
    (found,) = [row for row in rows if tuple(row[: len(begin)]) == begin]
    return found


@pytest.mark.parametrize("share", [1, 5, 10, 20])
def test_what_giving_up_saves_and_loses(share: int) -> None:
    told = cells(TOLD, f"{share} %")
    for first, name in ((1, "all"), (4, "whole curve")):
        row = cells(MEASURED, f"{share}%", "live", name)
        assert told[first : first + 3] == [row[5], row[6], row[8]]


def test_the_numbers_in_the_text() -> None:
    alone = cells(MEASURED, "5%", "curve alone", "whole curve")
    assert (
        f"{alone[5].replace('%', ' %')} of the epochs are saved on whole curves, and {alone[8][:-1]} % of the"
        in TOLD
    )
    for by in ("live", "forecast before the run", "slope of the last two"):
        rows = [line for line in MEASURED.splitlines() if re.match(rf"\| {by} \| \d\.\d\d \|", line)]
        assert rows and rows[-1].split("|")[2].strip() in TOLD
    left_out = cells(MEASURED, "elec2")
    assert (
        left_out[3:] == ["12", "16.7%"]
        and "two would have been given up" in TOLD
        and "of the 12 runs of one" in TOLD
    )
