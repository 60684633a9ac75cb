"""Shifts that lose detail: Gaussian, defocus and motion blur."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from foretoll.data.shifts.context import Context, FloatArray

DIRECTIONS = 16  # of motion blur over the half circle; each sample gets one


NO_BLUR = 0.05  # below it the weight of the next pixel is exp(−200), and that of a tiny level divides by zero


def gaussian_blur(x: FloatArray, level: float, _context: Context) -> FloatArray:
    """Blur with a Gaussian of standard deviation `level`: pixels, or samples of a series along time."""
    from scipy.ndimage import gaussian_filter1d

    if level < NO_BLUR:
        return x
    out = gaussian_filter1d(x, level, axis=-1, mode="nearest")
    if x.ndim == 4:
        out = gaussian_filter1d(out, level, axis=-2, mode="nearest")
    return np.asarray(out, dtype=np.float32)


def defocus_blur(x: FloatArray, level: float, _context: Context) -> FloatArray:
    """Mean over a disc of radius `level` pixels, with an antialiased edge."""
    reach = math.ceil(level)
    grid = np.arange(-reach, reach + 1, dtype=np.float64)
    distance = np.hypot(grid[:, None], grid[None, :])
    kernel = np.clip(level + 0.5 - distance, 0.0, 1.0) if level > 0 else (distance == 0).astype(np.float64)
    return _weighted(x, kernel / kernel.sum())


def motion_blur(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Mean along a straight line of `level` pixels to either side; its direction is drawn for each sample."""
    drawn = np.minimum(context.random.uniform((1,))[:, 0] * DIRECTIONS, DIRECTIONS - 1).astype(np.int64)
    out = np.empty_like(x)
    for direction in range(DIRECTIONS):
        chosen = drawn == direction
        if chosen.any():
            out[chosen] = _weighted(x[chosen], _line(level, math.pi * direction / DIRECTIONS))
    return out


def _line(level: float, angle: float) -> npt.NDArray[np.float64]:
    """Weights of a line through the centre, each of its points shared bilinearly between four pixels."""
    reach = math.ceil(level) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for t in np.linspace(-level, level, 4 * reach + 1):
        row, column = reach + t * math.sin(angle), reach + t * math.cos(angle)
        top, left = math.floor(row), math.floor(column)
        down, right = row - top, column - left
        for y, x, weight in (
            (top, left, (1 - down) * (1 - right)),
            (top, left + 1, (1 - down) * right),
            (top + 1, left, down * (1 - right)),
            (top + 1, left + 1, down * right),
        ):
            if weight > 0:
                kernel[y, x] += weight
    return np.asarray(kernel / kernel.sum())


def _weighted(x: FloatArray, kernel: npt.NDArray[np.float64]) -> FloatArray:
    """Correlate every (H, W) plane with a small kernel, edges repeated.

    One shifted copy per non-zero weight: a fixed order of additions for each pixel, whatever the batch.
    """
    reach = kernel.shape[0] // 2
    height, width = x.shape[-2:]
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    out = np.zeros_like(x)
    for row, column in np.argwhere(kernel > 1e-6).tolist():
        out += padded[..., row : row + height, column : column + width] * np.float32(kernel[row, column])
    return out
