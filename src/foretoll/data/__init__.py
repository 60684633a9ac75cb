"""Data: open a data set from a URI or any torch Dataset; disjoint splits; graded shifts.

A URI is parsed and checked (`foretoll.data.uri`) without torch: the names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretoll.data.address import DataUri
    from foretoll.data.opening import open_data
    from foretoll.data.shifts import SHIFTS, Reference, ShiftSpec, apply_shift, shifts_for
    from foretoll.data.spelling import match_names
    from foretoll.data.splits import ArraySplit, Batch, DatasetSplit, Split, stratified_sample
    from foretoll.data.taskdata import TaskData
    from foretoll.data.uri import parse_uri

_HOME = {
    "SHIFTS": "shifts",
    "ArraySplit": "splits",
    "Batch": "splits",
    "DataUri": "address",
    "DatasetSplit": "splits",
    "Reference": "shifts",
    "ShiftSpec": "shifts",
    "Split": "splits",
    "TaskData": "taskdata",
    "apply_shift": "shifts",
    "match_names": "spelling",
    "open_data": "opening",
    "parse_uri": "uri",
    "shifts_for": "shifts",
    "stratified_sample": "splits",
}

__all__ = [
    "SHIFTS",
    "ArraySplit",
    "Batch",
    "DataUri",
    "DatasetSplit",
    "Reference",
    "ShiftSpec",
    "Split",
    "TaskData",
    "apply_shift",
    "match_names",
    "open_data",
    "parse_uri",
    "shifts_for",
    "stratified_sample",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'foretoll.data' has no attribute {name!r}")
    value = getattr(import_module(f"foretoll.data.{_HOME[name]}"), name)
    globals()[name] = value
    return value
