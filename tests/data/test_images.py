"""Encoded images are read as their file says, as a viewer shows them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from foretoll.data import TaskData, open_data
from foretoll.data.images import EncodedImages, ImageForm, image_suffixes, look_at, to_form
from foretoll.errors import DataError

RAMP = np.tile(np.linspace(0, 1, 32), (32, 1))
GREY = (RAMP * 255).round().astype(np.uint8)
ORIENTATION = 0x0112
# how a camera stores a picture that is to be shown upright, by the tag that turns it back
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def folder_of(tmp_path: Path, picture: Image.Image, suffix: str, **saving: object) -> TaskData:
    """Two classes of six copies of one picture."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
        for i in range(6):
            picture.save(tmp_path / name / f"{i}.{suffix}", **saving)
    return open_data(f"folder:{tmp_path}")


def first(data: TaskData) -> torch.Tensor:
    inputs: torch.Tensor = next(iter(data.train.batches(1))).inputs[0]
    return inputs


def upright() -> np.ndarray:
    """A picture without any symmetry, higher than it is wide."""
    pixels = np.random.default_rng(0).integers(0, 255, (20, 12, 3)).astype(np.uint8)
    pixels[:4] = 250
    return pixels


# --- EXIF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", STORED)
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_pictures_are_turned_as_exif_says(tag: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    stored = Image.fromarray(upright()).transpose(STORED[tag])
    saving = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    data = folder_of(tmp_path, stored, suffix, exif=exif.tobytes(), **saving)
    assert data.shape == (3, 20, 12)
    difference = np.abs(first(data).numpy().transpose(1, 2, 0).astype(int) - upright())
    assert difference.max() <= (12 if suffix == "jpg" else 0)
    if suffix != "tif":
        assert "12 turned as their EXIF says" in data.card.reading


def test_exif_is_applied_to_images_in_tables_too_and_damaged_exif_is_no_obstacle(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    rows = []
    for content in (exif.tobytes(), b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff", b"Exif\0\0"):
        stored = io.BytesIO()
        Image.fromarray(upright()).transpose(STORED[6]).save(stored, "png", exif=content)
        rows.append(stored.getvalue())
    pq.write_table(pa.table({"image": rows * 8, "label": [0, 1] * 12}), tmp_path / "d.parquet")
    pictures = EncodedImages(rows, 3, "rows")
    look = look_at(pictures)
    assert (look.turned, look.sizes[(20, 12)], look.sizes[(12, 20)]) == (1, 1, 2)
    data = open_data(f"parquet:{tmp_path}/d.parquet?size=20x12")
    whole = torch.cat([data.train.all().inputs, data.validation.all().inputs, data.test.all().inputs])
    turned = torch.from_numpy(upright().transpose(2, 0, 1).copy())
    assert int((whole == turned).all(dim=(1, 2, 3)).sum()) == 8


# --- wide numbers --------------------------------------------------------------------------------

WIDE: dict[str, tuple[np.ndarray, str, str]] = {
    "16 bit PNG": ((RAMP * 65535).round().astype(np.uint16), "png", ""),
    "16 bit TIFF": ((RAMP * 65535).round().astype(np.uint16), "tif", ""),
    "32-bit integers": ((RAMP * 255).round().astype(np.int32), "tif", "with 0 … 255 as"),
    "32-bit integers of 16 bit": ((RAMP * 65535).round().astype(np.int32), "tif", "with 0 … 65535 as"),
    "floats to 1": (RAMP.astype(np.float32), "tif", "with 0 … 1 as"),
    "floats to 255": ((RAMP * 255).astype(np.float32), "tif", "with 0 … 255 as"),
    "floats from -1": ((RAMP * 2 - 1).astype(np.float32), "tif", "with -1 … 1 as"),
    "Hounsfield units": ((RAMP * 4000 - 1000).astype(np.float32), "tif", "with -1000 … 3000 as"),
    "a portable float map": (RAMP.astype(np.float32), "pfm", "with 0 … 1 as"),
}


@pytest.mark.parametrize("case", WIDE)
def test_wide_numbers_are_scaled_to_8_bits(case: str, tmp_path: Path) -> None:
    pixels, suffix, told = WIDE[case]
    data = folder_of(tmp_path, Image.fromarray(pixels), suffix)
    assert data.shape == (1, 32, 32)
    assert (first(data)[0].int() - torch.from_numpy(GREY).int()).abs().max() <= 1
    assert told in data.card.reading


def test_16_bit_big_endian(tmp_path: Path) -> None:
    wide = (RAMP * 65535).round().astype(">u2")
    data = folder_of(tmp_path, Image.frombytes("I;16B", (32, 32), wide.tobytes()), "tif")
    assert torch.equal(first(data)[0], torch.from_numpy(GREY))


def test_the_range_is_the_same_for_all_pictures_of_a_source(tmp_path: Path) -> None:
    folder_of(tmp_path, Image.fromarray((RAMP * 200).astype(np.float32)), "tif")
    for name in ("a", "b"):
        Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(tmp_path / name / "dark.tif")
    data = open_data(f"folder:{tmp_path}")
    whole = torch.cat([data.train.all().inputs, data.validation.all().inputs, data.test.all().inputs])
    assert sorted({int(x.max()) for x in whole}) == [0, 200]


def test_pixels_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    pixels = RAMP.astype(np.float32)
    pixels[3, 3] = np.nan
    with pytest.raises(DataError, match=r"0\.tif has NaN or infinite pixels: fill them"):
        folder_of(tmp_path, Image.fromarray(pixels), "tif")


# --- transparency and colour ---------------------------------------------------------------------


def ink() -> Image.Image:
    """A black square on transparent paper."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 8:24, 3] = 255
    return Image.fromarray(pixels)


def palette() -> Image.Image:
    picture = Image.fromarray((np.asarray(ink())[..., 3] > 0).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.info["transparency"] = 0
    return picture


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "GIF", "webp", "L with a transparent colour"])
def test_what_is_transparent_lies_on_white(mode: str, tmp_path: Path) -> None:
    suffix = {"webp": "webp", "GIF": "gif", "PA": "tif"}.get(mode, "png")
    picture, saving = ink(), {"lossless": True} if mode == "webp" else {}
    if mode in {"LA", "PA"}:
        picture = ink().convert("LA") if mode == "LA" else ink().convert("P").convert("PA")
    elif mode in {"P", "GIF"}:
        picture, saving = palette(), {"transparency": 0}
    elif mode.startswith("L with"):
        alpha = np.asarray(ink())[..., 3]
        picture, saving = Image.fromarray(np.where(alpha, 0, 77).astype(np.uint8)), {"transparency": 77}
    if mode == "PA":  # no format holds it
        got = to_form(picture, ImageForm(3, 32, 32))
    else:
        data = folder_of(tmp_path, picture, suffix, **saving)
        got = first(data)
        assert "12 with transparency on white" in data.card.reading
    assert set(got.unique().tolist()) == {0, 255}
    assert int((got[0] == 0).sum()) == 256 and int(got[0, 16, 16]) == 0


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "png")
    return content.getvalue()


def test_half_transparent_pictures_are_the_same_resized(tmp_path: Path) -> None:
    white = Image.new("RGBA", (32, 32), "white")
    white.alpha_composite(ink())
    clear, flat = (EncodedImages([_png(p)], 1, "x") for p in (ink(), white.convert("RGB")))
    form = look_at(clear).form((13, 13))
    assert (to_form(clear[0], form).int() - to_form(flat[0], form).int()).abs().max() <= 1


def test_one_coloured_picture_among_many_grey_ones_keeps_its_colour(tmp_path: Path) -> None:
    folder_of(tmp_path, Image.fromarray(GREY), "png")
    for i in range(400):
        Image.fromarray(GREY[:4, :4]).save(tmp_path / "a" / f"g{i}.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a" / "g200b.png")
    data = open_data(f"folder:{tmp_path}")
    assert data.shape == (3, 4, 4)


@pytest.mark.parametrize(
    "suffix", ["gif", "jfif", "webp", "bmp", "tiff", "ppm", "jpe", "avif", "jp2", "JPEG", "tga"]
)
def test_every_usual_suffix_is_an_image(suffix: str, tmp_path: Path) -> None:
    if f".{suffix.lower()}" not in image_suffixes():
        pytest.skip(f"this Pillow does not read .{suffix}")
    data = folder_of(tmp_path, Image.new("RGB", (8, 8), "blue"), suffix)
    assert data.card.train + data.card.validation + data.card.test == 12
    assert first(data)[2].float().mean() > 240


def test_palettes_cmyk_and_one_bit_stay_right(tmp_path: Path) -> None:
    coloured = Image.fromarray(np.stack([GREY] * 3, -1))
    for i, (picture, suffix) in enumerate(
        (
            (coloured.convert("CMYK"), "jpg"),
            (coloured.convert("P", palette=Image.Palette.ADAPTIVE), "png"),
            (Image.fromarray(GREY), "png"),
        )
    ):
        (tmp_path / str(i)).mkdir()
        got = first(
            folder_of(tmp_path / str(i), picture, suffix, **({"quality": 98} if suffix == "jpg" else {}))
        )
        assert (got[0].int() - torch.from_numpy(GREY).int()).abs().max() <= 4
    (tmp_path / "bit").mkdir()
    bits = first(folder_of(tmp_path / "bit", Image.fromarray(RAMP > 0.5), "png"))
    assert torch.equal(bits[0], torch.from_numpy((RAMP > 0.5).astype(np.uint8) * 255))


# --- what cannot be read -------------------------------------------------------------------------


def test_all_unreadable_images_are_counted(tmp_path: Path) -> None:
    folder_of(tmp_path, Image.fromarray(GREY), "png")
    (tmp_path / "b" / "3.png").write_bytes(b"<html>403</html>")
    with pytest.raises(
        DataError,
        match=r"b/3\.png is no readable image: replace it, or .* skip_unreadable=true$",
    ):
        open_data(f"folder:{tmp_path}")
    (tmp_path / "a" / "5.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a/5\.png is no readable image.* \(2 of 12 images\)$"):
        open_data(f"folder:{tmp_path}")


def test_no_format_that_runs_a_program_is_read(tmp_path: Path) -> None:
    folder_of(tmp_path, Image.fromarray(GREY), "png")
    Image.fromarray(GREY).save(tmp_path / "a" / "0.png", "EPS")
    with pytest.raises(DataError, match=r"a/0\.png is no readable image"):
        open_data(f"folder:{tmp_path}")


def test_a_header_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    folder_of(tmp_path, Image.fromarray(GREY), "png")
    content = bytearray((tmp_path / "a" / "0.png").read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    (tmp_path / "a" / "0.png").write_bytes(_with_checksum(content))
    with pytest.raises(DataError, match=r"a/0\.png has more than 89 megapixels: make it smaller"):
        open_data(f"folder:{tmp_path}")
    content[16:24] = (9_000).to_bytes(4, "big") * 2  # allowed, but no pixels follow
    (tmp_path / "a" / "0.png").write_bytes(_with_checksum(content))
    data = open_data(f"folder:{tmp_path}?size=8")
    with pytest.raises(DataError, match=r"a/0\.png is no readable image"):
        for split in (data.train, data.validation, data.test):
            split.all()


def _with_checksum(png: bytearray) -> bytes:
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    return bytes(png)


# --- size ----------------------------------------------------------------------------------------


def test_photographs_are_kept_smaller_than_they_are_and_it_is_told(tmp_path: Path) -> None:
    photo = Image.fromarray(np.kron(upright()[:15], np.ones((200, 250, 1), np.uint8)))  # 3000 × 3000
    data = folder_of(tmp_path, photo.resize((4000, 3000)), "jpg", quality=60)
    assert data.shape == (3, 543, 724)
    assert "12 images in 2 classes, of 3000×4000 pixels read at 543×724 (size=HEIGHTxWIDTH for another)" in (
        data.card.reading
    )
    whole = first(open_data(f"folder:{tmp_path}?size=1500x2000"))
    small = first(open_data(f"folder:{tmp_path}?size=150x200"))
    assert (whole.shape, small.shape) == ((3, 1500, 2000), (3, 150, 200))
    # decoded at an eighth of its size first, and yet the same picture
    averaged = torch.nn.functional.avg_pool2d(whole.float(), 10)
    assert (averaged - small.float()).abs().mean() < 2


def test_small_pictures_are_kept_as_they_are(tmp_path: Path) -> None:
    data = folder_of(tmp_path, Image.fromarray(GREY), "png")
    assert data.card.reading == "12 images in 2 classes, of 32×32 pixels, no splits of its own"
