"""Shifts that add noise, pixel by pixel (images), value by value (vectors and series).

Images come as float32 (n, C, H, W) in [0, 1]; what leaves [0, 1] is clamped afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.shifts.context import Context, FloatArray


def gaussian_noise(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Add normal noise of standard deviation `level`."""
    noise = context.random.normal(x.shape[1:])
    noise *= np.float32(level)
    if context.kind != "image":
        noise *= context.stats.std
    noise += x
    return noise


def gaussian_noise_released(x: FloatArray, level: float, context: Context) -> npt.NDArray[np.uint8]:
    """Gaussian noise as the released research code of RESQUE and PreIndex writes it: cast to 8 bit unclamped.

    Values beyond the range wrap around (260 becomes 4, −3 becomes 253): white turns black and black white,
    so it is no Gaussian noise any more. Only for reproducing released figures.
    """
    noise = context.random.normal(x.shape[1:])
    noisy = np.rint(x * 255) + noise * np.float32(level * 255)
    wrapped: npt.NDArray[np.uint8] = (np.trunc(noisy).astype(np.int64) & 255).astype(np.uint8)
    return wrapped


def salt_and_pepper(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Set a share `level` of the pixels to black or white (of the values to the feature's low or high)."""
    image = context.kind == "image"
    shape: tuple[int, ...] = (1, *x.shape[2:]) if image else x.shape[1:]
    u = context.random.uniform((2, *shape))
    hit, salt = u[:, 0] < level, u[:, 1] < 0.5
    if image:
        return np.where(hit, salt.astype(np.float32), x)
    extreme = np.where(salt, context.stats.high, context.stats.low)
    return np.where(hit, extreme, x).astype(np.float32)


def impulse_noise(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Replace a share `level` of the values, each channel apart, by random ones.

    Images: uniform over the whole range. Vectors and series: normal with the feature's mean and deviation.
    """
    shape = x.shape[1:]
    if context.kind == "image":
        u = context.random.uniform((2, *shape))
        return np.where(u[:, 0] < level, u[:, 1], x)

    def draw(g: np.random.Generator, _: int) -> Any:
        return np.stack([g.random(shape, dtype=np.float32), g.standard_normal(shape, dtype=np.float32)])

    both = context.random.each((2, *shape), draw)
    value = context.stats.mean + context.stats.std * both[:, 1]
    return np.where(both[:, 0] < level, value, x).astype(np.float32)


NO_NOISE = 1e-6  # far below half of one of 255 steps, and yet of more photons than can be drawn


def shot_noise(x: FloatArray, level: float, context: Context) -> FloatArray:
    """Photon noise: Poisson counts of mean x/level², scaled back; its deviation is level·√x."""
    if level < NO_NOISE:
        return x
    photons = 1.0 / level**2
    return context.random.each(x.shape[1:], lambda g, i: g.poisson(x[i] * photons)) * np.float32(1 / photons)
