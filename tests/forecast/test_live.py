"""The forecast of a run that goes on: its laws, what it reads, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.forecast.case import Case, case_of_run
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.live import OF_CURVE, Course, LiveModel, LiveModels, Seen, odds_before, shipped
from foretoll.forecast.reference import reference_runs
from foretoll.records import Forecast, Interval, MadeForecast, Outcome, QualityScale, TrainingSettings
from foretoll.research.leave_out import outcomes, rows_of

BEFORE = Interval(median=3.0, low=1.0, high=9.0)


def course(*, until: float = 0.9, budget: float = 10.0, reach: float | None = 0.7) -> Course:
    before = None if reach is None else BEFORE
    return Course(until, budget, 4, 25, 500, before, reach)


def rising(progresses: list[float], *, step: float = 0.25) -> list[Seen]:
    return [Seen(i * step, value) for i, value in enumerate(progresses)]


CURVES = st.lists(st.floats(0, 0.899), min_size=2, max_size=39).map(rising)
REACHES = st.one_of(st.none(), st.floats(0, 1))


@given(CURVES, REACHES, st.booleans())
def test_a_chance_lies_within_0_and_1_and_what_is_left_within_the_budget(
    curve: list[Seen], reach: float | None, level: bool
) -> None:
    asked = course(reach=reach)
    found = shipped()(asked, curve)
    assert found is not None and 0 <= found.reach_probability <= 1
    left = found.epochs_left
    assert left.low is not None and left.median is not None and left.high is not None
    assert 0 <= left.low <= left.median <= left.high <= asked.budget - curve[-1].epochs + 1e-9
    if found.reach_probability < 0.5:
        assert left.median == pytest.approx(asked.budget - curve[-1].epochs), (
            "more likely the budget ends first"
        )


@given(CURVES, st.lists(st.floats(0, 1), max_size=5), REACHES)
def test_it_is_blind_to_what_comes_later(curve: list[Seen], later: list[float], reach: float | None) -> None:
    longer = curve + [Seen(curve[-1].epochs + 0.25 * (i + 1), value) for i, value in enumerate(later)]
    assert shipped()(course(reach=reach), longer[: len(curve)]) == shipped()(course(reach=reach), curve)


def test_a_target_that_is_met_is_certain_and_a_budget_that_is_spent_leaves_none() -> None:
    met = shipped()(course(), rising([0.1, 0.95]), met=True)
    assert met is not None and met.reach_probability == 1.0 and met.epochs_left.high == 0
    spent = shipped()(course(budget=0.5), rising([0.1, 0.2, 0.3]))
    assert spent is not None and spent.reach_probability == 0.0 and spent.epochs_left.high == 0


def test_before_the_first_step_it_is_the_forecast_that_was_made() -> None:
    found = shipped()(course(), rising([0.1]))
    assert found is not None and found.reach_probability == 0.7 and found.epochs_left == BEFORE
    assert shipped()(course(reach=None), rising([0.1])) is None


def test_a_curve_that_nears_its_target_is_better_off_than_one_that_stays() -> None:
    near = rising([0.1, 0.4, 0.6, 0.7, 0.78, 0.84, 0.88])
    flat = rising([0.1, 0.2, 0.21, 0.21, 0.2, 0.21, 0.2])
    for reach in (0.7, None):
        good, bad = (shipped()(course(reach=reach), curve) for curve in (near, flat))
        assert good is not None and bad is not None
        assert good.reach_probability > 0.8 and bad.reach_probability < 0.4
        assert (good.epochs_left.median or 0) < (bad.epochs_left.median or 0)


@given(st.floats(0.01, 0.99), st.floats(0.01, 9.9), st.floats(0.01, 9.9))
def test_the_odds_of_the_forecast_before_fall_while_the_target_is_not_met(
    reach: float, one: float, other: float
) -> None:
    sooner, later = sorted((one, other))
    asked = course(reach=reach)
    assert odds_before(asked, later) <= odds_before(asked, sooner) + 1e-9
    assert odds_before(asked, sooner) <= math.log(reach / (1 - reach)) + 1e-9 or reach < 0.005


def test_what_was_learned_is_found_again() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(3000, len(OF_CURVE)))
    log_ratio = 0.5 - 1.5 * x[:, 0] + 0.8 * x[:, 3] + 0.6 * draw.logistic(size=3000)
    budget = draw.normal(1.0, 1.0, 3000)
    short = log_ratio > budget
    ends = np.where(short, budget, log_ratio - 0.05), np.where(short, np.inf, log_ratio)
    model = LiveModel.fit(OF_CURVE, x, ends, np.ones(3000), of=(3000, 5))
    assert model.weights[0] == pytest.approx(-1.5, abs=0.1) and model.weights[3] == pytest.approx(
        0.8, abs=0.1
    )
    assert model.intercept == pytest.approx(0.5, abs=0.1) and model.sigma == pytest.approx(0.6, abs=0.1)


def test_what_ships_is_read_and_written_and_others_are_refused() -> None:
    text = shipped().text()
    assert LiveModels.of_text(text) == shipped()
    assert shipped().forecast.runs > 2000 and shipped().forecast.data_sets >= 12
    with pytest.raises(ValueError, match="other features"):
        LiveModels.of_text(text.replace("share closed", "moon phase"))


def test_a_course_needs_a_target_on_a_scale_that_is_known() -> None:
    made = MadeForecast(forecast=Forecast(epochs=BEFORE), reach_probability=0.4)
    found = Course.of(TrainingSettings(until=0.9, max_steps=50), 25, 100, made)
    assert found is not None and (found.budget, found.reach, found.before) == (2.0, 0.4, BEFORE)
    assert Course.of(TrainingSettings(), 25, 100, made) is None
    error = TrainingSettings(until=2.0, metric="rmse")
    assert Course.of(error, 25, 100, None) is None, "nobody knows what an error of 2 is worth"
    scaled = Course.of(error.model_copy(update={"scale": QualityScale(trivial=4.0, best=0.0)}), 25, 100, None)
    assert scaled is not None and scaled.until == 0.5


def given_up() -> tuple[Case, Case]:
    """A run of the ledger that ships that missed its target, and the same had it been given up after two epochs."""
    run = next(r for r in reference_runs() if r.outcome is Outcome.CENSORED and len(r.curve) > 10)
    toll = run.toll.model_copy(update={"epochs": 2.0})
    short = run.model_copy(update={"outcome": Outcome.GIVEN_UP, "toll": toll})
    whole, cut = case_of_run(run), case_of_run(short)
    assert whole is not None and cut is not None
    (lesson,), (before,) = lessons_of([short]), lessons_of([run])
    assert lesson.outcome.short and lesson.limit == lesson.responses["epochs"] < before.limit
    (row,) = rows_of([short])
    seen = outcomes([row])
    assert row.censored and float(seen.limit[0]) == float(seen.epochs[0]) == 2.0
    return whole, cut


def test_a_run_that_was_given_up_is_censored_where_it_ended() -> None:
    whole, cut = given_up()
    assert cut.max_epochs == 2.0 < whole.max_epochs
    assert whole == cut.model_copy(update={"max_epochs": whole.max_epochs})
