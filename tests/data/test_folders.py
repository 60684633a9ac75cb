"""What a folder of images means is told, and nothing in it is taken for what it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError

CLASSES = ("bottom", "left", "top")


def pictures(folder: Path, n: int = 4, suffix: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("L", (8, 8), 10 * i).save(folder / f"{i}.{suffix}")


def splits(root: Path, names: tuple[str, ...] = ("train", "val", "test")) -> Path:
    for name, n in zip(names, (8, 4, 6), strict=True):
        for label in CLASSES:
            pictures(root / name / label, n)
    return root


def counts(data: TaskData) -> tuple[int, int, int]:
    return data.card.train, data.card.validation, data.card.test


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Val", "Test"),
        ("training", "valid", "testing"),
        ("TRAIN", "dev", "TEST"),
        ("training_set", "validation_set", "test_set"),
        ("trainset", "valset", "testset"),
    ],
)
def test_splits_in_every_usual_spelling(names: tuple[str, ...], tmp_path: Path) -> None:
    data = open_data(f"folder:{splits(tmp_path, names)}")
    assert (data.classes, counts(data)) == (CLASSES, (24, 12, 18))
    assert "splits from folders" in data.card.reading
    assert data.card.notes == ()


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("annotations", "left out beside the splits: 'annotations' (0 images)"),
        ("unlabelled/7.png", "left out beside the splits: 'unlabelled' (1 images)"),
        ("masks/left/7.png", "left out beside the splits: 'masks' (1 images)"),
        ("readme/notes.txt", "left out beside the splits: 'readme' (0 images)"),
        ("loose.png", "1 images outside any class folder were left out"),
        ("train/loose.png", "1 images outside its class folders were left out"),
    ],
)
def test_what_lies_beside_the_splits_changes_nothing_and_is_told(
    extra: str, told: str, tmp_path: Path
) -> None:
    path = splits(tmp_path) / extra
    (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.new("L", (8, 8)).save(path)
    elif path.suffix:
        path.write_text("x")
    data = open_data(f"folder:{tmp_path}")
    assert (data.classes, counts(data)) == (CLASSES, (24, 12, 18))
    assert told in " ".join(data.card.notes)


def test_a_test_folder_without_classes_and_train_alone(tmp_path: Path) -> None:
    splits(tmp_path / "a")
    pictures(tmp_path / "b" / "test", 5)
    os.renames(tmp_path / "a" / "train", tmp_path / "b" / "train")
    data = open_data(f"folder:{tmp_path}/b")
    assert data.classes == CLASSES and sum(counts(data)) == 24
    assert data.card.notes == ("left out beside the splits: 'test' (5 images)",)


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "plane", "bus"):
        pictures(tmp_path / name, 10)
    assert open_data(f"folder:{tmp_path}").classes == ("bus", "plane", "train")
    pictures(tmp_path / "train" / "steam", 5)
    assert open_data(f"folder:{tmp_path}").classes == ("bus", "plane", "train")


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train", "test"):
        pictures(tmp_path / name, 10)
    with pytest.raises(
        DataError, match=r"has test, train without class folders in them: it needs PATH/train/"
    ):
        open_data(f"folder:{tmp_path}")


def test_validation_and_test_without_train_are_no_classes(tmp_path: Path) -> None:
    root = splits(tmp_path / "x")
    os.renames(root / "train", tmp_path / "train")
    data = open_data(f"folder:{root}")
    assert data.classes == CLASSES and sum(counts(data)) == 30


def test_splits_below_classes_and_a_single_folder_around_all(tmp_path: Path) -> None:
    for label in CLASSES:
        for name, n in (("train", 8), ("test", 4)):
            pictures(tmp_path / "download" / "images" / label / name, n)
    data = open_data(f"folder:{tmp_path}")
    assert (data.classes, sum(counts(data)), data.card.test) == (CLASSES, 36, 12)
    assert "read from its folder 'download/images'" in data.card.notes[0]


def test_hidden_files_and_what_systems_leave_behind_are_no_data(tmp_path: Path) -> None:
    for label in CLASSES:
        pictures(tmp_path / label, 10)
    clean = open_data(f"folder:{tmp_path}")
    for hidden in (
        ".ipynb_checkpoints",
        "top/.ipynb_checkpoints",
        "__MACOSX/top",
        ".git",
        "@eaDir",
        "__MACOSX",
    ):
        pictures(tmp_path / hidden, 1)
    for name in (".DS_Store", "top/.DS_Store", "top/._1.png", "top/Thumbs.db", "top/desktop.ini"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    data = open_data(f"folder:{tmp_path}")
    assert (data.classes, counts(data), data.card.notes) == (CLASSES, counts(clean), ())
    assert data.train.ids.tolist() == clean.train.ids.tolist()


def test_what_holds_no_readable_image_is_told(tmp_path: Path) -> None:
    for label in CLASSES:
        pictures(tmp_path / label, 10)
    (tmp_path / "empty").mkdir()
    (tmp_path / "phone").mkdir()
    for i in range(3):
        (tmp_path / "phone" / f"{i}.HEIC").write_bytes(b"x")
    (tmp_path / "top" / "list.txt").write_text("x")
    data = open_data(f"folder:{tmp_path}")
    assert data.classes == CLASSES
    assert (
        "class folders without a readable image were left out: 'empty', 'phone' (3 '.heic')"
        in data.card.notes
    )
    assert "files that are no images were left out: 3 '.heic', 1 '.txt'" in " ".join(data.card.notes)
    for label in CLASSES:
        for file in (tmp_path / label).iterdir():
            file.unlink()
    with pytest.raises(
        DataError, match=r"has no images in sub-folders \(3 '\.heic'\): it needs PATH/CLASS/IMAGE"
    ):
        open_data(f"folder:{tmp_path}")


def test_a_class_of_gifs_does_not_vanish(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 10)
    pictures(tmp_path / "b", 10, "gif")
    pictures(tmp_path / "c", 10, "jfif")
    assert open_data(f"folder:{tmp_path}").classes == ("a", "b", "c")


def test_links_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    pictures(tmp_path / "store" / "x", 10)
    pictures(tmp_path / "d" / "a", 10)
    (tmp_path / "d" / "b").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "d" / "a" / "loop").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "self").symlink_to("self")
    data = open_data(f"folder:{tmp_path}/d")
    assert data.classes == ("a", "b") and sum(counts(data)) == 20
    assert "1 links that lead back to a folder above them were left out" in " ".join(data.card.notes)


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(70):
        deep /= "d"
    pictures(deep, 1)
    with pytest.raises(DataError, match="one folder too many"):
        open_data(f"folder:{tmp_path}")


def test_names_that_are_no_text_and_names_in_two_compositions(tmp_path: Path) -> None:
    pictures(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")), 10)
    for name, label in (("train", "caf\u00e9"), ("test", "cafe\u0301")):
        pictures(tmp_path / "x" / name / label, 10)
        pictures(tmp_path / "x" / name / "tea", 10)
    assert open_data(f"folder:{tmp_path}/x").classes == ("caf\u00e9", "tea")
    pictures(tmp_path / "tea", 10)
    for entry in (tmp_path / "x").iterdir():
        os.renames(entry, tmp_path.with_name(f"{tmp_path.name}-{entry.name}"))
    data = open_data(f"folder:{tmp_path}")
    assert data.classes == ("caf\\xe9", "tea")
    assert data.card.model_dump_json()  # as the ledger keeps it


def test_images_named_with_control_characters(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 3)
    pictures(tmp_path / "b", 3)
    (tmp_path / "a" / "x\x1b]0;owned\x07\n.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="is no readable image") as caught:
        open_data(f"folder:{tmp_path}")
    assert str(caught.value).isprintable()
