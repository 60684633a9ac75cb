"""How good a recommendation was, once everything was carried out."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import Candidate, Outcome


def measured_best(candidates: Sequence[Candidate]) -> int | None:
    """Position of the cheapest candidate that reached the target; None where none did or nothing was carried out."""
    reached = [
        (cost, i) for i, c in enumerate(candidates) if (cost := measured_cost(c)) is not None and _reached(c)
    ]
    return min(reached)[1] if reached else None


def regret_of(candidates: Sequence[Candidate], recommended: int | None) -> float | None:
    """Energy of the recommended candidate over that of the cheapest that reached the target.

    1 is perfect. None where none reached it, where nothing was recommended, or where the recommended one missed the
    target: that is no matter of a factor.
    """
    best = measured_best(candidates)
    if best is None or recommended is None or not _reached(candidates[recommended]):
        return None
    mine, least = measured_cost(candidates[recommended]), measured_cost(candidates[best])
    if mine is None or not least:
        return None
    return mine / least


def measured_cost(candidate: Candidate) -> float | None:
    """Energy in kWh that was measured, or seconds where there is no meter."""
    if candidate.run is None:
        return None
    toll = candidate.run.toll
    return toll.energy_kwh if toll.energy_kwh is not None else toll.duration_s


def _reached(candidate: Candidate) -> bool:
    return candidate.run is not None and candidate.run.outcome is Outcome.REACHED
