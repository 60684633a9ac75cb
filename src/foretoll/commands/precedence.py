"""What holds where a flag is not typed, resolved in one place for all commands.

Flags win over `--settings FILE`, that over environment variables (`FORETOLL_` and the name), these over the table
`[tool.foretoll]` of the nearest pyproject.toml, and that over the defaults. A pyproject.toml may be another's: it holds
numbers and words of the two lists below, names no code, no model, no data and no database.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretoll.errors import UsageError, nearest_name, one_line, read_small, shown
from foretoll.records.diagnosis import Finding
from foretoll.records.settings import setting_fields

PREFIX, TABLE, PROJECT = "FORETOLL_", "[tool.foretoll]", "pyproject.toml"
MOST_BYTES = 4_000_000
# beside the training settings: flags of what is measured, and where it is remembered, each with what it is
SESSION: dict[str, type] = {
    "device": str, "energy": str, "region": str, "pue": float, "intensity": float, "year": int, "price": str,
    "ledger": str,
}  # fmt: skip
READ_BELOW = frozenset({"ledger", "region", "pue"})  # whose variables the Python calls read by themselves
# variables that are no such setting
OTHERS = frozenset(
    {
        "FORETOLL_CACHE", "FORETOLL_DATA", "FORETOLL_DEBUG", "FORETOLL_MEMORY", "FORETOLL_RANKS_WAIT_S",
        "FORETOLL_STRICT",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """A value, and what gave it: the name by which a message calls it."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Behind:
    """What stands behind the flags: the environment, and the nearest project's table, where there are any."""

    variables: Mapping[str, Given]
    project: Mapping[str, Given]
    file: Path | None = None

    @classmethod
    def here(cls) -> Behind:
        """Of this process and folder; UsageError names every mistake of the project's table."""
        names = (*setting_fields(), *SESSION)
        variables = {
            name: Given(text, PREFIX + name.upper())
            for name in names
            if (text := os.environ.get(PREFIX + name.upper(), "").strip())
        }
        file = nearest_project()
        return cls(variables, {} if file is None else _project(file), file)

    @property
    def settings(self) -> dict[str, Given]:
        """The training settings that hold below `--settings FILE`."""
        return self._merged(setting_fields())

    def defaults(self) -> dict[str, Any]:
        """What the flags of `SESSION` are where they are not typed, as the command line library takes it."""
        found = self._merged(SESSION)
        below = {name for name in READ_BELOW if name in self.variables}
        values = {name: given.value for name, given in found.items() if name not in below}
        if "price" in values:
            price = values["price"]
            values["price"] = list(price) if isinstance(price, list) else [price]
        return values

    def _merged(self, names: Mapping[str, Any]) -> dict[str, Given]:
        both = {**self.project, **self.variables}
        return {name: both[name] for name in names if name in both}

    def findings(self) -> Iterator[Finding]:
        """For `foretoll doctor`: each value that is no default, with where it comes from."""
        for place, given in (
            ("the environment", self.variables),
            (f"{TABLE} of {self.file}", {n: g for n, g in self.project.items() if n not in self.variables}),
        ):
            if given:
                said = ", ".join(f"{name} {_said(name, one.value)}" for name, one in given.items())
                yield Finding(subject="settings", state="ok", note=f"from {place}: {said}")
        hidden = [name for name in self.project if name in self.variables]
        if hidden:
            yield Finding(
                subject="settings",
                state="note",
                note=f"{', '.join(hidden)} of {self.file}: not in force, the environment wins",
            )
        if not self.variables and not self.project:
            yield Finding(subject="settings", state="ok", note="all at their defaults")
        for variable in unread():
            yield Finding(
                subject="settings",
                state="note",
                note=f"the variable {variable} is not read",
                remedy=_meant(variable),
            )


def nearest_project() -> Path | None:
    """The pyproject.toml of this folder, or of the nearest one above it."""
    try:
        here = Path.cwd()
    except OSError:  # it was taken away
        return None
    return next((file for folder in (here, *here.parents) if (file := folder / PROJECT).is_file()), None)


def unread() -> list[str]:
    """Variables that begin as ours and that nothing reads: a slip of the pen, most likely."""
    known = {PREFIX + name.upper() for name in (*setting_fields(), *SESSION)} | OTHERS
    return sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name not in known and not name.startswith(f"{PREFIX}TEST_")
    )


def _meant(variable: str) -> str:
    known = [PREFIX + name.upper() for name in (*setting_fields(), *SESSION)]
    return nearest_name(variable, [*known, *sorted(OTHERS)])


def _project(file: Path) -> dict[str, Given]:
    """The table of a project's file; nothing where it has none."""
    where = shown(str(file), 200)[1:-1]
    try:
        document = tomllib.loads(read_small(file, MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{where} cannot be read ({error.strerror or error}): give the right to, or work in another folder"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no TOML file: {one_line(str(error), 100)}; mend it") from None
    tool = document.get("tool")
    table = tool.get("foretoll", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{where}: foretoll is no table: write {TABLE}, and settings below it")
    known = (*setting_fields(), *SESSION)
    problems = [f"unknown setting {nearest_name(name, known)}" for name in table if name not in known]
    problems += [
        text for name, value in table.items() if name in SESSION and (text := _wrong(name, value, file))
    ]
    if problems:
        raise UsageError(f"{TABLE} of {where}: " + "; ".join(problems))
    found = {name: Given(value, f"{name} of {PROJECT}") for name, value in table.items()}
    if "ledger" in found:
        found["ledger"] = Given(str(file.parent / table["ledger"]), found["ledger"].origin)
    return found


def _wrong(name: str, value: Any, file: Path) -> str:
    """What is wrong with a value of the session's; empty where nothing is."""
    kind = SESSION[name]
    prices = name == "price" and isinstance(value, list) and all(isinstance(one, str) for one in value)
    fits = (
        isinstance(value, str)
        if kind is str
        else isinstance(value, int | float) and not isinstance(value, bool)
    )
    if not fits and not prices:
        return f"{name} is {shown(str(value), 40)}: give a {'text' if kind is str else 'number'}"
    if name == "ledger" and not _inside(value, file.parent):
        return (
            f"ledger {shown(value, 60)} is no file within the project: name others, and databases, with --ledger or "
            "FORETOLL_LEDGER, which no file can set"
        )
    return ""


def _inside(path: str, folder: Path) -> bool:
    """Whether a path names a file within a folder, links followed; a URL does not."""
    if "://" in path or not path.strip() or "\0" in path:
        return False
    try:
        return (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False


def _said(name: str, value: Any) -> str:
    if name == "ledger" and "://" in str(value):
        return "(a database)"  # its URL may hold a password
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def defaults_by_command(command: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as defaults of a command and of those below it, for the flags that each has."""
    own = {p.name for p in command.params}
    found: dict[str, Any] = {name: value for name, value in values.items() if name in own}
    for name, below in getattr(command, "commands", {}).items():
        found[name] = defaults_by_command(below, values)
    return found
