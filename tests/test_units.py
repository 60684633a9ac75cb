"""Exact conversions, and numbers that people can read."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foretoll import units

POSITIVE = st.floats(min_value=1e-12, max_value=1e9)


def test_constants_are_exact() -> None:
    assert units.JOULES_PER_KWH == 1000 * 3600
    assert units.kwh_from_joules(3_600_000) == 1.0
    assert units.joules_from_kwh(1.0) == 3_600_000.0
    assert units.kg_from_grams(250.0) == 0.25
    assert units.emissions_kg(2.0, 0.5, 1.5) == 1.5


@settings(max_examples=30, deadline=None)
@given(POSITIVE)
def test_there_and_back(value: float) -> None:
    assert units.joules_from_kwh(units.kwh_from_joules(value)) == pytest.approx(value, rel=1e-15)


@settings(max_examples=30, deadline=None)
@given(POSITIVE, POSITIVE, st.floats(1.0, 3.0))
def test_emissions_are_the_product(energy: float, intensity: float, pue: float) -> None:
    assert units.emissions_kg(energy, intensity, pue) == pytest.approx(energy * intensity * pue, rel=1e-15)
    assert units.emissions_kg(energy, intensity) == energy * intensity


@pytest.mark.parametrize(
    "show", [units.human_energy, units.human_mass, units.human_duration, units.human_number]
)
def test_what_was_not_measured_is_a_dash_and_never_zero(show: object) -> None:
    assert show(None) == "–"  # type: ignore[operator]
    assert show(0.0).startswith("0")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (units.human_energy, 1.5, "1.50 kWh"),
        (units.human_energy, 0.0021, "2.10 Wh"),
        (units.human_energy, 2.1e-6, "2.10 mWh"),
        (units.human_energy, 2.1e-9, "2.10 µWh"),
        (units.human_energy, 0.0, "0 kWh"),
        (units.human_mass, 0.0123, "12.3 g"),
        (units.human_mass, 0.0, "0 kg"),
        (units.human_duration, 7200.0, "2.00 h"),
        (units.human_duration, 90.0, "1.50 min"),
        (units.human_duration, 0.012, "12.0 ms"),
        (units.human_duration, 0.0, "0 s"),
        (units.human_number, 1234.6, "1,235"),
        (units.human_number, 0.000123, "0.000123"),
        (units.human_number, 1e-5, "1.00e-05"),
        (units.human_number, 100.0, "100"),
        (units.human_number, -2.5, "-2.50"),
        (units.human_number, 999.7, "1,000"),
        (units.human_energy, 0.99999, "1.00 kWh"),
        (units.human_duration, 59.99, "1.00 min"),
    ],
)
def test_numbers_for_people(show: object, value: float, text: str) -> None:
    assert show(value) == text  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 EUR"),
        (1234.5, "1,234.50 EUR"),
        (0.005, "0.01 EUR"),
        (0.00499, "0.0050 EUR"),
        (1.7e-5, "0.000017 EUR"),
        (9.99e-6, "0.000010 EUR"),
        (1e-6, "0.0000010 EUR"),
        (1e-9, "< 0.000001 EUR"),
    ],
)
def test_money_is_written_out(value: float | None, text: str) -> None:
    assert units.human_money(value, "EUR") == text


@settings(max_examples=100, deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e9))
def test_the_money_shown_is_the_money(value: float) -> None:
    shown = units.human_money(value)
    assert re.fullmatch(r"[\d.,]+", shown)
    assert float(shown.replace(",", "")) == pytest.approx(
        value, rel=0.051, abs=0.0050001 if value >= 0.005 else 0
    )


@settings(max_examples=200, deadline=None)
@example(0.99999)
@example(9.9999e-7)
@given(st.floats(min_value=1e-8, max_value=1e5))
def test_the_number_shown_is_the_number(value: float) -> None:
    scale = {"kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "µWh": 1e-9}
    number, unit = units.human_energy(value).split()
    assert float(number.replace(",", "")) * scale[unit] == pytest.approx(value, rel=0.0051)
    assert re.fullmatch(r"[\d.,]+", number)
