"""Flags, a settings file, variables, a project's table and defaults: one order, told by the doctor, safe for files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

import foretoll
from foretoll.commands.precedence import (
    READ_BELOW,
    SESSION,
    Behind,
    defaults_by_command,
    nearest_project,
    unread,
)
from foretoll.commands.settings_flags import SettingsFlags, TrainFlags
from foretoll.errors import UsageError
from foretoll.records.settings import setting_fields

from .conftest import Call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below one with a pyproject.toml of its own, and no variables."""
    for name in (*setting_fields(), *SESSION):
        monkeypatch.delenv(f"FORETOLL_{name.upper()}", raising=False)
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    return tmp_path / "pyproject.toml"


def read(values: dict[str, Any], file: Path | None = None, kind: type[SettingsFlags] = SettingsFlags) -> Any:
    return kind.of({**dict.fromkeys(setting_fields()), "settings_file": file, **values}).read()


def test_each_level_wins_over_the_next(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write_text("[tool.foretoll]\nlr = 0.5\nmomentum = 0.5\nbatch_size = 5\nseed = 5\n")
    monkeypatch.setenv("FORETOLL_LR", "0.4")
    monkeypatch.setenv("FORETOLL_MOMENTUM", "0.4")
    monkeypatch.setenv("FORETOLL_BATCH_SIZE", "4")
    file = project.with_name("train.toml")
    file.write_text("lr = 0.3\nmomentum = 0.3\n")
    settings, _ = read({"lr": "0.2"}, file)
    assert (settings.lr, settings.momentum, settings.batch_size, settings.seed) == (0.2, 0.3, 4, 5)
    assert settings.max_epochs == 20 and read({}, kind=TrainFlags)[0].max_epochs == 10


def test_every_setting_has_a_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .test_settings import VALUES

    for name, value in VALUES.items():
        monkeypatch.setenv(f"FORETOLL_{name.upper()}", {"": "true", "no": "false"}.get(value, value))
    typed, _ = read({n: True if v == "" else False if v == "no" else v for n, v in VALUES.items()})
    assert read({})[0] == typed


def test_a_search_for_a_rate_is_left_out_where_none_can_be_made(project: Path) -> None:
    project.write_text('[tool.foretoll]\nlr = "auto"\n')
    assert read({})[1] == "auto"
    assert read({}, kind=TrainFlags)[1] is None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("lrr = 1", "unknown setting 'lrr': did you mean 'lr'?"),
        ("regoin = 'DE'", "did you mean 'region'?"),
        ("region = 4", "region is '4': give a text"),
        ("pue = 'high'", "pue is 'high': give a number"),
        ("model = 'evil:build'", "unknown setting 'model'"),
        ("option = 'distill?student=evil:build'", "unknown setting 'option'"),
        ("trust_code = true", "unknown setting 'trust_code'"),
        ("engine = 'ray://there:1'", "unknown setting 'engine'"),
        ("ledger = 'postgresql://u:secret@there/db'", "no file within the project"),
        ("ledger = '../other.db'", "no file within the project"),
        ("ledger = '/etc/passwd'", "no file within the project"),
        ("a = [", "is no TOML file"),
    ],
)
def test_a_mistake_of_the_project_is_named_and_no_file_names_code(
    project: Path, table: str, says: str
) -> None:
    project.write_text(f"[tool.foretoll]\n{table}\n")
    with pytest.raises(UsageError) as caught:
        read({})
    assert (
        says in str(caught.value) and "pyproject.toml" in str(caught.value) and "\n" not in str(caught.value)
    )
    assert not any(
        word in SESSION or word in setting_fields() for word in ("model", "arch", "option", "trust_code")
    )


