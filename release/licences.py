"""The licences of what foretoll installs, of the core and of each extra, from the metadata of the packages.

    python release/licences.py            # writes the table of docs/licences.md
    python release/licences.py --check    # only says whether it is up to date, exit 1 if not

A part of which something is not installed here keeps the lines that the page has for it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from written import block, write

ROOT = Path(__file__).resolve().parents[1]
PAGE, NAME = "licences.md", "licences"
UNKNOWN = "not stated in its metadata"


def licence(package: Distribution) -> str:
    """The licence that a package states: its SPDX expression, else its classifiers, else the first line of its text."""
    told = package.metadata
    if expression := told.get("License-Expression"):
        return expression
    classified = [
        c.split(" :: ")[-1] for c in told.get_all("Classifier") or [] if c.startswith("License :: ")
    ]
    if named := [c for c in classified if c != "OSI Approved"]:
        return ", ".join(named)
    lines = (told.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else UNKNOWN


def needed(requirements: Iterable[str], extra: str = "") -> set[str]:
    """The names of what requirements ask for on this machine, and of what those ask for in turn where installed."""
    found: set[str] = set()
    asked = [(Requirement(text), extra) for text in requirements]
    while asked:
        requirement, of = asked.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": of}):
            continue
        name = canonicalize_name(requirement.name)
        extras = ("", *requirement.extras)
        if name in found and not requirement.extras:
            continue
        found.add(name)
        further = (distribution(name).requires if installed(name) else None) or []
        asked += [(Requirement(text), of) for text in further for of in extras if name != "foretoll"]
    return found


def installed(name: str) -> bool:
    """Whether a package is there."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def lines() -> list[str]:
    """The table in Markdown."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = {"core": project["dependencies"]}
    parts |= {name: needs for name, needs in project["optional-dependencies"].items() if name != "dev"}
    old = block(PAGE, NAME)[1].splitlines()
    core: set[str] = set()
    found = ["| part | package | version | licence |", "| --- | --- | --- | --- |"]
    for part, needs in parts.items():
        direct = {canonicalize_name(Requirement(text).name) for text in needs}
        if not all(map(installed, direct)):
            found += [line for line in old if line.startswith(f"| {part} |")]
            continue
        for name in sorted(needed(needs) - core, key=lambda name: (name not in direct, name)):
            if installed(name):
                package, shown = distribution(name), f"**{name}**" if name in direct else name
                found.append(f"| {part} | {shown} | {package.version} | {licence(package)} |")
        if part == "core":
            core = needed(needs)
    return found


def main() -> int:
    """Write or check."""
    text = "\n".join(lines())
    if "--check" in sys.argv:
        return int(block(PAGE, NAME)[1].strip() != text)
    write(PAGE, NAME, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
