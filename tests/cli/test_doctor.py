"""`foretoll doctor`: each thing that does not work is named, with the way out, and nothing stops the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foretoll import cli
from foretoll.errors import MeasureError
from foretoll.ledger import Ledger
from foretoll.records.diagnosis import Diagnosis
from foretoll.workflows import doctor
from foretoll.workflows.doctor import examine_machine

SUBJECTS = [
    "versions",
    "system",
    "device",
    "processor counter",
    "energy",
    "region",
    "ledger",
    "cache",
    "disk",
]


def states(found: Diagnosis) -> dict[str, str]:
    return {finding.subject: finding.state for finding in found.findings}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MEASURED_S", 0.01)


def test_a_machine_that_works() -> None:
    found = examine_machine(energy="watts:50", region="DE")
    assert states(found)["region"] == states(found)["ledger"] == states(found)["versions"] == "ok"
    assert found.faults == 0
    assert {s for s in SUBJECTS if s != "processor counter"} <= states(found).keys()
    assert not Path(os.environ["FORETOLL_LEDGER"]).exists()  # nothing is made by looking


def test_without_a_region_it_says_how_to_name_one() -> None:
    found = examine_machine(energy="watts:50")
    (region,) = [f for f in found.findings if f.subject == "region"]
    assert region.state == "note" and "--region" in region.remedy


def test_a_meter_that_does_not_work_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MeasureError("the counter is gone: plug it in")

    monkeypatch.setattr(doctor, "open_meter", broken)
    found = examine_machine()
    (energy,) = [f for f in found.findings if f.subject == "energy"]
    assert energy.state == "fault" and energy.note == "the counter is gone: plug it in"
    assert states(found)["disk"] in ("ok", "note")


def test_no_energy_at_all_is_a_fault_with_a_way_out() -> None:
    (energy,) = [f for f in examine_machine(energy="none").findings if f.subject == "energy"]
    assert energy.state == "fault" and "watts:" in energy.remedy


def test_a_damaged_ledger(tmp_path: Path) -> None:
    file = tmp_path / "broken.db"
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4000)
    (ledger, *_) = [
        f
        for f in examine_machine(energy="watts:1", ledger=Ledger.open(file)).findings
        if f.subject == "ledger"
    ]
    assert ledger.state == "fault" and "broken.db" in ledger.note


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["foretoll", "doctor", "--energy", "none", "--anonymous", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1  # no energy: a fault
    found = Diagnosis.model_validate(json.loads(capsys.readouterr().out))
    assert "fault" in states(found).values()
    assert str(Path.home()) not in str(found)
