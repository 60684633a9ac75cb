"""Finds and reads study files (TOML), and names every mistake of one."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from foretoll.errors import UsageError, one_line, shown
from foretoll.study.check import MOST_CELLS, StudyMistakesError, mistakes_of
from foretoll.study.plan import StudyFile, most_cells

ROOT_VARIABLE = "FORETOLL_DATA"
MOST_BYTES = 4 * 2**20


def read_study(path: str | Path) -> StudyFile:
    """Read and check a study file. `{root}` in URIs stands for $FORETOLL_DATA.

    Raises UsageError where it is no TOML file; StudyMistakesError, a UsageError that names every mistake.
    """
    path = Path(path)
    text = _text_of(path)
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = one_line(str(error), 100) if isinstance(error, ValueError) else "it is nested too deeply"
        raise UsageError(f"{shown_path(path)} is no TOML file: {reason}") from error
    mistakes: list[str] = []
    root = os.environ.get(ROOT_VARIABLE)
    if root:
        data = _filled(data, root)
    elif "{root}" in text:
        mistakes.append(f"names its data by {{root}}: set {ROOT_VARIABLE} to the folder that holds them")
    mistakes += mistakes_of(data, StudyFile)
    if len(mistakes) == 1 and "{root}" in mistakes[0]:
        raise UsageError(f"{shown_path(path)} {mistakes[0]}")
    if mistakes:
        raise StudyMistakesError(f"{shown_path(path)} is no study file", mistakes)
    study = StudyFile.model_validate(data)
    if (cells := most_cells(study)) > MOST_CELLS:
        raise UsageError(
            f"{shown_path(path)} asks for {cells:,} runs and more: name fewer levels, seeds, options or models "
            f"(at most {MOST_CELLS:,})"
        )
    return study


def shown_path(path: Path) -> str:
    """The path of a study file as a message may repeat it."""
    return shown(path, 100)[1:-1]


def _text_of(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{shown_path(path)} is no file: give the path of a .toml file")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UsageError(
                f"{shown_path(path)} is larger than a study file can be: give another .toml file"
            )
        return raw.decode("utf-8")
    except OSError as error:
        raise UsageError(f"the study file {shown_path(path)} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{shown_path(path)} is no TOML file: {one_line(str(error), 100)}") from error


def _filled(value: Any, root: str) -> Any:
    if isinstance(value, str):
        return value.replace("{root}", root)
    if isinstance(value, list):
        return [_filled(item, root) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, root) for key, item in value.items()}
    return value
