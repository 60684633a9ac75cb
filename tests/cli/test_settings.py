"""Flags and files of training settings: every field of the record, what wins over what, every mistake by its name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from foretoll.cli import app
from foretoll.commands.settings_flags import EstimateFlags, SettingsFlags, TrainFlags
from foretoll.errors import UsageError
from foretoll.records import Run, TrainingSettings
from foretoll.records.settings import setting_fields

from .conftest import Call

COMMANDS = ("train", "estimate", "retrain", "compare")
PANELS = {"Model and data", "Options' own settings", "Training", "Measuring", "Output"}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
# a value of every setting that is not its default, as a flag gives it
VALUES: dict[str, str] = {
    "until": "0.5", "metric": "macro_f1", "max_epochs": "3", "evals_per_epoch": "2", "batch_size": "8", "lr": "0.01",
    "optimizer": "sgd", "momentum": "0.5", "weight_decay": "0.1", "seed": "7", "max_steps": "9", "patience": "4",
    "nesterov": "", "betas": "0.8,0.9", "schedule": "cosine", "warmup": "5", "accumulate": "2", "clip_norm": "1.5",
    "label_smoothing": "0.1", "class_weights": "a=2", "lr_multipliers": "head=3", "decay_norms": "no",
    "freeze": "body.0", "precision": "bf16", "sure": "0.9", "give_up": "5%", "augment": "flip,crop:2", "workers": "1",
    "compile": "", "first_evaluation": "3",
}  # fmt: skip


def options(command: str) -> dict[str, Any]:
    return {option.name or "": option for option in get_command(app).commands[command].params}  # type: ignore[attr-defined]


def flag(name: str) -> str:
    return f"--no-{name.replace('_', '-')}" if VALUES[name] == "no" else f"--{name.replace('_', '-')}"


def read(values: dict[str, Any], file: Path | None = None, kind: type[SettingsFlags] = SettingsFlags) -> Any:
    return kind.of({**dict.fromkeys(setting_fields()), "settings_file": file, **values}).read()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_has_a_flag_with_its_help(command: str) -> None:
    found = options(command)
    for name, field in setting_fields().items():
        option = found[name]
        assert f"--{name.replace('_', '-')}" in option.opts, name
        assert option.help and option.default is None and not option.required, name
        own = {"train": TrainFlags, "estimate": EstimateFlags}.get(command, SettingsFlags)
        if name not in own.helps:
            assert option.help == field.description, name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_its_panel(command: str) -> None:
    panels = {o.name: o.rich_help_panel for o in options(command).values()}
    assert {name for name, panel in panels.items() if panel not in PANELS} <= {"help"}
    assert {name for name, panel in panels.items() if panel == "Training"} == {
        *setting_fields(),
        "settings_file",
    }


def test_every_setting_can_be_typed() -> None:
    assert VALUES.keys() == setting_fields().keys()
    command = get_command(app).commands["retrain"]  # type: ignore[attr-defined]
    words = ["--model", "m", "--source", "s", "--target", "t"]
    for name, value in VALUES.items():
        words += [flag(name), *([value] if value not in ("", "no") else [])]
    given = command.make_context("retrain", words).params
    settings, lr = read({name: given[name] for name in setting_fields()})
    assert lr is None
    same = [
        name
        for name in setting_fields()
        if getattr(settings, name) == TrainingSettings.model_fields[name].default
    ]
    assert same == []
    assert settings.class_weights == {"a": 2.0} and settings.augment == ("flip", "crop:2")


def test_every_setting_can_be_written_in_a_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        until = 0.5
        metric = "macro_f1"
        max_epochs = 3
        lr = 5e-5
        optimizer = "adamw"
        betas = [0.8, 0.9]
        decay_norms = false
        freeze = ["conv1", "layer1"]
        augment = ["flip", "crop:4"]
        compile = true
        [class_weights]
        "a class, of its own = 2" = 2.0
        [lr_multipliers]
        head = 10
        """,
    )
    settings, _ = read({}, file)
    stored = tomllib.loads(file.read_text())
    assert settings == TrainingSettings.model_validate(stored)
    assert settings.class_weights == {"a class, of its own = 2": 2.0}


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "lr = 0.1\nbatch_size = 8\nmax_epochs = 4\n")
    settings, _ = read({"lr": "0.2"}, file)
    assert (settings.lr, settings.batch_size, settings.max_epochs, settings.seed) == (0.2, 8, 4, 0)
    assert read({}, file, TrainFlags)[0].max_epochs == 4 and read({}, None, TrainFlags)[0].max_epochs == 10


