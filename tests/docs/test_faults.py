"""The page of faults: every test that a page names is there, every public case and every kind has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for file, name in NAMED.findall(page.read_text(encoding="utf-8")):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
            f"{page.name} names {file}::{name}, which is not there"
        )


def _rows(title: str) -> list[list[str]]:
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in section.splitlines()
        if line.startswith("| ")
    ][1:]


def test_each_kind_has_a_sibling_with_its_test() -> None:
    rows = _rows("Kinds")
    kinds = [int(row[0].split(".")[0]) for row in rows]
    assert kinds == sorted(kinds) and set(kinds) == set(range(1, 11))
    cases = {test for row in (*_rows("Cases from public reports"), *_rows("Hostile inputs")) for test in row}
    assert all(NAMED.search(row[2]) and row[2] not in cases for row in rows)


def test_each_public_case_has_its_row() -> None:
    rows = _rows("Cases from public reports")
    assert all(NAMED.search(row[3]) for row in rows)
    if not CASES.is_dir():
        pytest.skip("the folder of the public cases is not beside the checkout")
    given = {folder.name.split("_")[0] for folder in CASES.iterdir() if folder.is_dir()} - {"code"}
    assert {row[0].split()[0] for row in rows} - {"code"} == given
