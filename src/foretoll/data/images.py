"""Encoded images: decoded with Pillow as their file says, brought to one size and one number of channels.

As a viewer shows them: turned as EXIF says, what is transparent on white, wide numbers scaled to 8 bits. One picture
at a time is decoded in full by each thread, as many at once as fit into a bounded room; only the resized ones are
stacked.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from foretoll.data.fitting import Fitted, Several, as_tensor
from foretoll.data.limits import Room
from foretoll.data.stored import usual_span
from foretoll.errors import DataError, is_out_of_memory, shown

# What is read, by Pillow's names: no format that runs another program (EPS) or that no photograph comes in.
_FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "DIB",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "ICO",
    "TGA",
    "PCX",
    "QOI",
)
_LOOK = 20_000  # images whose header is read, evenly spaced, to learn sizes and channels
_WIDE_LOOK = 32  # images of wide numbers that are decoded to learn their range
MOST_PIXELS = 512 * 768  # larger images are kept at this many, unless size= says otherwise
_DECODING = 192_000_000  # bytes of decoded pictures that threads may hold at a time
_room = Room(_DECODING)
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
_ORIENTATION = 0x0112


class ImageForm(NamedTuple):
    """What every stored image of a source is brought to.

    low, high: the values of 32-bit integers and floats that become 0 and 255.
    fitted: how each picture is brought to that size; None: it is resized to it, whatever its shape.
    """

    channels: int
    height: int
    width: int
    low: float = 0.0
    high: float = 255.0
    fitted: Fitted | None = None

    def by(self, fitted: Fitted) -> ImageForm:
        """The same, with each picture brought to another size by itself."""
        return self._replace(height=fitted.height, width=fitted.width, fitted=fitted)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)


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
            raise DataError(
                f"{self.where(row)} is missing: remove that row, or leave such rows out by skip_unreadable=true"
            )
        try:
            source = io.BytesIO(content) if isinstance(content, bytes) else content
            return Image.open(source, formats=_formats())
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(
                f"{self.where(row)} has more than {_most() / 1e6:.0f} megapixels: make it smaller, or remove it"
            ) from error
        except Exception as error:  # damaged files make Pillow raise nearly everything
            raise self.unreadable(row, error) from error

    def where(self, row: int) -> str:
        """The row in words, for messages."""
        content = None if callable(self.items) else self.items[row]
        if isinstance(content, Path):
            path = str(content)
            return path if path.isprintable() and len(path) <= 160 else shown(path, 160)
        return f"{self.name}: the image of row {row}"

    def unreadable(self, row: int, error: BaseException) -> DataError:
        """The error for bytes that are no image."""
        if isinstance(error, DataError):
            return error
        if is_out_of_memory(error):
            return DataError(f"{self.where(row)} takes more memory than there is: make it smaller")
        if isinstance(error, _PixelError):
            return DataError(f"{self.where(row)} {error}")
        return DataError(
            f"{self.where(row)} is no readable image: replace it, or leave such ones out by skip_unreadable=true"
        )


class DecodedImages(Several):
    """A map-style Dataset over EncodedImages whose items are uint8 tensors (C, H, W) of one form.

    several, told, eager: see `Several`
    """

    def __init__(
        self,
        encoded: EncodedImages,
        form: ImageForm,
        *,
        several: bool = False,
        told: str = "",
        eager: bool = False,
    ) -> None:
        self.encoded = encoded
        self.form = form
        self.several, self.told, self.eager = several, told, eager

    def fitted(self, fitted: Fitted) -> DecodedImages:
        """The same pictures, each brought to size by itself."""
        return DecodedImages(self.encoded, self.form.by(fitted))

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> Tensor:
        """Decode one row."""
        with self.encoded[row] as picture:
            try:
                return to_form(picture, self.form)
            except Exception as error:
                raise self.encoded.unreadable(row, error) from error


class _PixelError(ValueError):
    """The pixels of a picture cannot be used; the message follows the picture's name."""


class ToForm(Several):
    """`to_form` for pictures that a data set hands out; several, told: see `Several`."""

    def __init__(self, form: ImageForm, *, several: bool = False, told: str = "") -> None:
        self.form, self.several, self.told = form, several, told

    def __call__(self, picture: Any) -> Tensor:
        """A PIL image as uint8 (C, H, W)."""
        return to_form(picture, self.form)

    def fitted(self, fitted: Fitted) -> ToForm:
        """The same for pictures that are brought to size one by one."""
        return ToForm(self.form.by(fitted))


