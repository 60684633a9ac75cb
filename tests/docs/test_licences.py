"""The table of licences is that of the packages that are installed, and has every dependency."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_dependency_of_ours_is_in_the_table() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = {"core": project["dependencies"], **project["optional-dependencies"]}
    text = (ROOT / "docs" / "licences.md").read_text()
    for part, needs in parts.items():
        for need in needs if part != "dev" else ():
            name = re.split(r"[\[<>=]", need)[0].lower()
            assert re.search(rf"^\| {part} \| \*\*{name}\*\* \| [\d.]\S* \| \S", text, re.MULTILINE), (
                part,
                name,
            )


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or sys.platform != "linux", reason="the page is of 3.11 on Linux"
)
def test_the_table_is_that_of_what_is_installed() -> None:
    script = ROOT / "release" / "licences.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, "docs/licences.md is out of date: run python release/licences.py"
