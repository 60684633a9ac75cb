"""Broken configurations of CodeCarbon are passed over aloud; what the user may set is read."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from foretoll.errors import ForetollWarning
from foretoll.measure import open_meter
from foretoll.measure.codecarbon_config import FILE, user_settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder beside an empty home, and no variables of CodeCarbon."""
    for name in ("CODECARBON_LOG_LEVEL", "CODECARBON_FORCE_CPU_POWER", "CODECARBON_FORCE_RAM_POWER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[codecarbon]\nproject_name = 50% run\n", "'%' must be followed by"),
        (b"[codecarbon]\na=1\n[codecarbon]\nb=2\n", "section 'codecarbon' already exists"),
        (b"[codecarbon]\na=1\na=2\n", "option 'a' in section 'codecarbon' already exists"),
        (b"measure_power_secs=15\n", r"it has no section \[codecarbon\]"),
        (b"[codecarbon]\nproject_name = caf\xe9\n", "it is no UTF-8 text"),
        (b"[codecarbon]\nno value here\n", "contains parsing errors"),
        (b"#" * 1_000_001, "it is longer than 1,000,000 bytes"),
    ],
)
@pytest.mark.parametrize("place", ["home", "here"])
def test_a_broken_file_is_passed_over_aloud(here: Path, place: str, text: bytes, reason: str) -> None:
    (here.parent / place / FILE).write_bytes(text)
    with pytest.warns(ForetollWarning, match=reason) as told:
        assert user_settings() == {}
    assert len(told) == 1
    assert f"{place}/{FILE}" in str(told[0].message)
    assert str(told[0].message).isprintable()
    assert len(str(told[0].message)) < 290


@pytest.mark.parametrize("kind", ["folder", "loop", "device"])
def test_what_is_no_file_is_passed_over_aloud(here: Path, kind: str) -> None:
    if kind == "folder":
        (here / FILE).mkdir()
    else:
        (here / FILE).symlink_to(FILE if kind == "loop" else "/dev/zero")
    with pytest.warns(ForetollWarning, match="is passed over: it is no file"):
        assert user_settings() == {}


@pytest.mark.parametrize("value", ["-100", "0", "much", "nan", "inf", "1e9", "\x1b[31m", ""])
def test_a_power_that_is_none_is_passed_over_aloud(
    here: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", value)
    with pytest.warns(ForetollWarning, match="CODECARBON_FORCE_CPU_POWER is .* no number of watts") as told:
        assert user_settings() == {}
    assert str(told[0].message).isprintable()


def test_settings_that_count_are_read_the_last_one_wins(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.parent / "home" / FILE).write_text("[codecarbon]\nforce_cpu_power = 50\nforce_ram_power = 4\n")
    (here / FILE).write_text("[codecarbon]\nforce_cpu_power = 60\ntracking_mode = machine\npue = 9\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert user_settings() == {"force_cpu_power": "60", "force_ram_power": "4"}
        monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "70")
        monkeypatch.setenv("codecarbon_rapl_include_dram", "true")
        assert user_settings() == {
            "force_cpu_power": "70",
            "force_ram_power": "4",
            "rapl_include_dram": "true",
        }


def test_the_meter_measures_beside_a_broken_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / FILE).write_text("[codecarbon]\nproject_name = 50% run\n")
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "-100")
    monkeypatch.setenv("CODECARBON_FORCE_RAM_POWER", "3")
    with pytest.warns(ForetollWarning) as told, open_meter("codecarbon") as meter:
        meter.start("run")
        sum(i * i for i in range(300_000))
        reading = meter.stop()
    parts = {part.name: part for part in reading.basis.components}
    assert {word for w in told for word in (FILE, "-100") if word in str(w.message)} == {FILE, "-100"}
    assert parts["ram"].method == "set by the user"
    assert parts["cpu"].method != "set by the user"
    assert parts["cpu"].energy_kwh is not None
