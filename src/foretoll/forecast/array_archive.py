"""Named arrays under many keys in one file, which ships with the package; numbers and texts alone, nothing is pickled.

A zip; each member is a row of arrays in numpy's own format, their names first. The same arrays give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.atomic import replacing

Arrays = Mapping[str, NDArray[Any]]
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError, NotImplementedError)
_DAWN = (1980, 1, 1, 0, 0, 0)  # of the format: no time in a file


class ArrayArchive:
    """A file of arrays by key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays under a key; None where there are none or they cannot be read."""
        try:
            with zipfile.ZipFile(self.path) as file:
                stream = io.BytesIO(file.read(key))
            names: list[str] = np.load(stream, allow_pickle=False).tolist()
            return {name: np.load(stream, allow_pickle=False) for name in names}
        except UNREADABLE:
            return None

    def names(self) -> set[str]:
        """Those that are there; none where the file cannot be read."""
        try:
            with zipfile.ZipFile(self.path) as file:
                return set(file.namelist())
        except UNREADABLE:
            return set()

    def write(self, kept: Mapping[str, Arrays]) -> int:
        """Write a file of these arrays, whole or not at all; returns its bytes."""
        with replacing(self.path, ".part") as stream, zipfile.ZipFile(stream, "w") as file:
            for key, arrays in kept.items():
                member = zipfile.ZipInfo(key, _DAWN)
                file.writestr(member, _bytes(arrays), zipfile.ZIP_DEFLATED, compresslevel=9)
        return self.path.stat().st_size


def packed_size(arrays: Arrays) -> int:
    """Bytes that a member takes in a file, about."""
    import zlib

    return len(zlib.compress(_bytes(arrays), 9)) + 150


def _bytes(arrays: Arrays) -> bytes:
    stream = io.BytesIO()
    names = sorted(arrays)
    for array in (np.array(names, dtype=np.str_), *(arrays[name] for name in names)):
        np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
