"""Write estimate.json, run.json, comparison.json, badges and pages so that a reader never sees half a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from foretoll.atomic import replacing
from foretoll.errors import ForetollError, read_small
from foretoll.records import Comparison, Estimate, Interval, Outcome, PresentedRecord, Run
from foretoll.report.words import cost_text
from foretoll.sharing import shortened

Kind = TypeVar("Kind", Comparison, Estimate)


def json_text(record: PresentedRecord) -> str:
    """The record as indented JSON, by alias (`schema`, not `schema_`), with a final newline."""
    return shortened(record).model_dump_json(by_alias=True, indent=2) + "\n"


def write_json(path: str | Path, record: PresentedRecord) -> Path:
    """Write a record as JSON, atomically; missing parent folders are made.

    Raises ForetollError where the file cannot be written; an older file is then left as it was.
    """
    return write_text(path, json_text(record))


def read_estimate(path: str | Path) -> Estimate:
    """Read an estimate.json; ForetollError where it is missing, truncated or of another schema."""
    return _read(path, Estimate, "estimate")


def read_comparison(path: str | Path) -> Comparison:
    """Read a comparison.json; ForetollError where it is missing, truncated or of another schema."""
    return _read(path, Comparison, "comparison", "compare")


def badge(estimate: Estimate | None, run: Run | None) -> dict[str, Any]:
    """The cost of an update for a badge, in the format of shields.io's endpoint (schema version 1)."""
    expected = estimate.forecast if estimate is not None else None
    costs = []
    for cost in ("energy_kwh", "emissions_kg", "duration_s"):
        interval: Interval | None = getattr(expected, cost) if expected is not None else None
        value: float | None = (
            getattr(run.toll, cost) if run is not None else interval.median if interval else None
        )
        costs += [cost_text(cost, value)] if value is not None else []
    label, colour = ("retraining forecast", "blue")
    if run is not None:
        label, colour = "retraining", "brightgreen" if run.outcome is Outcome.REACHED else "orange"
    message = ", ".join(costs[:2]) or "not known"
    return {"schemaVersion": 1, "label": label, "message": message, "color": colour}


def write_badge(path: str | Path, *, estimate: Estimate | None = None, run: Run | None = None) -> Path:
    """Write the badge of an estimate, or of the run that followed it, as JSON, atomically."""
    return write_text(path, json.dumps(badge(estimate, run), ensure_ascii=False) + "\n")


def _read(path: str | Path, kind: type[Kind], name: str, command: str | None = None) -> Kind:
    by = f"foretoll {command or name}"
    try:
        return kind.model_validate_json(read_small(Path(path)))
    except OSError as error:
        raise ForetollError(
            f"the {name} {path} cannot be read ({error.strerror}): write one with {by} --out FOLDER"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ForetollError(
            f"{path} is no {name}.json of this version ({where or 'file'}: {first['msg']}): write it anew with {by}"
        ) from error


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8: to a temporary file beside `path`, synced, then renamed over it.

    Raises ForetollError where that fails; an older file is then left as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, ".tmp") as file:
            file.write(text.encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ForetollError(
            f"cannot write {str(path)!r} ({reason}): name another place with --out, or free it for writing"
        ) from error
    return path
