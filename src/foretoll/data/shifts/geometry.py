"""Shifts of place: rotation, translation, occlusion."""

from __future__ import annotations

import math

import numpy as np

from foretoll.data.shifts.context import Context, FloatArray


def rotation(x: FloatArray, level: float, _context: Context) -> FloatArray:
    """Turn counter-clockwise by `level` degrees about the centre, bilinear, empty corners black."""
    import torch
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import rotate

    if level % 360 == 0:
        return x
    turned = rotate(torch.from_numpy(np.ascontiguousarray(x)), level, InterpolationMode.BILINEAR)
    return np.asarray(turned.numpy(), dtype=np.float32)


def translation(x: FloatArray, level: float, _context: Context) -> FloatArray:
    """Move by the share `level` of the side to the right and downwards (later in time), bilinear, zero filled."""
    from scipy.ndimage import shift

    if level == 0:
        return x
    moves = [0.0, 0.0, *(level * side for side in x.shape[2:])]
    return np.asarray(
        shift(x, moves, order=1, mode="grid-constant", cval=0.0, prefilter=False), dtype=np.float32
    )


def occlusion(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Hide a share `level`: a grey square at a random place, a stretch of a series, columns of a vector.

    Hidden values become mid-grey (images) or the feature's mean (vectors and series).
    """
    if context.kind == "vector":
        columns = x.shape[1]
        rank = context.random.uniform((columns,)).argsort(axis=1).argsort(axis=1)
        return np.where(rank < round(level * columns), context.stats.mean, x).astype(np.float32)
    place = context.random.uniform((x.ndim - 2,))
    hidden = np.ones((len(x), *(1,) * (x.ndim - 1)), dtype=bool)
    for axis, side in enumerate(x.shape[2:]):
        length = round(side * (level if x.ndim == 3 else math.sqrt(level)))
        # the far end counts: a start in 0 … side − length
        start = (place[:, axis] * (side - length + 1)).astype(np.int64)[:, None]
        inside = (np.arange(side) >= start) & (np.arange(side) < start + length)
        shape = [len(x), *(1,) * (x.ndim - 1)]
        shape[2 + axis] = side
        hidden = hidden & inside.reshape(shape)
    fill = np.float32(0.5) if context.kind == "image" else context.stats.mean
    return np.where(hidden, fill, x).astype(np.float32)
