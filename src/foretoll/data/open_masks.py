"""`masks:PATH`: images with a mask each, in two folders of files with the same names; a mask says each pixel's class.

The folders are `images` and `masks` (or `labels`, `annotations`), below `train`, `val` and `test` or not. A mask is a
PNG whose values are class numbers: of a palette its entries, of grey its levels; 255 leaves a pixel out. Images and
masks are brought to `size=`, or to that of the first image, masks by the nearest pixel so that no class is made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data.address import DataUri
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData, role_of, splits_said, targets_said
from foretoll.data.splits import ArraySplit
from foretoll.errors import DataError, shown
from foretoll.tasks import read_targets

MASKS = ("masks", "labels", "annotations")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
TASK = "segmentation"


def open_masks(uri: DataUri) -> RawData:
    """Read all images and masks into memory."""
    check_there(uri)
    root = uri.file
    pairs, roles = [], []
    for folder, role in _parts(root):
        found = _pairs(folder)
        pairs += found
        roles += [role] * len(found)
    size = uri.size or _size_of(pairs[0][0])
    images = np.stack([_image(path, size) for path, _ in pairs])
    masks = np.stack([_mask(path, size) for _, path in pairs])
    values, classes, task = read_targets(masks, uri.shown_path, task=TASK)
    names = np.array([path.stem for path, _ in pairs])
    source = RawData(
        name=root.resolve().name,
        kind="image",
        rows=ArraySplit(torch.from_numpy(images), values, ids=np.arange(len(images))),
        classes=classes,
        task=task,
        shape=tuple(images.shape[1:]),
        given=np.array(roles) if any(roles) else None,
        columns=("file",),
        column=lambda _: names,
    )
    source.reading = (
        f"{len(images):,} images of {size[0]:,} × {size[1]:,} pixels, {targets_said(classes, task)}, "
        f"{splits_said(source, uri)}"
    )
    return source


def _parts(root: Path) -> list[tuple[Path, str]]:
    if (root / "images").is_dir():
        return [(root, "")]
    below = [(p, role_of(p.name)) for p in sorted(root.iterdir()) if (p / "images").is_dir()]
    if not below:
        raise DataError(
            f"{shown(root)} has no folder images, nor one in folders for the splits: put the images there"
        )
    return below


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    masks = next((folder / name for name in MASKS if (folder / name).is_dir()), None)
    if masks is None:
        raise DataError(f"{shown(folder)} has images but no folder {' or '.join(MASKS)}: put the masks there")
    of = {p.stem: p for p in masks.iterdir() if p.suffix.lower() == ".png"}
    images = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in PICTURES)
    if not images:
        raise DataError(f"{shown(folder / 'images')} holds no pictures: put the images there")
    missing = [p.name for p in images if p.stem not in of]
    if missing:
        raise DataError(
            f"{len(missing):,} images of {shown(folder)} have no mask, the first {shown(missing[0], 60)}: a mask is a "
            "PNG with the image's name"
        )
    return [(p, of[p.stem]) for p in images]


def _size_of(path: Path) -> tuple[int, int]:
    with _opened(path) as picture:
        return picture.height, picture.width


def _opened(path: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)} is no picture that can be read: replace it") from error


def _image(path: Path, size: tuple[int, int]) -> npt.NDArray[Any]:
    from PIL import Image

    with _opened(path) as picture:
        plain = picture.convert("RGB")
        fitted = plain if plain.size == size[::-1] else plain.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1).copy()


def _mask(path: Path, size: tuple[int, int]) -> npt.NDArray[Any]:
    from PIL import Image

    with _opened(path) as picture:
        if picture.mode not in ("P", "L", "1", "I", "I;16"):
            raise DataError(
                f"the mask {shown(path)} is a picture of colours ({picture.mode}): save class "
                "numbers, as a palette or grey"
            )
        fitted = (
            picture if picture.size == size[::-1] else picture.resize(size[::-1], Image.Resampling.NEAREST)
        )
        return np.asarray(fitted).astype(np.int64)
