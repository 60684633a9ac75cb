"""How good a recommendation was, once everything was carried out."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.decide.budget import Limit
from foretoll.decide.price import kind_of_price, measured_price, undominated
from foretoll.records import Candidate, Outcome


def measured_best(
    candidates: Sequence[Candidate], *, requests: int = 0, limit: Limit | None = None
) -> int | None:
    """Position of the cheapest candidate that reached the target and kept to the budget; None where none did."""
    kind = kind_of_price(candidates)
    served = [i for i, candidate in enumerate(candidates) if _served(candidate, limit)]
    priced = [
        (cost, i)
        for i in undominated(candidates, served)
        if (cost := measured_price(candidates[i], kind, requests)) is not None
    ]
    return min(priced)[1] if priced else None


def regret_of(
    candidates: Sequence[Candidate],
    recommended: int | None,
    *,
    requests: int = 0,
    limit: Limit | None = None,
) -> float | None:
    """Measured cost of the recommended candidate over that of the measured best.

    1 is perfect. None where none reached the target, where nothing was recommended, or where the recommended one
    missed the target or the budget: that is no matter of a factor. Below 1 only within the spread of measuring the
    same work twice, where `keep` counts as the cheapest.
    """
    best = measured_best(candidates, requests=requests, limit=limit)
    if best is None or recommended is None or not _served(candidates[recommended], limit):
        return None
    kind = kind_of_price(candidates)
    mine, least = (measured_price(candidates[i], kind, requests) for i in (recommended, best))
    return None if mine is None or not least else mine / least


def _served(candidate: Candidate, limit: Limit | None) -> bool:
    """Whether a run reached the target within the budget."""
    run = candidate.run
    if run is None or run.outcome is not Outcome.REACHED:
        return False
    return limit is None or not limit.broken_by_run(run, candidate.money_spent)
