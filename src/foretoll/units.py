"""Exact unit conversions. Inside foretoll energy is in kWh or J, mass in kg, time in s; the field's name says which."""

from __future__ import annotations

import math
from decimal import Decimal

JOULES_PER_KWH = 3_600_000.0
GRAMS_PER_KG = 1_000.0
LEAST_MONEY = 1e-6
"""The least amount of money that is written as a number."""


def kwh_from_joules(energy_j: float) -> float:
    """Joules to kilowatt-hours."""
    return energy_j / JOULES_PER_KWH


def joules_from_kwh(energy_kwh: float) -> float:
    """Kilowatt-hours to joules."""
    return energy_kwh * JOULES_PER_KWH


def kg_from_grams(mass_g: float) -> float:
    """Grams to kilograms."""
    return mass_g / GRAMS_PER_KG


def emissions_kg(energy_kwh: float, intensity_kg_per_kwh: float, pue: float = 1.0) -> float:
    """Emissions in kg CO2e = energy × PUE × grid intensity (design: the toll of a run)."""
    return energy_kwh * pue * intensity_kg_per_kwh


def human_energy(energy_kwh: float | None) -> str:
    """Energy with the unit in which its number is easiest to read: kWh, Wh, mWh or µWh."""
    return _scaled(energy_kwh, (("kWh", 1.0), ("Wh", 1e-3), ("mWh", 1e-6), ("µWh", 1e-9)))


def human_mass(mass_kg: float | None) -> str:
    """CO2e mass with the unit in which its number is easiest to read: kg, g, mg or µg."""
    return _scaled(mass_kg, (("kg", 1.0), ("g", 1e-3), ("mg", 1e-6), ("µg", 1e-9)))


def human_duration(duration_s: float | None) -> str:
    """A duration in h, min, s or ms."""
    return _scaled(duration_s, (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)))


def human_money(value: float | None, currency: str = "") -> str:
    """Money to the hundredth, of less than that two significant digits, in a currency that may have no name.

    Always written out, never in scientific notation; what is under a millionth is only said to be so.
    """
    if value is None:
        return "–"
    if value == 0:
        number = "0"
    elif value >= 0.005:
        number = f"{value:,.2f}"
    elif value >= LEAST_MONEY:
        number = f"{Decimal(f'{value:.1e}'):f}"
    else:
        number = f"< {LEAST_MONEY:f}"
    return f"{number} {currency}".strip()


def human_level(value: float) -> str:
    """A quality that is to be reached: as many digits as it has, two decimals at least; of 10 and more four digits."""
    if abs(value) >= 10:
        return f"{float(f'{value:.4g}'):,g}"
    short = f"{value:.2f}"
    return short if abs(float(short) - value) < 1e-9 else f"{value:.{decimals_of(value, 3)}f}"


def decimals_of(value: float, least: int) -> int:
    """So many decimals, and as many more as two digits of a small value need, up to six."""
    return least if value == 0 else min(6, max(least, 1 - math.floor(math.log10(abs(value)))))


def human_share(share: float | None, *, apart_from: float | None = None) -> str:
    """A share as a percentage, never rounded to a certainty that it is not.

    `apart_from`: a bound that stands beside it, which two different shares are never rounded to alike.
    """
    if share is None:
        return "–"
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    text = f"{share * 100:.0f} %"
    if apart_from is None or share == apart_from or text != f"{apart_from * 100:.0f} %":
        return text
    for digits in (1, 2, 3):
        text = f"{share * 100:.{digits}f} %"
        if text != f"{apart_from * 100:.{digits}f} %":
            return text
    return f"just {'above' if share > apart_from else 'below'} {apart_from * 100:g} %"


def human_number(value: float | None) -> str:
    """A plain number with three significant digits, never in scientific notation between 1e-4 and 1e6."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if 999.5 <= abs(value) < 1e6:  # three digits of 999.9 would be 1.00e+03
        return f"{value:,.0f}"
    if 1e-4 <= abs(value) < 1e6:
        digits = f"{value:#.3g}"
        return digits.rstrip(".")
    return f"{value:.2e}"


def _scaled(value: float | None, scale: tuple[tuple[str, float], ...]) -> str:
    if value is None:
        return "–"
    if value == 0:
        # the base unit of each scale: kWh, kg and s
        return f"0 {next(unit for unit, factor in scale if factor == 1.0)}"
    shown = abs(float(f"{value:.3g}"))  # 0.9999 is shown as 1.00 of the next unit
    for unit, factor in scale:
        if shown >= factor:
            return f"{human_number(value / factor)} {unit}"
    unit, factor = scale[-1]
    return f"{human_number(value / factor)} {unit}"
