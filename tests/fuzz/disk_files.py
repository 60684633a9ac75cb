"""Hostile data of the kinds that stay on disk: tar shards, folders of .npy files, Arrow files."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from .case import TEXTS, Case, nested, spoiled, train_on

ROWS = 40


def _picture(value: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (8, 8), value * 6).save(buffer, "PNG")
    return buffer.getvalue()


def _member(name: str, content: bytes, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def _label(draw: random.Random) -> bytes:
    text = draw.choice([t for t in TEXTS if "\udcff" not in t])
    return draw.choice(
        (
            text.encode(), b"", b"\xff\xfe\x00", b"9" * 5000, b"1e999", b"-1", b"2" * 70_000, b"[" * 60_000,
            json.dumps({"label": text}).encode(), json.dumps(nested(900)).encode(), b'{"label": {"label": 1}}',
        )
    )  # fmt: skip


def tar_shards(draw: random.Random, folder: Path) -> Case:
    """A shard of pictures with one member that lies, is no file, or bears an unlikely name or label."""
    members = [
        entry
        for i in range(ROWS)
        for entry in (_member(f"{i:03}.png", _picture(i)), _member(f"{i:03}.cls", str(i % 2).encode()))
    ]
    what = draw.choice(
        ("label", "json", "name", "symlink", "hardlink", "device", "fifo", "sparse", "size", "pax", "spoiled",
         "picture", "gzip", "twice", "alone", "labels alone", "empty", "folder")
    )  # fmt: skip
    path, form = folder / "d.tar", tarfile.PAX_FORMAT
    if what in ("label", "json"):
        members[9] = _member("004.cls" if what == "label" else "004.json", _label(draw))
    elif what == "name":
        text = draw.choice(TEXTS).replace("\0", "") or "n"
        members[8] = _member(draw.choice(("", "/", "../../")) + text + ".png", _picture(4))
    elif what in ("symlink", "hardlink", "device", "fifo"):
        kinds = {
            "symlink": tarfile.SYMTYPE,
            "hardlink": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE,
            "fifo": tarfile.FIFOTYPE,
        }
        members[8] = _member("004.png", b"", type=kinds[what], linkname="/etc/passwd")
    elif what == "sparse":
        headers = {
            "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "004.png", "GNU.sparse.map": "0,9",
            "GNU.sparse.size": str(10**13), "GNU.sparse.realsize": str(10**13),
        }  # fmt: skip
        members[8] = _member("004.png", _picture(4), pax_headers=headers)
    elif what == "pax":
        headers = {
            draw.choice(("size", "path", "mtime", "uid", "x" * 9000)): draw.choice(
                ("-1", "1e9", "9" * 30, "\x1b[31m")
            )
        }
        members[8] = _member("004.png", _picture(4), pax_headers=headers)
    elif what == "picture":
        members[8] = _member("004.png", draw.choice((b"", b"no picture", spoiled(draw, _picture(4))[0])))
    elif what == "twice":
        members += members[:2]
    elif what == "alone":
        del members[9]
    elif what == "labels alone":
        members = members[1::2]
    elif what == "empty":
        members = []
    with tarfile.open(path, "w", format=form) as file:
        for member, content in members:
            file.addfile(member, io.BytesIO(content))
    content = path.read_bytes()
    if what == "size":  # of a member in the middle, in octal digits or as a number of 8 bytes
        lie = draw.choice(
            (b"77777777777\0", b"\x80" + (2**62).to_bytes(11, "big"), b"-0000000001\0", b"zzzzzzzzzzz\0")
        )
        at = content.index(b"004.png")
        path.write_bytes(content[: at + 124] + lie + content[at + 136 :])
    elif what == "spoiled":
        changed, what = spoiled(draw, content)
        path.write_bytes(changed)
    elif what == "gzip":
        path.write_bytes(gzip.compress(content))
    name = "d.tar"
    if what == "folder":
        (folder / "d").mkdir()
        path.rename(folder / "d" / "train-0.tar")
        (folder / "d" / "train-1.tar").write_bytes(draw.choice((b"", content[:700], b"\0" * 10_240)))
        name = "d"
    elif draw.random() < 0.1:
        name = draw.choice(
            ("{0..9}.tar", "d{000000..99999999999}.tar", "d{" + "9" * 5000 + "..1}.tar", "{1..0}.tar")
        )
    return Case(
        f"tar {what}",
        train_on(f"tar:{name}", arch="foretoll:cnn?width=2"),
        names=("d.tar", name[:2], "d0000", "004"),
    )


def npy_folder(draw: random.Random, folder: Path) -> Case:
    """A folder of arrays of which one is spoiled, lies about its shape, or is no array."""
    generator = np.random.default_rng(draw.randrange(99))
    y = np.arange(120) % 3
    x = generator.normal(size=(120, 6)).astype(np.float32)
    (folder / "d").mkdir()
    np.save(folder / "d" / "x.npy", x)
    np.save(folder / "d" / "y.npy", y)
    victim = folder / "d" / draw.choice(("x.npy", "y.npy"))
    what = draw.choice(
        ("spoiled", "shape", "objects", "columns first", "device", "loop", "gone", "other", "name", "nan")
    )
    if what == "spoiled":
        content, what = spoiled(draw, victim.read_bytes())
        victim.write_bytes(content)
    elif what == "shape":
        shape = draw.choice(
            (b"(12000000000, 6)", b"(120, 6, 0)", b"(-1, 6)", b"()", b"(121, 6)", b"(True, 6)")
        )
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b", }"
        victim.write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n" + x.tobytes())
    elif what == "objects":
        np.save(victim, np.array([{"a": 1}] * 120, dtype=object), allow_pickle=True)
    elif what == "columns first":
        np.save(victim, np.asfortranarray(x))
    elif what in ("device", "loop"):
        victim.unlink()
        victim.symlink_to("/dev/zero" if what == "device" else victim.name)
    elif what == "gone":
        victim.unlink()
    elif what == "other":
        np.save(
            victim,
            draw.choice((x.astype(complex), x.astype("U5"), x[:7], np.array(1.0), x[:0], x.astype("M8[s]"))),
        )
    elif what == "nan":
        np.save(folder / "d" / "x.npy", np.where(x > 2, np.nan, x))
    else:
        text = draw.choice([t for t in TEXTS if t.strip(". /") and "/" not in t and len(t) < 99]).replace(
            "\0", ""
        )
        np.save(folder / "d" / f"{text}.npy".encode("utf-8", "replace").decode(), x)
    return Case(
        f"npy folder {what} in {victim.name}",
        train_on("npz:d"),
        names=("npz:d", "d:", "d has", "quality target", victim.name, "'d'"),
    )


def arrow(draw: random.Random, folder: Path) -> Case:
    """An Arrow file that is spoiled, cut, a stream, or of columns that nobody expects."""
    import pyarrow as pa
    from pyarrow import feather

    y = np.arange(120) % 3
    columns: dict[str, Any] = {f"f{i}": pa.array(y * 1.5 + i) for i in range(3)} | {"label": pa.array(y)}
    what = draw.choice(("spoiled", "stream", "column", "compressed", "empty"))
    path = folder / "d.arrow"
    if what == "column":
        text = draw.choice([t for t in TEXTS if "\udcff" not in t])
        columns[text] = draw.choice(
            (pa.array([[1, 2]] * 120), pa.nulls(120), pa.array([b"\xff"] * 120), pa.array([{"a": 1}] * 120))
        )
    table = pa.table(columns)
    if what == "stream":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    elif what == "empty":
        feather.write_feather(table.slice(0, 0), str(path), compression="uncompressed")
    else:
        feather.write_feather(
            table, str(path), compression="zstd" if what == "compressed" else "uncompressed"
        )
    if what == "spoiled":
        content, what = spoiled(draw, path.read_bytes())
        path.write_bytes(content)
    return Case(
        f"arrow {what}", train_on("parquet:d.arrow"), names=("d.arrow", "parquet", "quality target", "column")
    )


KINDS = (tar_shards, npy_folder, arrow)
