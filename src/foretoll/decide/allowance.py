"""What a budget may be spent on, as one text such as 2kWh, 30min, 50g or 5epochs, and the targets of one question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from foretoll.decide.amount import UNITS, Amount, money_amount
from foretoll.decide.money import Price
from foretoll.errors import UsageError, shown
from foretoll.records.curve import BudgetCost

MOST_ASKED = 20  # targets, and budgets
_UNITS = {**UNITS, "epoch": ("epochs", 1.0), "epochs": ("epochs", 1.0)}


@dataclass(frozen=True)
class Allowance:
    """The most of one cost that an update may take; `text` is how it was asked for."""

    text: str
    cost: BudgetCost
    most: float

    @classmethod
    def parse(cls, text: str, prices: Sequence[Price] = (), devices: int = 1) -> Allowance:
        """Read `2kWh`, `30min`, `50g` or `5epochs`, upper or lower case; UsageError otherwise.

        With a price also money, which buys so much energy, or so much time of so many devices.
        """
        found = Amount.parse(text, _UNITS)
        if found is None and prices:
            found = _bought(text, prices, devices)
        if found is None:
            raise UsageError(
                f"--for {shown(text, 60)} is no budget: give an energy (2kWh), a time (30min), emissions (50g) or "
                "epochs (5epochs)"
            )
        return cls(found.text, cast("BudgetCost", found.cost), found.value)

    @classmethod
    def several(
        cls, texts: str | Sequence[str], prices: Sequence[Price] = (), devices: int = 1
    ) -> tuple[Allowance, ...]:
        """Each of these once, of which one may name several by commas; UsageError for none, or too many."""
        given = [texts] if isinstance(texts, str) else texts
        found = tuple(
            dict.fromkeys(cls.parse(part, prices, devices) for text in given for part in text.split(","))
        )
        if len(found) > MOST_ASKED:
            raise UsageError(f"--for names {len(found)} budgets: ask for {MOST_ASKED} at the most")
        return found

    def check_meter(self, energy: str) -> None:
        """Refuse a budget that nothing will measure (UsageError)."""
        if energy == "none" and self.cost in ("energy_kwh", "emissions_kg"):
            asked = self.text.replace(" ", "")
            raise UsageError(
                f"--for {asked} cannot be answered with --energy none, which measures none: name a meter (--energy "
                "auto), or a budget of time (30min) or epochs (5epochs)"
            )


def _bought(text: str, prices: Sequence[Price], devices: int) -> Amount | None:
    """What money buys at one price; None for a text that is no money in its currency."""
    money = money_amount(text, prices[0].currency)
    if money is None:
        return None
    if len(prices) > 1 or not (price := prices[0]).per_hour + price.per_kwh > 0:
        raise UsageError(
            f"--for {shown(text, 40)} needs one price above 0, which says what the money buys: name one --price"
        )
    if price.per_hour:
        return Amount("duration_s", money.value / (price.per_hour * devices) * 3600, money.text)
    return Amount("energy_kwh", money.value / price.per_kwh, money.text)


def several_targets(text: str) -> tuple[float, ...]:
    """Quality targets that are named by commas, each once, in their order; UsageError for one that is no number."""
    found: list[float] = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"--until {shown(part.strip(), 40)} is no quality: give a number such as 0.9, or several by commas "
                "(0.85,0.9,0.95)"
            )
        found.append(value)
    return checked_number(found)


def checked_number(targets: Sequence[float]) -> tuple[float, ...]:
    """The different ones of these targets, in their order; UsageError for too many."""
    found = tuple(dict.fromkeys(targets))
    if len(found) > MOST_ASKED:
        raise UsageError(f"--until names {len(found)} targets: ask for {MOST_ASKED} at the most")
    return found
