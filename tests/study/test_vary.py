"""A study may set and vary any training setting of the record; the cells of studies that do not are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from foretoll.errors import UsageError
from foretoll.records.settings import setting_fields
from foretoll.study.plan import cells_of
from foretoll.study.study_file import read_study
from foretoll.study.vary import MORE, Vary

STUDY = """
schema = "foretoll.study/1"
name = "vary"
models = { small = "foretoll:mlp?width=4" }
[[sources]]
name = "digits"
source = "digits?part=1/2"
target = "digits?part=2/2"
[shifts]
gaussian_noise = [0.3]
contrast = [0.4]
occlusion = [0.2]
"""


def read(tmp_path: Path, more: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "vary.toml"
    path.write_text(STUDY + more)
    return read_study(path)


def test_every_setting_but_target_metric_and_seed_may_vary() -> None:
    assert {*setting_fields()} - {*Vary.model_fields} == {"until", "metric", "seed"}
    assert all(get_args(Vary.model_fields[name].annotation)[-1] is Ellipsis for name in MORE)


def test_cells_have_the_settings_of_the_file_and_one_of_those_that_vary(tmp_path: Path) -> None:
    study = read(
        tmp_path,
        '[settings]\nschedule = "cosine"\nwarmup = 0.1\nclass_weights = "balanced"\n'
        '[vary]\naccumulate = [1, 4]\naugment = [[], ["flip", "crop:1"]]\nprecision = ["fp32", "bf16"]\n',
    )
    cells = cells_of(study)
    assert cells == cells_of(study)
    for cell in cells:
        s = cell.settings
        assert (s.schedule, s.warmup, s.class_weights) == ("cosine", 0.1, "balanced")
        assert (
            s.accumulate in (1, 4)
            and s.augment in ((), ("flip", "crop:1"))
            and "lr" not in s.model_fields_set
        )
    assert len({cell.settings.model_dump_json(exclude={"seed"}) for cell in cells}) > 1


def test_a_study_that_varies_nothing_new_has_the_cells_that_it_had(tmp_path: Path) -> None:
    plain = cells_of(read(tmp_path, "[vary]\nlr = [0.1, 0.01]\nbatch_size = [8, 16, 32]\n"))
    # as version 0.1.0 has them
    assert [cell.key for cell in plain] == [
        "1844ceb2cac7",
        "1e13c45297fa",
        "19662eb1b419",
        "e90a979f0744",
        "cde495abfa6b",
        "0c80765fb786",
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[vary]\naccumulat = [2]\n", "unknown key 'accumulat': did you mean 'accumulate'?"),
        ("[vary]\naccumulate = [0]\n", "accumulate '0': input should be greater than or equal to 1"),
        ("[vary]\naugment = ['flap']\n", "augment 'flap': unknown augmentation 'flap'"),
        ("[vary]\noptimizer = ['adm']\n", "optimizer 'adm': unknown optimizer 'adm'"),
        ("[settings]\nschedul = 'cosine'\n", "unknown key 'schedul': did you mean 'schedule'?"),
        ("[settings]\nwarmup = 1.5\n", "a whole number of steps, or a share below 1"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, more)
    assert says.lower() in str(caught.value).lower()


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vary: nesterov needs the optimizer sgd"):
        cells_of(read(tmp_path, "[vary]\nnesterov = [true]\n"))
