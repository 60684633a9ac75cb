"""Hostile .npz files, each a function of a folder: what is wrong with it, and the file's path.

The generated tests of `tests/fuzz` draw from their own; these are the ones that brought faults out, kept by name.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROWS = 120
X = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)
Y = np.arange(ROWS) % 3


def plain(array: object) -> bytes:
    """An array as .npy."""
    content = io.BytesIO()
    np.save(content, np.asarray(array))
    return content.getvalue()


def headed(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """An array with a header of our own."""
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def shaped(shape: str, array: np.ndarray) -> bytes:
    """An array whose header declares another shape."""
    return headed(
        f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}", array.tobytes()
    )


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def zeros(path: Path, key: str, gigabytes: int, others: dict[str, bytes]) -> Path:
    """A bomb: `key` unpacks to so many gigabytes of zeros."""
    shape = (gigabytes * 1000, 1_000_000)
    header = headed(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in others.items():
            archive.writestr(f"{name}.npy", content)
        with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
            member.write(header)
            block = bytes(10_000_000)
            for _ in range(gigabytes * 100):
                member.write(block)
    return path


def patched(path: Path, at: int, value: bytes, *, central: int | None = None) -> Path:
    """A zip file whose first local header, and central one, hold another value at a place."""
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    if central is not None:
        start = content.index(b"PK\x01\x02") + central
        content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


def damaged(path: Path) -> Path:
    """Compressed by LZMA, with bytes in the middle changed."""
    packed(path, {"x": plain(X), "y": plain(Y)}, zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    content[100:140] = zlib.compress(b"nonsense" * 20)[:40].ljust(40, b"?")
    path.write_bytes(content)
    return path


def _with(name: str, content: bytes) -> Callable[[Path], Path]:
    others = {"x": plain(X), "y": plain(Y)}
    return lambda folder: packed(folder / "d.npz", {**others, name: content})


def _good(folder: Path) -> Path:
    return packed(folder / "d.npz", {"x": plain(X), "y": plain(Y)})


# what is wrong → the file, and what is said of it
FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "x of 2^64 rows": (_with("x", shaped("(18446744073709551616, 6)", X)), "x has 18446744073709551616 samples"),
    "y of 2^64 rows": (_with("y", shaped("(18446744073709551616, 6)", Y)), "y 18446744073709551616 labels"),
    "y is a scalar": (_with("y", plain(3)), "y is a single value"),
    "x is a scalar": (_with("x", plain(3)), "x has shape ()"),
    "x without an extent": (_with("x", shaped("(120, 6, 0)", X[:0])), "no side may be 0"),
    "a truth value in the shape": (_with("x", shaped("(True, 6)", X)), "truncated or of another format"),
    "a truth value in the shape of y": (_with("y", shaped("(True, 6)", Y)), "truncated or of another format"),
    "a negative side": (_with("x", shaped("(-120, 6)", X)), "truncated or of another format"),
    "a shape of 1,000 axes": (_with("x", shaped(str((1,) * 1000), X)), "truncated or of another format"),
    "less than declared": (_with("x", shaped("(120, 7)", X)), "truncated or of another format"),
    "header [": (_with("x", headed("[", X.tobytes())), "truncated or of another format"),
    "header of brackets": (_with("x", headed("(" * 9000, X.tobytes())), "truncated or of another format"),
    "header of 4 GB": (
        _with("x", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100_000),
        "truncated or of another format",
    ),
    "header of no type": (
        _with("x", headed("{'descr': 'no', 'fortran_order': False, 'shape': (1,)}")),
        "truncated or of another format",
    ),
    "a header of version 9": (_with("x", b"\x93NUMPY\x09\x00"), "truncated or of another format"),
    "objects": (_with("x", headed("{'descr': '|O', 'fortran_order': False, 'shape': (120,), }")), "never unpickled"),
    "an encrypted member": (lambda f: patched(_good(f), 6, b"\x01\x00", central=8), "is encrypted"),
    "compression method 99": (lambda f: patched(_good(f), 8, b"\x63\x00", central=10), "truncated or of another"),
    "damaged LZMA": (lambda f: damaged(f / "d.npz"), "truncated or of another format"),
    "3,000 keys, none right": (
        lambda f: packed(f / "d.npz", {f"k\x1b{i}": plain(1) for i in range(3000)}),
        "and 2,992 more: it needs x_train",
    ),
    "100,000 names of classes": (_with("names", plain(np.arange(100_000))), "names 100,000 classes"),
}  # fmt: skip
