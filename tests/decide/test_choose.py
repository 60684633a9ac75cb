"""The recommendation: the cheapest that serves, and what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide import price, recommend
from foretoll.records import Candidate

from .making import candidate

options = st.sampled_from(["keep", "recalibrate", "head", "finetune", "scratch"])
candidates_ = st.lists(
    st.builds(
        candidate,
        options,
        model=st.sampled_from(["m", "n"]),
        kwh=st.sampled_from([None, 1e-6, 1.02e-6, 2e-6, 1e-5]),
        quality=st.sampled_from([None, 0.5, 0.85, 0.95]),
        reach=st.sampled_from([None, 0.0, 0.3, 0.6, 0.8, 0.95, 1.0]),
        over_budget=st.sampled_from(["", "", "20 Wh expected, at most 1 Wh may be spent"]),
        why_not=st.sampled_from(["", "", "it cannot serve a new task"]),
    ),
    max_size=7,
)
asked = st.floats(0.05, 0.99)


@given(candidates_, asked)
def test_the_law_of_a_recommendation(candidates: list[Candidate], confidence: float) -> None:
    """It can be used, keeps to the budget, is likelier than not, and nothing as sure is 5 % cheaper."""
    advice = recommend(candidates, until=0.9, confidence=confidence)
    able = [
        c
        for c in candidates
        if not c.why_not
        and not c.over_budget
        and price(c, "energy_kwh") is not None
        and c.reach_probability is not None
    ]
    sure = [c for c in able if (c.reach_probability or 0) >= confidence]
    assert advice.reason and advice.confidence == confidence
    if price_less(candidates):
        return  # prices are seconds then: the other tests
    if advice.candidate is None:
        assert not sure and all((c.reach_probability or 0) <= 0.5 for c in able)
        return
    chosen = candidates[advice.candidate]
    assert chosen in able
    if not sure:
        assert chosen.reach_probability == max(c.reach_probability or 0 for c in able) > 0.5
        return
    assert chosen in sure
    kept = {c.model for c in sure if c.option == "keep"}
    rivals = [c for c in sure if c.option == "keep" or c.model not in kept]
    assert chosen in rivals, "where keep serves, no other option of its model is taken"
    assert energy(chosen) <= 1.05 * min(energy(c) for c in rivals)


def price_less(candidates: list[Candidate]) -> bool:
    return all(c.why_not or price(c, "energy_kwh") is None for c in candidates)


def energy(chosen: Candidate) -> float:
    value = price(chosen, "energy_kwh")
    assert value is not None
    return value


@given(candidates_, asked, asked)
def test_more_confidence_never_makes_it_cheaper(candidates: list[Candidate], a: float, b: float) -> None:
    """As long as both find one that is sure enough; within the 5 % that count as equal."""
    low, high = sorted((a, b))
    less, more = (recommend(candidates, until=0.9, confidence=c).candidate for c in (low, high))
    if less is None or more is None or price_less(candidates):
        return
    if (candidates[more].reach_probability or 0) < high or any(c.option == "keep" for c in candidates):
        return  # none is as sure, or keep stands for all others of its model
    assert energy(candidates[less]) <= 1.05 * energy(candidates[more])


def test_the_cheapest_that_serves_is_taken_and_why() -> None:
    found = [
        candidate("keep", kwh=1e-7, quality=0.7, reach=0.0),
        candidate("head", kwh=1e-6, quality=0.88, reach=0.6),
        candidate("lora", kwh=4e-6, quality=0.93, reach=0.92),
        candidate("finetune", kwh=9e-6, quality=0.95, reach=0.99),
    ]
    advice = recommend(found, until=0.9)
    assert advice.candidate == 2
    assert advice.reason == (
        "lora is predicted to reach 0.90 with probability 92 % and is the cheapest of those with at least 80 %: "
        "4.00 mWh"
    )
    assert advice.would_change == (
        "head would cost 1.00 mWh, but reaches the target with a probability of only 60 %",
        "for a target below 0.70, the quality that it is expected to reach, keep would be enough, at 100 µWh",
    )


def test_what_breaks_the_budget_is_never_taken_but_named() -> None:
    found = [
        candidate("head", kwh=1e-6, reach=0.1),
        candidate("finetune", kwh=9e-6, reach=0.99, over_budget="9 mWh expected, at most 5 mWh may be spent"),
    ]
    advice = recommend(found, until=0.9)
    assert advice.candidate is None
    assert advice.reason == (
        "no candidate is likely to reach 0.90; the likeliest, head, does so with probability 10 %"
    )
    assert "with a larger budget, finetune: 9 mWh expected, at most 5 mWh may be spent" in advice.would_change
    every = [c.model_copy(update={"over_budget": "too dear"}) for c in found]
    assert recommend(every, until=0.9).reason == "no candidate keeps to the budget"


def test_where_keep_serves_the_spread_of_a_probe_does_not_decide() -> None:
    """Every other option makes the evaluation that keep makes, so a lower figure can only be noise."""
    found = [candidate("recalibrate", kwh=0.8e-6, reach=1.0), candidate("keep", kwh=1e-6, reach=1.0)]
    assert recommend(found, until=0.9).candidate == 1
    other = candidate("head", kwh=0.5e-6, reach=1.0, model="smaller")
    assert recommend([*found, other], until=0.9).candidate == 2, "another model may well be cheaper"


def test_of_equal_costs_the_likelier_is_taken() -> None:
    found = [candidate("head", kwh=1e-6, reach=0.81), candidate("lora", kwh=1.04e-6, reach=0.97)]
    assert recommend(found, until=0.9).candidate == 1
    found[1] = candidate("lora", kwh=1.06e-6, reach=0.97)
    assert recommend(found, until=0.9).candidate == 0


def test_the_likeliest_is_taken_with_a_word_where_nothing_is_sure() -> None:
    found = [candidate("head", kwh=1e-6, reach=0.55), candidate("finetune", kwh=9e-6, reach=0.7)]
    advice = recommend(found, until=0.9)
    assert advice.candidate == 1
    assert advice.reason == (
        "finetune is the likeliest to reach 0.90, with probability 70 %, at 9.00 mWh; nothing reaches it with 80 %"
    )
    just_short = recommend([candidate("head", kwh=1e-6, reach=0.797)], until=0.9)
    assert "with probability 79.7 %" in just_short.reason
    assert "nothing reaches it with 80 %" in just_short.reason
    assert recommend(found, until=0.9, confidence=0.7).candidate == 1
    assert recommend(found, until=0.9, confidence=0.5).candidate == 0


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([candidate(why_not="no"), candidate(why_not="no")], "none of these options can be used here"),
        ([candidate(reach=None)], "no candidate's cost and chance are known"),
        ([candidate(kwh=None, seconds=None)], "no candidate's cost and chance are known"),
    ],
)
def test_nothing_is_recommended_without_a_reason(found: list[Candidate], reason: str) -> None:
    advice = recommend(found, until=0.9)
    assert advice.candidate is None and advice.reason.startswith(reason)


def test_the_life_decides_where_it_was_asked_for() -> None:
    """A cheap update that is dear to serve loses over many requests."""
    program = candidate("reprogram", kwh=1e-6, with_serving=9e-3, reach=1.0)
    adapters = candidate("lora", kwh=5e-6, with_serving=7e-3, reach=1.0)
    assert recommend([program, adapters], until=0.9).candidate == 1
    unknown = candidate("head", kwh=1e-9, with_serving=None, reach=1.0)
    assert recommend([program, adapters, unknown], until=0.9).candidate == 1, "it has no price of that kind"


def test_without_a_meter_time_decides_and_models_are_named() -> None:
    found = [
        candidate("head", kwh=None, seconds=2.0, model="a"),
        candidate("head", kwh=None, seconds=1.0, model="b"),
    ]
    advice = recommend(found, until=0.9)
    assert advice.candidate == 1
    assert advice.reason.startswith("head of b is predicted to reach 0.90") and advice.reason.endswith(
        "1.00 s"
    )
