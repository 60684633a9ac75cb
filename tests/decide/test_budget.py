"""A budget as one text, and whether a forecast or a run keeps to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide import Limit
from foretoll.decide.amount import UNITS
from foretoll.errors import UsageError

from .making import candidate, run


@pytest.mark.parametrize(
    ("text", "cost", "most"),
    [
        ("0.1kWh", "energy_kwh", 0.1),
        ("5Wh", "energy_kwh", 5e-3),
        ("300 mWh", "energy_kwh", 3e-4),
        ("3.6kJ", "energy_kwh", 1e-3),
        ("3.6J", "energy_kwh", 1e-6),
        ("20min", "duration_s", 1200.0),
        ("1.5h", "duration_s", 5400.0),
        (" 90s ", "duration_s", 90.0),
        ("50g", "emissions_kg", 0.05),
        ("2kg", "emissions_kg", 2.0),
        ("7MG", "emissions_kg", 7e-6),
    ],
)
def test_a_budget_is_read(text: str, cost: str, most: float) -> None:
    limit = Limit.parse(text)
    assert (limit.cost, limit.most) == (cost, pytest.approx(most))


@pytest.mark.parametrize(
    "text",
    ["", "50", "g", "lots", "-5g", "0g", "0.0kWh", "5 apples", "1e3g", "5,5g", "1.g", ".5g", "nang", "infs", "5g 3s",
     "٣g", "9" * 400 + "g"],
)  # fmt: skip
def test_what_is_no_budget_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget .* is no budget: give an energy \(0\.1kWh\), a time"):
        Limit.parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_positive_limit_or_refused(text: str) -> None:
    try:
        limit = Limit.parse(text)
    except UsageError:
        return
    assert limit.most > 0 and limit.cost in {cost for cost, _ in UNITS.values()}


def test_a_forecast_keeps_to_a_limit_up_to_its_very_value() -> None:
    limit = Limit("energy_kwh", 1e-5)
    assert limit.broken_by(candidate(kwh=1e-5).forecast) == ""
    assert (
        limit.broken_by(candidate(kwh=1.2e-5).forecast) == "12.0 mWh expected, at most 10.0 mWh may be spent"
    )
    assert limit.broken_by(candidate(kwh=None).forecast) == (
        "its cost is not known, and at most 10.0 mWh may be spent"
    ), "what is not known cannot be told to keep to a limit"


def test_a_run_keeps_to_a_limit_by_what_was_measured() -> None:
    limit = Limit("duration_s", 2.0)
    assert not limit.broken_by_run(run(seconds=2.0))
    assert limit.broken_by_run(run(seconds=2.1))
    assert limit.broken_by_run(run(seconds=None))
