"""Shifts of tone: contrast, brightness, inversion."""

from __future__ import annotations

import numpy as np

from foretoll.data.shifts.context import Context, FloatArray


def contrast(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Scale the distance from the mean by `level`: of each image's or series' channel, of each column."""
    if context.kind == "vector":
        shifted: FloatArray = context.stats.mean + (x - context.stats.mean) * np.float32(level)
        return shifted
    axes = tuple(range(2, x.ndim))
    # summed in float64 so that the mean of a sample never depends on how numpy blocks a batch
    mean = x.mean(axis=axes, keepdims=True, dtype=np.float64).astype(np.float32)
    scaled: FloatArray = mean + (x - mean) * np.float32(level)
    return scaled


def brightness(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Add `level` to every value (in deviations of the feature for vectors and series)."""
    if context.kind == "image":
        return x + np.float32(level)
    return x + np.float32(level) * context.stats.std


def inversion(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Blend with the negative: (1 − level)·x + level·(1 − x); about the mean for vectors and series."""
    centre = np.float32(0.5) if context.kind == "image" else context.stats.mean
    return x + np.float32(2 * level) * (centre - x)
