"""What of a user's CodeCarbon configuration counts here: the powers that the user sets, and which counters are read.

CodeCarbon reads `.codecarbon.config` in the home folder, then in the current one, then `CODECARBON_…` of the
environment. Its tracker fails as a whole where one of the files is broken; here that file, or that value, is passed
over with a warning that names it.
"""

from __future__ import annotations

import configparser
import importlib
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foretoll.errors import ForetollWarning, one_line, read_small, shown

FILE = ".codecarbon.config"
SECTION = "codecarbon"
POWERS = ("force_cpu_power", "force_ram_power")  # watts
SWITCHES = ("force_mode_cpu_load", "rapl_include_dram", "rapl_prefer_psys")
MOST_BYTES = 1_000_000
MOST_WATTS = 1e6


def user_settings() -> dict[str, str]:
    """The settings that count, by CodeCarbon's names, as text; what cannot be read is passed over with a warning."""
    found: dict[str, tuple[str, str]] = {}  # name → value, where it stands
    for path in _files():
        found |= {name: (value, f"{name} in {shown(path)}") for name, value in _read(path).items()}
    for variable, value in os.environ.items():
        if variable.lower().startswith("codecarbon_"):
            found[variable.lower().removeprefix("codecarbon_")] = (value, variable)
    settings = {}
    for name, (value, where) in found.items():
        if name in SWITCHES:
            settings[name] = value
        elif name in POWERS:
            if _is_power(value):
                settings[name] = value
            else:
                _warn(f"{where} is {shown(value, 40)} and no number of watts above 0: it is passed over")
    return settings


@contextmanager
def only_user_settings() -> Iterator[None]:
    """Trackers made in this block read these settings and nothing else."""
    settings = user_settings()
    try:
        module: Any = importlib.import_module("codecarbon.emissions_tracker")
        before = module.get_hierarchical_config
    except (ImportError, AttributeError):  # another version: what is read wrongly is found when it is set up
        yield
        return
    module.get_hierarchical_config = lambda: dict(settings)
    try:
        yield
    finally:
        module.get_hierarchical_config = before


def _files() -> list[Path]:
    found = []
    for folder in (Path.home, Path.cwd):
        try:
            found.append(folder() / FILE)
        except (OSError, RuntimeError):  # no home; a current folder that is gone
            continue
    return list(dict.fromkeys(found))


def _read(path: Path) -> dict[str, str]:
    try:
        if not os.path.lexists(path):
            return {}
        parser = configparser.ConfigParser()
        parser.read_string(read_small(path, MOST_BYTES).decode("utf-8"))
        return dict(parser[SECTION]) if parser.has_section(SECTION) else {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else _first_line(error)
        _warn(f"CodeCarbon's configuration {shown(path)} is passed over: {reason}")
        return {}


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"it has no section [{SECTION}]"
    text = error.message if isinstance(error, configparser.Error) else str(error)
    return one_line(text.replace("While reading from '<string>' ", "").replace("'<string>'", "it"), 100)


def _is_power(text: str) -> bool:
    try:
        watts = float(text)
    except ValueError:
        return False
    return math.isfinite(watts) and 0 < watts <= MOST_WATTS


def _warn(text: str) -> None:
    warnings.warn(text, ForetollWarning, stacklevel=2)
