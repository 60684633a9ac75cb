"""`npz:PATH`: x_train, y_train, x_test, y_test, or x, y; and arrays handed over in Python."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.checks import check_lengths, read_labels
from foretoll.data.source import Source
from foretoll.data.splits import ArraySplit
from foretoll.data.stored import stored_array
from foretoll.data.uri import DataUri
from foretoll.errors import DataError

NAME_KEYS = ("classes", "class_names", "label_names", "names")
Arrays = Mapping[str, npt.NDArray[Any]]


def open_npz(uri: DataUri) -> Source:
    """Read an .npz file without unpickling anything. Extra keys `c_train`, `c_test` or `c` are columns for `where`."""
    if not os.path.isfile(uri.file):  # noqa: PTH113  (pathlib raises on odd names)
        raise DataError(f"{uri.shown_path} is no file: give the path of an .npz file")
    return source_of_arrays(read_npz(uri.file), uri, name=uri.file.stem, where=uri.shown_path)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file. DataError when it is missing, no .npz, truncated, or holds pickled objects."""
    try:
        with path.open("rb") as file:  # numpy would leave a broken file open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path} is a single array, not an .npz file: save it with np.savez(x=…, y=…)"
                )
            return {key: _array(archive, key, path) for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as .npz: it is truncated or of another format; make or copy it again"
        ) from error


def _array(archive: Any, key: str, path: Path) -> npt.NDArray[Any]:
    try:
        return np.asarray(archive[key])
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise DataError(
                f"{path}: {key} holds pickled Python objects, which are never unpickled: save plain arrays"
            ) from error
        raise


def source_of_arrays(arrays: Arrays, uri: DataUri, *, name: str, where: str) -> Source:
    """A source from arrays named as in an .npz file."""
    given: npt.NDArray[Any] | None = None
    if "x_train" in arrays and "x_test" in arrays:
        pairs = [("x_train", "y_train"), ("x_test", "y_test")]
        if "x_val" in arrays:
            pairs.insert(1, ("x_val", "y_val"))
        roles = {"x_train": "train", "x_val": "validation", "x_test": "test"}
        given = np.repeat([roles[x] for x, _ in pairs], [len(arrays[x]) for x, _ in pairs])
    elif "x" in arrays:
        pairs = [("x", "y")]
    else:
        found = ", ".join(arrays) or "no arrays"
        raise DataError(f"{where} has {found}: it needs x_train, y_train, x_test, y_test, or x, y")
    labelled = [y for _, y in pairs if y in arrays]
    if labelled and len(labelled) < len(pairs):
        missing = ", ".join(y for _, y in pairs if y not in arrays)
        raise DataError(f"{where} has {', '.join(labelled)} but no {missing}: label all splits or none")
    for x, y in pairs:
        if arrays[x].ndim < 2:
            raise DataError(
                f"{where}: {x} has shape {arrays[x].shape}: samples need at least one axis of their own"
            )
        if arrays[x].shape[1:] != arrays[pairs[0][0]].shape[1:]:
            raise DataError(
                f"{where}: {x} has samples of shape {arrays[x].shape[1:]} and {pairs[0][0]} of "
                f"{arrays[pairs[0][0]].shape[1:]}: they must be equal"
            )
        if y in arrays:
            check_lengths(arrays[x], arrays[y], f"{where}: {x}", y)
    labels, classes = _labels(arrays, labelled, where)
    inputs, kind = _inputs(arrays, [x for x, _ in pairs], uri.kind, where)
    sizes = [len(arrays[x]) for x, _ in pairs]
    suffixes = [x[1:] for x, _ in pairs]
    columns = _columns(arrays, suffixes, sizes)
    if labels is not None:
        columns["label"] = np.asarray(classes)[labels]
    return Source(
        name=name,
        kind=kind,
        rows=ArraySplit(inputs, labels, ids=np.arange(len(inputs))),
        classes=classes,
        shape=tuple(inputs.shape[1:]),
        given=given,
        columns=tuple(columns),
        column=columns.__getitem__,
    )


def arrays_of(values: tuple[Any, ...]) -> dict[str, npt.NDArray[Any]]:
    """Name the arrays or tensors of a tuple: (x, y), or (x_train, y_train, x_test, y_test); y may be None."""
    keys = {2: ("x", "y"), 4: ("x_train", "y_train", "x_test", "y_test")}.get(len(values))
    if keys is None:
        raise DataError(
            f"a tuple of {len(values)} arrays was given: give (x, y) or (x_train, y_train, x_test, y_test)"
        )
    arrays = {
        key: np.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        for key, value in zip(keys, values, strict=True)
        if value is not None
    }
    for key, array in arrays.items():
        if array.dtype.kind == "O":
            raise DataError(f"{key} is ragged or holds Python objects: give plain arrays of numbers")
    return arrays


def _labels(
    arrays: Arrays, keys: list[str], where: str
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    if not keys:
        return None, ()
    names = next((arrays[key] for key in NAME_KEYS if key in arrays and arrays[key].ndim == 1), None)
    texts = None if names is None else tuple(f"{n:g}" if names.dtype.kind == "f" else str(n) for n in names)
    values = arrays[keys[0]] if len(keys) == 1 else None
    if values is None:
        for key in keys:  # each apart first, so that a message names the array and its row
            read_labels(arrays[key], f"{where}: {key}", names=texts)
        values = np.concatenate([arrays[key].reshape(-1) for key in keys])
    return read_labels(values, f"{where}: {' and '.join(keys)}", names=texts)


def _inputs(arrays: Arrays, keys: list[str], kind: str | None, where: str) -> tuple[Tensor, str]:
    parts = []
    for key in keys:
        part, found = stored_array(arrays[key], f"{where}: {key}", kind)
        kind = kind or found
        parts.append(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts), str(kind)


def _columns(arrays: Arrays, suffixes: list[str], sizes: list[int]) -> dict[str, npt.NDArray[Any]]:
    """Extra keys with one value a row; numbers are named by a list of texts `<column>s` or `<column>_names`."""
    columns: dict[str, npt.NDArray[Any]] = {}
    stems = (
        {key.removesuffix(suffixes[0]) for key in arrays if key.endswith(suffixes[0])}
        if suffixes[0]
        else set()
    )
    for stem in sorted(stems - {"x", "y"}):
        parts = [arrays.get(stem + suffix) for suffix in suffixes]
        if all(p is not None and p.shape == (size,) for p, size in zip(parts, sizes, strict=True)):
            columns[stem] = np.concatenate([p for p in parts if p is not None])
    for key, array in arrays.items():
        if key not in {"x", "y", *NAME_KEYS} and array.shape == (sum(sizes),):
            columns[key] = array
    for stem, values in columns.items():
        names = next((arrays[k] for k in (f"{stem}s", f"{stem}_names") if k in arrays), None)
        known = (
            names is not None and names.ndim == 1 and names.dtype.kind == "U" and values.dtype.kind in "iu"
        )
        if names is not None and known and len(values) and values.min() >= 0 and values.max() < len(names):
            columns[stem] = names[values]
    return columns
