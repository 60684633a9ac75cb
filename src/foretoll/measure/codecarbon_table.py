"""CodeCarbon's table of processors, read without pandas: it loads that library for one look into a CSV file.

What a model is taken for is still decided by CodeCarbon's own comparison of names.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any

_LOOK = "_get_cpu_power_from_registry"


@cache
def table_watts() -> dict[str, str]:
    """Watts at full load, as they stand there, by the processor's name; of a name that stands there twice the first.

    Raises OSError or KeyError where CodeCarbon brings no such table.
    """
    text = resources.files("codecarbon").joinpath("data/hardware/cpu_power.csv").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["Name"], row["TDP"])
    return found


@cache
def watts_of(model: str) -> float | None:
    """Watts of a processor by the name that it gives itself; None for one that CodeCarbon does not know.

    Raises ImportError, AttributeError, OSError or KeyError where CodeCarbon is not as it was.
    """
    cpu: Any = importlib.import_module("codecarbon.core.cpu")
    tdp = cpu.TDP.__new__(cpu.TDP)  # its constructor looks for this machine's model, once more
    name = tdp._get_matching_cpu(model, {"Name": list(table_watts())})
    try:
        return float(table_watts()[name]) if name else None
    except ValueError:  # the table has "27.29.5"
        return None


@contextmanager
def read_without_pandas() -> Iterator[None]:
    """Trackers that are set up in this block look processors up here; where that fails, by themselves."""
    try:
        known: Any = importlib.import_module("codecarbon.core.cpu").TDP
        own = getattr(known, _LOOK)
    except (ImportError, AttributeError):  # another version: what is read wrongly is found when it is set up
        yield
        return

    def look(tdp: Any, model: str) -> float | None:
        try:
            return watts_of(model)
        except (ImportError, AttributeError, TypeError, OSError, KeyError):
            found: float | None = own(tdp, model)
            return found

    setattr(known, _LOOK, look)
    try:
        yield
    finally:
        setattr(known, _LOOK, own)
