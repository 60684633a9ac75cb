"""Runs that are evaluated before the first evaluation of an epoch: learned from in short epochs, told in their own."""

from __future__ import annotations

import math

import pytest

from foretoll.forecast import Case, Forecaster, case_of_run
from foretoll.forecast.case import decided, log_steps
from foretoll.forecast.early import EarlyCase, counted, epochs_told, lessons_of, limit_of, schedule_of
from foretoll.forecast.lessons import lessons_of as plain_lessons
from foretoll.forecast.live import Course, shipped
from foretoll.forecast.quality_curve import forecast_curve
from foretoll.forecast.reference import reference_forecaster, reference_runs
from foretoll.options.table import DEFAULT
from foretoll.records import EvalPoint, Forecast, Interval, MadeForecast, Outcome, Run

STEPS, FIRST = 30_000, 128


def large(case: Case) -> Case:
    """The same update with 30,000 steps an epoch, of which it is evaluated after 7,500 and no sooner."""
    return case.model_copy(update={"steps_per_epoch": STEPS, "evals_per_epoch": 4, "max_epochs": 20.0})


def early(case: Case) -> EarlyCase:
    """That one evaluated after 128, 256, … steps."""
    return EarlyCase(**dict(large(case)), first_evaluation=FIRST)


@pytest.fixture(scope="module")
def case() -> Case:
    """An open one of a reached run."""
    every = (case_of_run(run) for run in reference_runs() if run.option == DEFAULT and run.outcome.complete)
    found = next(one for one in every if one is not None and not decided(one))
    return found.model_copy(update={"model_id": "", "weights_digest": ""})


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return reference_forecaster()


def test_any_other_run_is_what_it_is(case: Case) -> None:
    runs = reference_runs()[:50]
    assert lessons_of(runs) == plain_lessons(runs)
    assert counted(case) is case and counted(large(case)) == large(case)
    assert limit_of(case) == log_steps(case.max_epochs, case.steps_per_epoch)


def test_it_is_told_as_the_next_evaluation_of_its_own(case: Case) -> None:
    one, schedule = early(case), schedule_of(early(case))
    found = [epochs_told(level / 4, one) for level in range(60)]
    assert found == sorted(found) and found[-1] == one.max_epochs
    assert found[0] == FIRST / STEPS
    for epochs in found[:-1]:
        step = round(epochs * STEPS)
        assert epochs == one.max_epochs or schedule.due(step)
    short = counted(one)
    for step in (FIRST, 4 * FIRST, 7_500, 15_000):  # there and back
        told = log_steps(step / short.steps_per_epoch, short.steps_per_epoch)
        assert epochs_told(told, one) == step / STEPS


def test_what_takes_few_steps_is_not_told_as_a_quarter_epoch(case: Case, forecaster: Forecaster) -> None:
    plain, one = (forecaster.foretell(of(case), time_only=True) for of in (large, early))
    assert plain.forecast.epochs is not None and one.forecast.epochs is not None
    assert plain.forecast.epochs.low == 0.25 > (one.forecast.epochs.low or 0)
    curve = forecast_curve(forecaster, early(case), one)
    assert curve is not None and curve.to_target(case.until) == one.forecast.epochs


def run_of(first: int | None) -> Run:
    """A run that met its target after 2,048 of 30,000 steps, by evaluations from step 128 on."""
    run = next(run for run in reference_runs() if run.outcome is Outcome.REACHED and len(run.curve) > 2)
    until = run.settings.until
    assert until is not None
    curve = tuple(
        EvalPoint(step=step, epochs=step / STEPS, quality=until if step == 2048 else until / 2, loss=1.0)
        for step in (0, 128, 256, 512, 1024, 2048)
    )  # fmt: skip
    settings = run.settings.model_copy(update={"evals_per_epoch": 4, "first_evaluation": first})
    toll = run.toll.model_copy(update={"epochs": 2048 / STEPS})
    known = {"settings": settings, "steps_per_epoch": STEPS, "toll": toll, "curve": curve, "steps": 2048}
    return run.model_copy(update=known)


def test_its_lesson_is_the_stretch_in_which_it_met_the_target() -> None:
    (lesson,) = lessons_of([run_of(FIRST)])
    offset = 4 * FIRST / 8  # half an evaluation of four in such an epoch
    assert lesson.responses["epochs"] == pytest.approx(math.log(2048 + offset))
    assert lesson.lower == pytest.approx(math.log(1024 + offset))
    assert lesson.epochs == 2048 / STEPS
    assert lessons_of([run_of(None)]) == plain_lessons([run_of(None)])


def test_what_is_left_of_it_is_in_its_own_epochs() -> None:
    run = run_of(FIRST)
    before = Forecast(epochs=Interval(median=0.1, low=0.01, high=3.0, level=0.9))
    made = MadeForecast(forecast=before, reach_probability=0.8)
    course = Course.of(run.settings, STEPS, 1000, made)
    assert course is not None and course.budget == pytest.approx(run.settings.max_epochs * STEPS / 512)
    seen = [course.seen(p.epochs or 0.0, run.settings.progress(p.quality)) for p in run.curve[:-1]]
    found = shipped()(course, seen)
    assert found is not None
    told = course.told(found)
    assert told.epochs == pytest.approx(1024 / STEPS)
    assert told.reach_probability == found.reach_probability
    low, median, high = told.epochs_left.low, told.epochs_left.median, told.epochs_left.high
    assert low is not None and median is not None and high is not None
    assert FIRST / STEPS - 1e-9 <= low <= median <= high <= run.settings.max_epochs
