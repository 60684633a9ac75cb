"""Grid intensities against CodeCarbon's own arithmetic; regions, defaults, and when to start a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import MeasureError
from foretoll.measure import green_window, grid_intensity, known_regions, make_series, read_series
from foretoll.measure.grid_data import grid_entries

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_region_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORETOLL_REGION", raising=False)
    monkeypatch.delenv("FORETOLL_PUE", raising=False)


@pytest.mark.parametrize(
    ("asked", "code", "level", "year", "g_per_kwh"),
    [
        ("DE", "DEU", "country", 2023, 380.95),
        ("deu", "DEU", "country", 2023, 380.95),
        ("Germany", "DEU", "country", 2023, 380.95),
        ("FRA", "FRA", "country", 2023, 56.039),
        ("US-CA", "US-CA", "subregion", 2023, 394.769 * 0.45359237),
        ("us_ca", "US-CA", "subregion", 2023, 394.769 * 0.45359237),
        ("CA", "CAN", "country", 2023, 170.043),
        ("SE3", "SE3", "subregion", 2025, 27.0),
        ("SE-3", "SE3", "subregion", 2025, 27.0),
        ("gcp:europe-west1", "gcp:europe-west1", "subregion", None, 122),
    ],
)
def test_known_regions(asked: str, code: str, level: str, year: int | None, g_per_kwh: float) -> None:
    grid = grid_intensity(asked)
    assert grid.region.split(" ")[0] == code
    assert (grid.level, grid.year, grid.is_default) == (level, year, False)
    assert grid.intensity_kg_per_kwh == pytest.approx(g_per_kwh / 1000, rel=1e-6)
    assert "CodeCarbon 3.3" in grid.source


def test_every_entry_is_what_codecarbon_itself_computes() -> None:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    oracle, kwh = Emissions(DataSource()), Energy.from_energy(1.0)
    nordic = {"SE": "SWE", "NO": "NOR", "FI": "FIN"}
    seen = 0
    for entry in grid_entries()[0]:
        if ":" in entry.code:
            continue
        if entry.level == "country":
            geo = GeoMetadata(entry.code, entry.name)
        elif entry.code[:2] in nordic:
            geo = GeoMetadata(nordic[entry.code[:2]], region=entry.code)
        else:
            country = {"US": "USA", "CA": "CAN", "CN": "CHN"}[entry.code[:2]]
            geo = GeoMetadata(country, region=entry.name.lower())
        assert oracle.get_private_infra_emissions(kwh, geo) == pytest.approx(
            entry.g_per_kwh / 1000, rel=1e-5
        ), entry
        seen += 1
    assert seen > 300


def test_every_code_finds_itself_and_codes_are_unique() -> None:
    regions = known_regions()
    assert len(regions) == len(grid_entries()[0])
    for code in regions:
        assert grid_intensity(code).region.split(" ")[0] == code
    assert {"US-NY", "CA-QC", "CN-SC", "NO1"} <= regions.keys()


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("Germny", "'DEU'"),
        ("US-XX", "'US-"),
        ("DE-BY", "'DE'"),
        ("qqq", "give an ISO code"),
        ("Swedn", "'SWE'"),
    ],
)
def test_an_unknown_region_is_refused_with_the_nearest_names(wrong: str, near: str) -> None:
    with pytest.raises(MeasureError, match=f"unknown grid region {wrong!r}.*{near}"):
        grid_intensity(wrong)


def test_no_region_is_the_world_average_and_says_so() -> None:
    for nothing in (None, "", "  "):
        grid = grid_intensity(nothing)
        assert grid.is_default
        assert grid.level == "world"
        assert grid.intensity_kg_per_kwh == pytest.approx(0.475)
        assert "no region given" in grid.region
        assert "IEA" in grid.source
        assert grid.year == 2018


def test_environment_and_its_overriding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETOLL_REGION", "FR")
    monkeypatch.setenv("FORETOLL_PUE", "1.4")
    grid = grid_intensity()
    assert (grid.region, grid.pue, grid.is_default) == ("FRA (France)", 1.4, False)
    grid = grid_intensity("DE", pue=1.1)
    assert (grid.region, grid.pue) == ("DEU (Germany)", 1.1)
    monkeypatch.setenv("FORETOLL_REGION", "Atlantis")
    with pytest.raises(MeasureError, match="Atlantis"):
        grid_intensity()
    monkeypatch.setenv("FORETOLL_PUE", "much")
    with pytest.raises(MeasureError, match="FORETOLL_PUE='much' is no number"):
        grid_intensity("DE")


def test_the_users_own_figure() -> None:
    grid = grid_intensity(intensity_g_per_kwh=21.5)
    assert (grid.level, grid.region, grid.source) == ("user", "user", "set by the user")
    assert grid.intensity_kg_per_kwh == pytest.approx(0.0215)
    assert not grid.is_default
    assert grid_intensity("my solar roof", intensity_g_per_kwh=0).region == "my solar roof"
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(MeasureError, match="is impossible"):
            grid_intensity(intensity_g_per_kwh=wrong)
        with pytest.raises(MeasureError, match="PUE"):
            grid_intensity("DE", pue=wrong)
    with pytest.raises(MeasureError, match=r"PUE of 0\.9 is impossible"):
        grid_intensity("DE", pue=0.9)


# --- when to start -------------------------------------------------------------------------------


def hourly(values: list[float]):
    return make_series([(START + timedelta(hours=h), value) for h, value in enumerate(values)])


def test_the_year_is_that_of_the_data_or_of_the_users_figure() -> None:
    latest = grid_intensity("DE")
    assert latest.year is not None
    assert grid_intensity("DE", year=latest.year) == latest
    with pytest.raises(
        MeasureError, match=rf"of Germany is known for {latest.year}, not for 1990: give your own"
    ):
        grid_intensity("DE", year=1990)
    with pytest.raises(MeasureError, match=r"known for 2018, not for 2020"):
        grid_intensity(year=2020)
    assert grid_intensity("DE", intensity_g_per_kwh=764.0, year=1990).year == 1990


def test_the_greenest_window_by_hand() -> None:
    series = hourly([400, 300, 100, 200, 500])
    window = green_window(series, duration_s=2 * 3600)
    assert window.start == START + timedelta(hours=2)
    assert window.intensity_kg_per_kwh == pytest.approx(0.150)
    assert window.now_intensity_kg_per_kwh == pytest.approx(0.350)
    assert window.saving == pytest.approx(1 - 150 / 350)
    soon = green_window(series, duration_s=2 * 3600, horizon_s=3600)
    assert soon.start == START + timedelta(hours=1)
    assert soon.intensity_kg_per_kwh == pytest.approx(0.2)
    # a job of 90 min ends best with the cheap stretch: half of hour 3 or of hour 1 is shared; 200 < 300
    half = green_window(series, duration_s=1.5 * 3600)
    assert half.start == START + timedelta(hours=2)
    assert half.intensity_kg_per_kwh == pytest.approx((100 + 0.5 * 200) / 1.5 / 1000)
    late = green_window(hourly([300, 100, 400]), duration_s=1.5 * 3600)
    assert late.start == START + timedelta(minutes=30)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0, 1000), min_size=3, max_size=12),
    st.floats(0.2, 2.5),
    st.integers(0, 40),
)
def test_no_start_on_a_fine_grid_beats_the_window(values: list[float], hours: float, minutes: int) -> None:
    series = hourly(values)
    now = START + timedelta(minutes=minutes) if hours + minutes / 60 <= len(values) else START
    window = green_window(series, duration_s=hours * 3600, now=now)
    latest = series.end - timedelta(hours=hours)
    start = now
    while start <= latest:
        assert window.intensity_kg_per_kwh <= series.mean(start, hours * 3600) / 1000 + 1e-9
        start += timedelta(minutes=7)


def test_an_annual_average_gives_no_saving_and_says_so() -> None:
    window = green_window(grid_intensity("DE"), duration_s=3600)
    assert window.saving is None
    assert window.start is None
    assert "annual average" in window.note


def test_a_series_from_a_file_and_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "grid.csv"
    file.write_text(
        "timestamp,gCO2e_per_kWh\n2026-01-05T00:00Z,300\n2026-01-05 01:00,100\n2026-01-05T03:00+01:00,5\n"
    )
    series = read_series(file)
    assert series.g_per_kwh == (300, 100, 5)
    assert series.end == START + timedelta(hours=3)
    assert green_window(series, duration_s=3600).start == START + timedelta(hours=2)
    with pytest.raises(MeasureError, match="does not fit into the intensity series"):
        green_window(series, duration_s=4 * 3600)
    with pytest.raises(MeasureError, match="does not fit"):
        green_window(series, duration_s=60, now=datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(MeasureError, match="duration above 0"):
        green_window(series, duration_s=0)
    with pytest.raises(MeasureError, match="cannot read"):
        read_series(tmp_path / "absent.csv")
    for content, fault in [
        ("time,value\n", "must have the columns timestamp, gCO2e_per_kWh"),
        ("timestamp,gCO2e_per_kWh\n2026-01-05T00:00Z,1\n", "needs at least two"),
        ("timestamp,gCO2e_per_kWh\nyesterday,1\n", "line 2"),
        ("timestamp,gCO2e_per_kWh\n2026-01-05T00:00Z,\n", "line 2"),
        ("timestamp,gCO2e_per_kWh\n2026-01-05T00:00Z,-4\n", "must be 0 or more"),
        ("timestamp,gCO2e_per_kWh\n2026-01-05T01:00Z,1\n2026-01-05T00:00Z,1\n", "must rise"),
    ]:
        file.write_text(content)
        with pytest.raises(MeasureError, match=fault):
            read_series(file)
