"""Shifts of recording: pixelate, JPEG, frost."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from foretoll.data.shifts.context import Context, FloatArray


def pixelate(x: FloatArray, level: float, _context: Context) -> FloatArray:
    """Reduce each side (the length of a series) by the factor `level`, by area means, and enlarge it again.

    Both by exact fractional overlap, as Pillow's BOX filter does.
    """
    out = x
    for axis in range(2, x.ndim):
        side = x.shape[axis]
        small = max(1, round(side / level))
        if small < side:
            out = np.moveaxis(np.moveaxis(out, axis, -1) @ _through(side, small), -1, axis)
    return np.ascontiguousarray(out)


@lru_cache(maxsize=16)
def _through(side: int, small: int) -> FloatArray:
    """The matrix (side, side) of area means over `small` equal cells and back."""
    pixels, cells = np.arange(side + 1) * small, np.arange(small + 1) * side
    overlap = np.minimum(pixels[1:, None], cells[None, 1:]) - np.maximum(pixels[:-1, None], cells[None, :-1])
    overlap = np.maximum(overlap, 0).astype(np.float64)
    return np.asarray((overlap / side) @ (overlap / small).T, dtype=np.float32)


def jpeg(x: FloatArray, level: float, _context: Context) -> npt.NDArray[np.uint8]:
    """Write as JPEG of quality `level` (1 to 95) and read back, with Pillow."""
    from PIL import Image

    stored = np.rint(x * 255).astype(np.uint8)
    out = np.empty_like(stored)
    grey = stored.shape[1] == 1
    for i, sample in enumerate(stored):
        buffer = io.BytesIO()
        picture = Image.fromarray(sample[0] if grey else np.ascontiguousarray(sample.transpose(1, 2, 0)))
        picture.save(buffer, "JPEG", quality=round(level))
        decoded = np.asarray(Image.open(buffer))
        out[i] = decoded[None] if grey else decoded.transpose(2, 0, 1)
    return out


def frost(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Lay ice of opacity `level` over the image: a random cut of one fixed, computed texture."""
    height, width = x.shape[-2:]
    texture = frost_texture(max(64, 2 ** int(np.ceil(np.log2(2 * max(height, width))))))
    size = texture.shape[0]
    place = (context.random.uniform((2,)) * size).astype(np.int64)
    rows = (place[:, 0, None] + np.arange(height)) % size
    columns = (place[:, 1, None] + np.arange(width)) % size
    ice = texture[rows[:, :, None], columns[:, None, :]][:, None]
    # a little blue where there are colours
    tint = np.array([0.90, 0.96, 1.0] if x.shape[1] == 3 else [0.96] * x.shape[1], dtype=np.float32)
    cover = np.float32(level) * (np.float32(0.35) + np.float32(0.65) * ice)
    iced: FloatArray = x + cover * (
        tint[None, :, None, None] * (np.float32(0.55) + np.float32(0.45) * ice) - x
    )
    return iced


@lru_cache(maxsize=4)
def frost_texture(size: int) -> FloatArray:
    """A periodic texture (size, size) in [0, 1]: ridges of 1/f noise at several scales, like ice needles.

    The same on every machine: seeded by the size alone.
    """
    random = np.random.Generator(np.random.Philox(key=size))
    frequency = np.fft.fftfreq(size) * size
    radius = np.hypot(frequency[:, None], frequency[None, :])
    texture = np.zeros((size, size))
    for octave in range(4):
        centre = size / 32 * 2**octave
        band = np.exp(-(np.log2(np.maximum(radius, 0.5) / centre) ** 2))
        spectrum = np.fft.fft2(random.standard_normal((size, size))) * band
        noise = np.fft.ifft2(spectrum).real
        texture += (1 - np.minimum(np.abs(noise) / noise.std(), 1)) ** 2 / 1.6**octave
    ranks = texture.ravel().argsort().argsort().reshape(size, size)
    return np.asarray((ranks / (ranks.size - 1)) ** 1.5, dtype=np.float32)
