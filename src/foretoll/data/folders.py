"""What a folder of images means: which files are samples, of which class, in which split; and what was left out.

::

    PATH/CLASS/…/IMAGE            one folder a class
    PATH/train/CLASS/…/IMAGE      with train, and val or test, in any of their usual spellings
    PATH/CLASS/train/IMAGE        the same the other way round

Files and folders whose name begins with a dot, and those that systems leave behind, are no data. A single folder that
holds all others is gone into.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foretoll.data.images import image_suffixes
from foretoll.data.raw import ROLES, role_of
from foretoll.errors import DataError, shown

_DEEPEST, _MOST_FOLDERS = 64, 100_000  # of links that multiply, and of names made to be endless
_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "__pycache__"}


@dataclass
class FolderLayout:
    """The images of a folder, in a fixed order, with class and split of each; splits are empty where there are none."""

    files: list[Path] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, files: Iterable[Path], class_folder: Path, split: str = "") -> None:
        """Samples of one class."""
        name = class_name(class_folder)
        for file in files:
            self.files.append(file)
            self.classes.append(name)
            if split:
                self.splits.append(split)

    def only(self, kept: Sequence[bool]) -> FolderLayout:
        """The images for which `kept` holds; a class of which none is left is no class."""
        return FolderLayout(
            list(itertools.compress(self.files, kept)),
            list(itertools.compress(self.classes, kept)),
            list(itertools.compress(self.splits, kept)),
            self.notes,
        )


def read_layout(root: Path) -> FolderLayout:
    """List the images below a folder; DataError where it holds none, or where it is not clear what is a class."""
    tree = _Tree.of(root, frozenset(), itertools.count(1))
    way: list[str] = []
    while len(tree.folders) == 1 and not tree.images and not _is_split(tree.folders[0]):
        (inside,) = tree.folders
        if inside.images or not any(folder.count for folder in inside.folders):
            break
        way.append(inside.path.name)
        tree = inside
    layout = _as_splits(tree) or _as_classes_with_splits(tree) or _as_classes(tree)
    if not layout.files:
        raise DataError(
            f"{_name(root)} has no images in sub-folders{_found_instead(tree)}: it needs PATH/CLASS/IMAGE or "
            "PATH/train/CLASS/IMAGE"
        )
    if way:
        layout.notes.insert(
            0, f"{_name(root)}: read from its folder {shown('/'.join(way))}, where the classes lie"
        )
    if tree.others:
        most = ", ".join(
            f"{n:,} {shown(suffix, 12) if suffix else 'without suffix'}" for suffix, n in _most(tree.others)
        )
        layout.notes.append(f"{_name(root)}: files that are no images were left out: {most}")
    if tree.back:
        layout.notes.append(
            f"{_name(root)}: {tree.back} links that lead back to a folder above them were left out"
        )
    return layout


def class_name(folder: Path) -> str:
    """The name of a class folder as text: composed letters, escapes for bytes that are no UTF-8."""
    text = os.fsencode(folder.name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


@dataclass
class _Tree:
    """A folder: its images, its sub-folders, and what else lies anywhere below it."""

    path: Path
    images: list[Path] = field(default_factory=list)
    folders: list[_Tree] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # by suffix
    back: int = 0  # links that lead back

    @classmethod
    def of(cls, path: Path, above: frozenset[tuple[int, int]], counter: Iterator[int]) -> _Tree:
        """Read a folder and what is below; links are followed, but not back to a folder above them."""
        tree, suffixes = cls(path), image_suffixes()
        if len(above) > _DEEPEST or next(counter) > _MOST_FOLDERS:
            raise DataError(
                f"{_name(path)} is one folder too many (more than {_MOST_FOLDERS:,}, or {_DEEPEST} within each other): "
                "name the folder that holds the classes"
            )
        try:
            status = path.stat()
            entries = sorted(path.iterdir())
        except OSError as error:
            raise DataError(
                f"{_name(path)} cannot be read ({error.strerror}): check its permissions"
            ) from error
        here = above | {(status.st_dev, status.st_ino)}
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _LEFT_BEHIND:
                continue
            if entry.is_dir():
                below = entry.stat()
                if (below.st_dev, below.st_ino) in here:
                    tree.back += 1
                    continue
                inside = cls.of(entry, here, counter)
                tree.folders.append(inside)
                tree.others += inside.others
                tree.back += inside.back
            elif entry.suffix.lower() in suffixes and entry.is_file():
                tree.images.append(entry)
            else:
                tree.others[entry.suffix.lower()] += 1
        return tree

    @property
    def all(self) -> list[Path]:
        """The images anywhere below, in the order of their paths."""
        return sorted([*self.images, *(image for folder in self.folders for image in folder.all)])

    @property
    def count(self) -> int:
        """How many images are anywhere below."""
        return len(self.images) + sum(folder.count for folder in self.folders)


def _is_split(tree: _Tree) -> bool:
    """Whether a folder is called like a split and holds folders of images, as a class of that name would not."""
    return role_of(tree.path.name) in ROLES and any(folder.count for folder in tree.folders)


def _as_splits(tree: _Tree) -> FolderLayout | None:
    """PATH/train/CLASS/IMAGE. One folder `train` alone is a split where little else could be a class."""
    splits = [folder for folder in tree.folders if _is_split(folder)]
    others = [folder for folder in tree.folders if folder not in splits]
    roles = {role_of(folder.path.name) for folder in splits}
    called = [folder for folder in others if role_of(folder.path.name) in ROLES and folder.count]
    if not splits:
        if len(called) > 1 and len(called) == sum(folder.count > 0 for folder in tree.folders):
            names = ", ".join(folder.path.name for folder in called)
            raise DataError(
                f"{_name(tree.path)} has {names} without class folders in them: it needs PATH/train/CLASS/IMAGE"
            )
        return None
    if len(roles) == 1 and sum(folder.count > 0 for folder in others) > 1:
        return None
    layout = FolderLayout()
    for split in splits:
        for folder in split.folders:
            layout.add(folder.all, folder.path, role_of(split.path.name))
        if split.images:
            layout.notes.append(
                f"{_name(split.path)}: {len(split.images):,} images outside its class folders were left out"
            )
    _tell_left_out(layout, others, "beside the splits")
    _tell_loose(layout, tree)
    _tell_empty(layout, [folder for split in splits for folder in split.folders])
    return layout


def _as_classes_with_splits(tree: _Tree) -> FolderLayout | None:
    """PATH/CLASS/train/IMAGE: every class has train and another split, and nothing else."""
    classes = [folder for folder in tree.folders if folder.count]
    roles = [{role_of(inner.path.name) for inner in folder.folders if inner.count} for folder in classes]
    if len(classes) < 2 or not all(
        "train" in found and len(found) > 1 and found <= set(ROLES) for found in roles
    ):
        return None
    layout = FolderLayout()
    for folder in classes:
        for inner in folder.folders:
            layout.add(inner.all, folder.path, role_of(inner.path.name))
        if folder.images:
            layout.notes.append(
                f"{_name(folder.path)}: {len(folder.images):,} images outside its splits were left out"
            )
    _tell_loose(layout, tree)
    _tell_empty(layout, tree.folders)
    return layout


def _as_classes(tree: _Tree) -> FolderLayout:
    layout = FolderLayout()
    for folder in tree.folders:
        layout.add(folder.all, folder.path)
    _tell_loose(layout, tree)
    _tell_empty(layout, tree.folders)
    return layout


def _tell_left_out(layout: FolderLayout, folders: list[_Tree], where: str) -> None:
    if folders:
        names = [f"{shown(folder.path.name, 40)} ({folder.count:,} images)" for folder in folders]
        layout.notes.append(f"left out {where}: {_few(names)}")


def _tell_empty(layout: FolderLayout, folders: list[_Tree]) -> None:
    empty = [
        f"{shown(folder.path.name, 40)}{_found_instead(folder)}" for folder in folders if not folder.count
    ]
    if empty:
        layout.notes.append(f"class folders without a readable image were left out: {_few(empty)}")


def _tell_loose(layout: FolderLayout, tree: _Tree) -> None:
    if tree.images:
        layout.notes.append(
            f"{_name(tree.path)}: {len(tree.images):,} images outside any class folder were left out"
        )


def _found_instead(tree: _Tree) -> str:
    found = ", ".join(f"{n:,} {shown(suffix, 12)}" for suffix, n in _most(tree.others) if suffix)
    if tree.count:
        return f" ({tree.count:,} images lie outside any)"
    return f" ({found})" if found else ""


def _most(others: Counter[str]) -> list[tuple[str, int]]:
    return others.most_common(3)


def _few(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 4 else [*names[:3], f"and {len(names) - 3:,} more"])


def _name(path: Path) -> str:
    """A path as a message may repeat it."""
    text = str(path)
    return text if text.isprintable() and len(text) <= 120 else shown(text, 120)
