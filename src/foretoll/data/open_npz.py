"""`npz:PATH`: x_train, y_train, x_test, y_test, or x, y; and arrays handed over in Python.

Large ones that lie uncompressed on disk stay there: they are mapped when a batch asks for some of their rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.address import DataUri
from foretoll.data.array_rows import ArrayOnDisk, ArrayRows
from foretoll.data.grouped import LAZY_BYTES
from foretoll.data.items import array_of
from foretoll.data.npz_file import ArrayFile, NpyFolder, NpzFile, few, shape_of
from foretoll.data.parts import packed_arrays, parts_said
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData, label_texts, targets_said
from foretoll.data.splits import ArraySplit, DatasetSplit
from foretoll.data.stored import natural_kind, span_in, stored_array, told_rgba, told_span
from foretoll.errors import DataError
from foretoll.tasks import read_targets
from foretoll.tasks.classification import MAX_CLASSES

NAME_KEYS = ("classes", "class_names", "label_names", "names")
_SAMPLES = {"image": "images", "vector": "vectors", "series": "series"}
Arrays = Mapping[str, npt.NDArray[Any]]


def open_npz(uri: DataUri) -> RawData:
    """Read an .npz file without unpickling anything. Extra keys `c_train`, `c_test` or `c` are columns for `where`."""
    check_there(uri)
    path = uri.file
    arrays: ArrayFile = (NpyFolder if path.is_dir() else NpzFile)(path, uri.shown_path)
    if uri.inputs:
        return source_of_trees(_trees(arrays, uri), uri, name=uri.file.stem, where=uri.shown_path)
    return source_of_arrays(arrays, uri, name=uri.file.stem, where=uri.shown_path)


def source_of_arrays(arrays: Arrays, uri: DataUri, *, name: str, where: str) -> RawData:
    """A source from arrays named as in an .npz file."""
    given: npt.NDArray[Any] | None = None
    roles: dict[str, str] = {}
    if "x_train" in arrays and "x_test" in arrays:
        pairs = [("x_train", "y_train"), ("x_test", "y_test")]
        if "x_val" in arrays:
            pairs.insert(1, ("x_val", "y_val"))
        roles = {"x_train": "train", "x_val": "validation", "x_test": "test"}
    elif "x" in arrays:
        pairs = [("x", "y")]
    else:
        raise DataError(f"{where} has {few(arrays)}: it needs x_train, y_train, x_test, y_test, or x, y")
    labelled = [y for _, y in pairs if y in arrays]
    if labelled and len(labelled) < len(pairs):
        missing = ", ".join(y for _, y in pairs if y not in arrays)
        raise DataError(f"{where} has {', '.join(labelled)} but no {missing}: label all splits or none")
    sizes = _check_shapes(arrays, pairs, where)
    if roles:
        given = np.repeat([roles[x] for x, _ in pairs], sizes)
    labels, classes, task = _labels(arrays, labelled, where, uri.task)
    inputs, kind, told, notes = _inputs(arrays, [x for x, _ in pairs], uri.kind, where)
    ids = torch.arange(sum(sizes))
    rows = (
        DatasetSplit(inputs, rows=ids, labels=labels, ids=ids)
        if isinstance(inputs, ArrayRows)
        else ArraySplit(inputs, labels, ids=ids)
    )
    columns = _columns(arrays, [x[1:] for x, _ in pairs], sizes)

    def column(name: str) -> npt.NDArray[Any]:
        if name == "label" and labels is not None:
            return label_texts(labels, classes)
        return _column(arrays, name, columns[name])

    return RawData(
        name=name,
        kind=kind,
        rows=rows,
        classes=classes,
        task=task,
        shape=inputs.shape if isinstance(inputs, ArrayRows) else tuple(inputs.shape[1:]),
        given=given,
        columns=(*columns, *(["label"] if labels is not None and "label" not in columns else [])),
        column=column,
        reading=", ".join(
            (
                told,
                targets_said(classes, task) if labels is not None else "no labels",
                "splits of its own" if given is not None else "no splits of its own",
            )
        ),
        notes=notes,
    )


def source_of_trees(named: Mapping[str, Any], uri: DataUri, *, name: str, where: str) -> RawData:
    """A source whose samples have several inputs: `x`, or each of `x_train`, `x_test`, … is a tree of arrays."""
    rows, parts = packed_arrays(named, where)
    arrays = {key: array_of(value, key) for key, value in rows.items() if value is not None}
    source = source_of_arrays(arrays, replace(uri, kind="vector"), name=name, where=where)
    source.parts = parts
    _, comma, rest = source.reading.partition(", ")
    source.reading = f"{len(source.rows):,} samples of the inputs {parts_said(parts)}{comma}{rest}"
    return source


def _trees(arrays: ArrayFile, uri: DataUri) -> dict[str, Any]:
    """The arrays that are named as inputs as trees, of the whole or by split; the others as they are."""
    found: dict[str, Any] = {}
    used: set[str] = set()
    for suffix in ("_train", "_val", "_test", ""):
        keys = {name: f"{name}{suffix}" for name in uri.inputs}
        if all(key in arrays for key in keys.values()):
            found[f"x{suffix}"] = {name: arrays[key] for name, key in keys.items()}
            used |= set(keys.values())
    if not found:
        raise DataError(
            f"{uri.shown_path} has {few(arrays)}: inputs={','.join(uri.inputs)} names arrays that it has, or that it "
            "has with _train and _test"
        )
    return found | {key: arrays[key] for key in arrays if key not in used}


def arrays_of(values: tuple[Any, ...]) -> dict[str, npt.NDArray[Any]]:
    """Name the arrays or tensors of a tuple: (x, y), or (x_train, y_train, x_test, y_test); y may be None."""
    return {key: array_of(value, key) for key, value in named_arrays(values).items()}


def named_arrays(values: tuple[Any, ...]) -> dict[str, Any]:
    """The values of such a tuple by name, as they are."""
    keys = {2: ("x", "y"), 4: ("x_train", "y_train", "x_test", "y_test")}.get(len(values))
    if keys is None:
        raise DataError(
            f"a tuple of {len(values)} arrays was given: give (x, y) or (x_train, y_train, x_test, y_test), and "
            "several inputs as ((x1, x2), y)"
        )
    return {key: value for key, value in zip(keys, values, strict=True) if value is not None}


def _check_shapes(arrays: Arrays, pairs: list[tuple[str, str]], where: str) -> list[int]:
    """The numbers of samples, by the shapes alone; DataError where samples and labels do not fit together."""
    sizes, first = [], pairs[0][0]
    shapes = {
        key: shape for pair in pairs for key in pair if key in arrays and (shape := _shape(arrays, key))
    }
    for x, y in pairs:
        shape = shapes.get(x, ())
        if len(shape) < 2:
            raise DataError(f"{where}: {x} has shape {shape}: samples need at least one axis of their own")
        if shape[1:] != shapes[first][1:]:
            raise DataError(
                f"{where}: {x} has samples of shape {shape[1:]} and {first} of {shapes[first][1:]}: they must be equal"
            )
        if shape[0] and 0 in shape[1:]:
            raise DataError(f"{where}: {x} has samples of shape {shape[1:]}: no side may be 0")
        if y in arrays and not shapes.get(y):
            raise DataError(f"{where}: {y} is a single value: labels are one class number a sample")
        if y in arrays and shapes[y][0] != shape[0]:
            raise DataError(
                f"{where}: {x} has {shape[0]} samples and {y} {shapes[y][0]} labels: they must be equally many"
            )
        sizes.append(shape[0])
    return sizes


def _shape(arrays: Arrays, key: str) -> tuple[int, ...]:
    """The shape of an array that is needed: where its header cannot be read, unpacking it says why."""
    shape = shape_of(arrays, key)
    return arrays[key].shape if shape is None else shape


def _labels(
    arrays: Arrays, keys: list[str], where: str, task: str | None
) -> tuple[npt.NDArray[Any] | None, tuple[str, ...], str]:
    if not keys:
        return None, (), "classification"
    names = next((arrays[k] for k in NAME_KEYS if k in arrays and len(shape_of(arrays, k) or ()) == 1), None)
    if names is not None and len(names) > MAX_CLASSES:
        raise DataError(
            f"{where} names {len(names):,} classes, and {MAX_CLASSES:,} is the most: leave out those without samples"
        )
    texts = None if names is None else tuple(f"{n:g}" if names.dtype.kind == "f" else str(n) for n in names)
    parts = {key: arrays[key] for key in keys}
    if len(keys) == 1:
        return read_targets(parts[keys[0]], f"{where}: {keys[0]}", names=texts, task=task)
    for key, part in parts.items():  # each apart first, so that a message names the array and its row
        told = read_targets(part, f"{where}: {key}", names=texts, task=task).task
        task = task or (
            told if told != "classification" else None
        )  # one split of whole numbers tells nothing
    if len({part.shape[1:] for part in parts.values()}) > 1:
        parts = {key: part.reshape(-1) for key, part in parts.items()}
    values = np.concatenate(list(parts.values()))
    return read_targets(values, f"{where}: {' and '.join(keys)}", names=texts, task=task)


def _inputs(
    arrays: Arrays, keys: list[str], kind: str | None, where: str
) -> tuple[Tensor | ArrayRows, str, str, tuple[str, ...]]:
    """The inputs, their kind, how they were read, and what to warn of."""
    places = _on_disk(arrays, keys)
    # of arrays that stay on disk a few rows tell kind and range
    parts = [place.some() for place in places] if places else [arrays[key] for key in keys]
    if kind is None and all(part.dtype.kind in "iufb" for part in parts):
        kind = natural_kind(parts[0])
    span = span_in(parts, where) if kind == "image" and all(p.dtype.kind in "iufb" for p in parts) else None
    stored = []
    for key, part in zip(keys, parts, strict=True):
        one, kind = stored_array(
            part, f"{where}: {key}{', a part of it,' if places else ''}", kind, span=span
        )
        stored.append(one)
    inputs: Tensor | ArrayRows = stored[0] if len(stored) == 1 else torch.cat(stored)
    shape, of = parts[0].shape[1:], tuple(stored[0].shape[1:])
    if places:
        inputs = ArrayRows(places, where, str(kind), span, of)
    notes: tuple[str, ...] = ()
    told = f"{len(inputs):,} {_SAMPLES[str(kind)]} of shape {'×'.join(map(str, of))}"
    if kind == "series" and len(shape) == 2:
        told = f"{len(inputs):,} series of {shape[0]:,} channels and {shape[1]:,} steps (kind=image for pictures)"
        if shape[0] > 4 * shape[1]:
            notes = (
                f"{where}: {shape[0]:,} channels and {shape[1]:,} steps were taken from the shape; if the channels "
                "come last, store the samples as (channels, steps)",
            )
    if kind == "image":
        told += told_rgba(parts[0].shape)
    return inputs, str(kind), told + told_span(span), notes


def _on_disk(arrays: Arrays, keys: list[str]) -> list[ArrayOnDisk]:
    """Where the rows of large arrays lie; none where they are small, or do not lie on disk as in memory."""
    if not isinstance(arrays, ArrayFile):
        return []
    places = [
        place for key in keys if (place := arrays.on_disk(key)) is not None and place.dtype.kind in "iufb"
    ]
    large = len(places) == len(keys) and sum(place.nbytes for place in places) > LAZY_BYTES
    return places if large and all(place.nbytes for place in places) else []


def _columns(arrays: Arrays, suffixes: list[str], sizes: list[int]) -> dict[str, list[str]]:
    """Extra columns, found by shapes alone: those with one value a row, in one array or in one for each split."""
    columns: dict[str, list[str]] = {}
    stems = {key.removesuffix(suffixes[0]) for key in arrays if suffixes[0] and key.endswith(suffixes[0])}
    for stem in sorted(stems - {"x", "y"}):
        keys = [stem + suffix for suffix in suffixes]
        if all(k in arrays and shape_of(arrays, k) == (n,) for k, n in zip(keys, sizes, strict=True)):
            columns[stem] = keys
    for key in arrays:
        if key not in {"x", "y", *NAME_KEYS} and shape_of(arrays, key) == (sum(sizes),):
            columns[key] = [key]
    return columns


def _column(arrays: Arrays, stem: str, keys: list[str]) -> npt.NDArray[Any]:
    """The values of a column; numbers are named by a list of texts `<column>s` or `<column>_names`."""
    values = np.concatenate([arrays[key] for key in keys])
    names = next((arrays[k] for k in (f"{stem}s", f"{stem}_names") if k in arrays), None)
    if names is None or names.ndim != 1 or names.dtype.kind != "U" or values.dtype.kind not in "iu":
        return values
    known = len(values) and values.min() >= 0 and values.max() < len(names)
    return np.asarray(names[values]) if known else values