def test_a_link_out_of_the_project_is_no_ledger_of_it(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (project.parent / "link").symlink_to(outside)
    project.write_text("[tool.foretoll]\nledger = 'link/runs.db'\n")
    with pytest.raises(UsageError, match="no file within the project"):
        Behind.here()
    project.write_text("[tool.foretoll]\nledger = 'runs.db'\n")
    assert Behind.here().defaults() == {"ledger": str(project.parent / "runs.db")}


def test_a_mistake_of_a_variable_is_named_by_the_variable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETOLL_LR", "fast")
    monkeypatch.setenv("FORETOLL_BATCH_SIZE", "0")
    with pytest.raises(UsageError) as caught:
        read({})
    assert "FORETOLL_LR 'fast' is no learning rate" in str(caught.value)
    assert "FORETOLL_BATCH_SIZE '0': input should be" in str(caught.value)


def test_the_nearest_project_counts_alone(project: Path) -> None:
    project.write_text("[tool.foretoll]\nlr = 0.5\n")
    assert nearest_project() == project
    own = Path("pyproject.toml")
    own.write_text("[tool.other]\nx = 1\n")
    assert nearest_project() == own.resolve() and Behind.here().project == {}


def test_flags_of_every_command_take_them_as_defaults(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.main import get_command

    from foretoll.cli import app

    project.write_text('[tool.foretoll]\nenergy = "watts:7"\nregion = "DE"\nprice = "1/h"\nledger = "l.db"\n')
    monkeypatch.setenv("FORETOLL_ENERGY", "watts:8")
    monkeypatch.setenv("FORETOLL_REGION", "FR")
    values = Behind.here().defaults()
    assert values == {"energy": "watts:8", "price": ["1/h"], "ledger": str(project.parent / "l.db")}
    found = defaults_by_command(get_command(app), values)
    assert found["estimate"] == values and found["ledger"]["list"] == {"ledger": values["ledger"]}
    assert set(READ_BELOW) < set(SESSION)


def test_a_run_follows_them_and_the_doctor_says_where_they_come_from(
    project: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[tool.foretoll]\nledger = "team.db"\nregion = "DE"\nmax_epochs = 1\nenergy = "watts:30"\n'
    project.write_text(text)
    monkeypatch.setenv("FORETOLL_SEED", "3")
    monkeypatch.setenv("FORETOLL_LERNING_RATE", "1")
    done = call(
        "train --arch foretoll:mlp?width=4 --data digits?limit=100 --out src --batch-size 50 --json --quiet"
    )
    assert (done.code, done.err) == (0, "")
    assert (done.data["settings"]["seed"], done.data["settings"]["max_epochs"]) == (3, 1.0)
    assert done.data["grid"]["region"].startswith("DE") and done.data["energy"]["tool"] != "codecarbon"
    assert (project.parent / "team.db").exists()
    told = call("doctor --region FR --json").data["findings"]
    said = " ".join(f["note"] + f["remedy"] for f in told if f["subject"] == "settings")
    for part in (
        "typed: region FR",
        "from the environment: seed 3",
        "max_epochs 1",
        "[tool.foretoll] of ",
        "did you mean",
    ):
        assert part in said, said
    assert "FORETOLL_LERNING_RATE" in unread() and os.environ["FORETOLL_SEED"] == "3"


def test_a_broken_project_stops_no_doctor(project: Path, call: Call) -> None:
    project.write_text("[tool.foretoll]\nlrr = 1\n")
    assert "unknown setting 'lrr'" in call("ledger list").err
    found = call("doctor --energy watts:1 --json").data["findings"]
    assert any(f["state"] == "fault" and "lrr" in f["note"] for f in found)


def test_every_variable_that_is_read_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(foretoll.__file__).parent
    read = {
        name
        for file in source.rglob("*.py")
        for name in re.findall(r"FORETOLL_[A-Z_]*[A-Z]", file.read_text("utf-8"))
    }
    assert {"FORETOLL_LEDGER", "FORETOLL_MEMORY"} <= read
    for name in read:
        monkeypatch.setenv(name, "1")
    assert not read & set(unread())
