"""The front: exactly the candidates that no other beats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide import forecast_point, kind_of_price, mark_front, measured_point
from foretoll.records import Candidate, Outcome

from .making import candidate, run

few = st.sampled_from([None, 1e-6, 2e-6, 3e-6, 5e-6])
levels = st.sampled_from([None, 0.5, 0.7, 0.8, 0.9])
forecasts = st.builds(
    candidate,
    kwh=few,
    seconds=st.sampled_from([None, 1.0, 2.0]),
    quality=levels,
    why_not=st.sampled_from(["", "", "", "it cannot serve"]),
)
runs = st.builds(run, kwh=few, quality=levels)


def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def check(candidates: list[Candidate], points: list[tuple[float, float] | None]) -> None:
    for marked, point in zip(mark_front(candidates), points, strict=True):
        beaten = point is None or any(other is not None and beats(other, point) for other in points)
        assert marked.on_front is not beaten


@given(st.lists(forecasts, max_size=8))
def test_marked_are_exactly_those_that_no_other_dominates(candidates: list[Candidate]) -> None:
    kind = kind_of_price(candidates)
    check(candidates, [forecast_point(c, kind) for c in candidates])


@given(st.lists(st.builds(candidate, run=runs), min_size=1, max_size=6))
def test_what_was_measured_decides_where_anything_was(candidates: list[Candidate]) -> None:
    measured = [measured_point(c, "energy_kwh") for c in candidates]
    if kind_of_price(candidates) == "energy_kwh" and any(measured):
        check(candidates, measured)


@given(st.lists(forecasts, max_size=8), st.randoms())
def test_the_order_of_candidates_does_not_matter(candidates: list[Candidate], random: object) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before = {c.model_dump_json() for c in mark_front(candidates)}
    assert before == {c.model_dump_json() for c in mark_front(shuffled)}


def test_kilowatt_hours_are_never_compared_with_seconds() -> None:
    energy = candidate(kwh=1e-5, seconds=9.0, quality=0.8)
    without = candidate(kwh=None, seconds=1e-9, quality=0.99)
    assert [c.on_front for c in mark_front([energy, without])] == [True, False]
    timed = candidate(kwh=None, seconds=9.0, quality=0.8)
    assert [c.on_front for c in mark_front([timed, without])] == [False, True], (
        "seconds where no energy is known"
    )


def test_a_run_that_missed_the_target_still_has_a_place() -> None:
    missed = candidate(run=run(Outcome.CENSORED, kwh=1e-6, quality=0.5))
    reached = candidate(run=run(kwh=2e-6, quality=0.9))
    dear = candidate(run=run(kwh=3e-6, quality=0.9))
    failed = candidate("head", run=run(Outcome.FAILED, quality=None))
    assert [c.on_front for c in mark_front([missed, reached, dear, failed])] == [True, True, False, False]
