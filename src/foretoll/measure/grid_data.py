"""Reads CodeCarbon's bundled intensity files into one list of entries with their aliases."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from foretoll.errors import MeasureError
from foretoll.measure.iso3166 import ALPHA3_OF_ALPHA2, CANADIAN_PROVINCES

GRAMS_PER_MWH_OF_LB_PER_MWH = 453.59237  # exact: the international avoirdupois pound
GRAMS_PER_KWH_BY_FUEL = {"coal": 995.725971, "petroleum": 816.6885263, "naturalGas": 743.8415916}
# CodeCarbon states 475 g/kWh from the IEA's Global Energy & CO2 Status Report 2019, which describes 2018.
WORLD_AVERAGE_YEAR = 2018


@dataclass(frozen=True)
class Entry:
    """One grid: code, name, intensity in gCO2e/kWh, and where the figure comes from."""

    code: str
    name: str
    g_per_kwh: float
    level: Literal["country", "subregion", "world"]
    source: str
    year: int | None
    aliases: tuple[str, ...] = ()


@cache
def grid_entries() -> tuple[tuple[Entry, ...], dict[str, int]]:
    """All entries, and casefolded code, alias or name → position. Codes win over names."""
    entries = (*_countries(), *_states(), *_canada(), *_china(), *_nordic(), *_cloud())
    by_alias: dict[str, int] = {}
    for position, entry in enumerate(entries):
        for alias in (entry.code, *entry.aliases):
            by_alias[alias.casefold()] = position
    for position, entry in enumerate(entries):
        by_alias.setdefault(entry.name.casefold(), position)
    return entries, by_alias


@cache
def world_average() -> Entry:
    """The default when nobody names a region."""
    data = _load("private_infra/carbon_intensity_per_source.json")
    return Entry(
        code="world",
        name="world average, no region given",
        g_per_kwh=float(data["world_average"]),
        level="world",
        source=f"IEA Global Energy & CO2 Status Report 2019, in {_package()}",
        year=WORLD_AVERAGE_YEAR,
    )


def _countries() -> Iterator[Entry]:
    alpha2 = {three: two for two, three in ALPHA3_OF_ALPHA2.items()}
    for code, row in _load("private_infra/global_energy_mix.json").items():
        if row.get("carbon_intensity") is None:
            continue  # then CodeCarbon guesses from the mix; the figure would have no source
        yield Entry(
            code=code,
            name=row["country_name"],
            g_per_kwh=float(row["carbon_intensity"]),
            level="country",
            source=f"Our World in Data energy mix, in {_package()}",
            year=row.get("year"),
            aliases=(alpha2[code],) if code in alpha2 else (),
        )


def _states() -> Iterator[Entry]:
    data = _load("private_infra/2023/usa_emissions.json")
    origin = data.get("_source", {})
    for name, row in data.items():
        if name.startswith("_") or name == "usa":
            continue
        yield Entry(
            code=f"US-{row['regionCode']}",
            name=name.title(),
            g_per_kwh=float(row["emissions"]) * GRAMS_PER_MWH_OF_LB_PER_MWH / 1000.0,
            level="subregion",
            source=f"{origin.get('name', 'EPA eGRID')}, in {_package()}",
            year=origin.get("year"),
        )


def _canada() -> Iterator[Entry]:
    """From the fuel mix, with the three fossil fuels' intensities that CodeCarbon uses for it."""
    for name, mix in _load("private_infra/2023/canada_energy_mix.json").items():
        if name not in CANADIAN_PROVINCES:
            continue
        grams = sum(mix[fuel] / mix["total"] * g for fuel, g in GRAMS_PER_KWH_BY_FUEL.items())
        yield Entry(
            code=f"CA-{CANADIAN_PROVINCES[name]}",
            name=name.title(),
            g_per_kwh=grams,
            level="subregion",
            source=f"fuel mix of the province, fossil fuels only, in {_package()}",
            year=2023,
        )


def _china() -> Iterator[Entry]:
    for code, row in _load("private_infra/2023/china_provincial_emissions.json")["data"].items():
        yield Entry(
            code=code,
            name=row["description"],
            g_per_kwh=float(row["emission_factor"]),
            level="subregion",
            source=f"MEE/NBS provincial factors (CO2 only), in {_package()}",
            year=row.get("year"),
        )


def _nordic() -> Iterator[Entry]:
    for zone, row in _load("private_infra/nordic_emissions.json")["data"].items():
        if len(zone) < 3:
            continue  # a whole country: it stands among the countries
        yield Entry(
            code=zone,
            name=row["description"],
            g_per_kwh=float(row["emission_factor"]),
            level="subregion",
            source=f"ENTSO-E generation by bidding zone, in {_package()}",
            year=row.get("year"),
            aliases=(f"{zone[:2]}-{zone}", f"{zone[:2]}-{zone[2:]}"),
        )


def _cloud() -> Iterator[Entry]:
    try:
        with (_folder() / "cloud" / "impact.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise _unreadable("cloud/impact.csv", error) from error
    for row in rows:
        yield Entry(
            code=f"{row['provider']}:{row['region']}",
            name=f"{row['providerName']} {row['region']}",
            g_per_kwh=float(row["impact"]),
            level="subregion",
            source=f"the provider's figure, in {_package()}",
            year=None,
        )


def _folder() -> Path:
    # find_spec of a top-level package does not import it: CodeCarbon takes a while and logs
    spec = importlib.util.find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise MeasureError(
            "grid intensities come with codecarbon, which is not installed: pip install codecarbon"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _load(name: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((_folder() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    return data


def _unreadable(name: str, error: Exception) -> MeasureError:
    return MeasureError(
        f"the grid data {name} of {_package()} cannot be read ({error}): reinstall codecarbon>=3.3.2,<3.4, "
        "or give your own figure in g/kWh"
    )


@cache
def _package() -> str:
    return f"CodeCarbon {importlib.metadata.version('codecarbon')}"
