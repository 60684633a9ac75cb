"""Amounts with units, as users write them: the one place where they are read. `0.1kWh`, `20min`, `50g`, `5 EUR`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from foretoll.units import human_duration, human_energy, human_mass

UNITS: dict[str, tuple[str, float]] = {
    "kwh": ("energy_kwh", 1.0),
    "wh": ("energy_kwh", 1e-3),
    "mwh": ("energy_kwh", 1e-6),  # milli: an update of one model takes no megawatt-hours
    "j": ("energy_kwh", 1 / 3.6e6),
    "kj": ("energy_kwh", 1 / 3.6e3),
    "s": ("duration_s", 1.0),
    "min": ("duration_s", 60.0),
    "m": ("duration_s", 60.0),  # as --calibrate reads it
    "h": ("duration_s", 3600.0),
    "mg": ("emissions_kg", 1e-6),
    "g": ("emissions_kg", 1e-3),
    "kg": ("emissions_kg", 1.0),
}
HUMAN = {"energy_kwh": human_energy, "duration_s": human_duration, "emissions_kg": human_mass}

PATIENCE_UNITS: dict[str, tuple[str, float]] = {
    **{unit: (cost, size) for unit, (cost, size) in UNITS.items() if cost == "duration_s"},
    "d": ("duration_s", 86400.0),
}
MOST_PATIENCE_S = 30 * 86400.0
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", re.ASCII | re.IGNORECASE)


class Amount(NamedTuple):
    """How much of a cost, and the text that says so: number and unit, one space apart."""

    cost: str
    value: float
    text: str

    @classmethod
    def parse(cls, text: str, units: Mapping[str, tuple[str, float]]) -> Self | None:
        """Read a number with one of these units (cost and size), upper or lower case; None where it is none."""
        found = _AMOUNT.fullmatch(text)
        unit = units.get(found[2].lower()) if found else None
        if found is None or unit is None or not 0 < float(found[1]) < 1e300:
            return None
        return cls(unit[0], float(found[1]) * unit[1], " ".join(found.groups()))


_MONEY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([^\d\s/=.,;+-]{0,4})\s*")


def money_amount(text: str, currency: str) -> Amount | None:
    """Read a number with this currency, upper or lower case (a plain number where it is empty); None otherwise."""
    found = _MONEY.fullmatch(text)
    if found is None or found[2].lower() != currency.lower() or not float(found[1]) > 0:
        return None
    return Amount("money", float(found[1]), f"{found[1]} {currency}".strip())


def looks_like_money(text: str) -> bool:
    """Whether a text is a number with anything that could be a currency."""
    found = _MONEY.fullmatch(text)
    return found is not None and bool(found[2]) and found[2].isprintable()
