"""What an update may cost at most: energy, time, emissions or money, as one text such as 0.1kWh, 20min, 50g or 5EUR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from foretoll.decide.amount import (
    HUMAN,
    MOST_PATIENCE_S,
    PATIENCE_UNITS,
    UNITS,
    Amount,
    looks_like_money,
    money_amount,
)
from foretoll.decide.money import Price
from foretoll.errors import UsageError, shown
from foretoll.records import Forecast, Interval, Run
from foretoll.units import human_money


@dataclass(frozen=True)
class Limit:
    """The most that one cost may be: `cost` is energy_kwh, duration_s, emissions_kg, or money in a currency.

    `text` is how it was asked for.
    """

    cost: str
    most: float
    currency: str = ""
    text: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str, what: str = "budget", *, prices: Sequence[Price] | None = None) -> Limit:
        """Read `0.1kWh`, `5Wh`, `300mWh`, `20min`, `90s`, `50g` or `2kg`, upper or lower case; UsageError otherwise.

        `what`: as which flag it was given. `prices`: what energy or time cost; with them money in their currency is
        read as well (`5EUR`), and None where nothing has a price.
        """
        found = Amount.parse(text, UNITS)
        currency = prices[0].currency if prices else ""
        if found is None and prices:
            found = money_amount(text, currency)
        if found is None:
            raise UsageError(f"--{what} {shown(text)} is no {what}: {_way_out(text, prices)}")
        return cls(found.cost, found.value, currency if found.cost == "money" else "", found.text)

    @property
    def human(self) -> Callable[[float], str]:
        """An amount of this cost, in words."""
        if self.cost == "money":
            return lambda value: human_money(value, self.currency)
        return HUMAN[self.cost]

    def cost_of(self, forecast: Forecast, money: Interval | None = None) -> Interval | None:
        """The forecast of this cost; None where it is not known. `money`: what the forecast costs."""
        found: Interval | None = money if self.cost == "money" else getattr(forecast, self.cost)
        return found

    def broken_by(self, forecast: Forecast, money: Interval | None = None) -> str:
        """Which limit a forecast's median breaks, in words; empty where it keeps to it.

        A cost that is not known is not known to keep to a limit, and breaks it. `money`: what the forecast costs.
        """
        interval = self.cost_of(forecast, money)
        median = interval.median if interval is not None else None
        human = self.human
        if median is None:
            return f"its cost is not known, and at most {human(self.most)} may be spent"
        if median <= self.most:
            return ""
        return f"{human(median)} expected, at most {human(self.most)} may be spent"

    def broken_by_run(self, run: Run, money: float | None = None) -> bool:
        """Whether a run took more, or took what was not measured. `money`: what it cost."""
        spent = money if self.cost == "money" else getattr(run.toll, self.cost)
        return spent is None or spent > self.most


def _way_out(text: str, prices: Sequence[Price] | None) -> str:
    amounts = "give an energy (0.1kWh), a time (20min) or emissions (50g)"
    if prices is None:
        return amounts
    if not prices:
        money = looks_like_money(text)
        return f"{amounts}, or money with its price (--price 0.30EUR/kWh)" if money else amounts
    return f"{amounts}, or money as --price has it (5{prices[0].currency})"


def parse_budget(text: str) -> tuple[Limit, float | None, int | None]:
    """`2kWh/90d` (days) or `50g/52` (batches): the limit, and what it is for. UsageError otherwise."""
    amount, slash, span = text.partition("/")
    limit = Limit.parse(amount)
    days, batches = None, None
    try:
        if span.endswith("d"):
            days = float(span[:-1])
        else:
            batches = int(span)
    except ValueError:
        pass
    if not slash or not (days or batches or 0) > 0 or (days is not None and days != days):  # noqa: PLR0124  (NaN)
        raise UsageError(
            f"the budget {shown(text, 40)} has no horizon: say for how long, such as 2kWh/90d or 2kWh/52 batches"
        )
    return limit, days, batches


def parse_patience(text: str) -> float:
    """`24h`, `90min` or `2d`, in seconds. UsageError otherwise."""
    found = Amount.parse(text, PATIENCE_UNITS)
    if found is None or found.value > MOST_PATIENCE_S:
        raise UsageError(
            f"--patience {shown(text, 40)} is no time to wait: give one of up to 30 days, such as 24h, 90min or 2d"
        )
    return found.value
