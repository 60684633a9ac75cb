"""All mistakes of a study file are named at once, whatever else is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretoll.errors import UsageError
from foretoll.study.check import StudyMistakesError
from foretoll.study.study_file import read_study

GOOD = """
schema = "foretoll.study/1"
name = "mine"
[models]
small = "foretoll:mlp?width=4"
[[sources]]
name = "old"
source = "digits?part=1/2"
target = "digits?part=2/2"
[shifts]
contrast = [0.5]
"""
MISTAKES = """
schema = "foretoll.study/1"
name = "mine"
colour = 3
[models]
small = "foretoll:mpl"
wide = "foretoll:mlp?widht=4"
[[sources]]
name = "old"
source = "digit?part=1/2"
target = "digits?prt=2/2"
limit = "many"
[shifts]
contrast = [99]
gausian_noise = "default"
[[tasks]]
name = "other"
source = "olt"
target = "digits"
task = "perhaps"
[settings]
learning_rate = 0.1
metric = "acuracy"
[vary]
lr = [0.0]
until_share = [1.5]
[design]
seeds = [0, -1]
options = ["fintune"]
fraction = 2
"""
TOLD = (  # in this order of places; the words of each
    ("colour", "unknown key 'colour'"),
    ("models.small", "did you mean 'mlp'"),
    ("models.wide", "did you mean 'width'"),
    ("sources.0.source", "did you mean 'digits'"),
    ("sources.0.target", "did you mean 'part'"),
    ("sources.0.limit", "'many'"),
    ("shifts.contrast", "level 99 of shift contrast is outside 0 … 10"),
    ("shifts.gausian_noise", "did you mean 'gaussian_noise'"),
    ("tasks.0.source", "did you mean 'old'"),
    ("tasks.0.task", "'perhaps'"),
    ("settings.learning_rate", "unknown key 'learning_rate'"),
    ("settings.metric", "did you mean 'accuracy'"),
    ("vary.lr", "0 is no learning rate"),
    ("vary.until_share", "1.5 is no share"),
    ("design.seeds", "-1 is no seed"),
    ("design.options", "did you mean 'finetune'"),
    ("design.fraction", "2"),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_seventeen_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(StudyMistakesError) as caught:
        read_study(written(tmp_path, MISTAKES))
    mistakes = caught.value.mistakes
    assert len(mistakes) == len(TOLD)
    for place, words in TOLD:
        (told,) = [mistake for mistake in mistakes if mistake.startswith(f"{place}: ")]
        assert words in told and len(told) <= 300 and told.isprintable()
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[0.5]", "[]", "shifts.contrast: it has no level"),
        ("[0.5]", "[0.5, 0.5]", "shifts.contrast: '0.5' stands there twice"),
        ("[0.5]", "[nan]", "level nan of shift contrast is outside"),
        ("[0.5]", '"defualt"', "shifts.contrast: 'defualt' is no list of levels"),
        ("[0.5]", "0.5", "shifts.contrast: '0.5' is no list of levels"),
        ("[0.5]", '[0.5, "much"]', "shifts.contrast: 'much' is no level"),
        ('name = "mine"', "", "name: it is missing"),
        ('name = "mine"', 'name = "a/b"', "name: 'a/b'"),
        ("study/1", "study/2", "schema: 'foretoll.study/2'"),
        ('small = "foretoll:mlp?width=4"', "", "models: there is none"),
        ('small = "foretoll:mlp?width=4"', "small = 3", "models.small: '3'"),
        ('small = "foretoll:mlp?width=4"', 'small = "mlp"', "did you mean foretoll:mlp?"),
        ('target = "digits?part=2/2"', "", "source 'old' has no target data to shift: give target="),
        (
            "[shifts]",
            '[[sources]]\nname = "old"\nsource = "digits"\ntarget = "digits"\n[shifts]',
            "two are named",
        ),
        ("[shifts]", "[design]\nseeds = [4294967296]\n[shifts]", "4.29497e+09 is no seed"),
        ("[shifts]", "[design]\nseeds = [1, 1]\n[shifts]", "'1' stands there twice"),
        ("[shifts]", "[design]\nseeds = []\n[shifts]", "design.seeds: it is empty"),
        ("[shifts]", "[vary]\nbatch_size = [0]\n[shifts]", "vary.batch_size: 0 is too few"),
        (
            "[shifts]",
            "[settings]\nmax_epochs = 1e9\n[shifts]",
            "settings.max_epochs: 1e+09 is more than 1,000,000",
        ),
        ("[shifts]", "[desing]\n[shifts]", "did you mean 'design'"),
    ],
)
def test_each_kind_of_mistake(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(StudyMistakesError) as caught:
        read_study(written(tmp_path, GOOD.replace(old, new)))
    assert told in str(caught.value) and len(caught.value.mistakes) == 1


def test_a_file_that_can_be_no_study_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    assert read_study(written(tmp_path, GOOD)).name == "mine"
    grid = "[design]\nseeds = [" + ",".join(map(str, range(3000))) + "]\n[shifts]\n"
    levels = ",".join(f"{i / 1000:g}" for i in range(1, 1000))
    for content, why in (
        (b"a = " + b"[" * 5000, "no TOML file"),
        (b"\xff\xfe", "no TOML file"),
        (b"#" * (5 << 20), "larger than a study file can be"),
        (GOOD.replace("[shifts]\n", grid).replace("0.5", levels).encode(), "asks for"),
    ):
        path = tmp_path / "bad.toml"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=why) as caught:
            read_study(path)
        assert len(str(caught.value)) <= 300 + len(str(path)) and str(caught.value).isprintable()
    for place in ("/dev/zero", str(tmp_path)):
        with pytest.raises(UsageError, match=r"is no file: give the path of a .toml file"):
            read_study(place)
