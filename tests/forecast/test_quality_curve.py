"""One distribution read both ways: laws of any curve, and the curves of real cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.forecast import Case, Forecaster, case_of_run, compose_costs
from foretoll.forecast.case import at_target, decided
from foretoll.forecast.early import schedule_of
from foretoll.forecast.quality_curve import QualityCurve, forecast_curve, rising_from
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.step_costs import StepCosts
from foretoll.options.table import traits_of
from foretoll.records import StepProbe
from foretoll.records.evaluations import EvaluationSchedule

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
PROBE = StepProbe(
    steps=30,
    repeats=3,
    seconds_per_step=0.1,
    seconds_per_step_low=0.08,
    seconds_per_step_high=0.15,
    joules_per_step=2.0,
    seconds_per_evaluation=1.0,
    joules_per_evaluation=10.0,
    seconds_of_preparation=3.0,
    joules_of_preparation=40.0,
)


@st.composite
def curves(draw: st.DrawFn) -> QualityCurve:
    """Any curve: rising targets, costs that rise with target and level (with ties), a falling probability."""
    count = draw(st.integers(2, 8))
    steps = st.lists(st.floats(0.01, 0.1), min_size=count, max_size=count)
    targets = np.cumsum(draw(steps))
    cell = st.sampled_from([0.0, 0.25, 1.0, 3.5])
    rows = st.lists(st.lists(cell, min_size=5, max_size=5), min_size=count, max_size=count)
    costs = np.cumsum(np.cumsum(np.array(draw(rows)), axis=0), axis=1)
    costs[0] = 0.0
    reach = np.sort(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))[::-1]
    return QualityCurve(targets, LEVELS, costs, np.concatenate([[1.0], reach[1:]]))


QUALITIES = st.floats(0, 1)
BUDGETS = st.floats(0, 60)


@given(curves(), QUALITIES, QUALITIES)
def test_a_higher_target_costs_no_less_and_is_no_likelier(curve: QualityCurve, a: float, b: float) -> None:
    low, high = sorted((a, b))
    easy, hard = curve.to_target(low), curve.to_target(high)
    for end in ("low", "median", "high"):
        assert getattr(easy, end) <= getattr(hard, end) + 1e-9
    assert curve.reaches(low) >= curve.reaches(high) - 1e-12
    assert easy.low <= easy.median <= easy.high  # type: ignore[operator]


@given(curves(), BUDGETS, BUDGETS)
def test_a_larger_budget_buys_no_less(curve: QualityCurve, a: float, b: float) -> None:
    small, large = (curve.for_budget(budget) for budget in sorted((a, b)))
    for end in ("low", "median", "high"):
        assert getattr(small, end) <= getattr(large, end) + 1e-9
    assert small.low <= small.median <= small.high  # type: ignore[operator]
    assert curve.targets[0] <= small.low <= large.high <= curve.targets[-1]  # type: ignore[operator]


@given(curves(), QUALITIES, BUDGETS, BUDGETS)
def test_the_probability_rises_with_the_budget_up_to_that_of_reaching(
    curve: QualityCurve, quality: float, a: float, b: float
) -> None:
    small, large = sorted((a, b))
    chances = [curve.probability(quality, budget) for budget in (small, large, 1e9)]
    assert 0 <= chances[0] <= chances[1] + 1e-12 and chances[1] <= chances[2] + 1e-12 <= 1 + 1e-9
    assert chances[2] == pytest.approx(min(max(curve.reaches(quality), 0.0), 1.0))
    assert curve.probability(quality + 0.05, large) <= chances[1] + 1e-9


@given(curves(), BUDGETS)
def test_both_readings_are_of_one_distribution(curve: QualityCurve, budget: float) -> None:
    """At each level: a quality is reached within a budget where its cost keeps to the budget, and nowhere else."""
    found = curve.for_budget(budget)
    for quality, end, level in ((found.median, "median", 0.5), (found.low, "high", 0.95)):
        assert quality is not None
        if quality > curve.targets[0]:
            assert getattr(curve.to_target(quality), end) <= budget + 1e-6
            assert curve.reaches(quality) >= level - 1e-9
        above = quality + 1e-6
        if above < curve.targets[-1]:
            dearer = getattr(curve.to_target(above), end) > budget
            assert dearer or curve.reaches(above) < level


@given(curves(), QUALITIES)
def test_there_and_back(curve: QualityCurve, quality: float) -> None:
    inside = float(np.clip(quality, curve.targets[0], curve.targets[-1]))
    cost = curve.to_target(inside).median
    assert cost is not None
    back = curve.for_budget(cost).median
    assert back is not None
    if curve.reaches(inside) >= 0.5:
        assert back >= inside - 1e-9  # more where more costs nothing
        steep = np.all(np.diff(curve.costs[:, 2]) > 0)
        assert not steep or back == pytest.approx(inside, abs=1e-9)
    else:
        assert back <= inside + 1e-9


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), st.data())
def test_what_is_made_to_rise_keeps_its_anchor(values: list[float], data: st.DataObject) -> None:
    anchor = data.draw(st.integers(0, len(values) - 1))
    found = rising_from(np.array(values)[:, None], anchor)[:, 0]
    assert len(found) == len(values) and found[anchor] == values[anchor]
    assert np.all(np.diff(found) >= 0)
    already = np.sort(values)
    assert np.array_equal(rising_from(already, anchor), already)


@given(curves())
def test_a_knee_lies_between_the_ends_and_above_the_straight_line(curve: QualityCurve) -> None:
    knee = curve.knee()
    if knee is None:
        return
    assert curve.targets[0] < knee.quality < knee.highest <= curve.targets[-1]
    assert 0 <= knee.cost < knee.highest_cost
    share = (knee.quality - curve.targets[0]) / (knee.highest - curve.targets[0])
    assert share > knee.cost / knee.highest_cost


def test_a_knee_by_hand() -> None:
    levels, reach = np.array([0.05, 0.5, 0.95]), np.ones(4)
    costs = np.array([0.0, 1.0, 2.0, 10.0]).repeat(3).reshape(4, 3)
    curve = QualityCurve(np.array([0.5, 0.7, 0.9, 0.92]), levels, costs, reach)
    assert curve.knee() == (0.9, 2.0, 0.92, 10.0)
    straight = np.array([0.0, 5.0, 10.0, 10.5]).repeat(3).reshape(4, 3)
    assert QualityCurve(np.array([0.5, 0.7, 0.9, 0.92]), levels, straight, reach).knee() is None


@given(curves(), QUALITIES, QUALITIES)
def test_energy_rises_as_the_epochs_do(curve: QualityCurve, a: float, b: float) -> None:
    energy = curve.in_cost(StepCosts.of_seconds(PROBE, EvaluationSchedule(40, 4)))
    low, high = (energy.to_target(quality) for quality in sorted((a, b)))
    assert low.low <= low.median <= low.high  # type: ignore[operator]
    for end in ("low", "median", "high"):
        assert getattr(low, end) <= getattr(high, end) + 1e-9
    assert energy.to_target(0.0).median == 1.0  # one evaluation, and nothing is prepared


# --- real cases ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster(list(reference_runs())[::6])


def cases(count: int) -> list[Case]:
    """Cases of the reference that need steps, of several options."""
    found = [case for run in reference_runs() if (case := case_of_run(run)) is not None]
    usable = [case for case in found if not decided(case) and traits_of(case.option).takes_steps]
    return usable[:: len(usable) // count]


def test_the_asked_target_is_forecast_exactly_as_before(forecaster: Forecaster) -> None:
    seen = 0
    for case in cases(12):
        made = forecaster.foretell(case, time_only=True)
        curve = forecast_curve(forecaster, case, made, [0.5, 0.9])
        assert curve is not None
        assert curve.to_target(case.until) == made.forecast.epochs
        assert curve.reaches(case.until) == made.reach_probability
        assert np.all(np.diff(curve.costs, axis=0) >= 0) and np.all(np.diff(curve.costs, axis=1) >= 0)
        assert np.all(np.diff(curve.reach) <= 0) and np.all(np.diff(curve.targets) > 0)
        assert {0.5, 0.9} <= set(curve.targets) | {q for q in (0.5, 0.9) if q <= curve.targets[0]}
        expected = compose_costs(
            made.forecast.epochs,  # type: ignore[arg-type]
            schedule=schedule_of(case),
            probe=PROBE,
            grid=None,
        )
        for cost, steps in (("duration_s", StepCosts.of_seconds), ("energy_kwh", StepCosts.of_energy)):
            composed = steps(PROBE, schedule_of(case))
            assert composed is not None
            assert curve.in_cost(composed).to_target(case.until) == getattr(expected, cost)
        seen += 1
    assert seen > 8


def test_a_run_has_seen_no_less_than_it_ends_with(forecaster: Forecaster) -> None:
    """The whole budget's curve and the quality afterwards are one distribution up to the target, where runs end."""
    raised, unlikely = 0, 0
    for case in cases(40)[::10]:  # nearly two seconds each, of which the models of qualities take all
        made = forecaster.foretell(case)
        alone = forecast_curve(forecaster, case, replace(made, afterwards=None))
        curve = forecast_curve(forecaster, case, made)
        assert (
            curve is not None
            and alone is not None
            and made.afterwards is not None
            and made.quality is not None
        )
        under = curve.targets < case.until
        there = np.array([made.afterwards.at_least(q - case.until) for q in curve.targets])
        assert np.all(curve.reach[under] >= np.minimum(there[under], 1.0) - 1e-12)
        assert np.all(curve.reach >= alone.reach - 1e-12)
        assert np.array_equal(curve.reach[~under], alone.reach[~under])
        assert np.array_equal(curve.costs[~under], alone.costs[~under])
        assert np.all(curve.costs[under] <= alone.costs[under] + 1e-9)  # likelier, so no later
        raised += bool(np.any(curve.reach > alone.reach + 0.1))
        best, after = curve.for_budget(case.max_epochs).median, made.quality.median
        assert best is not None and after is not None
        if curve.targets[0] < after < case.until:  # at the next of the grid's targets that lies below
            unlikely += 1
            assert best >= curve.targets[curve.targets <= after][-1] - 1e-9
    assert raised > 3 and unlikely > 3


