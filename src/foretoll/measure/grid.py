"""Grams of CO2e per kWh of a grid, offline, from the data files that CodeCarbon ships.

Regions: ISO 3166 countries ("DE", "DEU", "Germany"), US states and Canadian and Chinese provinces ("US-CA",
"CA-QC", "CN-SC"), Nordic price zones ("SE3"), Google Cloud regions ("gcp:europe-west1"). The files are read from
the installed package without importing it. An unknown region is an error, never silently the world average.
"""

from __future__ import annotations

import difflib
import math
import os

from foretoll.errors import MeasureError
from foretoll.measure.grid_data import Entry, grid_entries, world_average
from foretoll.records import GridIntensity
from foretoll.units import kg_from_grams

REGION_VARIABLE = "FORETOLL_REGION"
PUE_VARIABLE = "FORETOLL_PUE"


def grid_intensity(
    region: str | None = None,
    *,
    pue: float | None = None,
    intensity_g_per_kwh: float | None = None,
    year: int | None = None,
) -> GridIntensity:
    """The intensity of a region's grid.

    Args:
        region: a region as above; None: $FORETOLL_REGION, else the world average with `is_default` set.
        pue: power usage effectiveness of the data centre, 1 or more; None: $FORETOLL_PUE, else 1.
        intensity_g_per_kwh: the user's own figure in gCO2e/kWh; then `region` and `year` only name it.
        year: the year that the figure must be of; None: the latest that is known.

    Raises:
        MeasureError: an unknown region (with the nearest valid names), a year that is not known of it, a PUE below 1,
            a negative intensity.
    """
    named = (region if region is not None else os.environ.get(REGION_VARIABLE, "")).strip()
    factor = _pue(pue)
    if intensity_g_per_kwh is not None:
        if not math.isfinite(intensity_g_per_kwh) or intensity_g_per_kwh < 0:
            raise MeasureError(
                f"a grid intensity of {intensity_g_per_kwh} g/kWh is impossible: give 0 or more"
            )
        return GridIntensity(
            intensity_kg_per_kwh=kg_from_grams(intensity_g_per_kwh),
            region=named or "user",
            level="user",
            source="set by the user",
            year=year,
            pue=factor,
        )
    entry = _find(named) if named else world_average()
    if year is not None and entry.year != year:
        known = f"for {entry.year}" if entry.year else "without a year"
        raise MeasureError(
            f"the intensity of {entry.name} is known {known}, not for {year}: give your own figure with --intensity, "
            "or leave --year out"
        )
    return _record(entry, factor, is_default=not named)


def known_regions() -> dict[str, str]:
    """Every region code with its name, for lists and for completing a command line."""
    return {entry.code: entry.name for entry in grid_entries()[0]}


def _find(region: str) -> Entry:
    entries, aliases = grid_entries()
    key = region.casefold().replace("_", "-")
    if key in aliases:
        return entries[aliases[key]]
    names = {entry.name.casefold(): entry.code for entry in entries}
    codes = {entry.code.casefold(): entry.code for entry in entries}
    country = key.partition("-")[0]
    if "-" in key and country in aliases:  # a subregion that the data do not have
        own = [code for code in codes if code.startswith(f"{country}-")]
        near = difflib.get_close_matches(key, own, n=3, cutoff=0.3) or [country]
    else:
        near = difflib.get_close_matches(key, names | codes, n=3, cutoff=0.6)
    hint = " or ".join(dict.fromkeys(repr(names.get(n, codes.get(n, n.upper()))) for n in near))
    raise MeasureError(
        f"unknown grid region {region!r}: "
        + (f"did you mean {hint}? Else " if hint else "")
        + "give an ISO code such as DE, FRA, US-CA or CA-QC, or your own figure in g/kWh"
    )


def _record(entry: Entry, pue: float, *, is_default: bool = False) -> GridIntensity:
    return GridIntensity(
        intensity_kg_per_kwh=kg_from_grams(entry.g_per_kwh),
        region=entry.code if entry.name == entry.code else f"{entry.code} ({entry.name})",
        level=entry.level,
        source=entry.source,
        year=entry.year,
        pue=pue,
        is_default=is_default,
    )


def _pue(pue: float | None) -> float:
    origin = "PUE"
    value: float
    if pue is None:
        text = os.environ.get(PUE_VARIABLE, "").strip()
        if not text:
            return 1.0
        origin = PUE_VARIABLE
        try:
            value = float(text)
        except ValueError as error:
            raise MeasureError(f"{PUE_VARIABLE}={text!r} is no number: give a PUE such as 1.2") from error
    else:
        value = float(pue)
    if not math.isfinite(value) or value < 1:
        raise MeasureError(f"a {origin} of {value:g} is impossible: it is total over IT energy, so 1 or more")
    return value
