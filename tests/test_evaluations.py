"""The schedule of evaluations: against the steps one by one, and what those before the first epoch's cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretoll.records import TrainingSettings
from foretoll.records.evaluations import BACKWARD, LARGE, EvaluationSchedule

STEPS, CHECKS, FIRST = st.integers(1, 90), st.integers(1, 12), st.integers(0, 40)


def evaluated(schedule: EvaluationSchedule, epochs: int) -> list[int]:
    """The steps, as an epoch cut into equal parts and powers of two say."""
    size, checks, first = schedule.steps_per_epoch, schedule.per_epoch, schedule.first
    ends = {-(-number * size // checks) for number in range(1, epochs * checks + 1)}
    early = {first * 2**k for k in range(10)} if first else set()
    return sorted(ends | {step for step in early if step < min(ends)})


@given(STEPS, CHECKS, FIRST)
def test_it_is_the_steps_one_by_one(size: int, checks: int, first: int) -> None:
    schedule = EvaluationSchedule(size, checks, first)
    steps = evaluated(schedule, 3)
    assert [step for step in range(1, 3 * size + 1) if schedule.due(step)] == steps
    for step in range(2 * size):
        after = min(s for s in steps if s > step)
        assert schedule.after(step) == after
        assert schedule.at_or_after(step + 1) == schedule.at_or_after(step + 0.5) == after
    if checks <= size:
        for step in steps:
            assert schedule.made(step) == steps.index(step) + 1
            assert 0 <= schedule.needed(step / size) - schedule.made(step) <= 1, "an epoch cut unevenly"


@given(STEPS, CHECKS)
def test_without_a_first_one_it_is_the_usual(size: int, checks: int) -> None:
    schedule = TrainingSettings(evals_per_epoch=checks).evaluations(size)
    assert not schedule.is_early and schedule.counted == size and schedule.stretch == 1.0
    position = range(1, size + 1)
    assert [schedule.due(p) for p in position] == [
        p * checks // size > (p - 1) * checks // size for p in position
    ]


@given(st.integers(1, 10**6), CHECKS, st.integers(1, 4096), st.integers(1, 20_000))
def test_early_evaluations_never_cost_more_than_the_training_before_them(
    size: int, checks: int, samples: int, validation: int
) -> None:
    first = EvaluationSchedule.first_of(size, checks, samples, validation)
    assert (first == 0) == (size < LARGE * checks)
    schedule = EvaluationSchedule(size, checks, first)
    step = schedule.after(0)
    while first and step < -(-size // checks):
        assert schedule.made(step) * validation <= BACKWARD * samples * step
        step = schedule.after(step)
