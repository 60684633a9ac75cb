"""Apply shifts to stored samples: to a batch of tensors, or to a whole split, in memory or lazy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from foretoll.data.shifts.context import Context, Reference, SampleRandom
from foretoll.data.shifts.registry import SHIFTS, check_kind, check_level
from foretoll.data.splits import ArraySplit, DatasetSplit, Inputs, Split
from foretoll.errors import DataError, UsageError
from foretoll.records import Shift

_CHUNK_BYTES = 32_000_000  # of float32 working memory per step


def apply_shift(
    inputs: Tensor,
    shift: Shift,
    *,
    kind: str,
    ids: Tensor | None = None,
    seed: int = 0,
    occurrence: int = 0,
    reference: Reference | None = None,
) -> Tensor:
    """Shift stored samples: uint8 images (n, C, H, W), float32 vectors (n, d) or series (n, C, L).

    The result for a sample depends on (seed, shift, its id) only, where `ids` (default 0 … n − 1) are the
    samples' numbers in their data set; `occurrence` tells apart the same kind of shift used twice. Images
    are clamped and rounded back to uint8. `reference` is needed for vectors and series (default: from
    `inputs`). A level that changes nothing returns the inputs themselves.
    """
    check_level(shift.kind, shift.level)
    check_kind(shift.kind, kind)
    spec = SHIFTS[shift.kind]
    _check_inputs(inputs, kind)
    if spec.identity is not None and shift.level == spec.identity:
        return inputs
    numbers = torch.arange(len(inputs)) if ids is None else ids
    if kind != "image" and reference is None:
        reference = Reference.of(inputs.numpy())
    if len(inputs) == 0:
        return inputs
    size = max(1, _CHUNK_BYTES // (4 * max(1, inputs[0].numel())))
    out = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    for start in range(0, len(inputs), size):
        part = inputs[start : start + size].numpy()
        random = SampleRandom(seed, f"{shift.kind}/{occurrence}", numbers[start : start + size].numpy())
        context = Context(kind, random, reference)
        samples = part.astype(np.float32) / np.float32(255) if kind == "image" else part
        shifted = spec.function(samples, shift.level, context)
        if kind == "image" and shifted.dtype != np.uint8:
            shifted = np.rint(np.clip(shifted, 0, 1) * np.float32(255)).astype(np.uint8)
        out[start : start + size] = torch.from_numpy(np.ascontiguousarray(shifted))
    return out


def shift_split(
    split: Split,
    shifts: Sequence[Shift],
    *,
    kind: str,
    seed: int,
    reference: Reference | None = None,
    before: Sequence[Shift] = (),
) -> Split:
    """The split with these shifts applied in turn: at once when in memory, batch by batch when lazy.

    `before` are the shifts that the split already has.
    """
    seen = Counter(shift.kind for shift in before)
    steps: list[tuple[Shift, int]] = []
    for shift in shifts:
        check_level(shift.kind, shift.level)
        check_kind(shift.kind, kind)
        steps.append((shift, seen[shift.kind]))
        seen[shift.kind] += 1

    def transform(inputs: Inputs, ids: Tensor) -> Inputs:
        for shift, occurrence in steps:
            if not isinstance(inputs, Tensor):
                raise UsageError(f"shift {shift.kind} is for tensors, and these samples are text")
            inputs = apply_shift(
                inputs, shift, kind=kind, ids=ids, seed=seed, occurrence=occurrence, reference=reference
            )
        return inputs

    if not steps:
        return split
    return transformed(split, transform)


def transformed(split: Split, transform: Callable[[Inputs, Tensor], Inputs]) -> Split:
    """The split with its inputs through `transform(inputs, ids)`: arrays at once, data sets as they are read."""
    if isinstance(split, ArraySplit):
        return ArraySplit(
            transform(split.inputs, split.ids),
            split.labels,
            ids=split.ids if split.explicit_ids else None,
        )
    if isinstance(split, DatasetSplit):
        return split.with_transform(transform)
    raise UsageError(f"a {type(split).__name__} cannot be shifted: use an ArraySplit or a DatasetSplit")


def _check_inputs(inputs: Tensor, kind: str) -> None:
    dims = {"image": 4, "vector": 2, "series": 3}[kind]
    dtype = torch.uint8 if kind == "image" else torch.float32
    if inputs.ndim != dims or inputs.dtype != dtype:
        raise DataError(
            f"{kind} samples must be {dims}-D {str(dtype).removeprefix('torch.')}, not {inputs.ndim}-D "
            f"{str(inputs.dtype).removeprefix('torch.')}"
        )
