"""Every study file that ships is read and its cells are counted; the data of natural.toml are really opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretoll.data import SHIFTS, open_data
from foretoll.data.shifts import check_level
from foretoll.data.uri import parse_uri
from foretoll.errors import UsageError
from foretoll.models import build_model
from foretoll.models.spec import parse_spec
from foretoll.study.places import FILES, find_study
from foretoll.study.plan import cells_of, source_models
from foretoll.study.study_file import read_study

COUNTS = {  # runs, settings, source models
    "natural": (26, 13, 18),
    "natural_small": (91, 91, 18),
    "large": (38, 38, 12),
    "options": (290, 290, 12),
    "options_wide": (265, 265, 30),
    "preindex": (180, 90, 6),
    "preindex_full": (405, 135, 9),
    "resque_distribution": (360, 180, 12),
    "resque_distribution_full": (810, 270, 9),
    "resque_task": (150, 75, 15),
    "resque_task_full": (225, 75, 15),
    "small": (861, 861, 40),
    "smoke": (10, 5, 1),
    "records": (244, 122, 33),
    "many_samples": (139, 139, 19),
    "language": (80, 40, 8),
    "segmentation": (90, 45, 9),
    "tasks_records": (418, 209, 99),
    "tasks_images": (212, 106, 24),
    "pretrained": (92, 92, 5),
    "pretrained_more": (276, 138, 7),
    "source_models": (651, 651, 60),
    "long": (152, 152, 41),
}


@pytest.fixture
def rooted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETOLL_DATA", "/data")


def test_every_file_is_known_here() -> None:
    assert {file.stem for file in FILES.glob("*.toml")} == {*COUNTS, "reference"}


@pytest.mark.parametrize("name", [*COUNTS, "reference"])
def test_shipped_files_are_valid(name: str, rooted: None) -> None:
    study = read_study(find_study(name))
    assert study.name == name
    assert study.description
    cells = cells_of(study)
    models = source_models(cells)
    if name in COUNTS:
        assert (len(cells), len({c.setting for c in cells}), len(models)) == COUNTS[name]
    assert len({c.key for c in cells}) == len(cells)
    for uri in {u for c in cells for u in (c.source, c.target, c.reference)}:
        parse_uri(uri)
    for arch in {c.arch for c in cells}:
        parse_spec(arch)
    for cell in cells:
        assert cell.source != cell.target
        assert cell.until is None or 0 < cell.until < 1
        if cell.shift:
            assert cell.shift.kind in SHIFTS
            check_level(cell.shift.kind, cell.shift.level)


def test_seeds_of_a_setting_share_all_but_the_seed(rooted: None) -> None:
    cells = cells_of(read_study(find_study("reference")))
    settings: dict[str, set[str]] = {}
    for cell in cells:
        if cell.option == "finetune":
            same = cell.settings.model_copy(update={"seed": 0}).model_dump_json()
            settings.setdefault(cell.setting, set()).add(same)
    assert all(len(found) == 1 for found in settings.values())


def test_no_file_without_its_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORETOLL_DATA", raising=False)
    with pytest.raises(UsageError, match="set FORETOLL_DATA to the folder that holds them"):
        read_study(find_study("natural"))


def test_a_folder_of_the_name_does_not_hide_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").mkdir()
    assert find_study("smoke") == FILES / "smoke.toml"
    with pytest.raises(UsageError, match="smoke"):
        find_study("smok")


def test_natural_data_open_and_fit(shared_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETOLL_DATA", str(shared_dir / "data"))
    cells = cells_of(read_study(find_study("natural")))
    opened = {uri: open_data(uri) for uri in sorted({u for c in cells for u in (c.source, c.target)})}
    for cell in cells:
        source, target = opened[cell.source], opened[cell.target]
        assert source.kind == target.kind
        assert source.classes == target.classes
        assert min(len(target.train), len(source.train)) >= 300
        if cell.target_name not in ("mnist", "usps"):
            assert source.shape == target.shape
    for arch, uri in {(c.arch, c.source) for c in cells}:
        model = build_model(arch, data=opened[uri], seed=0)
        inputs = next(iter(opened[uri].test.batches(4))).inputs
        assert model(inputs).shape == (4, opened[uri].num_classes)


MISTAKES = {
    "unknown shift": ('[shifts]\nblurr = "default"', "gaussian_blur|blur"),
    "unknown option": ('[design]\noptions = ["finetun"]', "finetune"),
    "unknown key": ("[desing]\nseed = 1", "desing"),
    "a level that is none": ('[shifts]\ncontrast = "strong"', "shifts.contrast"),
    "a fraction of nothing": ("[design]\nfraction = 0.0", "design.fraction"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[mistake]
    path = tmp_path / "wrong.toml"
    path.write_text(
        'schema = "foretoll.study/1"\nname = "wrong"\n[models]\nm = "foretoll:mlp"\n'
        '[[sources]]\nname = "digits"\nsource = "digits?part=1/2"\ntarget = "digits?part=2/2"\n' + text
    )
    with pytest.raises(UsageError, match=expected):
        read_study(path)
