"""`folder:PATH`: images in one folder per class, with or without train, val and test folders above; lazy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foretoll.data.images import DecodedImages, EncodedImages, decode_threads, learn_form
from foretoll.data.source import ROLES, Source, role_of
from foretoll.data.splits import DatasetSplit
from foretoll.data.uri import DataUri
from foretoll.errors import DataError, UsageError


def open_folder(uri: DataUri) -> Source:
    """List the files; images are decoded when a batch asks for them.

    Images of another size than the commonest one (or `size=`) are resized. A class is a folder; classes of
    all splits together are sorted by name.
    """
    root = Path(uri.path).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give a folder with one sub-folder of images for each class")
    if uri.kind not in {None, "image"}:
        raise UsageError(f"folder: holds images, and kind={uri.kind} was asked for: leave kind out")
    split_folders = {folder: role_of(folder.name) for folder in _folders(root)}
    has_splits = sorted(split_folders.values()).count("train") == 1 and all(
        role in ROLES for role in split_folders.values()
    )
    files: list[Path] = []
    names: list[str] = []
    given: list[str] = []
    for folder, role in split_folders.items() if has_splits else [(root, "")]:
        for class_folder in _folders(folder):
            found = _images(class_folder)
            files += found
            names += [class_folder.name] * len(found)
            given += [role] * len(found)
    if not files:
        raise DataError(
            f"{root} has no images in sub-folders: it needs PATH/CLASS/IMAGE or PATH/train/CLASS/IMAGE"
        )
    classes = tuple(sorted(set(names)))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in names], dtype=np.int64)
    encoded = EncodedImages(files, len(files), str(root))
    form = learn_form(encoded, uri.size)
    texts = np.array(names)
    return Source(
        name=root.resolve().name,
        kind="image",
        rows=DatasetSplit(
            DecodedImages(encoded, form),
            labels=labels,
            ids=np.arange(len(files)),
            threads=decode_threads(form),
        ),
        classes=classes,
        shape=form.shape,
        given=np.array(given) if has_splits else None,
        columns=("label",),
        column=lambda _: texts,
    )


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(path: Path) -> list[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return sorted(p for p in path.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS and p.is_file())
