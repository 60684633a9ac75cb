"""What serving adds, and how good a recommendation was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide import Limit, energy_with_serving, measured_best, regret_of
from foretoll.records import Candidate, Interval, Outcome

from .making import candidate, exactly, run, serving

UPDATE = Interval(median=4e-6, low=1e-6, high=9e-6)


def test_energy_with_serving_adds_what_is_served() -> None:
    life = energy_with_serving(UPDATE, serving(2e-6), 5_000)
    assert life is not None and life.median == pytest.approx(4e-6 + 5 * 2e-6)
    assert life.low == pytest.approx(1e-6 + 5 * 2e-6 * 0.8) and life.high == pytest.approx(
        9e-6 + 5 * 2e-6 * 1.5
    )


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_requests_never_cost_less(a: int, b: int) -> None:
    few, many = (energy_with_serving(UPDATE, serving(), n) for n in sorted((a, b)))
    assert few is not None and many is not None
    for end in ("median", "low", "high"):
        assert UPDATE.model_dump()[end] <= getattr(few, end) <= getattr(many, end)
    assert few.low <= few.median <= few.high


def test_what_is_not_known_stays_unknown() -> None:
    assert energy_with_serving(None, serving(), 5) is None
    assert energy_with_serving(UPDATE, None, 5) is None
    assert energy_with_serving(UPDATE, serving(None), 5) is None
    open_end = energy_with_serving(Interval(median=1e-6, low=None, high=None), serving(), 0)
    assert open_end is not None and (open_end.low, open_end.high) == (None, None)


def measured(option: str, kwh: float, outcome: Outcome = Outcome.REACHED, *, model: str = "m") -> Candidate:
    return candidate(option, model=model, run=run(outcome, kwh=kwh, seconds=kwh * 1e6, option=option))


def test_regret_is_the_factor_over_the_cheapest_that_reached() -> None:
    found = [
        measured("keep", 1e-7, Outcome.CENSORED),
        measured("head", 2e-6),
        measured("finetune", 5e-6),
        candidate("lora", why_not="it cannot serve"),
    ]
    assert measured_best(found) == 1
    assert regret_of(found, 1) == 1.0
    assert regret_of(found, 2) == pytest.approx(2.5)


def test_a_missed_target_is_no_matter_of_a_factor() -> None:
    found = [measured("keep", 1e-7, Outcome.CENSORED), measured("head", 2e-6), candidate("lora")]
    assert regret_of(found, 0) is None, "it missed the target"
    assert regret_of(found, None) is None, "nothing was recommended"
    assert regret_of(found, 2) is None, "it was not carried out"
    nothing = [measured("head", 1e-6, Outcome.CENSORED), measured("lora", 1e-6, Outcome.FAILED)]
    assert measured_best(nothing) is None and regret_of(nothing, 0) is None


def test_the_best_keeps_to_the_budget_as_measured() -> None:
    found = [measured("head", 2e-6), measured("finetune", 5e-6)]
    limit = Limit("duration_s", 1.0)
    assert measured_best(found, limit=limit) is None
    slow_but_thrifty = candidate("lora", run=run(kwh=1e-6, seconds=9.0))
    limit = Limit("duration_s", 5.0)
    assert measured_best([*found, slow_but_thrifty]) == 2
    assert measured_best([*found, slow_but_thrifty], limit=limit) == 0
    assert regret_of([*found, slow_but_thrifty], 2, limit=limit) is None


def test_the_spread_of_the_same_work_is_no_regret() -> None:
    """Where keep reached the target, the others ended at the same first evaluation."""
    found = [measured("recalibrate", 0.9e-7), measured("keep", 1e-7)]
    assert measured_best(found) == 1 and regret_of(found, 1) == 1.0


def test_regret_counts_what_is_served_where_the_life_decides() -> None:
    cheap_to_serve = measured("lora", 5e-6).model_copy(
        update={"energy_with_serving_kwh": exactly(1e-5), "inference": serving(1e-6)}
    )
    dear_to_serve = measured("reprogram", 1e-6).model_copy(
        update={"energy_with_serving_kwh": exactly(3e-5), "inference": serving(3e-6)}
    )
    found = [cheap_to_serve, dear_to_serve]
    assert measured_best(found, requests=10_000) == 0
    assert regret_of(found, 1, requests=10_000) == pytest.approx(31 / 15)
