"""Budgets that a forecast answers for, and several targets, each as one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide.allowance import MOST_ASKED, Allowance, several_targets
from foretoll.errors import ForetollError, UsageError


@pytest.mark.parametrize(
    ("text", "cost", "most"),
    [
        ("2kWh", "energy_kwh", 2.0),
        ("500 Wh", "energy_kwh", 0.5),
        ("30min", "duration_s", 1800.0),
        ("1.5H", "duration_s", 5400.0),
        ("50g", "emissions_kg", 0.05),
        ("5epochs", "epochs", 5.0),
        (" 1 Epoch ", "epochs", 1.0),
        ("0.5epochs", "epochs", 0.5),
    ],
)
def test_a_budget_is_read(text: str, cost: str, most: float) -> None:
    found = Allowance.parse(text)
    assert (found.cost, found.most) == (cost, pytest.approx(most))
    assert Allowance.parse(found.text) == found


@given(
    st.text(max_size=40)
    | st.sampled_from(["", "5", "-2kWh", "0epochs", "3bananas", "1e3s", "nanh", "1/2h", "٣h"])
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    try:
        found = Allowance.parse(text)
    except UsageError as error:
        assert len(str(error)) <= 300 and str(error).isprintable() and "--for" in str(error)
    else:
        assert found.most > 0


def test_several_are_named_by_commas_or_one_by_one() -> None:
    assert Allowance.several("2kWh,30min") == Allowance.several(["2kWh", "30min"])
    assert len(Allowance.several(["2kWh,2kwh", "2kWh"])) == 2  # as they were typed
    assert Allowance.several(()) == ()
    with pytest.raises(UsageError, match="21 budgets: ask for 20"):
        Allowance.several([f"{n}s" for n in range(1, MOST_ASKED + 2)])


def test_energy_cannot_be_answered_for_without_a_meter() -> None:
    for text in ("2kWh", "50g"):
        Allowance.parse(text).check_meter("auto")
        with pytest.raises(UsageError, match="measures none"):
            Allowance.parse(text).check_meter("none")
    for text in ("30min", "5epochs"):
        Allowance.parse(text).check_meter("none")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=MOST_ASKED))
def test_targets_are_read_once_in_their_order(targets: list[float]) -> None:
    assert several_targets(",".join(map(repr, targets))) == tuple(dict.fromkeys(targets))


@pytest.mark.parametrize("text", ["", "0.9,foo", "0.9,", "nan", "0.8,inf", "0.8;0.9"])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ForetollError, match="is no quality"):
        several_targets(text)


def test_too_many_targets_are_refused() -> None:
    with pytest.raises(UsageError, match="21 targets: ask for 20"):
        several_targets(",".join(f"0.{n}" for n in range(60, 81)))
