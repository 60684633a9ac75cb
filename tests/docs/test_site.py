"""The docs site is built without a dead link, stands alone, and has every public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import foretoll
import foretoll.testing

ROOT = Path(__file__).resolve().parents[2]


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does: a dead link, a dead anchor or a page that is nowhere is an error."""
    (make,) = re.findall(r"\$\(BIN\)/mkdocs (.+)", (ROOT / "Makefile").read_text())
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", *make.split(), "--site-dir", str(out)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.parametrize("text", ["[gone](gone.md)", "[here](#nowhere)", "![](img/none.svg)"])
def test_a_dead_link_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# A page\n\n{text}\n")
    validation = (ROOT / "mkdocs.yml").read_text().split("validation:\n")[1].split("nav:")[0]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: small\nvalidation:\n{validation}")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0 and "WARNING" in done.stderr


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/python.html").read_text()
    missing = [
        name
        for name in foretoll.__all__
        if name != "__version__" and not re.search(rf'id="foretoll\.(?:\w+\.)*{name}"', page)
    ]
    assert not missing
    parts = (site / "reference/parts.html").read_text()
    assert all(f'id="foretoll.testing.{name}"' in parts for name in foretoll.testing.__all__)


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/commands.html").read_text()
    for name in ("estimate", "compare", "retrain", "ledger-list", "life-watch", "study-run"):
        assert f'id="foretoll-{name}"' in page
    assert "--max-epochs" in page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+href="https?:|@import url\("?https?:'
    )
    pages = [p for p in site.rglob("*") if p.suffix in (".html", ".css")]
    assert len(pages) > 30
    assert not [str(p.relative_to(site)) for p in pages if loads.search(p.read_text())]
