"""What CodeCarbon asks of the processor, at less cost: it loads pandas for one look into a CSV file, and starts a
Python process for one line of /proc/cpuinfo.

What a model is taken for is still decided by CodeCarbon's own comparison of names.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

_LOOK = "_get_cpu_power_from_registry"
_DETECTING = ("codecarbon.core.cpu", "codecarbon.core.resource_tracker", "codecarbon.external.hardware")


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


def processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The processor's name as py-cpuinfo takes it from there; None where it would go on to look elsewhere."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() == "model name" and value.strip() and not value.strip().isdigit():
            return value.strip()
    return None


@contextmanager
def lean_look_ups() -> Iterator[None]:
    """Trackers that are set up in this block look processors up here; where that fails, by themselves."""
    before: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, look: Callable[..., Any]) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, look)

    try:  # another version may have none of these: what is read wrongly is found when it is set up
        known: Any = importlib.import_module("codecarbon.core.cpu").TDP
        own = getattr(known, _LOOK)

        def look(tdp: Any, model: str) -> float | None:
            try:
                return watts_of(model)
            except (ImportError, AttributeError, TypeError, OSError, KeyError):
                found: float | None = own(tdp, model)
                return found

        put(known, _LOOK, look)
        name = processor_model()
        for module in _DETECTING if name else ():
            put(importlib.import_module(module), "detect_cpu_model", lambda: name)
    except (ImportError, AttributeError):
        pass
    try:
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)
