"""A plan of updates in words and tables: what to do, what each option would do, and what quality each budget buys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from foretoll.decide.amount import HUMAN
from foretoll.decide.plan import front_of
from foretoll.records import Interval, LifePlan, Schedule
from foretoll.report.document import Block, Column, Line, Lines, Row, Table, Warnings, known
from foretoll.report.elsewhere import money_ends, money_text
from foretoll.report.words import COST_LABELS, cost_text, interval_text, option_name, plain, unit_of
from foretoll.units import human_money

STEP = 0.01  # of quality: a row of the front that wins less than this over the one before it is left out


def plan_blocks(plan: LifePlan) -> list[Block]:
    """What to do, in a sentence; each option at the most that it could do; the front; what it rests on."""
    return known(
        [
            Lines(list(_sentences(plan))),
            _table(plan, _by_option(plan), _title(plan), main=True),
            _table(plan, _front(plan), "What quality a budget buys"),
            Warnings(plan.warnings),
        ]
    )


def _sentences(plan: LifePlan) -> Iterator[Line]:
    human = _human(plan)
    if plan.chosen is None:
        yield Line("Plan", (plan.reason,))
    else:
        chosen = plan.schedules[plan.chosen]
        how = (
            "keep the model as it is"
            if not chosen.updates
            else f"update by {option_name(chosen.option)} {_times(chosen.updates)} in {plan.periods} periods, "
            f"for {human(chosen.cost.median or 0.0)} (up to {human(chosen.cost.high or 0.0)})"
        )
        yield Line("Plan", (f"{how}: {plan.reason}",))
        least = f"{chosen.least_quality:.3f} at the end of the longest wait"
        yield Line("Holds", (f"a mean quality of {_quality(chosen.mean_quality)}, {least}",))
        if chosen.updates:
            never = plan.schedules[0]
            mean = _quality(never.mean_quality)
            yield Line(
                "Never", (f"without an update the mean is {mean}, and {never.least_quality:.3f} in the end",)
            )
    behind = f"where the model falls {_points(plan.drift)} points behind one that was trained for the target"
    yield Line(
        "Assumes",
        (
            f"every period drifts as from source to target, {behind}; the loss grows in proportion",
            "foretoll life measures it as it comes",
        ),
    )


def _title(plan: LifePlan) -> str:
    if plan.budget is None:
        return "Each option, with an update in every period"
    return "Each option: the most updates that stay within the budget by the upper end of their forecast"


def _by_option(plan: LifePlan) -> list[Schedule]:
    """Of each option the chosen schedule, or the most updates that fit; one where none does."""
    found = []
    for option in dict.fromkeys(each.option for each in plan.schedules):
        own = [each for each in plan.schedules if each.option == option]
        chosen = [each for each in own if plan.chosen is not None and each is plan.schedules[plan.chosen]]
        fitting = [each for each in own if each.fits]
        found += chosen or (fitting or own[:1])[-1:]
    return found


def _front(plan: LifePlan) -> list[Schedule]:
    """The schedules that no other beats in cost and quality, as far as they are worth a row of their own."""
    found: list[Schedule] = []
    for place in front_of(plan.schedules):
        each = plan.schedules[place]
        gained = (each.mean_quality.median or 0) - (found[-1].mean_quality.median or 0) if found else STEP
        if gained >= STEP or place == plan.chosen:
            found.append(each)
    return found


def _table(plan: LifePlan, schedules: list[Schedule], title: str, *, main: bool = False) -> Table:
    unit = unit_of(plan.cost, max((each.cost.median or 0.0 for each in schedules), default=0.0))
    beside = bool(plan.price) and plan.cost != "money"
    columns = (
        Column("option"),
        Column("updates", number=True),
        Column(COST_LABELS.get(plan.cost, plan.cost).lower(), number=True),
        Column("mean quality", number=True),
        Column("least", number=True),
        *([Column("money", number=True)] if beside else []),
        *([] if plan.budget is None else [Column("fits")]),
    )
    rows = [
        Row(
            (
                plain(each.option),
                str(each.updates),
                _cost(plan, each, unit),
                _quality(each.mean_quality),
                f"{each.least_quality:.3f}",
                *([_money(each)] if beside else []),
                *([] if plan.budget is None else ["yes" if each.fits else "no"]),
            ),
            chosen=plan.chosen is not None and each is plan.schedules[plan.chosen],
        )
        for each in schedules
    ]
    return Table(columns, rows, title, main=main)


def _cost(plan: LifePlan, schedule: Schedule, unit: str) -> str:
    if not schedule.updates:
        return "0"
    if plan.cost == "money":
        return _money(schedule)
    ends = interval_text(plan.cost, schedule.cost, unit=unit, between="…")
    return f"{cost_text(plan.cost, schedule.cost.median, unit=unit)} ({ends})"


def _money(schedule: Schedule) -> str:
    if not schedule.updates:
        return "0"
    return f"{money_text(schedule.money)} ({money_ends(schedule.money)})"


def _human(plan: LifePlan) -> Callable[[float], str]:
    """An amount of the plan's cost, in words."""
    if plan.cost == "money":
        return lambda value: human_money(value, plan.currency)
    return HUMAN[plan.cost]


def _quality(interval: Interval) -> str:
    return f"{interval.median or 0:.3f} ({interval.low or 0:.2f}…{interval.high or 0:.2f})"


def _points(drift: Interval) -> str:
    low, median, high = (100 * (end or 0.0) for end in (drift.low, drift.median, drift.high))
    return f"{median:.1f} ({low:.1f} … {high:.1f})"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
