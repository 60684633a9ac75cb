"""Images that are stored in other numbers than uint8, and series that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, TensorDataset

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, ModelError
from foretoll.models import build_model
from foretoll.models.model import check_fits

_DIGITS = load_digits()
GREY = np.rint(_DIGITS.images[:300] * (255 / 16)).astype(np.uint8)
Y = _DIGITS.target[:300]

WAYS: dict[str, tuple[np.ndarray, str]] = {
    "x_train / 255": ((GREY / 255).astype(np.float32), "0 … 1 as black … white"),
    "with a channel": ((GREY / 255)[..., None], "0 … 1 as"),
    "channel first": ((GREY / 255)[:, None], "0 … 1 as"),
    "half precision": ((GREY / 255).astype(np.float16)[..., None], "0 … 1 as"),
    "big endian": ((GREY / 255).astype(">f4")[..., None], "0 … 1 as"),
    "to 255": (GREY.astype(np.float32)[..., None], "0 … 255 as"),
    "to 255, no channel": (GREY.astype(np.float64), "0 … 255 as"),
    "from -1 to 1": (GREY[:, None] / 127.5 - 1, "-1 … 1 as"),
    "int64": (GREY.astype(np.int64), "0 … 255 as"),
    "int32 with a channel": (GREY.astype(np.int32)[..., None], "0 … 255 as"),
    "16 bit": (GREY.astype(np.uint16) * 257, "0 … 65535 as"),
    "rounding above 1": ((GREY / 255 * 1.0000002).astype(np.float32), "0 … 1 as"),
    "fortran order": (np.asfortranarray(GREY), ""),
}


def whole(data: TaskData) -> torch.Tensor:
    splits = (data.train, data.validation, data.test)
    order = torch.argsort(torch.cat([split.ids for split in splits]))
    return torch.cat([split.all().inputs for split in splits])[order]


@pytest.mark.parametrize("way", WAYS)
def test_images_in_other_numbers_are_the_same_images_and_it_is_told(way: str, tmp_path: Path) -> None:
    x, told = WAYS[way]
    np.savez(tmp_path / "d.npz", x=x, y=Y)
    data = open_data(f"npz:{tmp_path}/d.npz")
    assert (data.kind, data.shape) == ("image", (1, 8, 8))
    tolerance = 1 if way == "half precision" else 0
    assert (whole(data)[:, 0].int() - torch.from_numpy(GREY).int()).abs().max() <= tolerance
    assert told in data.card.reading


class Items(Dataset[tuple[object, int]]):
    """Lazy items."""

    def __init__(self, items: list[object]) -> None:
        self.items, self.targets = items, Y.tolist()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> tuple[object, int]:
        return self.items[row], self.targets[row]


@pytest.mark.parametrize("way", ["x_train / 255", "with a channel", "to 255", "from -1 to 1", "int64"])
@pytest.mark.parametrize("lazy", [True, False])
def test_torch_data_sets_of_such_images(way: str, lazy: bool) -> None:
    x, told = WAYS[way]
    dark = x.copy()
    dark[0] = x.min()  # the first image alone would be of another range
    data = open_data(
        Items(list(dark)) if lazy else TensorDataset(torch.from_numpy(dark), torch.from_numpy(Y))
    )
    assert (data.kind, data.shape) == ("image", (1, 8, 8))
    assert torch.equal(whole(data)[1:, 0], torch.from_numpy(GREY[1:]))
    assert whole(data)[0].max() == 0
    assert told in data.card.reading


def test_colour_with_the_channels_last_or_first() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (300, 9, 7, 3)).astype(np.uint8)
    last, first = Items(list(colour)), Items(list(colour.transpose(0, 3, 1, 2)))
    assert torch.equal(whole(open_data(last)), whole(open_data(first)))
    assert open_data(Items(list(colour / 255))).shape == (3, 9, 7)


def drawn_in_ink() -> np.ndarray:
    """Black ink on nothing: only the transparency tells the digits; corners are red and half transparent."""
    rgba = np.zeros((*GREY.shape, 4), dtype=np.uint8)
    rgba[..., 3] = GREY
    rgba[:, 0, 0] = (255, 0, 0, 128)
    return rgba


@pytest.mark.parametrize("scale", [None, 1.0, 255.0])
@pytest.mark.parametrize("door", ["npz", "arrays", "items", "tensors"])
def test_transparency_in_arrays_is_laid_on_white_as_in_files(
    scale: float | None, door: str, tmp_path: Path
) -> None:
    rgba = drawn_in_ink()
    x = rgba if scale is None else (rgba / 255 * scale).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=Y)
    given = {
        "npz": f"npz:{tmp_path}/d.npz",
        "arrays": (x, Y),
        "items": Items(list(x)),
        "tensors": TensorDataset(torch.from_numpy(x), torch.from_numpy(Y)),
    }[door]
    data = open_data(given)
    assert (data.kind, data.shape) == ("image", (3, 8, 8))
    assert "transparency on white" in data.card.reading
    for row, (tag, label) in enumerate(zip(rgba, Y, strict=True)):
        file = tmp_path / f"f/{label}/{row:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tag).save(file)
    files = open_data(f"folder:{tmp_path}/f")
    theirs, rows = whole(files).int(), np.argsort(Y, kind="stable")
    assert (whole(data).int()[rows] - theirs).abs().max() <= 1  # Pillow rounds in whole numbers


def test_four_columns_of_channels_first_stay_what_they_are() -> None:
    x = np.random.default_rng(0).integers(0, 256, (300, 3, 6, 4)).astype(np.uint8)
    assert torch.equal(whole(open_data((x, Y))), torch.from_numpy(x))


def test_a_grey_first_picture_does_not_take_the_colour_of_all() -> None:
    pictures: list[object] = [Image.fromarray(image) for image in GREY]
    pictures[40:] = [Image.fromarray(np.stack([image, image * 0, image], -1)) for image in GREY[40:]]
    data = open_data(Items(pictures))
    assert data.shape == (3, 8, 8)
    got = whole(data)
    assert torch.equal(got[0, 0], got[0, 1]) and int(got[50, 1].max()) == 0
    assert "of 8×8 pixels, by the headers of 16 of them" in data.card.reading


def test_a_sample_out_of_the_range_of_the_others_is_named() -> None:
    floats = [(image / 255).astype(np.float32)[None] for image in GREY]
    floats[1] = floats[1] * 300
    data = open_data(Items(list(floats)))
    with pytest.raises(DataError, match=r"values from 0 to 300, others are in 0 … 1: scale all alike"):
        whole(data)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((GREY[:, None] / 255 - 0.13) / 0.3, "leave normalisation out"),
        (GREY[..., None] / 255 * 1.4, "leave normalisation out"),
        (
            GREY.astype(np.int64)[:, :7] * 1000,
            r"say kind=image, kind=series or kind=vector, or store images by",
        ),
    ],
)
def test_what_is_not_clear_is_asked(x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data((x, Y))


def test_series_stay_series_and_the_way_to_pictures_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=draw.normal(size=(300, 128, 9)).astype(np.float32), y=Y)
    data = open_data(f"npz:{tmp_path}/d.npz")
    assert (data.kind, data.shape) == ("series", (128, 9))
    assert "128 channels and 9 steps (kind=image for pictures)" in data.card.reading
    assert "if the channels come last" in data.card.notes[0]
    np.savez(tmp_path / "p.npz", x=(GREY[:, :7] / 255).astype(np.float32), y=Y)
    series = open_data(f"npz:{tmp_path}/p.npz")
    assert series.kind == "series"
    model = build_model("foretoll:cnn?width=2", data=open_data("digits?limit=50"), seed=0)
    with pytest.raises(ModelError, match="or say kind=image where these are pictures"):
        check_fits(model, series)
    check_fits(model, open_data(f"npz:{tmp_path}/p.npz?kind=image"))
