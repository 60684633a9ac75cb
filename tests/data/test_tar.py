"""Tar shards as WebDataset lays them out."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foretoll.data import open_data
from foretoll.errors import DataError

CLASSES = ("cat", "dog", "owl")


def picture(number: int) -> bytes:
    random = np.random.default_rng(number)
    pixels = random.integers(0, 256, (12, 10, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def shard(path: Path, numbers: Sequence[int], *, ending: str = "cls", mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for number in numbers:
            name = CLASSES[number % 3]
            label = name if ending == "cls" else json.dumps({"label": number % 3, "caption": "no label"})
            members = {"png": picture(number), ending: label.encode(), "txt": b"what it shows"}
            for kind, content in members.items():
                info = tarfile.TarInfo(f"some/{number:04d}.{kind}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))


def folder_of(where: Path, numbers: Sequence[int]) -> str:
    for number in numbers:
        place = where / CLASSES[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:04d}.png").write_bytes(picture(number))
    return f"folder:{where}"


def test_shards_hold_the_pictures_of_a_folder(tmp_path: Path) -> None:
    shard(tmp_path / "t" / "shard-000000.tar", range(20))
    shard(tmp_path / "t" / "shard-000001.tar", range(20, 45))
    shards = [open_data(f"tar:{tmp_path}/t{more}") for more in ("", "/shard-{000000..000001}.tar")]
    folder = open_data(folder_of(tmp_path / "f", range(45)))
    for data in shards:
        assert data.classes == folder.classes == CLASSES and data.shape == (3, 12, 10)
        assert "45 images in 2 shards, 3 classes" in data.card.reading
        mine = {image.numpy().tobytes(): int(y) for split in (data.train, data.validation, data.test)
                for image, y in zip(split.all().inputs, split.all().labels, strict=True)}  # fmt: skip
        for split in (folder.train, folder.validation, folder.test):
            for image, label in zip(split.all().inputs, split.all().labels, strict=True):
                assert mine.pop(image.numpy().tobytes()) == label
        assert not mine
    twice = [torch.cat([batch.inputs for batch in data.train.batches(7, shuffle_seed=1)]) for data in shards]
    assert torch.equal(*twice)


def test_labels_of_json_and_splits_by_name(tmp_path: Path) -> None:
    for name, numbers in (
        ("train-0.tar", range(30)),
        ("val-0.tar", range(30, 42)),
        ("test-0.tar", range(42, 60)),
    ):
        shard(tmp_path / name, numbers, ending="json")
    data = open_data(f"tar:{tmp_path}")
    assert data.classes == ("0", "1", "2")
    assert (data.card.train, data.card.validation, data.card.test) == (30, 12, 18)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda p: shard(p, range(9), mode="w:gz"), "cannot be read as a tar file.*without compression"),
        (lambda p: p.write_bytes(b"no tar" * 200), "cannot be read as a tar file"),
        (lambda p: tarfile.open(p, "w").close(), "has no pictures"),
        (lambda p: None, "is no tar file and no folder of them"),
    ],
)
def test_what_is_no_shard_is_refused(broken: object, told: str, tmp_path: Path) -> None:
    broken(tmp_path / "a.tar")  # type: ignore[operator]
    with pytest.raises(DataError, match=told):
        open_data(f"tar:{tmp_path}/a.tar")


def test_pictures_without_a_label_are_counted(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", range(9))
    with tarfile.open(tmp_path / "a.tar", "a") as file:
        info = tarfile.TarInfo("some/9999.png")
        info.size = len(picture(1))
        file.addfile(info, io.BytesIO(picture(1)))
    with pytest.raises(DataError, match="1 pictures without a label, the first is picture 9"):
        open_data(f"tar:{tmp_path}/a.tar")


def test_a_sparse_member_is_left_out(tmp_path: Path) -> None:
    """Its size is that of a file which is nowhere: ten terabytes of a picture."""
    path = tmp_path / "a.tar"
    shard(path, range(9))
    sparse = tarfile.TarInfo("some/0009.png")
    sparse.pax_headers = {"GNU.sparse.map": "0,9", "GNU.sparse.size": str(10**13)}
    sparse.size = len(picture(9))
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as file:
        file.addfile(sparse, io.BytesIO(picture(9)))
    data = open_data(f"tar:{path}")
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 9
