"""The docs say what is there: every index once, links and commands that lead somewhere, tables of today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from foretoll.indices.table import INDICES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"(?<![\w/.~-])((?:benchmarks|docs|tests|src)/[\w./-]*\w\.(?:py|md|json|svg|toml|csv))")
COMMAND = re.compile(r"^(?:\S+=\S+ )*(?:\.venv/bin/)?foretoll ([a-z]+)", re.MULTILINE)
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_page_of_indices_has_a_paragraph_for_exactly_the_registered_ones() -> None:
    text = (ROOT / "docs" / "indices.md").read_text(encoding="utf-8")
    described = re.findall(r"\*\*`(\w+)`\*\*", text)
    assert sorted(described) == sorted(INDICES)


def test_the_table_of_indices_is_that_of_today() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build.py"), "--check"], check=False, capture_output=True
    )
    assert done.returncode == 0, (
        "docs/indices.md or docs/settings.md is out of date: run python docs/build.py"
    )


def test_every_family_of_indices_has_a_picture() -> None:
    text = (ROOT / "docs" / "indices.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(img/(blind_\w+)\.svg\)", text))
    families = ("angles", "task", "histograms", "marginals", "separability", "outputs", "transport")
    assert shown == {f"blind_{name}" for name in (*families, "confidence", "gradients", "linearised")}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_to_files(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:|#", link):
            continue
        assert (page.parent / link.split("#")[0]).exists(), f"{ids(page)} links to {link}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{ids(page)} names {name}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_are_those_of_the_command_line(page: Path) -> None:
    from typer.main import get_command

    from foretoll.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]  # a group has commands
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for name in COMMAND.findall(block):
            assert name in known, f"{ids(page)} shows 'foretoll {name}', which is no command"


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "img").glob("*.svg")), ids=ids)
def test_pictures_are_whole_and_used(picture: Path) -> None:
    from xml.etree import ElementTree

    root = ElementTree.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert any(picture.name in page.read_text(encoding="utf-8") for page in PAGES), "no page shows it"
