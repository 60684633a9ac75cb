"""Asks axe-core about every page that foretoll writes and the docs site, in light, dark, on a phone.

    make accessibility        # or: python release/accessibility.py [--write]

Prints the findings by page and ends with 1 where one is serious or critical. Contrast of texts is among the rules. What
axe-core could not decide (text over a picture) is counted apart. `--write` puts the table into docs/accessibility.md.
axe-core (MPL-2.0) is fetched by npm into build/, and is no part of foretoll.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import VIEWS, Browser, View
from pages import ROOT, every_page, make
from written import write

VERSION = "4.14.1"
FETCHED = ROOT / "build" / f"axe-core-{VERSION}.tgz"
SERIOUS = ("serious", "critical")
SEEN = [view for view in VIEWS if view.medium == "screen"]
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES = json.dumps({"resultTypes": ["violations", "incomplete"], "runOnly": LEVELS})
# tables of numbers stand folded under each picture: they are read as well
UNFOLD = "document.querySelectorAll('details').forEach(d => d.open = true)"


@dataclass(frozen=True)
class Finding:
    """One rule that a page breaks, or that could not be decided."""

    rule: str
    impact: str
    help: str
    places: tuple[str, ...]
    undecided: bool


def axe() -> str | None:
    """The source of axe-core, fetched once; None where there is no npm to fetch it."""
    if not FETCHED.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None
        FETCHED.parent.mkdir(exist_ok=True)
        words = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", str(FETCHED.parent)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(FETCHED) as packed:
        file = packed.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def findings(browser: Browser, source: str, page: Path, view: View) -> list[Finding]:
    """What axe-core says of a page that is seen so."""
    browser.show(page, view)
    browser.value(UNFOLD)
    browser.value(f"{source}; true")
    found: dict[str, Any] = json.loads(browser.value(f"axe.run(document, {RULES}).then(JSON.stringify)"))
    return [
        Finding(
            item["id"], item["impact"] or "minor", item["help"],
            tuple(map(_place, item["nodes"])), kind == "incomplete",
        )
        for kind in ("violations", "incomplete")
        for item in found[kind]
    ]  # fmt: skip


def _place(node: dict[str, Any]) -> str:
    found = [check["data"] for check in node["any"] if isinstance(check.get("data"), dict)]
    contrast = [
        f"{d['contrastRatio']}:1, {d['fgColor']} on {d['bgColor']}: " for d in found if d.get("fgColor")
    ]
    return "".join(contrast[:1]) + " ".join(node["html"].split())[:120]


def table(found: dict[str, dict[str, list[Finding]]]) -> str:
    """A row for each page: findings by view."""
    lines = [
        "| page | " + " | ".join(v.name for v in SEEN) + " | texts in pictures |",
        "| --- | --- | --- | --- | --- |",
    ]
    for page, by_view in found.items():
        cells = []
        for view in SEEN:
            broken = [f for f in by_view[view.name] if not f.undecided]
            cells.append("none" if not broken else ", ".join(f"{f.rule} ({f.impact})" for f in broken))
        rest = {f.rule: len(f.places) for fs in by_view.values() for f in fs if f.undecided}
        cells.append(", ".join(f"{rule}: {n}" for rule, n in sorted(rest.items())) or "")
        lines.append(f"| {page} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Ask, print, and say by the exit code whether something serious is left."""
    source = axe()
    if source is None:
        raise SystemExit("axe-core is fetched by npm, which is not here: install node")
    make()
    found: dict[str, dict[str, list[Finding]]] = {}
    with Browser() as browser:
        for name, page in every_page().items():
            found[name] = {view.name: findings(browser, source, page, view) for view in SEEN}
    for name, by_view in found.items():
        for view, items in by_view.items():
            for item in items:
                state = "not decided" if item.undecided else item.impact
                print(f"{name} ({view}): {item.rule}, {state}, {len(item.places)} places: {item.help}")
                print(*(f"    {place}" for place in item.places[: 2 if item.undecided else 4]), sep="\n")
    print(table(found))
    if "--write" in sys.argv:
        write("accessibility.md", "findings", table(found))
    bad = [i for by_view in found.values() for items in by_view.values() for i in items if not i.undecided]
    return int(any(item.impact in SERIOUS for item in bad))


if __name__ == "__main__":
    sys.exit(main())
