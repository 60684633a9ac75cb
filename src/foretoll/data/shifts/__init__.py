"""Graded synthetic shifts of stored samples. What applies them needs torch and is loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretoll.data.shifts.context import Reference
from foretoll.data.shifts.registry import SHIFTS, ShiftSpec, check_kind, check_level, shifts_for

if TYPE_CHECKING:
    from foretoll.data.shifts.apply import apply_shift, shift_split

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


def __getattr__(name: str) -> Any:
    if name not in ("apply_shift", "shift_split"):
        raise AttributeError(f"module 'foretoll.data.shifts' has no attribute {name!r}")
    value = getattr(import_module("foretoll.data.shifts.apply"), name)
    globals()[name] = value
    return value
