"""Graded synthetic shifts of stored samples."""

from foretoll.data.shifts.apply import apply_shift, shift_split
from foretoll.data.shifts.context import Reference
from foretoll.data.shifts.registry import SHIFTS, ShiftSpec, check_kind, check_level, shifts_for

__all__ = [
    "SHIFTS",
    "Reference",
    "ShiftSpec",
    "apply_shift",
    "check_kind",
    "check_level",
    "shift_split",
    "shifts_for",
]
