"""A shift of one of several inputs: of its own columns in the rows, by what that input is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.parts import columns_of, shifted_part
from foretoll.data.shifts.apply import apply_shift, transformed
from foretoll.data.shifts.context import FloatArray, Reference
from foretoll.data.shifts.registry import check_level
from foretoll.data.splits import Inputs, Split
from foretoll.errors import UsageError
from foretoll.records import InputPart, Shift


def shift_tree(
    split: Split,
    shifts: Sequence[Shift],
    parts: Sequence[InputPart],
    *,
    seed: int,
    reference: Reference | None = None,
    before: Sequence[Shift] = (),
) -> Split:
    """The split with these shifts applied in turn, each to the input that it names; else as `shift_split`."""
    seen = Counter(shift.kind for shift in before)
    steps: list[tuple[Shift, int, InputPart]] = []
    for shift in shifts:
        check_level(shift.kind, shift.level)
        steps.append((shift, seen[shift.kind], shifted_part(shift, parts)))
        seen[shift.kind] += 1

    def transform(inputs: Inputs, ids: Tensor) -> Inputs:
        if not isinstance(inputs, Tensor):
            raise UsageError(
                "only rows of several inputs can be shifted by input, and these samples are text"
            )
        rows = inputs.clone()
        for shift, occurrence, part in steps:
            where = columns_of(part, parts)
            stored = rows[:, where].reshape(len(rows), *part.shape)
            if part.kind == "image":
                stored = (stored * 255).round().to(torch.uint8)
            moved = apply_shift(
                stored.contiguous(),
                shift,
                kind=part.kind,
                ids=ids,
                seed=seed,
                occurrence=occurrence,
                reference=None if reference is None else _of_part(reference, part, where),
            )
            if moved is not stored:
                flat = moved.reshape(len(rows), -1)
                rows[:, where] = flat.float() / 255.0 if part.kind == "image" else flat
        return rows

    return transformed(split, transform)


def _of_part(whole: Reference, part: InputPart, where: slice) -> Reference:
    """The statistics of one input: of a vector by column, of a series over the positions of each channel."""
    columns = (whole.mean[where], whole.std[where], whole.low[where], whole.high[where])
    if part.kind != "series":
        return Reference(*columns)
    mean, std, low, high = (values.reshape(part.shape).astype(np.float64) for values in columns)
    middle = mean.mean(1)
    spread = np.sqrt(np.maximum((std**2 + mean**2).mean(1) - middle**2, 0))

    def shaped(values: npt.NDArray[np.float64]) -> FloatArray:
        return values.astype(np.float32)[:, None]

    return Reference(shaped(middle), shaped(spread), shaped(low.min(1)), shaped(high.max(1)))
