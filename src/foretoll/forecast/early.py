"""Runs that are evaluated before the first evaluation of an epoch, counted in epochs that are as short as that.

What forecasts learn from, and how they count time, knows nothing below half the stretch between two evaluations. A run
of 30,000 steps an epoch that is evaluated from step 128 on is to them one of 512 steps an epoch and as many more
epochs; what they say of it is brought back here. Any other run is what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from foretoll.forecast import case as plain
from foretoll.forecast.case import Case, FeatureValues, epochs_of, epochs_within, log_steps
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.lessons import lessons_of as plain_lessons
from foretoll.records import Outcome, Run
from foretoll.records.evaluations import EvaluationSchedule


class EarlyCase(Case):
    """One whose run is evaluated after `first_evaluation` steps already; its epochs are passes over the data."""

    first_evaluation: int


def schedule_of(case: Case) -> EvaluationSchedule:
    """Which of its steps an evaluation follows."""
    first = case.first_evaluation if isinstance(case, EarlyCase) else 0
    return EvaluationSchedule(case.steps_per_epoch, case.evals_per_epoch, first)


def case_of(run: Run, *, start_quality: float | None, looked_at: int = 0) -> Case:
    """`foretoll.forecast.case.case_of`, of a run that may be evaluated early."""
    found = plain.case_of(run, start_quality=start_quality, looked_at=looked_at)
    schedule = run.settings.evaluations(found.steps_per_epoch)
    if not schedule.is_early:
        return found
    return EarlyCase(**dict(found), first_evaluation=schedule.first)


def counted(case: Case) -> Case:
    """The case in the epochs that forecasts count in."""
    schedule = schedule_of(case)
    if not schedule.is_early:
        return case
    counts = {
        "steps_per_epoch": schedule.counted,
        "max_epochs": case.max_epochs * schedule.stretch,
        "evals_per_epoch": 4,
    }
    return Case(**{name: value for name, value in case if name != "first_evaluation"} | counts)


def features_of(case: Case) -> FeatureValues:
    """The numbers that a forecaster learns from."""
    return plain.features(counted(case))


def limit_of(case: Case) -> float:
    """Log of the steps of the whole budget."""
    counts = counted(case)
    return log_steps(counts.max_epochs, counts.steps_per_epoch)


def epochs_told(log_step: float, case: Case) -> float:
    """The epochs of so many steps, within the budget: of a run that is evaluated early to the next evaluation."""
    schedule = schedule_of(case)
    if not schedule.is_early:
        return epochs_within(log_step, case)
    steps = epochs_of(log_step, schedule.counted) * schedule.counted
    return min(schedule.at_or_after(steps) / case.steps_per_epoch, case.max_epochs)


def counted_run(run: Run) -> Run:
    """A run in the epochs that forecasts count in."""
    schedule = _schedule_of_run(run)
    if schedule is None:
        return run
    stretch, settings = schedule.stretch, run.settings
    toll, curve = run.toll, run.curve
    budget = settings.max_epochs * stretch
    every = {"evals_per_epoch": 4, "first_evaluation": None}
    return run.model_copy(
        update={
            "steps_per_epoch": schedule.counted,
            "settings": settings.model_copy(update=every | {"max_epochs": budget}),
            "toll": toll.model_copy(update={"epochs": _times(toll.epochs, stretch)}),
            "curve": tuple(p.model_copy(update={"epochs": _times(p.epochs, stretch)}) for p in curve),
        }
    )


def lessons_of(runs: Iterable[Run]) -> list[Lesson]:
    """What the usable ones of these runs teach, in their order (`foretoll.forecast.lessons`)."""
    return [lesson for run in runs for lesson in _lessons(run)]


def _lessons(run: Run) -> list[Lesson]:
    short = counted_run(run)
    found = plain_lessons([short])
    if short is run:
        return found
    return [replace(lesson, epochs=run.toll.epochs, lower=_lower(lesson, short)) for lesson in found]


def _lower(lesson: Lesson, short: Run) -> float:
    """Log of the steps at the evaluation before the one that met the target."""
    if short.outcome is not Outcome.REACHED or short.steps_per_epoch is None:
        return lesson.lower
    missed = [p.epochs for p in short.curve if p.epochs is not None and not short.settings.meets(p.quality)]
    return log_steps(max(missed, default=0.0), short.steps_per_epoch)


def _schedule_of_run(run: Run) -> EvaluationSchedule | None:
    """That of a run that is evaluated early; None of any other."""
    if run.steps_per_epoch is None or not run.settings.first_evaluation:
        return None
    schedule = run.settings.evaluations(run.steps_per_epoch)
    return schedule if schedule.is_early else None


def _times(epochs: float | None, stretch: float) -> float | None:
    return None if epochs is None else epochs * stretch
