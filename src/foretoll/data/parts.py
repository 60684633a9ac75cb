"""Several inputs of a sample in one row of numbers, side by side.

A model may take a picture and the columns of a table, or codes of categories and numbers beside them. Its batch is then
a tree: tensors by name. It is stored as rows (n, d), one after the other, with a record of what stands where
(`InputPart`); whatever reads, divides, limits, moves or counts rows of numbers so does it with trees as well, and the
tree is made again right before the network (`unpacked`). Pictures lie in [0, 1]; codes are whole numbers, exact up to
2²⁴ in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.items import array_of
from foretoll.data.limits import check_memory
from foretoll.data.shifts.registry import SHIFTS, check_kind
from foretoll.data.stored import Span, natural_kind, span_in, stored_array
from foretoll.errors import DataError, UsageError, shown
from foretoll.records import InputPart, Shift

MOST_CODE = 2**24  # whole numbers up to here are themselves in float32
Values = npt.NDArray[Any]


def is_tree(value: Any) -> bool:
    """Whether these are several inputs: a dict, or a tuple of arrays."""
    return isinstance(value, Mapping) or (
        isinstance(value, tuple) and len(value) > 0 and all(hasattr(part, "shape") for part in value)
    )


def leaves_of(value: Any, where: str) -> dict[str, Any]:
    """The inputs by name; those of a tuple by their numbers. Raises DataError for a tree of more than one level."""
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    leaves = {str(name): leaf for name, leaf in pairs}
    for name, leaf in leaves.items():
        if isinstance(leaf, (Mapping, tuple, str)):
            what = "texts" if isinstance(leaf, str) else "inputs of its own"
            raise DataError(
                f"{where}: the input {shown(name, 40)} holds {what}: give arrays of numbers by name"
            )
        if not name or any(sign in name for sign in ".:"):
            raise DataError(f"{where}: {shown(name, 40)} is no name of an input: leave out dots and colons")
    if not leaves:
        raise DataError(f"{where} has no inputs: give arrays of numbers by name")
    return leaves


class Packer:
    """How the leaves of a tree become one row, learnt from some samples of it."""

    def __init__(self, leaves: Mapping[str, Values], where: str) -> None:
        """`leaves`: arrays (n, …) by name."""
        self.where = where
        self.parts = tuple(self._part(name, values) for name, values in leaves.items())
        self._spans: dict[str, Span | None] = {
            part.name: span_in([leaves[part.name]], where) if part.kind == "image" else None
            for part in self.parts
        }

    def __call__(self, leaves: Mapping[str, Values]) -> Tensor:
        """Rows (n, d) float32 of arrays (n, …). Raises DataError where they are other inputs than those learnt from."""
        names = [part.name for part in self.parts]
        if list(leaves) != names and set(leaves) != set(names):
            raise DataError(
                f"{self.where} has the inputs {_listed(leaves)}, and others have {_listed(names)}"
            )
        sizes = {len(leaves[name]) for name in names}
        if len(sizes) > 1:
            raise DataError(
                f"{self.where}: the inputs {_listed(names)} have {sizes} samples: they must be equally many"
            )
        width = sum(part.width for part in self.parts)
        check_memory(4 * width * max(sizes), self.where, "give a part of it")
        return torch.cat([self._rows(part, leaves[part.name]) for part in self.parts], dim=1)

    def _part(self, name: str, values: Values) -> InputPart:
        where = f"{self.where}: {name}"
        if values.ndim < 1 or len(values) == 0:
            raise DataError(f"{where} has shape {values.shape}: it needs samples")
        if values.dtype.kind in "iu" and values.ndim < 3:
            shape = tuple(values.shape[1:])
            return InputPart(name=name, kind="codes", shape=shape, codes=int(values.max(initial=0)) + 1)
        wide = values[:, None] if values.ndim == 1 else values
        stored, kind = stored_array(wide, where, "vector" if wide.ndim == 2 else natural_kind(wide))
        return InputPart(name=name, kind=kind, shape=tuple(stored.shape[1:]))  # type: ignore[arg-type]  # checked

    def _rows(self, part: InputPart, values: Values) -> Tensor:
        where = f"{self.where}: {part.name}"
        if part.kind == "codes":
            if values.dtype.kind not in "iu" or tuple(values.shape[1:]) != part.shape:
                raise DataError(
                    f"{where} has {values.dtype} of shape {values.shape[1:]}, and others codes of {part.shape}"
                )
            if values.size and (int(values.min()) < 0 or int(values.max()) >= MOST_CODE):
                raise DataError(
                    f"{where} has codes outside 0 … {MOST_CODE - 1:,}: number its categories from 0"
                )
            return torch.from_numpy(values.reshape(len(values), -1).astype(np.float32))
        wide = values[:, None] if values.ndim == 1 else values
        stored, _ = stored_array(wide, where, part.kind, span=self._spans[part.name])
        if tuple(stored.shape[1:]) != part.shape:
            raise DataError(
                f"{where} has samples of shape {tuple(stored.shape[1:])}, and others of {part.shape}"
            )
        rows = stored.reshape(len(stored), -1)
        return rows.float() / 255.0 if rows.dtype == torch.uint8 else rows


def packed_arrays(named: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[InputPart, ...]]:
    """Arrays named as in an .npz file (x, y, x_train, …), with each tree among them as rows."""
    trees = {key: leaves_of(value, f"{where}: {key}") for key, value in named.items() if is_tree(value)}
    arrays = {
        key: {name: array_of(leaf, f"{key}: {name}") for name, leaf in leaves.items()}
        for key, leaves in trees.items()
    }
    first = next(iter(arrays.values()))
    packer = Packer(first, where)
    found = {key: packer(leaves).numpy() for key, leaves in arrays.items()}
    return {key: found.get(key, value) for key, value in named.items()}, packer.parts


def item_packer(some: Sequence[Any], where: str) -> tuple[Callable[[Any], Tensor], tuple[InputPart, ...]]:
    """How one item's inputs become a row, learnt from a few items."""
    trees = [leaves_of(item, f"{where}, a sample,") for item in some]
    names = list(trees[0])
    if any(set(tree) != set(names) for tree in trees):
        raise DataError(f"{where}: some samples have other inputs than {_listed(names)}")
    stacked = {name: _stacked([tree[name] for tree in trees], f"{where}: {name}") for name in names}
    packer = Packer(stacked, f"{where}, a sample,")

    def convert(item: Any) -> Tensor:
        leaves = leaves_of(item, packer.where)
        return packer({name: array_of(leaf, name)[None] for name, leaf in leaves.items()})[0]

    return convert, packer.parts


