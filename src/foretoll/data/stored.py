"""Turn raw arrays and single items into samples as stored, and tell their kind.

Images uint8 (C, H, W); vectors float32 (d,); series float32 (C, L). What the numbers look like decides:

======================  =========================================================
array (n rows)          becomes
======================  =========================================================
uint8 (n, H, W[, C])    image; also (n, C, H, W) with C = 1 or 3
int16 (n, L)            series (n, 1, L), scaled by 1/32768 to [−1, 1)
other numbers (n, d)    vector
float (n, C, L)         series
float (n, H, W, C)      image, when all values lie in [0, 1]
======================  =========================================================

`kind=` overrides where it can: (n, d) as series (n, 1, d); (n, H, W) floats in [0, 1] as images; images,
divided by 255 and flattened, as vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foretoll.data.checks import check_finite
from foretoll.errors import DataError

CHANNELS = (1, 3)


def stored_array(values: npt.NDArray[Any], where: str, kind: str | None = None) -> tuple[Tensor, str]:
    """All samples of an array as stored, with their kind. DataError when they cannot be that kind."""
    if values.dtype.kind not in "iufb":
        raise DataError(f"{where} has values of type {values.dtype}: samples are numbers")
    check_finite(values, where)
    kind = kind or _natural_kind(values)
    if kind == "image":
        return _images(values, where), kind
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
        f"{where} has shape {values.shape} and type {values.dtype}, which are no {kind or 'known'} data"
    )


def _natural_kind(values: npt.NDArray[Any]) -> str | None:
    if values.dtype == np.uint8 and values.ndim in {3, 4}:
        return "image"
    if values.ndim == 2:
        return "series" if values.dtype == np.int16 else "vector"
    if values.dtype.kind == "f" or values.dtype == np.int16:
        return {3: "series", 4: "image"}.get(values.ndim)
    return None


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


def _images(values: npt.NDArray[Any], where: str) -> Tensor:
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and values.shape[3] in CHANNELS:
        values = values.transpose(0, 3, 1, 2)
    elif not (values.ndim == 4 and values.shape[1] in CHANNELS):
        raise DataError(
            f"{where} has shape {values.shape}: images need (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3"
        )
    if 0 in values.shape[1:]:
        raise DataError(f"{where} has images of shape {values.shape[1:]}: no side may be 0")
    if values.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(values))
    if values.dtype.kind != "f":
        raise DataError(f"{where} has values of type {values.dtype}: images are uint8, or floats in [0, 1]")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < 0 or high > 1:
        raise DataError(
            f"{where} has image values from {low:g} to {high:g}: give uint8, or floats in [0, 1] "
            "(leave normalisation out; the model's own is applied)"
        )
    return torch.from_numpy(np.ascontiguousarray(np.rint(values * 255).astype(np.uint8)))


def item_array(value: Any, where: str) -> npt.NDArray[Any] | str:
    """One item's input as a numpy array (PIL images as (H, W[, C]) uint8), or as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        return np.asarray(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "convert") and hasattr(value, "size"):  # a PIL image
        mode = "L" if value.mode in {"1", "L", "LA", "I", "F"} else "RGB"
        return np.asarray(value.convert(mode))
    if isinstance(value, (list, tuple, int, float)):
        return np.asarray(value)
    raise DataError(f"{where} is a {type(value).__name__}: samples are images, tensors, arrays or texts")
