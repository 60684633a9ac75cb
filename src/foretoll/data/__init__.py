"""Data: open a data set from a URI or any torch Dataset; disjoint splits; graded shifts."""

from foretoll.data.opening import open_data
from foretoll.data.shifts import SHIFTS, Reference, ShiftSpec, apply_shift, shifts_for
from foretoll.data.spelling import match_names
from foretoll.data.splits import ArraySplit, Batch, DatasetSplit, Split, stratified_sample
from foretoll.data.taskdata import TaskData
from foretoll.data.uri import DataUri, parse_uri

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
