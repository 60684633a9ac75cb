"""Fitted models and columns of runs, kept as arrays: those that ship, and others in the user's cache folder.

What is kept is named by a digest of all that it was made from, data and code, so that it never goes stale: it is not
found. The libraries' versions are no part of it: they move the last digits of a number, and what ships is for all of
them. A file holds numbers and texts (`numpy`, no pickle) and is written whole or not at all. Where it cannot be
written or read, what it would hold is made anew, and nothing is said.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.atomic import replacing
from foretoll.forecast.array_archive import UNREADABLE, ArrayArchive, Arrays

SHIPPED = Path(__file__).with_name("reference_fits.zip")  # `foretoll.forecast.shipped` writes it
MOST_FILES = 200  # of some ten kilobytes each; those not used longest go
# All that stands between a table of runs and a model of it, and between records of runs and their columns. A change of
# one of these files makes what ships stale: `foretoll study pack reference` makes it again.
OF_MODELS = (
    "boosted", "model_arrays", "neighbourhood", "point", "reach", "regressor", "rows", "spread", "survival", "trees",
)  # fmt: skip
OF_RUNS = ("case", "lesson_columns", "lessons", "rows", "unseen")


class ArrayStore:
    """Named arrays by a key: those that ship, where they are named, then those in a folder, where there is one."""

    def __init__(self, folder: Path | None, shipped: Path | None = None) -> None:
        self.folder = folder
        self.shipped = None if shipped is None else ArrayArchive(shipped)

    @classmethod
    def of_user(cls) -> ArrayStore:
        """What ships, and $XDG_CACHE_HOME/foretoll, by default ~/.cache/foretoll; FORETOLL_CACHE: another, or off."""
        named = os.environ.get("FORETOLL_CACHE")
        if named is not None:
            return cls(None if named in ("", "off") else Path(named), SHIPPED)
        base = os.environ.get("XDG_CACHE_HOME", "")
        try:
            folder = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
        except RuntimeError:  # no home
            return cls(None, SHIPPED)
        return cls(folder / "foretoll", SHIPPED)

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays kept under a key; None where there are none or they cannot be read."""
        if self.shipped is not None and (found := self.shipped.get(key)) is not None:
            return found
        if self.folder is None:
            return None
        path = self.folder / f"{key}.npz"
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                found = dict(file)
        except UNREADABLE:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now: it is not the next to go
        return found

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under a key."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{key}.npz", ".part") as stream:
                np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
            self._prune(self.folder)

    @staticmethod
    def _prune(folder: Path) -> None:
        files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_FILES]:
            path.unlink(missing_ok=True)


@cache
def _code(modules: tuple[str, ...]) -> bytes:
    """A digest of modules of this room by their text, which says more than a version."""
    found = hashlib.sha256()
    for name in modules:
        text = Path(__file__).with_name(f"{name}.py").read_bytes().replace(b"\r\n", b"\n")
        found.update(len(text).to_bytes(8, "big") + text)
    return found.digest()


def key_of(kind: str, code: tuple[str, ...], *parts: bytes) -> str:
    """A name: `kind`, and a digest of the modules that make it and of all that the content follows from."""
    found = hashlib.sha256(_code(code))
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return f"{kind}-{found.hexdigest()[:40]}"
