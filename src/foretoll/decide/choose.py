"""One recommendation out of all candidates: the cheapest that serves, with its reason and what would change it."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import Candidate, Recommendation
from foretoll.units import human_duration, human_energy

CONFIDENCE = 0.8  # probability of reaching the target below which a candidate is not relied on
EQUAL = 1.05  # costs within this factor count as equal: the likelier one is taken


def recommend(
    candidates: Sequence[Candidate], *, until: float, confidence: float = CONFIDENCE
) -> Recommendation:
    """The cheapest candidate that keeps to the budget and reaches the target with probability `confidence`.

    Cheapest means least energy (over the model's life where that was asked for), or least time where no energy is
    known. Where no candidate is as likely to reach the target, the likeliest one is taken if it is likelier than
    not; otherwise none. The decision looks at forecasts alone, also where runs are there.
    """
    usable = [i for i, c in enumerate(candidates) if not c.why_not and c.reach_probability is not None]
    affordable = [i for i in usable if not candidates[i].over_budget and price(candidates[i]) is not None]
    serving = [i for i in affordable if _reach(candidates[i]) >= confidence]
    if serving:
        chosen = _cheapest(candidates, serving)
        reason = (
            f"{title(candidates[chosen])} reaches {until:.3g} with {_reach(candidates[chosen]):.0%} and is the "
            f"cheapest that does so with at least {confidence:.0%}: {cost(candidates[chosen])}"
        )
    else:
        likeliest = max(affordable, key=lambda i: _reach(candidates[i]), default=None)
        if likeliest is None or _reach(candidates[likeliest]) <= 0.5:
            return Recommendation(
                candidate=None,
                reason=_nothing(candidates, affordable, until),
                would_change=_changes(candidates, usable, None, until, confidence),
                confidence=confidence,
            )
        chosen = likeliest
        reason = (
            f"nothing reaches {until:.3g} with {confidence:.0%}; {title(candidates[chosen])} is the likeliest to, "
            f"with {_reach(candidates[chosen]):.0%}, at {cost(candidates[chosen])}"
        )
    return Recommendation(
        candidate=chosen,
        reason=reason,
        would_change=_changes(candidates, usable, chosen, until, confidence),
        confidence=confidence,
    )


def _cheapest(candidates: Sequence[Candidate], serving: Sequence[int]) -> int:
    """The least price; of equal ones the likeliest.

    Where `keep` of a model serves, no other option of it is cheaper: each makes the one evaluation that keep makes.
    """
    kept = {candidates[i].model for i in serving if candidates[i].option == "keep"}
    left = [i for i in serving if candidates[i].option == "keep" or candidates[i].model not in kept]
    least = min(_price(candidates[i]) for i in left)
    equal = [i for i in left if _price(candidates[i]) <= EQUAL * least]
    return max(equal, key=lambda i: (_reach(candidates[i]), -_price(candidates[i])))


def title(candidate: Candidate) -> str:
    """The option, and the model where it says more."""
    return candidate.option if not candidate.model else f"{candidate.option} of {candidate.model}"


def price(candidate: Candidate) -> float | None:
    """What candidates are compared by: energy in kWh, over the life where it is known; else seconds."""
    for interval in (
        candidate.life_energy_kwh,
        candidate.forecast.energy_kwh,
        candidate.forecast.duration_s,
    ):
        if interval is not None and interval.median is not None:
            return interval.median
    return None


def cost(candidate: Candidate) -> str:
    """The price in words."""
    value = price(candidate)
    if candidate.life_energy_kwh is not None:
        return f"{human_energy(value)} over its life"
    if candidate.forecast.energy_kwh is not None:
        return human_energy(value)
    return human_duration(value)


def _price(candidate: Candidate) -> float:
    value = price(candidate)
    return float("inf") if value is None else value


def _reach(candidate: Candidate) -> float:
    return candidate.reach_probability or 0.0


def _nothing(candidates: Sequence[Candidate], affordable: Sequence[int], until: float) -> str:
    if affordable:
        best = max(affordable, key=lambda i: _reach(candidates[i]))
        return (
            f"no candidate is likely to reach {until:.3g}; the likeliest, {title(candidates[best])}, does so with "
            f"{_reach(candidates[best]):.0%}"
        )
    if any(c.over_budget for c in candidates):
        return "no candidate keeps to the budget"
    return "no candidate's cost and chance are known: add --calibrate, or carry out retrainings first"


def _changes(
    candidates: Sequence[Candidate],
    usable: Sequence[int],
    chosen: int | None,
    until: float,
    confidence: float,
) -> tuple[str, ...]:
    """Up to three sentences: a cheaper one that is too unsure, a lower target, a larger budget."""
    changes = []
    priced = [i for i in usable if price(candidates[i]) is not None and i != chosen]
    limit = _price(candidates[chosen]) if chosen is not None else float("inf")
    cheaper = [i for i in priced if _price(candidates[i]) < limit / EQUAL and not candidates[i].over_budget]
    unsure = [i for i in cheaper if 0.2 <= _reach(candidates[i]) < confidence]
    if unsure:
        best = max(unsure, key=lambda i: _reach(candidates[i]))
        changes.append(
            f"{title(candidates[best])} would cost {cost(candidates[best])}, but reaches the target with "
            f"{_reach(candidates[best]):.0%} only"
        )
    short = [i for i in cheaper if i not in unsure and _expected(candidates[i]) is not None]
    if short:
        best = max(short, key=lambda i: _expected(candidates[i]) or 0.0)
        quality = _expected(candidates[best]) or 0.0
        if quality < until:
            changes.append(
                f"for a target of {quality:.2f} {title(candidates[best])} would do, at {cost(candidates[best])}"
            )
    shut_out = [i for i in usable if candidates[i].over_budget and _reach(candidates[i]) >= confidence]
    if chosen is None and shut_out:
        best = min(shut_out, key=lambda i: price(candidates[i]) or float("inf"))
        changes.append(f"with a larger budget, {title(candidates[best])}: {candidates[best].over_budget}")
    return tuple(changes)


def _expected(candidate: Candidate) -> float | None:
    return candidate.quality.median if candidate.quality is not None else None