def to_form(picture: Any, form: ImageForm) -> Tensor:
    """A PIL image as uint8 (C, H, W); other sizes are resized (bilinear, antialiased), or as `form.fitted` says."""
    from PIL import Image

    if form.fitted is not None:
        return _to_fitted(picture, form, form.fitted)
    width, height = form.width, form.height
    # JPEG is decoded at a half, a quarter or an eighth where that is still twice as large as what is wanted. A picture
    # whose EXIF turns it by 90° has its sides exchanged, and where the tag stands is not always known before decoding
    draft = getattr(picture, "draft", None)
    if draft is not None:
        most = max(width, height)
        draft(None, (2 * width, 2 * height) if width == height else (2 * most, 2 * most))
    with _room.taken(_decoded_bytes(picture)):
        picture.load()
        turn = _orientation(picture)
        size = (height, width) if turn is not None and turn in _SWAPPING else (width, height)
        picture = _in_mode("L" if form.channels == 1 else "RGB", picture, size, form)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
    if turn is not None:
        picture = picture.transpose(turn)
    return as_tensor(picture)


def _to_fitted(picture: Any, form: ImageForm, fitted: Fitted) -> Tensor:
    """A PIL image turned upright at its own size, then resized once."""
    have = (picture.height, picture.width)
    draft = getattr(picture, "draft", None)
    if draft is not None and fitted.fit != "none":  # as below, for both ways that EXIF may turn it
        rows, columns = fitted.wanted(have)
        turned_rows, turned_columns = fitted.wanted(have[::-1])
        draft(None, (2 * max(columns, turned_rows), 2 * max(rows, turned_columns)))
    drafted = (picture.height, picture.width) != have
    with _room.taken(_decoded_bytes(picture)):
        picture.load()
        if not drafted:
            have = (picture.height, picture.width)  # Pillow turns a TIFF when it loads it
        turn = _orientation(picture)
        picture = _in_mode("L" if form.channels == 1 else "RGB", picture, picture.size, form)
        if turn is not None:
            picture = picture.transpose(turn)
            have = have[::-1] if turn in _SWAPPING else have
        return as_tensor(fitted.apply(picture, have))


def _decoded_bytes(picture: Any) -> int:
    """What an opened picture takes decoded: four bytes a pixel, and copies where transparency is laid on white."""
    alpha = not _is_wide(picture) and picture.has_transparency_data
    return 4 * int(picture.width) * int(picture.height) * (3 if alpha else 1)


def _in_mode(mode: str, picture: Any, size: tuple[int, int], form: ImageForm) -> Any:
    """Grey or RGB; what is transparent lies on white (then already resized), wide numbers are scaled to 8 bits."""
    from PIL import Image

    if _is_wide(picture):
        return Image.fromarray(_eight_bits(picture, form)).convert(mode)
    if not picture.has_transparency_data:
        return picture if picture.mode == mode else picture.convert(mode)
    if picture.mode != "RGBA":
        picture = picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")
    if picture.size != size:  # Pillow weighs by alpha: what is invisible has no colour
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture)  # the values of `alpha_composite` in a third of its time
    return white if mode == "RGB" else white.convert(mode)


def _is_wide(picture: Any) -> bool:
    return bool(picture.mode in {"I", "F"} or picture.mode.startswith("I;"))