def test_a_rate_is_named_or_looked_for_or_left_to_the_option(tmp_path: Path) -> None:
    settings, lr = read({})
    assert lr is None and "lr" not in settings.model_fields_set
    settings, lr = read({"lr": "auto"})
    assert lr == "auto" and "lr" not in settings.model_fields_set
    settings, lr = read({}, written(tmp_path, 'lr = "auto"'))
    assert lr == "auto" and "lr" not in settings.model_fields_set
    assert read({"lr": "1e-3"})[0].model_fields_set == {"lr"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bach_size = 3", "unknown setting 'bach_size': did you mean 'batch_size'?"),
        ("scale = 3", "unknown setting 'scale': "),
        ("xyzzy = 3", "unknown setting 'xyzzy': valid are until, metric"),
        ("[settings]\nlr = 1", "unknown setting 'settings'"),
        ("batch_size = 0", "batch_size 0: input should be greater than or equal to 1"),
        ("batch_size = 'many'", "batch_size 'many': input should be a valid integer"),
        ("lr = 'fast'", "lr 'fast' is no learning rate: give a number above 0 such as 3e-4, or auto"),
        ("lr = -1.0", "lr -1.0: input should be greater than 0"),
        ("max_epochs = 1e9", "max_epochs 1e+09 is more than 1,000,000"),
        ("schedule = 'cosin'", "schedule 'cosin': input should be 'constant', 'linear' or 'cosine'"),
        ("optimizer = 'adm'", "optimizer: unknown optimizer 'adm': did you mean 'adam'"),
        ("augment = ['flap']", "augment: unknown augmentation 'flap': did you mean 'flip'"),
        ("class_weights = 'even'", "class_weights 'even': 'even' is no number by name: write name=2"),
        ("until = 95", "--until 95 is no quality"),
        ("nesterov = true", "nesterov needs the optimizer sgd"),
        ("lr = ", "is no TOML file: "),
        ("a = [" * 3000, "is no TOML file: "),
        ("seed = 2.5", "seed 2.5: input should be a valid integer"),
    ],
)
def test_a_mistake_of_a_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read({}, file)
    assert says in str(caught.value)
    assert "train.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once_each_as_it_was_given(tmp_path: Path) -> None:
    file = written(tmp_path, "bach_size = 3\nworkers = -1\nmomentum = 2\n")
    with pytest.raises(UsageError) as caught:
        read({"accumulate": 0}, file)
    told = str(caught.value).split("; ")
    assert len(told) == 4 and told[0].endswith("did you mean 'batch_size'?")
    assert [re.split(r"[ :]", text)[0] for text in told[1:]] == ["momentum", "--accumulate", "workers"]


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the settings file .* cannot be read: .*; check its path"):
        read({}, tmp_path / name)


def test_a_file_decides_a_training_and_the_run_says_so(call: Call, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'batch_size = 16\naccumulate = 2\nschedule = "cosine"\nwarmup = 0.1\naugment = "flip"\n'
        'clip_norm = 1.0\nprecision = "bf16"\nlabel_smoothing = 0.1\nmax_epochs = 1\n',
    )
    done = call(
        f"train --arch foretoll:cnn?width=4 --data digits?limit=200 --out src --settings {file} --max-epochs 2 "
        "--energy none --region DE --json --quiet"
    )
    assert (done.code, done.err) == (0, "")
    run = Run.model_validate(done.data)
    assert run.settings.changed() == {
        "accumulate": 2, "schedule": "cosine", "warmup": 0.1, "augment": ["flip"], "clip_norm": 1.0,
        "precision": "bf16", "label_smoothing": 0.1,
    }  # fmt: skip
    assert run.toll.epochs == 2 and run.steps == 2 * run.settings.steps_per_epoch(run.target.train)


def test_the_page_of_settings_has_a_line_for_each() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## All of them")[2]
    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert listed == list(setting_fields())
