"""`tar:PATH`: shards as WebDataset lays them out, pictures with a label each, read from where they lie in the shard."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch

from foretoll.data.address import DataUri
from foretoll.data.images import DecodedImages, EncodedImages, image_suffixes, look_at
from foretoll.data.raw import RawData, label_texts, role_of, targets_said
from foretoll.data.splits import DatasetSplit
from foretoll.data.unreadable import readable
from foretoll.errors import DataError, is_out_of_memory, shown
from foretoll.tasks import read_targets

_LABEL_KEYS = ("label", "cls", "class", "target")  # of a .json
_MOST_LABEL = 65_536  # bytes of a .cls or .json that are read
_RANGE = re.compile(r"\{(\d{1,12})\.\.(\d{1,12})\}")


class _Place(NamedTuple):
    """Where the bytes of one member lie."""

    shard: int
    offset: int
    size: int


class ShardIndex:
    """Where the pictures of several shards lie, and their labels as texts; None where one has none."""

    def __init__(self, shards: list[Path], where: str, label: str | None = None) -> None:
        self.shards, self.where, self.label = shards, where, label
        self.pictures: list[_Place] = []
        self.labels: list[str | None] = []
        for number, shard in enumerate(shards):
            for picture, text in self._samples(number, shard):
                self.pictures.append(picture)
                self.labels.append(text)

    def content(self, row: int) -> bytes:
        """The bytes of one picture."""
        shard, offset, size = self.pictures[row]
        with self.shards[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def only(self, kept: Any) -> None:
        """Leave the pictures out that are not kept (bool for each)."""
        rows = np.flatnonzero(kept).tolist()
        self.pictures, self.labels = [self.pictures[i] for i in rows], [self.labels[i] for i in rows]

    def _samples(self, number: int, shard: Path) -> Iterator[tuple[_Place, str | None]]:
        """The pictures of a shard, each with the label beside it: of the same name up to its first dot."""
        suffixes, name = image_suffixes(), shown(str(shard), 120)
        key: str | None = None
        picture: _Place | None = None
        label: str | None = None
        try:
            with tarfile.open(shard, "r:") as file:
                for member in file:
                    if not member.isreg() or member.issparse():  # whose size is not that of its bytes
                        continue
                    path = PurePosixPath(member.name)
                    stem, _, ending = path.name.partition(".")
                    if str(path.parent / stem) != key:
                        if picture is not None:
                            yield picture, label
                        key, picture, label = str(path.parent / stem), None, None
                    ending = ending.lower()
                    if f".{ending.rpartition('.')[2]}" in suffixes:
                        picture = _Place(number, member.offset_data, member.size)
                    elif ending in {"cls", "json"} and member.size <= _MOST_LABEL:
                        content = file.extractfile(member)
                        text = b"" if content is None else content.read()
                        label = self._label(text, ending) if label is None or ending == "cls" else label
                    file.members = []  # type: ignore[attr-defined]  # which tarfile would keep, all of them
            if picture is not None:
                yield picture, label
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise DataError(
                f"{name} cannot be read as a tar file: it is truncated, compressed or of another format; make it "
                "again, without compression"
            ) from error

    def _label(self, content: bytes, ending: str) -> str | None:
        text = content.decode("utf-8", "replace").strip()
        if ending == "cls":
            return text or None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        keys = _LABEL_KEYS if self.label is None else (self.label,)
        value = next((found[key] for key in keys if key in found), None) if isinstance(found, dict) else None
        return str(value) if isinstance(value, (str, int, float)) else None


def open_tar(uri: DataUri) -> RawData:
    """List the members of the shards; pictures are read and decoded when a batch asks for them."""
    shards = shards_of(uri)
    index = ShardIndex(shards, uri.shown_path, uri.label)
    name = uri.shown_path
    if not index.pictures:
        raise DataError(
            f"{name} has no pictures: it needs shards of pictures with a .cls or .json beside each"
        )
    notes: tuple[str, ...] = ()
    if uri.skip_unreadable:
        kept, notes = readable(EncodedImages(index.content, len(index.pictures), name))
        index.only(kept)
    encoded = EncodedImages(index.content, len(index.pictures), name)
    look = look_at(encoded)
    form = look.form(uri.size)
    labels, classes, task = _targets(index, uri)
    roles = [_role(shard, uri.file) for shard in shards]
    splits = {"train"} < set(roles)
    rows = torch.arange(len(index.pictures))
    texts = np.empty(0) if labels is None else label_texts(labels, classes)
    reading = [
        f"{len(rows):,} images in {len(shards):,} shard{'s' if len(shards) != 1 else ''}",
        targets_said(classes, task) if labels is not None else "no labels",
        *look.told(uri.size),
        "splits by the names of shards" if splits else "no splits of its own",
    ]
    return RawData(
        name=uri.file.stem,
        kind="image",
        rows=DatasetSplit(
            DecodedImages(encoded, form, several=look.several(uri.size), told=look.told_size(uri.size)),
            rows=rows,
            labels=labels,
            ids=rows,
            threads=look.threads,
        ),
        classes=classes,
        task=task,
        shape=form.shape,
        given=np.array([roles[picture.shard] for picture in index.pictures]) if splits else None,
        columns=("label",) if labels is not None else (),
        column=lambda _: texts,
        reading=", ".join(reading),
        notes=notes,
    )


def shards_of(uri: DataUri) -> list[Path]:
    """The shards of a URI: one, those of a folder and of the folders in it, or those of a range {000..012}."""
    found = _RANGE.search(uri.path)
    if found is not None:
        first, last = found.groups()
        width = len(first)
        names = [
            f"{number:0{width}d}" for number in range(int(first), min(int(last), int(first) + 10**6) + 1)
        ]
        texts = [uri.path[: found.start()] + name + uri.path[found.end() :] for name in names]
        shards = [Path(text).expanduser() for text in texts]
    elif uri.file.is_dir():
        shards = sorted([*uri.file.glob("*.tar"), *uri.file.glob("*/*.tar")])
    else:
        shards = [uri.file]
    missing = next((shard for shard in shards if not shard.is_file()), None)
    if missing is not None or not shards:
        what = shown(str(missing), 120) if missing is not None else uri.shown_path
        raise DataError(
            f"{what} is no tar file and no folder of them: give a .tar, a folder, or shard-{{000000..000012}}.tar"
        )
    return shards


def _targets(index: ShardIndex, uri: DataUri) -> tuple[Any, tuple[str, ...], str]:
    known = [label for label in index.labels if label is not None]
    if not known:
        return None, (), "classification"
    if len(known) < len(index.labels):
        raise DataError(
            f"{index.where} has {len(index.labels) - len(known):,} pictures without a label, the first is picture "
            f"{index.labels.index(None)}: give each a .cls or .json, or none"
        )
    whole = all(re.fullmatch(r"-?\d{1,18}", label) for label in known)
    values = np.array([int(label) for label in known]) if whole else np.array(known)
    return read_targets(values, f"{index.where}: the labels", task=uri.task)


def _role(shard: Path, root: Path) -> str:
    """The split that a shard is of: by its folder, or by the word that its name begins with."""
    if shard.parent != root and shard.parent.parent == root:
        return role_of(shard.parent.name)
    word = re.match(r"[A-Za-z]+", shard.stem)
    return role_of(word.group()) if word else ""
