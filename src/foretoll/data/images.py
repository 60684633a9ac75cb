"""Encoded images: decode with Pillow, bring to one size and one number of channels."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foretoll.errors import DataError

_LOOK = 256  # images whose header is read to learn size and channels
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "F"}


class ImageForm(NamedTuple):
    """What every stored image of a source is brought to."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)


def decode_threads(form: ImageForm) -> int:
    """Threads for decoding: Pillow releases the interpreter lock, which pays for all but tiny images."""
    return min(8, os.cpu_count() or 1) if form.height * form.width >= 96 * 96 else 1


class EncodedImages:
    """A map-style Dataset of encoded images: each item is the bytes or the path of one image file."""

    def __init__(
        self, items: Sequence[bytes | Path | None] | Callable[[int], Any], size: int, name: str
    ) -> None:
        self.items = items
        self.size = size
        self.name = name

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int) -> Any:
        """The opened, not yet decoded, picture of one row."""
        from PIL import Image

        content = self.items(row) if callable(self.items) else self.items[row]
        if content is None:
            raise DataError(f"{self.where(row)} is missing: remove that row")
        try:
            return Image.open(io.BytesIO(content if isinstance(content, bytes) else content.read_bytes()))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise self.unreadable(row) from error

    def where(self, row: int) -> str:
        """The row in words, for messages."""
        content = None if callable(self.items) else self.items[row]
        return f"{content}" if isinstance(content, Path) else f"{self.name}: the image of row {row}"

    def unreadable(self, row: int) -> DataError:
        """The error for bytes that are no image."""
        return DataError(f"{self.where(row)} is no readable image: remove or replace it")


class DecodedImages:
    """A map-style Dataset over EncodedImages whose items are uint8 tensors (C, H, W) of one form."""

    def __init__(self, encoded: EncodedImages, form: ImageForm) -> None:
        self.encoded = encoded
        self.form = form

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> Tensor:
        """Decode one row."""
        picture = self.encoded[row]
        try:
            return to_form(picture, self.form)
        except (OSError, ValueError, SyntaxError) as error:
            raise self.encoded.unreadable(row) from error


def to_form(picture: Any, form: ImageForm) -> Tensor:
    """A PIL image as uint8 (C, H, W); other sizes are resized (bilinear, antialiased)."""
    from PIL import Image

    mode = "L" if form.channels == 1 else "RGB"
    if picture.mode in {"I", "I;16"}:  # 16-bit grey: convert() would clip at 255
        wide = np.asarray(picture, dtype=np.float64)
        picture = Image.fromarray(np.clip(wide / 257, 0, 255).round().astype(np.uint8))
    elif picture.mode != mode:
        picture = picture.convert(mode)
    if picture.size != (form.width, form.height):
        picture = picture.resize((form.width, form.height), Image.Resampling.BILINEAR)
    pixels = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1).copy())


def learn_form(encoded: EncodedImages, size: tuple[int, int] | None = None) -> ImageForm:
    """The form of a source: colour if any of up to 256 evenly spaced images has colour; the commonest size.

    Only headers are read. `size` (height, width) overrides the size.
    """
    if len(encoded) == 0:
        raise DataError(f"{encoded.name} has no images: give one with images")
    rows = np.unique(np.linspace(0, len(encoded) - 1, _LOOK).astype(int)).tolist()
    sizes: dict[tuple[int, int], int] = {}
    colour = False
    for row in rows:
        picture = encoded[row]
        height_width = (picture.height, picture.width)
        sizes[height_width] = sizes.get(height_width, 0) + 1
        colour = colour or picture.mode not in _GREY_MODES
        picture.close()
    height, width = size or max(sizes, key=lambda key: (sizes[key], key))
    return ImageForm(3 if colour else 1, height, width)
