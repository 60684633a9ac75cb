"""Money: what a price for energy or for an hour makes of a forecast, in whatever currency was named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from foretoll.decide.amount import UNITS
from foretoll.errors import UsageError, shown
from foretoll.records import Forecast, Interval, Money, Toll
from foretoll.units import human_money

MOST_PRICES = 20
_PRICE = re.compile(
    r"\s*(?:([^=,]{1,60})=)?\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([^\d\s/=.,;]{0,4})\s*/\s*(kwh|h)\s*",
    re.IGNORECASE,
)
FORMS = "2.5/h, 0.30/kWh or 0.30EUR/kWh"


@dataclass(frozen=True)
class Price:
    """Money for a kWh of energy, or for an hour of one device. `device`: the hardware it is for; empty: any."""

    per_kwh: float = 0.0
    currency: str = ""
    per_hour: float = 0.0
    device: str = ""

    @classmethod
    def parse(cls, text: str) -> Price:
        """From `0.30/kWh`, `0.30EUR/kWh`, `2.5/h` or `A100=2.5EUR/h`; UsageError otherwise."""
        found = _PRICE.fullmatch(text)
        if found is None or not float(found[2]) < 1e9 or not found[3].isprintable():
            raise UsageError(f"--price {shown(text, 60)} is no price: write {FORMS}")
        device, number, currency, unit = found.groups()
        if currency.lower() in UNITS:
            raise UsageError(
                f"--price {shown(text, 60)} names {shown(currency)} as its currency, which is a unit: write {FORMS}"
            )
        device = (device or "").strip()
        if unit.lower() == "h":
            return cls(currency=currency, per_hour=float(number), device=device)
        return cls(float(number), currency, device=device)

    @classmethod
    def for_energy(cls, text: str) -> Price:
        """One price for a kWh on any hardware; UsageError for another."""
        found = cls.parse(text)
        if found.per_hour or found.device:
            raise UsageError(
                f"--price {shown(text, 60)} is no price for energy: write 0.30/kWh or 0.30EUR/kWh"
            )
        return found

    @classmethod
    def several(cls, texts: str | Sequence[str] | None) -> tuple[Price, ...]:
        """Prices that add up, of which one text may name several by commas; UsageError for two currencies."""
        if texts is None:
            return ()
        given = [texts] if isinstance(texts, str) else texts
        found = tuple(dict.fromkeys(cls.parse(part) for text in given for part in text.split(",")))
        if len(found) > MOST_PRICES:
            raise UsageError(f"--price names {len(found)} prices: give {MOST_PRICES} at the most")
        currencies = dict.fromkeys(price.currency for price in found)
        if len(currencies) > 1:
            first, second = (shown(currency or "none", 10) for currency in list(currencies)[:2])
            raise UsageError(f"--price names two currencies ({first} and {second}): give all prices in one")
        return found

    def text(self, energy_kwh: float) -> str:
        """What so much energy costs."""
        return human_money(self.per_kwh * energy_kwh, self.currency)

    def is_for(self, device: str) -> bool:
        """Whether it holds for hardware of that name, however it is written; without a name for any."""
        return not self.device or _plain(self.device) == _plain(device)

    def __str__(self) -> str:
        value, unit = (self.per_hour, "h") if self.per_hour else (self.per_kwh, "kWh")
        return f"{f'{self.device}=' if self.device else ''}{value:g}{self.currency}/{unit}"


def money(prices: Iterable[Price], forecast: Forecast, *, device: str = "", devices: int = 1) -> Money | None:
    """What an update costs by these prices, which add up; None without a price, or where time or energy is not known.

    A price for an hour is for each of `devices`. Of several parts the ends add up: long runs take more of both.
    """
    parts: list[Interval] = []
    currency = ""
    for price in prices:
        if not price.is_for(device):
            continue
        hours = price.per_hour > 0
        cost = forecast.duration_s if hours else forecast.energy_kwh
        if cost is None:
            return None
        parts.append(times(cost, price.per_hour * devices / 3600 if hours else price.per_kwh))
        currency = price.currency
    if not parts:
        return None
    low, median, high = (
        None if any(end is None for end in ends) else sum(end for end in ends if end is not None)
        for ends in zip(*((part.low, part.median, part.high) for part in parts), strict=True)
    )
    return Money(median=median, low=low, high=high, level=parts[0].level, currency=currency)


def money_spent(prices: Iterable[Price], toll: Toll) -> float | None:
    """What a run took, by these prices; None where that is not known."""
    spent = money(
        prices, Forecast(energy_kwh=_exactly(toll.energy_kwh), duration_s=_exactly(toll.duration_s))
    )
    return None if spent is None else spent.median


def times(cost: Interval, factor: float) -> Interval:
    """So many times a cost, both ends with it."""
    low, median, high = (None if end is None else end * factor for end in (cost.low, cost.median, cost.high))
    return Interval(median=median, low=low, high=high, level=cost.level)


def _exactly(value: float | None) -> Interval | None:
    return None if value is None else Interval(median=value, low=value, high=value)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
