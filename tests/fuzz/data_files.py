"""Hostile data: .npz, Parquet and CSV files, folders of images."""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from foretoll.data.schemes import SCHEMES

from .case import TEXTS, Case, estimate, file_name, spoiled, train_on

ROWS = 120


def samples(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of six features that are told apart easily."""
    draw = np.random.default_rng(seed)
    y = np.arange(ROWS) % 3
    x = draw.normal(size=(ROWS, 6)).astype(np.float32)
    x[np.arange(ROWS), y] += 3
    return x, y


def _case(what: str, name: str, *, scheme: str = "npz", draw: random.Random | None = None) -> Case:
    uri = f"{scheme}:{name}"
    words = estimate(target=uri) if draw is not None and draw.random() < 0.2 else train_on(uri)
    return Case(what, words, names=(name[:5], scheme, "quality target", "the column"))


def npz_bytes(draw: random.Random, folder: Path) -> Case:
    """A good file, spoiled."""
    content, what = spoiled(draw, (folder / "old.npz").read_bytes())
    name = file_name(draw, ".npz")
    (folder / name).write_bytes(content)
    return _case(f"npz {what} named {name!r:.30}", name, draw=draw)


def _labels(draw: random.Random, y: np.ndarray) -> Any:
    text = draw.choice(TEXTS).replace("\0", "")
    return draw.choice(
        (
            y.astype(np.float64), y * 1.5, y - 1, y + 9996, y * 0, y[:0], y[:-1], np.eye(3)[y], y.astype(complex),
            y.astype("M8[s]"), y.astype(bool), np.array(3), y.astype("V8"), np.where(y == 0, 2**62, y),
            np.where(y == 1, np.nan, y), np.arange(ROWS), y.astype("S3"), np.array([text, "b", "c"])[y],
            np.array([f"{text}{i}" for i in range(ROWS)]), np.array([[1, 2]] * ROWS), y.astype(np.uint64) + 2**63,
            [(1, 2.0)] * ROWS, np.ma.masked_array(y, y == 0), y.astype(">i8"), y[::-1][::2],
        )
    )  # fmt: skip


def _values(draw: random.Random, x: np.ndarray) -> Any:
    return draw.choice(
        (
            x * 0, x * 1e30, x.astype(np.float64) * 1e300, x.astype(complex), x[:, :0], x[:0], x[:, 0], x[0],
            np.array(1.0), x.astype("U5"), x.astype("M8[s]"), x > 0, x.reshape(ROWS, 1, 6), x.reshape(ROWS, 6, 1, 1),
            x.reshape(ROWS, 1, 1, 1, 6), np.where(x > 3, np.inf, x), np.where(x > 3, np.nan, x), x.astype(np.float16),
            x.astype(np.longdouble), x.astype(">f4"), (x * 9).astype(np.int8), (x * 9).astype(np.uint64),
            np.zeros((ROWS, 6), dtype=[("a", "f4"), ("b", "i4")]), np.repeat(x, 2, axis=1), x[:1], x[:2], x[:5],
            np.zeros((ROWS, 200_000), np.uint8), np.broadcast_to(x[:, :1], (ROWS, 6)),
        )
    )  # fmt: skip


def npz_arrays(draw: random.Random, folder: Path) -> Case:
    """Arrays of other types and shapes than expected."""
    x, y = samples()
    arrays: dict[str, Any] = {"x": x, "y": y}
    changed = draw.choice("xyn")
    if changed == "x":
        arrays["x"] = _values(draw, x)
    elif changed == "y":
        arrays["y"] = _labels(draw, y)
    else:
        text = draw.choice(TEXTS).replace("\0", "")
        key = draw.choice(("classes", "class_names", "c", "c_train", "x_train", "y_test", text or "e"))
        arrays[key] = draw.choice(
            (np.array([text, "b", "c"]), np.array(text), np.arange(3), np.array([]), np.array(["a"] * 3),
             np.array([f"c{i}" for i in range(100_000)]), np.array([None, 1, 2], dtype=object), x, y, x[:0])
        )  # fmt: skip
        changed = f"{key!r:.20}"
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        for key, value in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(value), allow_pickle=True)
            archive.writestr(f"{key.encode('utf-8', 'replace').decode()}.npy", buffer.getvalue())
    shape = np.asarray(arrays.get(changed, 0))
    return _case(f"npz {changed}: {shape.dtype} {shape.shape}", "d.npz", draw=draw)


def npz_header(draw: random.Random, folder: Path) -> Case:
    """A header that lies, or is no header."""
    x, y = samples()
    shape = draw.choice(
        (
            "(18446744073709551616, 6)",
            "(True, 6)",
            "(-1, 6)",
            "(120, 6, 0)",
            "()",
            "(120000000, 6)",
            "(1e3, 6)",
            "120",
        )
    )
    text = draw.choice(
        (
            f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}",
            "[", "(" * 50, "", "{}", "\x1b[31m", "__import__('os').system('touch CANARY')", "{'descr': '<f4'",
            "{'descr': '|O', 'fortran_order': False, 'shape': (120, 6), }",
            "{'descr': '<f9', 'fortran_order': 7, 'shape': (120, 6), }",
        )
    )  # fmt: skip
    header = text.encode().ljust(117) + b"\n"
    key = draw.choice(("x", "y"))
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        for name, value in (("x", x), ("y", y)):
            buffer = io.BytesIO()
            np.save(buffer, value)
            content = buffer.getvalue()
            if name == key:
                start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
                content = start + header + content[128:]
            archive.writestr(f"{name}.npy", content)
    return _case(f"npz header of {key}: {text[:60]!r}", "d.npz", draw=draw)


def npz_archive(draw: random.Random, folder: Path) -> Case:
    """The zip around the arrays: encrypted, of an unknown method, members twice, folders."""
    content = bytearray((folder / "old.npz").read_bytes())
    what = draw.choice(("encrypted", "method 99", "lzma", "bzip2", "twice", "folder", "symlink", "comment"))
    if what in ("encrypted", "method 99"):
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.find(mark)
            while at >= 0:
                where = at + place + (2 if what == "method 99" else 0)
                content[where] = 99 if what == "method 99" else content[where] | 1
                at = content.find(mark, at + 4)
        (folder / "d.npz").write_bytes(content)
    else:
        method = {"lzma": zipfile.ZIP_LZMA, "bzip2": zipfile.ZIP_BZIP2}.get(what, zipfile.ZIP_DEFLATED)
        with (
            zipfile.ZipFile(folder / "old.npz") as old,
            zipfile.ZipFile(folder / "d.npz", "w", method) as new,
        ):
            for name in old.namelist():
                new.writestr(name, old.read(name))
            if what == "folder":
                new.writestr("z.npy/", b"")
            elif what == "comment":
                new.comment = b"\x1b[31m" * 1000
            elif what == "symlink":
                entry = zipfile.ZipInfo("z.npy")
                entry.external_attr = 0o120777 << 16
                new.writestr(entry, "/etc/passwd")
    return _case(f"npz archive {what}", "d.npz", draw=draw)


def npz_bomb(draw: random.Random, folder: Path) -> Case:
    """Few bytes that unpack to gigabytes: in an array that is used, and in one that nobody asked for."""
    x, y = samples()
    key = draw.choice(("x", "unused", "classes"))
    rows = 2 << 20
    with zipfile.ZipFile(folder / "d.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in (("x", x), ("y", y)):
            if name != key:
                with archive.open(f"{name}.npy", "w") as member:
                    np.save(member, value)
        with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 256)}
            np.lib.format.write_array_header_2_0(member, header)
            for _ in range(rows // 4096):
                member.write(bytes(4096 * 256 * 4))
    return _case(f"npz bomb of 2 GiB in {key}", "d.npz")


def npz_keys(draw: random.Random, folder: Path) -> Case:
    """Arrays by other names, very many of them, or none."""
    x, y = samples()
    kind = draw.choice(("none", "many", "long", "control", "split", "case"))
    arrays: dict[str, np.ndarray] = {
        "none": {},
        "many": {f"k{i}": x[:1] for i in range(3000)},
        "long": {"k" * 60_000: x},
        "control": {"\x1b[31m\n": x, "y": y},
        "split": {"x_train": x, "y_train": y, "x_test": x[:, :5], "y_test": y},
        "case": {"X": x, "Y": y},
    }[kind]
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        for key, value in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, value)
            archive.writestr(f"{key}.npy", buffer.getvalue())
    return _case(f"npz keys {kind}", "d.npz", draw=draw)


def parquet(draw: random.Random, folder: Path) -> Case:
    """Columns of unlikely types and names, or a spoiled file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    x, y = samples()
    columns: dict[str, Any] = {f"f{i}": pa.array(x[:, i]) for i in range(6)} | {"label": pa.array(y)}
    text = draw.choice([t for t in TEXTS if "\udcff" not in t])
    odd = draw.choice(
        (
            pa.array([None] * ROWS), pa.array([[1, 2]] * ROWS), pa.array([{"a": 1}] * ROWS), pa.array([b"\xff"] * ROWS),
            pa.array([text] * ROWS), pa.array([f"{text}{i}" for i in range(ROWS)]), pa.array([2**63 - 1] * ROWS),
            pa.array([float("nan")] * ROWS), pa.array([1e308] * ROWS), pa.array([0] * ROWS, pa.timestamp("ns")),
            pa.array([None, *[1.0] * (ROWS - 1)]), pa.array([True] * ROWS), pa.array([text] * ROWS).dictionary_encode(),
        )
    )  # fmt: skip
    columns[draw.choice(("label", "f0", "extra", text))] = odd
    pq.write_table(pa.table(columns), folder / "d.parquet")
    what = f"{odd.type} {text!r:.20}"
    if draw.random() < 0.3:
        content, what = spoiled(draw, (folder / "d.parquet").read_bytes())
        (folder / "d.parquet").write_bytes(content)
    return _case(f"parquet {what}", "d.parquet", scheme="parquet", draw=draw)


def csv(draw: random.Random, folder: Path) -> Case:
    """Texts that are hardly tables."""
    x, y = samples()
    lines = ["a,b,c,d,e,f,label", *(",".join([*map(str, row), str(k)]) for row, k in zip(x, y, strict=True))]
    text = draw.choice(TEXTS)
    what = draw.choice(
        (
            "name",
            "cell",
            "ragged",
            "nul",
            "bytes",
            "blank",
            "header",
            "quote",
            "wide",
            "one",
            "label",
            "field",
        )
    )
    if what == "name":
        lines[0] = lines[0].replace("c", f'"{text}"')
    elif what in ("cell", "label"):
        at = draw.randrange(1, len(lines))
        first, _, last = lines[at].rpartition(",")
        lines[at] = f'{first},"{text}"' if what == "label" else f'"{text}",{first.partition(",")[2]},{last}'
    elif what == "ragged":
        lines[50] += ",1,2,3"
    elif what == "wide":
        lines = [",".join([line] * 3000) for line in lines[:20]]
    elif what == "field":
        lines[50] = f'"{"x" * 1_000_000}",' + lines[50].partition(",")[2]
    elif what in ("blank", "header", "one"):
        lines = {"blank": [""] * 9, "header": lines[:1], "one": [line.rpartition(",")[2] for line in lines]}[
            what
        ]
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    if what == "nul":
        content = content.replace(b"1", b"\0", 5)
    elif what == "bytes":
        content, what = spoiled(draw, content)
    elif what == "quote":
        content = content[:400] + b'"' + content[400:]
    (folder / "d.csv").write_bytes(content)
    return _case(f"csv {what} {text!r:.20}", "d.csv", scheme="csv", draw=draw)


def gzip_bomb(draw: random.Random, folder: Path) -> Case:
    """A table that unpacks to gigabytes: of blank lines, of one line, of rows."""
    x, y = samples()
    rows = b"".join(
        b",".join([*(b"%f" % v for v in row), b"%d" % k]) + b"\n" for row, k in zip(x, y, strict=True)
    )
    kind, unit = draw.choice((("blank lines", b"\n"), ("one line", b"1"), ("one row", b"1,"), ("rows", rows)))
    packer = zlib.compressobj(1, wbits=31)
    block = unit * ((1 << 22) // len(unit))
    times = 50 if kind == "rows" else 500  # two gigabytes of rows are data, and take their room
    parts = [
        packer.compress(b"a,b,c,d,e,f,label\n"),
        *(packer.compress(block) for _ in range(times)),
        packer.flush(),
    ]
    (folder / "d.csv.gz").write_bytes(b"".join(parts))
    return Case(f"gzip bomb of {kind}", train_on("csv:d.csv.gz"), names=("d.csv.gz", "memory"))


def parquet_bomb(draw: random.Random, folder: Path) -> Case:
    """Very many rows, very long texts or very deep lists in a small file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = draw.choice(("rows", "texts", "bytes", "lists", "deep", "columns"))
    y = pa.array(np.arange(1000) % 3)
    if kind == "rows":
        table = pa.table(
            {"f0": pa.array(np.zeros(10**6, np.float32)), "label": pa.array(np.zeros(10**6, np.int64))}
        )
        times = 300
    elif kind in ("texts", "bytes"):
        one: Any = "x" * 4_000_000 if kind == "texts" else b"x" * 4_000_000
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array([one]))
        table, times = pa.table({"f0": column, "label": y}), 1
    elif kind == "lists":
        offsets = pa.array(np.arange(1001, dtype=np.int32) * 400_000 // 100)
        table = pa.table(
            {"f0": pa.ListArray.from_arrays(offsets, pa.array(np.zeros(4_000_000, np.float32))), "label": y}
        )
        times = 100
    elif kind == "deep":
        column = pa.array([1.0] * 1000)
        for _ in range(draw.choice((5, 60, 300))):
            column = pa.ListArray.from_arrays(pa.array(np.arange(1001, dtype=np.int32)), column)
        table, times = pa.table({"f0": column, "label": y}), 1
    else:
        table, times = (
            pa.table({**{f"f{i}": pa.array(np.zeros(1000, np.float32)) for i in range(8000)}, "label": y}),
            1,
        )
    with pq.ParquetWriter(folder / "d.parquet", table.schema) as writer:
        for _ in range(times):
            writer.write_table(table)
    words = train_on("parquet:d.parquet") if draw.random() < 0.7 else estimate(target="parquet:d.parquet")
    return Case(f"parquet bomb of {kind}", words, names=("d.parquet", "parquet:", "memory"))


def large_pictures(draw: random.Random, folder: Path) -> Case:
    """Forty pictures of up to 81 megapixels, which few bytes hold, in a folder or in a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    mode, suffix = draw.choice((("L", "png"), ("RGB", "png"), ("1", "tif"), ("L", "jpg"), ("RGBA", "webp")))
    # what a decoder takes for all forty stays well below the limit of a hang
    side = {"tif": 16_000, "webp": 4_000}.get(suffix, 7_000 if mode == "RGB" else 9_000)
    kept = []
    for value in (10, 200):
        buffer = io.BytesIO()
        fill: Any = {"1": value > 99, "L": value, "RGB": (value,) * 3, "RGBA": (value,) * 4}[mode]
        picture = Image.new(mode, (min(side, 9400), min(side, 9400)), fill)
        picture.save(
            buffer,
            {"jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "png": "PNG"}[suffix],
            **({"compression": "group4"} if mode == "1" else {}),
        )
        kept.append(buffer.getvalue())
    if draw.random() < 0.3:
        table = pa.table({"image": [kept[i % 2] for i in range(40)], "label": [i % 2 for i in range(40)]})
        pq.write_table(table, folder / "d.parquet")
        uri = "parquet:d.parquet"
    else:
        for i in range(40):
            (folder / "d" / f"c{i % 2}").mkdir(parents=True, exist_ok=True)
            (folder / "d" / f"c{i % 2}" / f"{i:02}.{suffix}").write_bytes(kept[i % 2])
        uri = "folder:d"
    words = train_on(f"{uri}?size=32" if draw.random() < 0.5 else uri, arch="foretoll:cnn?width=2")
    return Case(f"40 large pictures {mode} {suffix} in {uri}", words, names=(uri,))


def _tiff(draw: random.Random, good: bytes) -> tuple[bytes, str]:
    """A TIFF whose tags lie: sizes, offsets, counts, or a directory that names itself as the next."""
    (start,) = struct.unpack_from("<I", good, 4)
    (count,) = struct.unpack_from("<H", good, start)
    content = bytearray(good)
    if draw.random() < 0.2:
        struct.pack_into("<I", content, start + 2 + 12 * count, start)
        return bytes(content), "tiff directory of itself"
    entry = start + 2 + 12 * draw.randrange(count)
    place, value = draw.choice((2, 4, 8)), draw.choice((0, 1, 3, 65535, 2**31 - 1, 2**32 - 1))
    struct.pack_into(
        "<H" if place == 2 else "<I", content, entry + place, value & (0xFFFF if place == 2 else 2**32 - 1)
    )
    tag = struct.unpack_from("<H", good, entry)[0]
    return bytes(content), f"tiff tag {tag} +{place}={value}"


FORMATS = {
    "TIFF": "tif", "PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "PPM": "ppm", "ICO": "ico",
    "TGA": "tga",
}  # fmt: skip


def encoded(draw: random.Random, folder: Path) -> Case:
    """Pictures in a folder or in a table's cells: one whose header lies, or that is spoiled, of each format."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    form, suffix = draw.choice(list(FORMATS.items()))
    kept = []
    for value in range(40):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 16), (value * 5, 0, 99 * (value % 2))).save(buffer, form)
        kept.append(buffer.getvalue())
    if form == "TIFF" and draw.random() < 0.8:
        kept[6], what = _tiff(draw, kept[6])
    elif form == "PNG" and draw.random() < 0.5:
        sides = draw.choice(((2**31 - 1, 1), (0, 5), (9_000, 9_000), (1, 2**31 - 1), (16, 15)))
        kept[6], what = _png(*sides, bytes(300)), f"png {sides}"
    else:
        kept[6], what = spoiled(draw, kept[6])
    if draw.random() < 0.5:
        cells: list[Any] = [kept[i] for i in range(40)]
        if draw.random() < 0.3:
            cells, what = (
                [{"bytes": cell, "path": draw.choice(TEXTS[:10])} for cell in cells],
                f"{what}, structs",
            )
        pq.write_table(pa.table({"image": cells, "label": [i % 2 for i in range(40)]}), folder / "d.parquet")
        uri = "parquet:d.parquet"
    else:
        for i, content in enumerate(kept):
            (folder / "d" / f"c{i % 2}").mkdir(parents=True, exist_ok=True)
            (folder / "d" / f"c{i % 2}" / f"{i:02}.{suffix}").write_bytes(content)
        uri = "folder:d"
    return Case(
        f"{form} {what} in {uri}",
        train_on(uri, arch="foretoll:cnn?width=2"),
        names=("d/c0", "d.parquet", "d.p"),
    )


def known_npz(draw: random.Random, folder: Path) -> Case:
    """The files that brought faults out before, by name."""
    from tests.data import hostile

    name = draw.choice(list(hostile.FILES))
    hostile.FILES[name][0](folder)
    return _case(f"npz {name}", "d.npz", draw=draw)


def _png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def image_folder(draw: random.Random, folder: Path) -> Case:
    """A folder of pictures with one thing that is none, or too large, or of an unlikely name."""
    from PIL import Image

    top = folder / "pictures"
    for name in ("ant", "bee"):
        (top / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), 10 * i + (name == "bee")).save(top / name / f"{i:02}.png")
    good = (top / "ant" / "03.png").read_bytes()
    victim = top / "ant" / "03.png"
    what = draw.choice(
        ("spoiled", "huge", "wide", "class", "file", "fifo", "zero", "loop", "directory", "mode", "lonely", "gone",
         "bomb", "text", "deep")
    )  # fmt: skip
    if what == "spoiled":
        content, what = spoiled(draw, good)
        victim.write_bytes(content)
    elif what == "huge":
        victim.write_bytes(_png(2**31 - 1, 2**31 - 1, b""))
    elif what == "wide":
        victim.write_bytes(_png(60_000, 1, bytes(60_001)))
    elif what == "bomb":
        victim.write_bytes(_png(12_000, 12_000, bytes(12_000 * 12_001)))
    elif what == "class":
        (top / file_name(draw, "")).mkdir()
        victim.rename(top / file_name(draw, "") / "a.png") if (top / file_name(draw, "")).is_dir() else None
    elif what == "file":
        (top / "ant" / file_name(draw, ".png")).write_bytes(draw.choice((good, b"no picture")))
    elif what == "fifo":
        os.mkfifo(top / "ant" / "zz.png")
    elif what == "zero":
        (top / "ant" / "zz.png").symlink_to("/dev/zero")
    elif what == "loop":
        (top / "ant" / "zz.png").symlink_to("zz.png")
    elif what == "directory":
        (top / "ant" / "zz.png").mkdir()
    elif what == "deep":
        (top / "/".join(["d"] * 200)).mkdir(parents=True)
    elif what == "mode":
        mode = draw.choice(("1", "I;16", "F", "I", "RGBA", "LA", "P", "CMYK"))
        Image.new(mode, (8, 8)).save(top / "ant" / "zz.tif")
        what = f"mode {mode}"
    elif what == "lonely":
        (top / "cat").mkdir()
        (top / "cat" / "a.png").write_bytes(good)
    elif what == "text":
        victim.write_text("<svg><script>alert(1)</script></svg>")
    else:
        for path in (top / "bee").iterdir():
            path.unlink()
    arch = draw.choice(("foretoll:cnn?width=2", "foretoll:mlp?width=4"))
    return Case(f"pictures {what}", train_on("folder:pictures", arch=arch), names=("pictures",))


def other_files(draw: random.Random, folder: Path) -> Case:
    """A device, a pipe, a folder, a loop or nothing where a file is expected."""
    kind = draw.choice(("/dev/zero", "/dev/null", "fifo", "loop", "folder", "gone", "/proc/self/mem", "long"))
    name = "d.npz"
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "loop":
        (folder / name).symlink_to(name)
    elif kind == "folder":
        (folder / name).mkdir()
    elif kind == "long":
        name = "x" * 300 + ".npz"
    elif kind.startswith("/"):
        (folder / name).symlink_to(kind)
    scheme = draw.choice([s for s in ("npz", "parquet", "folder", "csv") if s in SCHEMES])
    return _case(f"{scheme}: {kind}", name, scheme=scheme)


KINDS = (
    npz_bytes,
    npz_arrays,
    npz_arrays,
    npz_header,
    npz_archive,
    npz_keys,
    parquet,
    image_folder,
    other_files,
    encoded,
    encoded,
    known_npz,
)
KINDS += (csv,) if "csv" in SCHEMES else ()
HEAVY = (npz_bomb, gzip_bomb, parquet_bomb, large_pictures)