def _eight_bits(picture: Any, form: ImageForm) -> npt.NDArray[np.uint8]:
    """16-bit grey by its full range, other wide numbers by the range that was learnt; `convert` would clip at 255."""
    pixels = np.asarray(picture)
    low, high = (0.0, 65535.0) if _is_16_bit(picture) else (form.low, form.high)
    out = np.empty(pixels.shape, dtype=np.uint8)
    rows = max(1, 4_000_000 // max(pixels.shape[1], 1))  # bounds the working memory
    for start in range(0, len(pixels), rows):
        wide = pixels[start : start + rows].astype(np.float32)
        if not np.isfinite(wide).all():
            raise _PixelError("has NaN or infinite pixels: fill them, or remove the image")
        out[start : start + rows] = np.clip((wide - low) * (255 / (high - low)), 0, 255).round()
    return out


def _is_16_bit(picture: Any) -> bool:
    # earlier versions of Pillow open 16-bit PNG in mode I
    return bool(picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"))


def _orientation(picture: Any) -> Any:
    """How Pillow must transpose the picture to show it as EXIF says; None where it stands upright."""
    from PIL.Image import Transpose

    if picture.format == "TIFF":  # which Pillow turns by itself
        return None
    if not {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"} & set(picture.info):
        return None
    try:
        value = picture.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001  (damaged metadata; the picture itself may be whole)
        return None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(value) if isinstance(value, int) else None


_SWAPPING = (2, 4, 5, 6)  # PIL.Image.Transpose: ROTATE_90, ROTATE_270, TRANSPOSE, TRANSVERSE


class Look:
    """What a source's pictures have in common, learnt from their headers; `form` and `told` are the outcome.

    rows: how many pictures there are; they may be more than were looked at.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self.seen = rows, 0
        self.sizes: Counter[tuple[int, int]] = Counter()  # (height, width) as shown
        self.colour = False
        self.turned = self.alpha = 0
        self.wide: list[int] = []
        self.low, self.high = 0.0, 255.0

    def add(self, row: int, picture: Any) -> None:
        """Look at the header of one opened picture."""
        self.seen += 1
        turn = _orientation(picture)
        self.turned += turn is not None
        swapped = turn is not None and turn in _SWAPPING
        self.sizes[(picture.width, picture.height) if swapped else (picture.height, picture.width)] += 1
        self.colour = self.colour or not (picture.mode in _GREY_MODES or _is_wide(picture))
        self.alpha += not _is_wide(picture) and bool(picture.has_transparency_data)
        if _is_wide(picture) and not _is_16_bit(picture):
            self.wide.append(row)

    def range_of(self, pictures: Iterable[Any]) -> None:
        """Learn which range of wide numbers becomes 0 … 255, from some of those pictures."""
        ends = [(float(np.min(p)), float(np.max(p))) for p in map(np.asarray, pictures)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        self.low, self.high = usual_span(low, high) or (low, high if high > low else low + 1)

    @property
    def commonest(self) -> tuple[int, int]:
        """(height, width) of most pictures."""
        return max(self.sizes, key=lambda key: (self.sizes[key], key))

    def form(self, size: tuple[int, int] | None) -> ImageForm:
        """Colour if any picture has colour; the commonest size, or `size`, or where that is too large a smaller one."""
        height, width = size or _within(self.commonest)
        return ImageForm(3 if self.colour else 1, height, width, self.low, self.high)

    @property
    def threads(self) -> int:
        """Threads for decoding: Pillow releases the interpreter lock, which pays for all but tiny pictures.

        One for very large ones: what each thread has decoded would stay with its own part of the heap.
        """
        height, width = self.commonest
        if 4 * height * width * (3 if self.alpha else 1) > _DECODING // 2:
            return 1
        return min(8, os.cpu_count() or 1) if height * width >= 96 * 96 else 1

    def several(self, size: tuple[int, int] | None) -> bool:
        """Whether pictures are brought to another size than theirs without anybody's word."""
        form = self.form(size)
        return size is None and (len(self.sizes) > 1 or self.commonest != (form.height, form.width))

    def told_size(self, size: tuple[int, int] | None) -> str:
        """What is said of another size than the pictures'."""
        form = self.form(size)
        if self.commonest == (form.height, form.width) and len(self.sizes) == 1:
            return ""
        return f" read at {form.height}×{form.width}" + (
            " (size=HEIGHTxWIDTH for another)" if size is None else ""
        )

    def told(self, size: tuple[int, int] | None) -> list[str]:
        """What was taken for granted, in words."""
        height, width = self.commonest
        sizes = f"{height}×{width} pixels" if len(self.sizes) == 1 else f"{len(self.sizes)} sizes"
        words = [f"of {sizes}{self.told_size(size)}"]
        if self.turned:
            words.append(f"{self.turned:,} turned as their EXIF says")
        if self.alpha:
            words.append(f"{self.alpha:,} with transparency on white")
        if self.wide:
            words.append(
                f"{len(self.wide):,} of wide numbers with {self.low:g} … {self.high:g} as black … white"
            )
        if self.seen < self.rows:
            words.append(f"by the headers of {self.seen:,} of them")
        return words


def look_at(encoded: EncodedImages) -> Look:
    """Read the headers of all images, of very many those of 20,000 evenly spaced ones.

    Raises DataError where there are none, or where some are no images, with their number and the first one's name.
    """
    from PIL import Image

    if len(encoded) == 0:
        raise DataError(f"{encoded.name} has no images: give one with images")
    look, problems = Look(len(encoded)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata: the picture itself says whether it can be read
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for row in np.unique(np.linspace(0, len(encoded) - 1, _LOOK).astype(int)).tolist():
            try:
                with encoded[row] as picture:
                    look.add(row, picture)
            except DataError as error:
                problems.append(error)
    if problems:
        more = f" ({len(problems):,} of {look.seen + len(problems):,} images)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    if look.wide:
        some = np.unique(np.linspace(0, len(look.wide) - 1, _WIDE_LOOK).astype(int))
        look.range_of(_decoded(encoded, look.wide[i]) for i in some)
    return look


def _decoded(encoded: EncodedImages, row: int) -> npt.NDArray[Any]:
    with encoded[row] as picture:
        try:
            pixels = np.array(picture)
        except Exception as error:
            raise encoded.unreadable(row, error) from error
    if not np.isfinite(pixels).all():
        raise encoded.unreadable(
            row, _PixelError("has NaN or infinite pixels: fill them, or remove the image")
        )
    return pixels


def _within(size: tuple[int, int]) -> tuple[int, int]:
    """The size, made smaller in the same proportions where it has too many pixels."""
    height, width = size
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def image_suffixes() -> frozenset[str]:
    """The suffixes, in small letters, of the formats that can be read here."""
    from PIL import Image

    known = set(_formats())
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def _most() -> int:
    from PIL import Image

    return Image.MAX_IMAGE_PIXELS or 2**31
