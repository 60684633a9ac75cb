"""The table of docs/shifts.md, made from the registry; a test compares the page with it."""

from __future__ import annotations

from foretoll.data.shifts.registry import SHIFTS, ShiftSpec

HEADER = "| shift | for | unit of the level | range | changes nothing | default levels | what it does |"


def markdown_table() -> str:
    """One row per registered shift, in the order of the registry."""
    lines = [HEADER, "|" + "---|" * 7]
    lines += [_row(spec) for spec in SHIFTS.values()]
    return "\n".join(lines) + "\n"


def _row(spec: ShiftSpec) -> str:
    levels = _levels(spec.default_levels)
    if spec.other_levels is not None:
        levels += f"; {' and '.join(k for k in spec.kinds if k != 'image')}: {_levels(spec.other_levels)}"
    cells = (
        f"`{spec.name}`",
        ", ".join(spec.kinds),
        spec.unit,
        f"{spec.low:g} to {spec.high:g}",
        "–" if spec.identity is None else f"{spec.identity:g}",
        levels,
        spec.meaning + (" (drawn for each sample)" if spec.random else ""),
    )
    return "| " + " | ".join(cells) + " |"


def _levels(levels: tuple[float, ...]) -> str:
    return ", ".join(f"{level:g}" for level in levels)