def _stacked(values: Sequence[Any], where: str) -> Values:
    arrays = [array_of(value, where) for value in values]
    if len({array.shape for array in arrays}) > 1:
        raise DataError(f"{where} has samples of several shapes: bring them to one")
    return np.stack(arrays)


def unpacked(rows: Tensor, parts: Sequence[InputPart]) -> dict[str, Tensor]:
    """The tree of a batch of rows (B, d): pictures (B, C, H, W) in [0, 1], codes int64, other numbers float32."""
    tree, start = {}, 0
    for part in parts:
        values = rows[:, start : start + part.width].reshape(len(rows), *part.shape)
        tree[part.name] = values.round().long() if part.kind == "codes" else values
        start += part.width
    return tree


def parts_said(parts: Sequence[InputPart]) -> str:
    """The inputs as they stand in a reading or a message: image (image 1 × 8 × 8), table (vector 5)."""
    sides = [" × ".join(map(str, part.shape)) or "1" for part in parts]
    return ", ".join(f"{shown(p.name, 40)[1:-1]} ({p.kind} {s})" for p, s in zip(parts, sides, strict=True))


def shifted_part(shift: Shift, parts: Sequence[InputPart]) -> InputPart:
    """The input that a shift is meant for: the one that it names, else the only one that it suits (UsageError)."""
    names = [part.name for part in parts]
    if shift.part:
        found = next((part for part in parts if part.name == shift.part), None)
        if found is None:
            raise UsageError(
                f"the data have no input {shown(shift.part, 40)} to shift: there are {_listed(names)}"
            )
        check_kind(shift.kind, found.kind)
        return found
    suited = [part for part in parts if part.kind in SHIFTS[shift.kind].kinds]
    if len(suited) == 1:
        return suited[0]
    if not suited:
        raise UsageError(f"the shift {shift.kind} suits none of the inputs {parts_said(parts)}")
    raise UsageError(
        f"the shift {shift.kind} suits several inputs ({_listed(p.name for p in suited)}): name the one that is meant, "
        f"as in shift={suited[0].name}.{shift.kind}:{shift.level:g}"
    )


def columns_of(part: InputPart, parts: Sequence[InputPart]) -> slice:
    """Where an input stands in a row."""
    start = sum(other.width for other in parts[: list(parts).index(part)])
    return slice(start, start + part.width)


def _listed(names: Any) -> str:
    return ", ".join(shown(str(name), 20) for name in list(names)[:8])


def row_width(parts: Sequence[InputPart]) -> int:
    """Numbers in a row."""
    return sum(math.prod(part.shape) for part in parts)
