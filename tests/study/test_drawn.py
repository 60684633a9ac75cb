"""What a study draws beside settings: some of its options, targets above the source's quality, pretrained models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from foretoll.data import open_data
from foretoll.engine import open_engine
from foretoll.ledger import Ledger
from foretoll.models import build_model, load_model
from foretoll.records import Run
from foretoll.study.cell import Place
from foretoll.study.check import StudyMistakesError
from foretoll.study.plan import Cell, StudyFile, cells_of, source_models
from foretoll.study.run import plan_study, run_study
from foretoll.study.study_file import read_study

ARCH = "foretoll:mlp?width=16&depth=1"
STUDY = f"""
schema = "foretoll.study/1"
name = "drawn"
[models]
small = "{ARCH}"
linear = "foretoll:mlp?depth=0"
[[sources]]
name = "digits"
source = "digits?part=1/2"
target = "digits?part=2/2"
[[tasks]]
name = "few"
source = "digits"
target = "digits?classes=1,7"
task = true
UNTIL
[shifts]
gaussian_noise = [0.1, 0.3]
contrast = [0.4, 0.2]
[settings]
max_epochs = 1
"""


def read(folder: Path, more: str, until: str = "") -> StudyFile:
    path = folder / "drawn.toml"
    path.write_text(STUDY.replace("UNTIL", until) + more)
    return read_study(path)


def carried_out(study: StudyFile, folder: Path) -> list[Run]:
    place = Place(folder, str(folder / "ledger.db"), energy="none")
    with open_engine("local") as engine:
        done = run_study(plan_study(study, place), place, engine)
    assert not done.failures
    return Ledger.open(place.ledger).select(tag="study:drawn").runs


def test_a_setting_has_as_many_options_as_are_drawn_and_none_that_its_model_or_task_cannot_have(
    tmp_path: Path,
) -> None:
    study = read(
        tmp_path,
        '[design]\nseeds = [0]\noptions = ["head", "lora", "finetune", "keep"]\noptions_drawn = 2\n'
        '[design.unsuited]\nlinear = ["lora"]\n',
    )
    cells = cells_of(study)
    assert cells == cells_of(study)
    by_setting: dict[str, list[str]] = {}
    for cell in cells:
        setting = cell.model_copy(update={"option": ""}).setting
        by_setting.setdefault(setting, []).append(cell.option)
        assert not (cell.task and cell.option == "keep")
        assert not (cell.arch.endswith("depth=0") and cell.option == "lora")
    assert {len(options) for options in by_setting.values()} == {1, 2}
    assert len({tuple(options) for options in by_setting.values()}) > 1


def test_cells_without_weights_or_target_of_their_own_keep_their_hashes(tmp_path: Path) -> None:
    for cell in cells_of(read(tmp_path, "")):
        assert (cell.weights, cell.until) == (None, None)
        assert cell.key != cell.model_copy(update={"until": 0.5}).key
        assert cell.key != cell.model_copy(update={"weights": "w"}).key
    # as before these fields came
    assert cells_of(read_study(Path(__file__).with_name("tiny.toml")))[0].key == "1bc702b4c5a5"


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudyMistakesError) as told:
        read(
            tmp_path,
            '[weights]\nsmal = "w"\n[design]\n[design.unsuited]\nlinaer = ["lora"]\nsmall = ["lorra"]\n',
            until="until = [1.5]",
        )
    text = str(told.value)
    assert all(word in text for word in ("'smal'", "'linaer'", "'lorra'", "1.5 is no progress"))


def test_a_pretrained_source_is_taken_as_it_is_and_a_target_may_be_named(tmp_path: Path) -> None:
    data = open_data("digits?part=1/2")
    network = build_model(ARCH, data=data, seed=3).network
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    study = read(
        tmp_path,
        f'[weights]\nsmall = "{tmp_path}/model.safetensors"\n[design]\nseeds = [0]\nfraction = 0.3\n',
        until='until = [0.7]\nmodels = ["small"]',
    )
    cells = [cell for cell in cells_of(study) if cell.weights]
    assert {model.data for model in source_models([c for c in cells if c.task])} == {"digits?part=1/2"}
    runs = carried_out(study, tmp_path / "out")
    told = {run.settings.until for run in runs if run.task_shift}
    assert told == {0.7}
    made = [model for model in source_models(cells) if model.weights]
    kept = load_model(Place(tmp_path / "out", "").model_folder(made[0])).network
    for name, value in network.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_a_target_above_the_source_is_asked_for_up_to_half_of_what_is_missing(
    share: float, tmp_path: Path
) -> None:
    study = read(
        tmp_path,
        f"[source_training]\nmax_epochs = 8\n[vary]\nuntil_share = [{share}]\n"
        "[design]\nseeds = [0]\nfraction = 0.13\ntask_fraction = 0.01\n",
    )
    (run,) = carried_out(study, tmp_path / "out")
    source = next(
        r for r in Ledger.open(tmp_path / "out" / "ledger.db").select(tag="source").runs if r.model.arch
    )
    reached = source.curve[-1].quality
    expected = share * reached if share <= 1 else min(share * reached, (1 + reached) / 2)
    assert run.settings.until == pytest.approx(expected, abs=1e-4)


CONTESTS = """
[[sources]]
name = "turned"
source = "digits?part=1/2&shift=rotation:40"
[[tasks]]
name = "turned to few"
source = "turned"
target = "digits?classes=1,7"
task = true
[[tasks]]
name = "the same digits"
source = "turned"
target = "digits"
task = false
[vary]
lr = [0.001, 0.003, 0.01]
until_share = [0.7, 0.8, 0.9]
train_samples = [50, 100, 200]
[design]
seeds = [0, 1]
options = ["finetune", "head", "keep"]
options_drawn = 1
fraction = 0.01
"""


def test_a_contest_draws_once_for_all_sources_of_a_target(tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(read(tmp_path, CONTESTS + "contests = 3\n")) if cell.shift is None]
    contests: dict[str, list[Cell]] = {}
    for cell in cells:
        contests.setdefault(cell.contest, []).append(cell)
    assert [cell.contest for cell in cells] == sorted(cell.contest for cell in cells), "one after the other"
    for of in contests.values():
        sources = {cell.source for cell in of}
        assert len(of) == 2 * len(sources), "each source with both seeds"
        assert len({(c.settings.lr, c.until_share, c.train_samples, c.option, c.target) for c in of}) == 1
        assert not any(cell.task for cell in of) or of[0].option != "keep"
    few = [of for of in contests.values() if of[0].target == "digits?classes=1,7"]
    assert {len({cell.source for cell in of}) for of in few} == {2}
    assert len({of[0].arch for of in few}) > 1 and len(few) <= 2 * 3, "models apart"
    assert len({(of[0].settings.lr, of[0].until_share, of[0].train_samples) for of in few}) > 1


def test_a_study_without_contests_draws_for_each_setting(tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(read(tmp_path, CONTESTS)) if cell.shift is None]
    assert len({cell.setting for cell in cells}) == len({cell.contest for cell in cells})
