"""Finds and reads study files (TOML), and names every mistake of one."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foretoll.errors import UsageError, unknown_name
from foretoll.study.plan import StudyFile

ROOT_VARIABLE = "FORETOLL_DATA"
FILES = Path(__file__).parent / "files"  # those that ship


def find_study(name: str) -> Path:
    """The path of a study file: as named, or one that ships with foretoll under that name."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = {file.stem: file for file in FILES.glob("*.toml")}
    if name not in shipped:
        raise UsageError(f"{unknown_name('study', name, shipped)}; or give the path of a .toml file")
    return shipped[name]


def read_study(path: str | Path) -> StudyFile:
    """Read and check a study file. `{root}` in URIs stands for $FORETOLL_DATA.

    Raises UsageError that names every mistake of the file.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"the study file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML file: {error}") from error
    if "{root}" in text:
        root = os.environ.get(ROOT_VARIABLE)
        if not root:
            raise UsageError(
                f"{path} names its data by {{root}}: set {ROOT_VARIABLE} to the folder that holds them"
            )
        data = _filled(data, root)
    try:
        return StudyFile.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ").replace("Value error, ", "", 1)
            for e in error.errors()
        )
        raise UsageError(f"{path} is no study file: {problems}") from None


def _filled(value: Any, root: str) -> Any:
    if isinstance(value, str):
        return value.replace("{root}", root)
    if isinstance(value, list):
        return [_filled(item, root) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, root) for key, item in value.items()}
    return value
