"""A year of updates, planned from one case: how often, by which option, at which cost, holding which quality.

The case says how far a model falls behind in one period (what the best update of it would win on the target), and what
an update by each option costs and reaches. A period later that much is lost again, and so on in a straight line: what
drift does over many periods no single case can say, and `foretoll life` measures it as it comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypedDict

from foretoll.decide.amount import HUMAN
from foretoll.decide.budget import Limit
from foretoll.decide.money import Price, times
from foretoll.errors import UsageError, one_line
from foretoll.records import Candidate, Comparison, Interval, LifePlan, Money, Schedule

Cost = Literal["energy_kwh", "emissions_kg", "duration_s", "money"]
MOST_PERIODS = 366
KEEP = "keep"
LONGEST = 215  # characters of reasons in an error
UNKNOWN = "the runs of the ledger are too few to expect a quality"
ABSENT = "not among the options that were compared"
FREE = Interval(median=0.0, low=0.0, high=0.0)


@dataclass(frozen=True)
class Aims:
    """What a plan must keep to: how many periods, what they may cost, the least quality served; one of the last two."""

    periods: int
    limit: Limit | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.periods <= MOST_PERIODS:
            raise UsageError(
                f"a plan of {self.periods} updates is none: give 1 to {MOST_PERIODS}, one for each period at most"
            )
        if self.limit is None and self.floor is None:
            raise UsageError(
                "a plan needs what it may cost (--budget 2kWh) or the least quality that may be served (--floor 0.85): "
                "give one of them or both"
            )
        if self.floor is not None and not 0 < self.floor <= 1:
            raise UsageError(f"--floor {self.floor:g} is no quality: it lies above 0 and at most at 1")

    @classmethod
    def of(cls, periods: int, budget: str | None, floor: float | None, prices: Sequence[Price] = ()) -> Aims:
        """As they are typed; UsageError where they are none. `prices`: what a budget of money is held against."""
        return cls(periods, None if budget is None else Limit.parse(budget, prices=prices), floor)


def plan_of(comparison: Comparison, aims: Aims) -> LifePlan:
    """All schedules of all options that can be used, and the best one that keeps to the aims.

    With a floor that is the cheapest that holds it, else the one of the highest mean quality. Raises UsageError where
    the case cannot say how far a model falls behind: no quality of the model as it is, or a metric that is no share.
    """
    if not (comparison.settings.known_scale.higher_is_better and comparison.settings.known_scale.best == 1.0):
        raise UsageError(
            f"a plan is made of shares of right answers, and {comparison.settings.metric} is none: "
            "compare the options for one update"
        )
    usable = [c for c in comparison.candidates if not c.why_not and _median(c.quality) is not None]
    now = next((c.quality for c in usable if c.option == KEEP), None)
    updates = [c for c in usable if c.option != KEEP]
    if now is None or not updates:
        raise UsageError(
            "a plan needs the quality of the model as it is and of one update at least; here "
            + one_line(_missing(comparison.candidates), LONGEST)
        )
    kind: Cost = aims.limit.cost if aims.limit is not None else _known_cost(updates)  # type: ignore[assignment]  # one of the four
    drift = _drift(now, updates)
    chance = 1 / max(len(comparison.target.classes), 1)
    schedules = [
        Schedule(
            option=KEEP, updates=0, cost=FREE, fits=True, **_held(now, drift, 0.0, [aims.periods], chance)
        )
    ]
    for candidate in updates:
        one: Interval | None = candidate.money if kind == "money" else getattr(candidate.forecast, kind)
        if candidate.quality is None or one is None or one.median is None:
            continue
        left = _left(candidate, now, drift, comparison)
        for n in range(1, aims.periods + 1):
            cost = times(one, n)
            fits = aims.limit is None or (cost.high is not None and cost.high <= aims.limit.most)
            held = _held(candidate.quality, drift, left, _gaps(aims.periods, n), chance)
            schedules.append(
                Schedule(
                    option=candidate.option,
                    updates=n,
                    cost=cost,
                    money=_money(candidate, n),
                    fits=fits,
                    **held,
                )
            )
    human = HUMAN[kind] if aims.limit is None else aims.limit.human
    chosen, reason = _choice(schedules, aims, human)
    return LifePlan(
        created_at=datetime.now(UTC),
        comparison_id=comparison.id,
        model=usable[0].model,
        source=comparison.source,
        target=comparison.target,
        periods=aims.periods,
        cost=kind,
        currency="" if aims.limit is None else aims.limit.currency,
        price=comparison.price,
        budget=None if aims.limit is None else aims.limit.most,
        floor=aims.floor,
        drift=drift,
        schedules=tuple(schedules),
        chosen=chosen,
        reason=reason,
        warnings=comparison.warnings,
    )


def _missing(candidates: Sequence[Candidate]) -> str:
    """Why options have no expected quality: each reason once, with the options that it is of."""
    of: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.why_not or _median(candidate.quality) is None:
            reason = candidate.why_not or (candidate.warnings or (UNKNOWN,))[-1]
            of.setdefault(reason, []).append(candidate.option)
    if not any(candidate.option == KEEP for candidate in candidates):
        of[ABSENT] = [KEEP]
    if not any(candidate.option != KEEP for candidate in candidates):
        of[ABSENT] = [*of.get(ABSENT, []), "any update"]
    return "; ".join(f"{', '.join(dict.fromkeys(options))}: {reason}" for reason, options in of.items())


def front_of(schedules: Sequence[Schedule]) -> Iterator[int]:
    """Positions of the schedules that no other beats in both cost and mean quality, the cheapest first."""
    best = -math.inf
    order = sorted(range(len(schedules)), key=lambda i: (_cost(schedules[i]), -_quality(schedules[i])))
    for place in order:
        if _quality(schedules[place]) > best:
            best = _quality(schedules[place])
            yield place


def _choice(
    schedules: Sequence[Schedule], aims: Aims, human: Callable[[float], str]
) -> tuple[int | None, str]:
    fitting = [i for i, each in enumerate(schedules) if each.fits]
    if aims.floor is not None:
        holding = [i for i in fitting if schedules[i].least_quality >= aims.floor]
        if not holding:
            most = max(schedules[i].least_quality for i in fitting)
            within = "" if aims.limit is None else " within the budget"
            return (
                None,
                f"no schedule{within} holds {aims.floor:.3g} to the end of each period: {most:.3f} at most",
            )
        best = min(holding, key=lambda i: (_cost(schedules[i]), -_quality(schedules[i])))
        return best, f"the cheapest schedule that never falls under {aims.floor:.3g}"
    best = max(fitting, key=lambda i: (_quality(schedules[i]), -_cost(schedules[i])))
    if schedules[best].updates:
        return best, "the highest mean quality of all schedules whose cost stays within the budget"
    better = [each for each in schedules if _quality(each) > _quality(schedules[0])]
    if not better:
        return best, "no update is forecast to win anything"
    least = min(each.cost.high or math.inf for each in better)
    return best, f"no update that would win something surely fits: the cheapest takes up to {human(least)}"


def _drift(now: Interval, updates: Sequence[Candidate]) -> Interval:
    """What a model one period old lacks against the best that an update makes of it; never below 0."""
    best = max((c.quality for c in updates if c.quality is not None), key=lambda q: q.median or 0.0)
    value = (best.median or 0.0) - (now.median or 0.0)
    low = value - math.hypot(_below(best), _above(now))
    high = value + math.hypot(_above(best), _below(now))
    return Interval(median=max(value, 0.0), low=max(low, 0.0), high=max(high, 0.0), level=best.level)


class _Held(TypedDict):
    mean_quality: Interval
    least_quality: float


def _held(made: Interval, drift: Interval, left: float, gaps: Sequence[int], chance: float) -> _Held:
    """Mean and least quality where models serve for `gaps` periods, one after the other.

    The first of them is of quality `made`; each loses `drift` a period, and begins `left` lower for every period that
    went before it.
    """
    start, lost = made.median or 0.0, drift.median or 0.0
    served: list[float] = []
    ages = 0
    for gap in gaps:
        before = left * len(served)
        served += [max(min(chance, start), start - before - lost * age) for age in range(1, gap + 1)]
        ages += gap * (gap + 1) // 2
    mean, age = sum(served) / len(served), ages / len(served)
    low = mean - math.hypot(_below(made), age * _above(drift))
    high = mean + math.hypot(_above(made), age * _below(drift))
    interval = Interval(median=mean, low=max(low, 0.0), high=min(high, 1.0), level=made.level)
    return {"mean_quality": interval, "least_quality": min(served)}


def _left(candidate: Candidate, now: Interval, drift: Interval, comparison: Comparison) -> float:
    """What an update leaves of one period's drift; nothing where it trains as many weights as the model has."""
    lost = drift.median or 0.0
    card = comparison.models.get(candidate.model)
    if card is None or (candidate.trainable_parameters or 0) >= card.parameters:
        return 0.0
    regained = (_median(candidate.quality) or 0.0) - (now.median or 0.0)
    return min(max(lost - regained, 0.0), lost)


def _gaps(periods: int, updates: int) -> list[int]:
    """For how many periods each of the models serves, as even as can be."""
    least, more = divmod(periods, updates)
    return [least + 1] * more + [least] * (updates - more)


def _money(candidate: Candidate, n: int) -> Money | None:
    """What n updates cost in money."""
    one = candidate.money
    return None if one is None else Money(**times(one, n).model_dump(), currency=one.currency)


def _known_cost(updates: Sequence[Candidate]) -> Cost:
    """Energy; time where no energy is known."""
    known = any(_median(c.forecast.energy_kwh) is not None for c in updates)
    return "energy_kwh" if known else "duration_s"


def _median(interval: Interval | None) -> float | None:
    return None if interval is None else interval.median


def _cost(schedule: Schedule) -> float:
    return schedule.cost.median or 0.0


def _quality(schedule: Schedule) -> float:
    return schedule.mean_quality.median or 0.0


def _below(interval: Interval) -> float:
    return 0.0 if interval.low is None else max((interval.median or 0.0) - interval.low, 0.0)


def _above(interval: Interval) -> float:
    return 0.0 if interval.high is None else max(interval.high - (interval.median or 0.0), 0.0)
