"""An .npz file, or a folder of .npy files, read array by array, nothing unpickled, no more memory taken than comes.

The zip directory and each array's header say how large it is. Both may lie: what they declare must agree and must fit
into the memory that is left, and what is unpacked is counted while it comes. Arrays that nobody asks for are not
unpacked.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foretoll.data.array_rows import ArrayOnDisk
from foretoll.data.limits import check_memory, check_unpacked
from foretoll.errors import DataError, check_refused, is_out_of_memory, shown

_MAGIC, _ZIP_MAGIC = b"\x93NUMPY", b"PK"
_MOST_HEADER = 65_536  # bytes of an array's header
_MOST_AXES = 32
_CHUNK = 1 << 20
_LOCAL = struct.Struct("<4s5H3I2H")  # before each member of a zip file; its name and more fields follow


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    length: int  # bytes of the header itself

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def lies_by_rows(self) -> bool:
        return not self.dtype.hasobject and (not self.fortran or len(self.shape) < 2) and bool(self.shape)


class ArrayFile(Mapping[str, npt.NDArray[Any]]):
    """Arrays by name, which are read when they are asked for."""

    def shape(self, key: str) -> tuple[int, ...] | None:
        """The declared shape of an array, which is not read; None where it cannot be known or used."""
        raise NotImplementedError

    def on_disk(self, key: str) -> ArrayOnDisk | None:
        """Where the rows of an array lie; None where they do not lie on disk as in memory."""
        raise NotImplementedError


class NpyFolder(ArrayFile):
    """The `.npy` files of a folder by name. DataError where one is no array, truncated, or holds pickled objects."""

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        self._files = {file.stem: file for file in sorted(path.glob("*.npy")) if file.is_file()}
        if not self._files:
            raise DataError(f"{where} has no .npy file: it needs x.npy and y.npy, or x_train.npy and so on")
        self._known: dict[str, ArrayOnDisk | None] = {}

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        """Read one array."""
        what = f"{self.where}: {key}.npy"
        place = self.on_disk(key)
        if place is None:
            raise DataError(
                f"{what} is no whole array of numbers or texts, rows first: save it again with np.save"
            )
        check_memory(place.nbytes, what, "keep a part of it in a file of its own")
        return np.array(place.whole())

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, key: object) -> bool:
        return key in self._files

    def shape(self, key: str) -> tuple[int, ...] | None:
        """As its header says."""
        place = self.on_disk(key)
        return None if place is None else place.shape

    def on_disk(self, key: str) -> ArrayOnDisk | None:
        """All but arrays with columns first, or of objects."""
        if key not in self._known:
            self._known[key] = None
            with suppress(Exception), self._files[key].open("rb") as file:
                header = _header(file)
                size = self._files[key].stat().st_size
                if header.lies_by_rows and header.length + header.bytes <= size:
                    place = ArrayOnDisk(self._files[key], header.length, header.shape, header.dtype)
                    self._known[key] = place
        return self._known[key]


class NpzFile(ArrayFile):
    """The arrays of a file by name. DataError when it is no .npz, truncated, damaged, or holds pickled objects."""

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        with self._archive() as archive:
            members = archive.infolist()
        self._members = {m.filename.removesuffix(".npy"): m for m in members if m.filename.endswith(".npy")}
        self._headers: dict[str, _Header | None] = {}

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        """Unpack one array."""
        member = self._members[key]
        try:
            with self._archive() as archive, archive.open(member) as file:
                return self._array(_header(file), member, key, file)
        except Exception as error:  # zip, its compressions and numpy raise nearly everything on damaged files
            raise self._told(error, key) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def shape(self, key: str) -> tuple[int, ...] | None:
        """The declared shape of an array, which is not unpacked; None where it cannot be known or used."""
        if key not in self._headers:
            try:
                with self._archive() as archive, archive.open(self._members[key]) as file:
                    self._headers[key] = _header(file)
            except Exception:  # noqa: BLE001  (told where the array is asked for)
                self._headers[key] = None
        header = self._headers[key]
        return None if header is None or header.dtype.hasobject else header.shape

    def on_disk(self, key: str) -> ArrayOnDisk | None:
        """Of an array that was saved without compression."""
        member = self._members[key]
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            return None
        with suppress(Exception), self.path.open("rb") as file:  # told where the array is asked for
            file.seek(member.header_offset)
            local = file.read(_LOCAL.size)
            start = member.header_offset + _LOCAL.size + sum(_LOCAL.unpack(local)[-2:])
            file.seek(start)
            header = _header(file)
            if header.lies_by_rows and header.length + header.bytes == member.file_size:
                return ArrayOnDisk(self.path, start + header.length, header.shape, header.dtype)
        return None

    def _archive(self) -> zipfile.ZipFile:
        try:
            with self.path.open("rb") as file:
                start = file.read(len(_MAGIC))
            if start == _MAGIC:
                raise DataError(
                    f"{self.where} is a single array, not an .npz file: save it with np.savez(x=…, y=…)"
                )
            if not start.startswith(_ZIP_MAGIC):  # a zip file with something before it is no .npz
                raise self._told(ValueError())
            return zipfile.ZipFile(self.path)
        except Exception as error:
            raise self._told(error) from error

    def _array(self, header: _Header, member: zipfile.ZipInfo, key: str, file: IO[bytes]) -> npt.NDArray[Any]:
        what = f"{self.where}: {key}"
        if header.dtype.hasobject:
            raise DataError(
                f"{what} holds pickled Python objects, which are never unpickled: save plain arrays"
            )
        if header.length + header.bytes != member.file_size:
            raise ValueError("the sizes that are declared do not agree")
        check_unpacked(min(member.compress_size, self.path.stat().st_size), header.bytes, what)
        check_memory(header.bytes, what, "keep a part of it in a file of its own")
        array = np.empty(math.prod(header.shape), dtype=header.dtype)
        into, done = array.view(np.uint8) if array.nbytes else np.empty(0, np.uint8), 0
        while done < header.bytes:
            chunk = file.read(min(_CHUNK, header.bytes - done))
            if not chunk:
                raise EOFError
            into[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        return array.reshape(header.shape, order="F" if header.fortran else "C")

    def _told(self, error: Exception, key: str = "") -> DataError:
        if isinstance(error, DataError):
            return error
        if is_out_of_memory(error):
            return DataError(f"{self.where}: {key} takes more memory than there is: keep a part of it")
        check_refused(error, self.where, DataError)
        if "encrypted" in str(error):
            return DataError(
                f"{self.where} is encrypted, which .npz files are not: save it without a password"
            )
        return DataError(
            f"{self.where} cannot be read as .npz: it is truncated or of another format; make or copy it again"
        )


def _header(file: IO[bytes]) -> _Header:
    """Read the header of an array; the file then stands at its data. Raises ValueError and whatever numpy raises."""
    start = file.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + 2 or start[-2] not in {1, 2, 3}:
        raise ValueError("no array")
    width = 2 if start[-2] == 1 else 4
    length = int.from_bytes(size := file.read(width), "little")
    if len(size) < width or length > _MOST_HEADER:
        raise ValueError("the header is too long")
    text = io.BytesIO(size + file.read(length))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(text, max_header_size=_MOST_HEADER)
    if len(shape) > _MOST_AXES or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("no shape of an array")
    return _Header(tuple(shape), dtype, fortran, len(start) + width + length)


def shape_of(arrays: Mapping[str, npt.NDArray[Any]], key: str) -> tuple[int, ...] | None:
    """The shape of one of several arrays, without unpacking it where it lies in a file."""
    return arrays.shape(key) if isinstance(arrays, ArrayFile) else np.shape(arrays[key])


def few(names: Mapping[str, Any]) -> str:
    """The names of arrays as a message may repeat them."""
    told = [shown(name, 20)[1:-1] for name in list(names)[:8]]
    return ", ".join([*told, f"and {len(names) - 8:,} more"] if len(names) > 8 else told) or "no arrays"
