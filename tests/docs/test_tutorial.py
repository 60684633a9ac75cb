"""The tutorials: every command of a page is run, in its order, and prints what the page says."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretoll import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = sorted(page.name for page in DOCS.glob("tutorial_*.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page's console blocks, with the lines that it is said to print."""
    for block in BLOCK.findall(page):
        for part in block.split("$ ")[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def matches(said: list[str], printed: list[str]) -> str:
    """The first line of `said` that was not printed in its place; empty where all were. A line … is any lines."""
    place, free = 0, False
    for line in said:
        if line == "…":
            free = True
            continue
        pattern = re.compile(re.escape(line).replace("…", ".+") + r"\s*")
        where = [i for i in range(place, len(printed)) if pattern.fullmatch(printed[i])]
        if not where or (not free and where[0] != place):
            return line
        place, free = where[0] + 1, False
    return "" if free or place == len(printed) else printed[place]


def run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a command prints, with its exit code where that is not 0."""
    words = shlex.split(command)
    if words[0] == "export":
        monkeypatch.setenv(*words[1].split("=", 1))
        return []
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
        return capsys.readouterr().out.splitlines()
    assert words[0] == "foretoll", command
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    code = int(ended.value.code or 0)
    assert code in (0, 3), shown.err
    return [*shown.out.splitlines(), *([f"[exit code {code}]"] if code else [])]


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_does_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORETOLL_LEDGER", str(tmp_path / "ledger.db"))
    page = (DOCS / name).read_text()
    for file, text in FILE.findall(page):
        (tmp_path / file).write_text(text)
    found = list(commands(page))
    assert len(found) >= 2
    for command, said in found:
        printed = run(command, monkeypatch, capsys)
        assert not matches(said, printed), (command, matches(said, printed), printed)
    for written in re.findall(r"`([\w/-]+\.html)`", page):
        assert (tmp_path / written).stat().st_size > 10_000, written


@pytest.mark.parametrize(
    ("said", "printed", "missed"),
    [
        (["a …", "…", "c"], ["a 1", "b", "b", "c"], ""),
        (["a", "c"], ["a", "b", "c"], "c"),
        (["a"], ["a", "b"], "b"),
        (["…", "d"], ["a", "b"], "d"),
    ],
)
def test_a_page_that_says_something_else_is_found(said: list[str], printed: list[str], missed: str) -> None:
    assert matches(said, printed) == missed
