"""The six costs of an update, forecast beside measurement: one row each, as texts and as numbers for the pictures."""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.records import Estimate, Interval, Outcome, Run
from foretoll.report.words import (
    COST_LABELS,
    NO_LIMIT,
    Limit,
    cost_text,
    energy_basis_text,
    grid_text,
    interval_text,
    largest,
    median_text,
    unit_of,
)

COMPOSED = ("epochs", "duration_s", "energy_kwh", "emissions_kg")
"""Costs that end where the budget of epochs ends."""


@dataclass(frozen=True)
class CostRow:
    """One cost: forecast, interval and measurement as text in one unit, and as numbers."""

    cost: str
    label: str
    forecast: str
    interval: str
    measured: str
    note: str = ""
    expected: Interval | None = None
    value: float | None = None
    reached: bool = (
        True  # False: the value was spent without meeting the target, and is no cost of meeting it
    )
    at_limit: bool = False  # the interval's upper end is where the budget ends


def cost_rows(estimate: Estimate | None, run: Run | None) -> list[CostRow]:
    """The six costs, forecast beside measurement, each with the basis or the reason why it is missing."""
    found = (
        Limit.of(estimate.forecast.epochs, estimate.settings.max_epochs) if estimate is not None else NO_LIMIT
    )
    rows = []
    for cost, label in COST_LABELS.items():
        expected: Interval | None = getattr(estimate.forecast, cost) if estimate else None
        value: float | None = getattr(run.toll, cost) if run else None
        unit = unit_of(cost, largest(expected, value))
        limit = found if cost in COMPOSED else NO_LIMIT
        rows.append(
            CostRow(
                cost=cost,
                label=label,  # the label says CO2e once for the whole line
                forecast=median_text(cost, expected, unit=unit, limit=limit).removesuffix(" CO2e"),
                interval=_interval(cost, expected, unit, limit),
                measured=_measured(cost, value, unit, run),
                note=_note(cost, expected, value, estimate, run),
                expected=expected,
                value=value,
                reached=run is None or run.outcome is Outcome.REACHED,
                at_limit=limit.high and expected is not None,
            )
        )
    return rows


def interval_level(estimate: Estimate) -> float:
    """The level of the forecast's intervals, 0.9 unless the records say otherwise."""
    for cost in COST_LABELS:
        interval: Interval | None = getattr(estimate.forecast, cost)
        if interval is not None:
            return interval.level
    return estimate.coverage.level


def _interval(cost: str, expected: Interval | None, unit: str, limit: Limit) -> str:
    """Without its unit, which stands beside it; of costs without one there is none."""
    if not unit and expected is not None and unit_of(cost, 1.0):
        return interval_text(cost, expected, limit=limit)
    return interval_text(cost, expected, unit=unit, limit=limit)


def _measured(cost: str, value: float | None, unit: str, run: Run | None) -> str:
    text = cost_text(cost, value, unit=unit, digits=3).removesuffix(" CO2e")
    if cost == "epochs" and value is not None and run is not None and run.outcome is not Outcome.REACHED:
        return f"{text} spent" if run.settings.until is not None else text
    return text


def _note(
    cost: str, expected: Interval | None, value: float | None, estimate: Estimate | None, run: Run | None
) -> str:
    energy = (run.energy if run else None) or (estimate.basis.energy if estimate else None)
    grid = (run.grid if run else None) or (estimate.basis.grid if estimate else None)
    missing = expected is None and value is None
    if cost == "energy_kwh":
        return energy_basis_text(energy) or ("no energy meter was used" if missing else "basis not recorded")
    if cost == "emissions_kg":
        if grid is None:
            return "no grid region is known" if missing else "grid intensity not recorded"
        return f"{grid_text(grid)}{'; no energy figure to multiply' if missing else ''}"
    if expected is not None and expected.median is None and expected.high is None:
        return "may never reach the target" if cost == "epochs" else ""
    if missing and run is not None and run.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        return f"the run {'failed' if run.outcome is Outcome.FAILED else 'was interrupted'}"
    if missing:
        return "no forecast" if estimate else "not measured"
    return ""
