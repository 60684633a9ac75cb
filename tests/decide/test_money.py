"""Prices and money: read in one place, linear, of one currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide import Limit
from foretoll.decide.allowance import Allowance
from foretoll.decide.amount import UNITS
from foretoll.decide.money import Price, money, money_spent
from foretoll.decide.plan import Aims, plan_of
from foretoll.errors import UsageError
from foretoll.records import Forecast, Interval, Money, Toll
from foretoll.report.document import texts
from foretoll.report.plan import plan_blocks
from foretoll.units import human_money

from .making import candidate
from .test_plan import comparison, update

HOUR = Interval(median=3600.0, low=1800.0, high=7200.0)
KWH = Interval(median=2.0, low=1.0, high=4.0)
COSTS = Forecast(duration_s=HOUR, energy_kwh=KWH)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.30/kWh", Price(0.3)),
        (" 0.3 EUR / KWH", Price(0.3, "EUR")),
        ("2.5/h", Price(per_hour=2.5)),
        ("2.5$/h", Price(currency="$", per_hour=2.5)),
        ("A100=2.5EUR/h", Price(currency="EUR", per_hour=2.5, device="A100")),
        ("my box.json = 1/h", Price(per_hour=1.0, device="my box.json")),
    ],
)
def test_a_price_is_read_and_written(text: str, price: Price) -> None:
    assert Price.parse(text) == price == Price.parse(str(price))


@pytest.mark.parametrize(
    "text",
    ["", "cheap", "0.3", "-1/h", "1/day", "1/kWh/h", "0.3EURO1/kWh", "٣/h", "1e3/h", "nan/h", "1\n2/h", "9" * 20 + "/h",
     "5g/kWh", "1h/h"],
)  # fmt: skip
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--price .*: write 2.5/h, 0.30/kWh or 0.30EUR/kWh"):
        Price.parse(text)


@given(st.text(max_size=14))
def test_any_text_is_a_price_or_refused(text: str) -> None:
    try:
        price = Price.parse(text)
    except UsageError as refused:
        assert str(refused).isprintable()
        return
    assert price.per_kwh >= 0 and price.per_hour >= 0 and price.currency.lower() not in UNITS


def test_prices_are_of_one_currency() -> None:
    assert len(Price.several("0.3EUR/kWh,2EUR/h")) == 2
    assert Price.several(None) == ()
    with pytest.raises(UsageError, match=r"two currencies .'EUR' and 'USD'."):
        Price.several("0.3EUR/kWh,2USD/h")
    with pytest.raises(UsageError, match="names 21 prices"):
        Price.several([f"A{n}=1/h" for n in range(21)])


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e3))
def test_money_is_linear_in_the_price_and_in_the_cost(rate: float, factor: float) -> None:
    one, more = money([Price(rate)], COSTS), money([Price(rate * factor)], COSTS)
    assert one is not None and more is not None and one.median is not None
    assert more.median == pytest.approx(factor * one.median)
    assert (one.low, one.median, one.high) == pytest.approx((rate, 2 * rate, 4 * rate))


def test_hours_are_of_every_device_and_prices_add_up() -> None:
    both = Price.several("0.5EUR/kWh,3EUR/h")
    assert money(both, COSTS, devices=4) == Money(median=13.0, low=6.5, high=26.0, currency="EUR")
    assert money(both, Forecast(duration_s=HOUR)) is None, "of a cost that is not known"
    assert money([], COSTS) is None


def test_a_price_for_one_kind_of_hardware_holds_for_it_alone() -> None:
    prices = Price.several("A100=2/h,L4=1/h")
    found = [money(prices, COSTS, device=name) for name in ("a100", "L4", "T4")]
    assert [one.median if one is not None else None for one in found] == [2.0, 1.0, None]


def test_money_of_a_run() -> None:
    assert money_spent(Price.several("1/kWh"), Toll(energy_kwh=0.25)) == 0.25
    assert money_spent(Price.several("1/h"), Toll(energy_kwh=0.25)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1,234.50"), (0.5, "0.50"), (0.0012, "0.0012"), (3e-7, "< 0.000001")],
)
def test_money_in_words(value: float, text: str) -> None:
    assert human_money(value) == text and human_money(value, "EUR") == f"{text} EUR"


def test_a_budget_may_be_money() -> None:
    prices = Price.several("0.3EUR/kWh")
    limit = Limit.parse("5 eur", prices=prices)
    assert limit == Limit("money", 5.0, "EUR")
    made = candidate(kwh=20.0)
    assert limit.broken_by(made.forecast, money(prices, made.forecast)) == (
        "6.00 EUR expected, at most 5.00 EUR may be spent"
    )
    assert limit.broken_by(candidate(kwh=10.0).forecast, money(prices, candidate(kwh=10.0).forecast)) == ""
    assert "not known" in limit.broken_by(made.forecast, None)
    assert Limit.parse("5", prices=Price.several("1/h")) == Limit("money", 5.0)
    assert Limit.parse("5kWh", prices=prices).cost == "energy_kwh"


@pytest.mark.parametrize(
    ("text", "price", "said"),
    [
        ("5EUR", None, r"or money with its price \(--price 0.30EUR/kWh\)"),
        ("5USD", "1EUR/h", r"or money as --price has it \(5EUR\)"),
        ("0EUR", "1EUR/h", "is no budget"),
        ("-5EUR", "1EUR/h", "is no budget"),
    ],
)
def test_money_without_its_price_is_refused(text: str, price: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Limit.parse(text, prices=Price.several(price))


def test_money_buys_energy_or_hours() -> None:
    assert Allowance.parse("3EUR", Price.several("0.3EUR/kWh")) == Allowance(
        "3 EUR", "energy_kwh", pytest.approx(10)
    )  # type: ignore[arg-type]
    assert Allowance.parse("4EUR", Price.several("2EUR/h"), devices=4).most == pytest.approx(1800)
    with pytest.raises(UsageError, match="needs one price above 0"):
        Allowance.parse("4EUR", Price.several("2EUR/h,1EUR/kWh"))


def test_a_year_of_updates_within_a_budget_of_money() -> None:
    prices = Price.several("0.5EUR/kWh")
    candidates = [update("keep", 0.8, 0.0), update("finetune", 0.9, 2.0)]
    paid = [c.model_copy(update={"money": money(prices, c.forecast)}) for c in candidates]
    made = comparison(*paid).model_copy(update={"price": "0.5EUR/kWh"})
    found = plan_of(made, Aims.of(12, "5EUR", None, prices))
    assert found.cost == "money" and found.currency == "EUR" and found.chosen is not None
    assert found.schedules[found.chosen].updates == 5, "five updates of 1 EUR"
    said = " ".join(text for block in plan_blocks(found) for text in texts(block))
    assert "5.00 EUR" in said
    beside = plan_of(made, Aims.of(12, "10kWh", None, prices))
    assert beside.chosen is not None and beside.schedules[beside.chosen].money is not None
    assert "money" in " ".join(text for block in plan_blocks(beside) for text in texts(block))
