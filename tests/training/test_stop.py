"""Stop rules: functions of the history alone, with the closed forms of each and of their combination."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.errors import UsageError
from foretoll.records import EvalPoint
from foretoll.training import StopRule, epochs, first_of, patience, steps, until

QUALITIES = st.lists(st.floats(0, 1), max_size=12)


def curve(qualities: list[float]) -> list[EvalPoint]:
    return [EvalPoint(step=i, epochs=i / 4, quality=q) for i, q in enumerate(qualities)]


@given(QUALITIES, st.floats(0.01, 1))
def test_until_ends_when_the_quality_was_first_reached(qualities: list[float], goal: float) -> None:
    rule = until(goal)
    assert rule.ends(curve(qualities), 3, 0.75) == any(q >= goal for q in qualities)
    assert rule.goal == goal
    assert not rule.spent(10**9, 1e9)


@given(st.integers(1, 400), st.floats(0.01, 30))
def test_a_budget_of_epochs_is_the_first_step_that_completes_it(per_epoch: int, budget: float) -> None:
    rule = epochs(budget)
    ends = next(step for step in range(per_epoch * 31 + 2) if rule.ends([], step, step / per_epoch))
    assert ends >= 1
    assert ends / per_epoch >= budget - 1e-9
    assert ends == 1 or (ends - 1) / per_epoch < budget


def test_a_budget_that_floats_round_up_takes_no_step_more() -> None:
    assert next(step for step in range(20) if epochs(1.1).ends([], step, step / 10)) == 11


@given(st.integers(1, 50), st.integers(0, 100))
def test_steps(count: int, step: int) -> None:
    assert steps(count).ends([], step, 0.0) == steps(count).spent(step, 0.0) == (step >= count)


@given(QUALITIES, st.integers(1, 4))
def test_patience_counts_evaluations_without_a_new_best(qualities: list[float], wait: int) -> None:
    expected, best, since = False, -1.0, 0
    for quality in qualities:
        best, since = (quality, 0) if quality > best else (best, since + 1)
        expected |= since >= wait
    assert patience(wait).ends(curve(qualities), 0, 0.0) == expected


def test_patience_with_a_least_gain() -> None:
    slow = curve([0.50, 0.51, 0.52, 0.53])
    assert not patience(3).ends(slow, 0, 0.0)
    assert patience(3, least=0.05).ends(slow, 0, 0.0)


@given(QUALITIES, st.floats(0.1, 1), st.integers(1, 5), st.integers(0, 9))
def test_the_first_of_several(qualities: list[float], goal: float, wait: int, step: int) -> None:
    rules: list[StopRule] = [until(goal), patience(wait), steps(5)]
    seen = curve(qualities)
    expected = any(rule.ends(seen, step, step / 4) for rule in rules)
    assert first_of(*rules).ends(seen, step, step / 4) == expected
    assert (rules[0] | rules[1] | rules[2]).ends(seen, step, step / 4) == expected
    assert (until(goal) | epochs(3)).goal == goal and (patience(2) | epochs(3)).goal is None
    assert first_of(*reversed(rules)).ends(seen, step, step / 4) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: until(0.0), lambda: until(1.1), lambda: until(float("nan")), lambda: epochs(0),
        lambda: epochs(float("nan")),
        lambda: steps(0), lambda: patience(0), lambda: patience(1, least=-1), lambda: first_of(),
    ],
)  # fmt: skip
def test_a_rule_that_means_nothing_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        wrong()  # type: ignore[operator]