def test_a_target_that_is_met_already_has_a_curve_above_it(forecaster: Forecaster) -> None:
    case = next(case for case in cases(40) if case.start_quality is not None and case.start_quality < 0.9)
    assert case.start_quality is not None
    met = at_target(case, case.start_quality - 0.01)
    curve = forecast_curve(forecaster, met, forecaster.foretell(met))
    assert curve is not None and curve.targets[0] == case.start_quality
    assert curve.to_target(met.until).high == 0.0 and curve.reaches(met.until) == 1.0
    above = forecaster.foretell(at_target(case, float(curve.targets[1])), time_only=True)
    assert curve.to_target(float(curve.targets[1])) == above.forecast.epochs


def test_what_takes_no_step_or_is_perfect_has_no_curve(forecaster: Forecaster) -> None:
    case = next(case for case in cases(40) if case.start_quality is not None)
    kept = case.model_copy(update={"option": "keep"})
    assert forecast_curve(forecaster, kept, forecaster.foretell(kept)) is None
    perfect = case.model_copy(update={"start_quality": 1.0})
    assert forecast_curve(forecaster, perfect, forecaster.foretell(perfect)) is None
    nobody = Forecaster()
    assert forecast_curve(nobody, case, nobody.foretell(case)) is None


def test_another_target_is_as_if_it_had_been_asked_for() -> None:
    for run in reference_runs()[::400]:
        case = case_of_run(run)
        if case is None:
            continue
        moved = at_target(case, 0.5)
        gap = case.signals.get("recoverability_gap")
        if gap is not None:
            assert moved.signals["recoverability_gap"] == pytest.approx(gap + 0.5 - case.until)
        assert at_target(moved, case.until).until == case.until
