"""Plans of updates: closed forms, laws of budgets and floors, and what is refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide.budget import Limit
from foretoll.decide.plan import Aims, front_of, plan_of
from foretoll.errors import UsageError
from foretoll.records import (
    Candidate,
    Comparison,
    Interval,
    LifePlan,
    Recommendation,
    Schedule,
    SelfCost,
    TrainingSettings,
)
from foretoll.report import plan_table  # noqa: F401  # records show themselves as tables
from foretoll.report.document import texts
from foretoll.report.plan import plan_blocks

from .making import CARD, DATA, candidate

ALL = 100  # the weights that the model has
KWH = st.floats(1e-6, 10.0)
QUALITY = st.floats(0.55, 0.99)


def comparison(*candidates: Candidate, **said: object) -> Comparison:
    return Comparison(
        id="c",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        source=DATA,
        target=DATA,
        shift="distribution",
        models={"m": CARD},
        until=0.9,
        settings=TrainingSettings(**said),  # type: ignore[arg-type]
        candidates=candidates,
        recommendation=Recommendation(candidate=None, reason="none", confidence=0.8),
        self_cost=SelfCost(duration_s=1.0, energy_kwh=None),
    )


def update(option: str, quality: float, kwh: float, *, trains: int = ALL, doubt: float = 0.0) -> Candidate:
    made = candidate(option, quality=quality)
    cost = Interval(median=kwh, low=kwh / (1 + doubt), high=kwh * (1 + doubt))
    forecast = made.forecast.model_copy(update={"energy_kwh": cost})
    return made.model_copy(update={"forecast": forecast, "trainable_parameters": trains})


def of(plan: LifePlan, option: str, updates: int) -> Schedule:
    return next(each for each in plan.schedules if (each.option, each.updates) == (option, updates))


KEPT = candidate("keep", quality=0.8, kwh=0.0)


def test_closed_forms_of_a_straight_line() -> None:
    plan = plan_of(comparison(KEPT, update("finetune", 0.9, 1.0)), Aims(4, Limit("energy_kwh", 100.0)))
    assert plan.drift.median == pytest.approx(0.1)
    never = of(plan, "keep", 0)
    assert never.mean_quality.median == pytest.approx(
        (0.7 + 0.6 + 0.5 + 0.5) / 4
    )  # two classes: chance is 0.5
    assert never.least_quality == pytest.approx(0.5)
    assert of(plan, "finetune", 4).mean_quality.median == pytest.approx(0.8)
    assert of(plan, "finetune", 2).mean_quality.median == pytest.approx(0.75)
    assert of(plan, "finetune", 2).least_quality == pytest.approx(0.7)
    assert of(plan, "finetune", 3).mean_quality.median == pytest.approx((0.8 + 0.7 + 0.8 + 0.8) / 4)
    assert of(plan, "finetune", 3).cost.median == pytest.approx(3.0)


def test_a_budget_that_bears_no_update_is_said() -> None:
    plan = plan_of(comparison(KEPT, update("finetune", 0.9, 1.0)), Aims(12, Limit("energy_kwh", 1e-9)))
    assert plan.chosen == 0 and "cheapest takes up to 1.00 kWh" in plan.reason


def test_what_a_part_of_the_weights_leaves_of_the_drift_adds_up() -> None:
    offers = (KEPT, update("finetune", 0.9, 1.0), update("head", 0.85, 0.1, trains=10))
    plan = plan_of(comparison(*offers), Aims(3, Limit("energy_kwh", 100.0)))
    assert of(plan, "head", 3).mean_quality.median == pytest.approx((0.75 + 0.7 + 0.65) / 3)
    assert of(plan, "finetune", 3).mean_quality.median == pytest.approx(0.8)


@given(
    gain=st.floats(0.01, 0.15),
    kwh=KWH,
    budgets=st.tuples(KWH, KWH),
    periods=st.integers(1, 24),
    doubt=st.floats(0, 5),
)
def test_more_budget_never_serves_worse_and_is_kept(
    gain: float, kwh: float, budgets: tuple[float, float], periods: int, doubt: float
) -> None:
    case = comparison(
        KEPT,
        update("finetune", 0.8 + gain, kwh, doubt=doubt),
        update("head", 0.8 + gain / 2, kwh / 9, trains=10),
    )
    found = [plan_of(case, Aims(periods, Limit("energy_kwh", budget))) for budget in sorted(budgets)]
    chosen = [plan.schedules[plan.chosen or 0] for plan in found]
    for schedule, budget in zip(chosen, sorted(budgets), strict=True):
        assert (schedule.cost.high or 0.0) <= budget
    means = [schedule.mean_quality.median or 0.0 for schedule in chosen]
    assert means[0] <= means[1] + 1e-12


@given(quality=QUALITY, times=st.floats(1e-3, 1e3), kwh=KWH, fitting=st.integers(0, 12))
def test_costs_and_budget_times_a_number_give_the_same_plan(
    quality: float, times: float, kwh: float, fitting: int
) -> None:
    one, other = (
        plan_of(
            comparison(KEPT, update("finetune", quality, kwh * c)),
            Aims(12, Limit("energy_kwh", (fitting + 0.5) * kwh * c)),
        )
        for c in (1.0, times)
    )
    assert one.chosen == other.chosen


def test_a_plan_of_nothing_says_why_each_option_is_missing() -> None:
    needs = "the target has no labels to train on"
    cannot = [Candidate(model="m", option=name, why_not=needs) for name in ("head", "finetune")]
    with pytest.raises(UsageError) as said:
        plan_of(comparison(KEPT, *cannot), Aims(4, floor=0.7))
    assert str(said.value).endswith(f"; here head, finetune: {needs}")
    few = candidate("finetune", quality=0.9).model_copy(
        update={"quality": None, "warnings": ("too few runs",)}
    )
    with pytest.raises(UsageError, match="; here finetune: too few runs; keep: not among the options"):
        plan_of(comparison(few), Aims(4, floor=0.7))


@given(quality=QUALITY, periods=st.integers(1, 40), doubt=st.floats(0, 3))
def test_more_updates_never_serve_worse_and_the_front_rises(
    quality: float, periods: int, doubt: float
) -> None:
    plan = plan_of(comparison(KEPT, update("finetune", quality, 1.0, doubt=doubt)), Aims(periods, floor=0.5))
    means = [of(plan, "finetune", n).mean_quality.median or 0.0 for n in range(1, periods + 1)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(means))
    front = [plan.schedules[i] for i in front_of(plan.schedules)]
    costs = [each.cost.median or 0.0 for each in front]
    assert costs == sorted(costs)
    for each in plan.schedules:
        ends = each.mean_quality
        assert 0 <= (ends.low or 0) <= (ends.median or 0) <= (ends.high or 0) <= 1


def test_a_floor_is_held_by_the_cheapest_or_by_none() -> None:
    case = comparison(KEPT, update("finetune", 0.9, 1.0), update("scratch", 0.9, 5.0))
    plan = plan_of(case, Aims(4, floor=0.7))
    assert plan.chosen is not None
    assert (plan.schedules[plan.chosen].option, plan.schedules[plan.chosen].updates) == ("finetune", 2)
    none = plan_of(case, Aims(4, floor=0.85))
    assert none.chosen is None and "0.800 at most" in none.reason
    poor = plan_of(case, Aims(4, Limit("energy_kwh", 1.5), floor=0.7))
    assert poor.chosen is None and "within the budget" in poor.reason


def test_where_an_update_wins_nothing_the_plan_is_to_keep() -> None:
    plan = plan_of(comparison(KEPT, update("finetune", 0.78, 1.0)), Aims(12, Limit("energy_kwh", 100.0)))
    assert plan.drift.median == 0 and plan.chosen == 0 and "win anything" in plan.reason


def test_what_is_shown_says_every_figure() -> None:
    plan = plan_of(
        comparison(KEPT, update("finetune", 0.9, 1.0, doubt=1.0)), Aims(4, Limit("energy_kwh", 5.0))
    )
    shown = " ".join(text for block in plan_blocks(plan) for text in texts(block))
    assert "twice in 4 periods" in shown and "10.0 (10.0 … 10.0) points behind" in shown
    assert "0.750" in shown and "foretoll life measures it" in shown and "fits" in shown
    unlimited = plan_of(comparison(KEPT, update("finetune", 0.9, 1.0)), Aims(4, floor=0.6))
    assert "fits" not in {text for block in plan_blocks(unlimited) for text in texts(block)}


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (comparison(update("finetune", 0.9, 1.0)), "the quality of the model as it is"),
        (comparison(KEPT), "one update at least"),
        (comparison(KEPT, update("finetune", 0.9, 1.0), metric="rmse"), "rmse is none"),
    ],
)
def test_a_case_that_cannot_be_planned_is_refused(case: Comparison, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_of(case, Aims(12, floor=0.7))
