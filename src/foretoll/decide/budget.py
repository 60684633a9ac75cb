"""What an update may cost at most: energy, time or emissions, as one text such as 0.1kWh, 20min or 50g."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from foretoll.errors import UsageError, shown
from foretoll.records import Forecast, Run
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


@dataclass(frozen=True)
class Limit:
    """The most that one cost may be: `cost` is energy_kwh, duration_s or emissions_kg."""

    cost: str
    most: float

    @classmethod
    def parse(cls, text: str, what: str = "budget") -> Limit:
        """Read `0.1kWh`, `5Wh`, `300mWh`, `20min`, `90s`, `50g` or `2kg`, upper or lower case; UsageError otherwise.

        `what`: as which flag it was given.
        """
        found = Amount.parse(text, UNITS)
        if found is None:
            raise UsageError(
                f"--{what} {shown(text)} is no {what}: give an energy (0.1kWh), a time (20min) or emissions (50g)"
            )
        return cls(found.cost, found.value)

    def broken_by(self, forecast: Forecast) -> str:
        """Which limit a forecast's median breaks, in words; empty where it keeps to it.

        A cost that is not known cannot be told to keep to a limit, and breaks it.
        """
        interval = getattr(forecast, self.cost)
        median = interval.median if interval is not None else None
        human = HUMAN[self.cost]
        if median is None:
            return f"its cost is not known, and at most {human(self.most)} may be spent"
        if median <= self.most:
            return ""
        return f"{human(median)} expected, at most {human(self.most)} may be spent"

    def broken_by_run(self, run: Run) -> bool:
        """Whether a run took more, or took what was not measured."""
        spent = getattr(run.toll, self.cost)
        return spent is None or spent > self.most


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
