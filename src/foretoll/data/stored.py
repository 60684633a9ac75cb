"""Turn raw arrays and single items into samples as stored, and tell their kind.

Images uint8 (C, H, W); vectors float32 (d,); series float32 (C, L). What the numbers look like decides:

==========================  =====================================================
array (n rows)              becomes
==========================  =====================================================
uint8 (n, H, W[, C])        image; also (n, C, H, W) with C = 1 or 3
int16 (n, L), (n, C, L)     series, scaled by 1/32768 to [−1, 1)
other numbers (n, d)        vector
float (n, S, S), S ≥ 8      image, when all values lie in [0, 1], or are whole ones in 0 … 255
float (n, C, L)             series otherwise
other numbers (n, S, S)     image, when all values lie in 0 … 65535
numbers (n, H, W, C)        image; also (n, C, H, W) with C = 1 or 3
numbers (n, H, W, 4)        colour image with transparency, which is laid on white
==========================  =====================================================

Images of other numbers than uint8 are scaled to 0 … 255 by the first of these ranges that holds all values:
0 … 1, −1 … 1, 0 … 255, 0 … 65535.

`kind=` overrides where it can: (n, d) as series (n, 1, d); (n, H, W) as images; images, divided by 255 and flattened,
as vectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.checks import check_finite
from foretoll.data.items import array_of, check_repeated
from foretoll.errors import DataError

CHANNELS = (1, 3)
SPANS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))  # black and white of images
SLACK = 1e-3  # what rounding may exceed a range by
_LEAST_SIDE = 8  # of a square of numbers that may be a picture
Span = tuple[float, float]


def stored_array(
    values: npt.NDArray[Any], where: str, kind: str | None = None, *, span: Span | None = None
) -> tuple[Tensor, str]:
    """All samples of an array as stored, with their kind. DataError when they cannot be that kind.

    span: black and white of images that are no uint8, where that was learnt from more than these samples.
    """
    if values.dtype.kind not in "iufb":
        raise DataError(f"{where} has values of type {values.dtype}: samples are numbers")
    check_finite(values, where)
    kind = kind or natural_kind(values)
    if kind == "image":
        return _images(values, where, span), kind
    if kind == "vector":
        scale = 255.0 if values.dtype == np.uint8 and values.ndim > 2 else 1.0
        if values.ndim < 2 or values.size == 0:
            raise DataError(
                f"{where} has shape {values.shape}: vectors need (samples, features), at least one of each"
            )
        flat = values.reshape(len(values), -1)
        return _float32(flat, where, scale), kind
    if kind == "series":
        scale = 32768.0 if values.dtype == np.int16 else 1.0
        wide = values[:, None, :] if values.ndim == 2 else values
        if wide.ndim != 3:
            raise DataError(
                f"{where} has shape {values.shape}: series need (samples, length) or (samples, C, length)"
            )
        return _float32(wide, where, scale), kind
    raise DataError(
        f"{where} has shape {values.shape} and type {values.dtype}, which are no {kind or 'known'} data: say "
        "kind=image, kind=series or kind=vector, or store images by astype('uint8')"
    )


def natural_kind(values: npt.NDArray[Any]) -> str | None:
    """What the numbers look like, by the table above; None where that cannot be said."""
    if values.dtype.kind in "ub" and values.dtype.itemsize == 1 and values.ndim in {3, 4}:
        return "image"
    if values.ndim == 2:
        return "series" if values.dtype == np.int16 else "vector"
    if values.ndim == 4:
        return "image"
    if values.ndim != 3:
        return None
    if values.dtype.kind != "f":
        return "series" if values.dtype == np.int16 else "image" if _pictures(values, 65535) else None
    return "image" if _pictures(values, 1) or (_pictures(values, 255) and _whole(values)) else "series"


def _pictures(values: npt.NDArray[Any], white: float) -> bool:
    """Whether samples (n, H, W) are squares of numbers from 0 to white."""
    n, height, width = values.shape
    square = n > 0 and height == width >= _LEAST_SIDE
    return bool(square and values.min() >= 0 and values.max() <= white + SLACK)


def _whole(values: npt.NDArray[Any]) -> bool:
    return all(bool((part == np.rint(part)).all()) for part in values)


def usual_span(low: float, high: float) -> Span | None:
    """The range that image values from `low` to `high` are meant in; None where they are in no usual one."""
    for black, white in SPANS:
        if black - SLACK <= low and high <= white + SLACK:
            # above 1 and yet hardly above it: not 0 … 255, all of it nearly black
            return None if white > 1 and 1 + SLACK < high < 2 else (black, white)
    return None


def span_of(low: float, high: float, where: str) -> Span:
    """Black and white of images with values from `low` to `high`; DataError where they are in no usual range."""
    span = usual_span(low, high)
    if span is not None:
        return span
    raise DataError(
        f"{where} has image values from {low:g} to {high:g}: give uint8, or floats in [0, 1] "
        "(leave normalisation out; the model's own is applied)"
    )


def span_in(parts: Iterable[npt.NDArray[Any]], where: str) -> Span | None:
    """Black and white of images that may lie in several arrays; None where they are uint8 as they are stored."""
    wide = [part for part in parts if part.dtype != np.uint8 and part.size]
    if not wide:
        return None
    for part in wide:
        check_finite(part, where)
    return span_of(float(min(p.min() for p in wide)), float(max(p.max() for p in wide)), where)


def told_span(span: Span | None) -> str:
    """What was taken for black and white, for the line that says how data were read; empty for uint8."""
    return "" if span is None else f", {span[0]:g} … {span[1]:g} as black … white"


def _float32(values: npt.NDArray[Any], where: str, scale: float) -> Tensor:
    with np.errstate(over="ignore"):  # refused below, with the row
        out = np.ascontiguousarray(values, dtype=np.float32)
    if out is values:
        out = values.copy()  # never share memory with what the user handed over
    if scale != 1.0:
        out /= np.float32(scale)
    if values.dtype == np.float64:
        check_finite(out, f"{where}, as float32,")
    return torch.from_numpy(out)


def _images(values: npt.NDArray[Any], where: str, span: Span | None) -> Tensor:
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and (values.shape[3] in CHANNELS or is_rgba(values.shape)):
        values = values.transpose(0, 3, 1, 2)
    elif not (values.ndim == 4 and values.shape[1] in CHANNELS):
        raise DataError(
            f"{where} has shape {values.shape}: images need (n, H, W), (n, H, W, C) with C = 1, 3 or 4 (transparency), "
            "or (n, C, H, W) with C = 1 or 3"
        )
    if 0 in values.shape[1:]:
        raise DataError(f"{where} has images of shape {values.shape[1:]}: no side may be 0")
    bytes_ = _bytes(values, where, span)
    return _on_white(bytes_) if values.shape[1] == 4 else bytes_


def _bytes(values: npt.NDArray[Any], where: str, span: Span | None) -> Tensor:
    """Images (n, C, H, W) as uint8; other numbers by their range."""
    if values.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(values))
    if not values.size:
        return torch.empty(values.shape, dtype=torch.uint8)
    low, high = float(values.min()), float(values.max())
    black, white = span or span_of(low, high, where)
    if low < black - SLACK or high > white + SLACK:
        raise DataError(
            f"{where} has image values from {low:g} to {high:g}, others are in {black:g} … {white:g}: scale all alike"
        )
    out = np.empty(values.shape, dtype=np.uint8)
    for row, sample in enumerate(values):  # one at a time: images of 64-bit numbers take eight times as much
        grey = (sample.astype(np.float64) - black) * (255 / (white - black))
        out[row] = np.rint(grey.clip(0, 255))
    return torch.from_numpy(out)


def is_rgba(shape: tuple[int, ...]) -> bool:
    """Whether arrays (n, H, W, 4) of this shape are colour images with transparency: no other reading fits."""
    return len(shape) == 4 and shape[3] == 4 and shape[1] not in CHANNELS


def told_rgba(shape: tuple[int, ...]) -> str:
    """What is done to transparency, for the line that says how data were read; empty where there is none."""
    return ", transparency on white" if is_rgba(shape) else ""


def _on_white(images: Tensor) -> Tensor:
    """uint8 (n, 4, H, W) as they look on white paper, (n, 3, H, W)."""
    out = torch.empty((len(images), 3, *images.shape[2:]), dtype=torch.uint8)
    for row, image in enumerate(images):  # one at a time, as above
        alpha = image[3].float() / 255
        out[row] = (image[:3].float() * alpha + 255 * (1 - alpha)).round().to(torch.uint8)
    return out


def item_array(value: Any, where: str) -> npt.NDArray[Any] | str:
    """One item's input as a numpy array (PIL images as (H, W[, C]) uint8), or as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        return array_of(value, where)
    if isinstance(value, np.ndarray):
        check_repeated(value, where)
        return value
    if hasattr(value, "convert") and hasattr(value, "size"):  # a PIL image
        mode = "L" if value.mode in {"1", "L", "LA", "I", "F"} else "RGB"
        return np.asarray(value.convert(mode))
    if isinstance(value, (list, tuple, int, float)):
        return array_of(value, where)
    raise DataError(f"{where} is a {type(value).__name__}: samples are images, tensors, arrays or texts")
