"""Fitted models and columns of runs, kept between processes as arrays in the user's cache folder.

A file is named by a digest of all that it was made from, so that it never goes stale: it is not found. It holds
numbers and texts (`numpy`, no pickle) and is written whole or not at all. Where it cannot be written or read, what it
would hold is made anew, and nothing is said.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.atomic import replacing

MOST_FILES = 80  # of about half a megabyte each; those not used longest go
Arrays = Mapping[str, NDArray[Any]]


class ArrayStore:
    """Named arrays by a key, in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls) -> ArrayStore:
        """In $XDG_CACHE_HOME/foretoll, by default ~/.cache/foretoll; FORETOLL_CACHE names another folder, or off."""
        named = os.environ.get("FORETOLL_CACHE")
        if named is not None:
            return cls(None if named in ("", "off") else Path(named))
        base = os.environ.get("XDG_CACHE_HOME", "")
        try:
            folder = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
        except RuntimeError:  # no home
            return cls(None)
        return cls(folder / "foretoll")

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays kept under a key; None where there are none or they cannot be read."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.npz"
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                found = dict(file)
        except (
            OSError,
            ValueError,
            EOFError,
            KeyError,
            zipfile.BadZipFile,
            MemoryError,
            NotImplementedError,
        ):
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
def recipe() -> str:
    """A digest of how runs are made into models: this package's code for that, and the libraries that fit."""
    import scipy

    found = hashlib.sha256(f"{np.__version__} {scipy.__version__} {_version_of_sklearn()}".encode())
    package = Path(__file__).parents[1]  # its text says more than its version
    for room in ("forecast", "records", "ledger", "options"):
        for path in sorted((package / room).glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def _version_of_sklearn() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        return ""


def key_of(kind: str, *parts: bytes) -> str:
    """A name of a file: `kind`, and a digest of the recipe and of all that the file's content follows from."""
    found = hashlib.sha256(recipe().encode())
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return f"{kind}-{found.hexdigest()[:40]}"
