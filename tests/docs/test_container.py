"""The container file takes what is there, and nothing that is kept out of the build."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert {"pyproject.toml", "src", "constraints.txt"} <= set(copied)
    rules = (ROOT / ".dockerignore").read_text().split()
    for name in copied:
        assert (ROOT / name).exists(), name
        kept = [not rule.startswith("!") for rule in rules if fnmatch(name, rule.removeprefix("!"))]
        assert kept and not kept[-1], f"{name} is kept out of the build by .dockerignore"


def test_it_runs_our_command_without_rights() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.index("\nUSER user") > text.rindex("\nRUN ")
    assert 'ENTRYPOINT ["foretoll"]' in text and "://" not in text
