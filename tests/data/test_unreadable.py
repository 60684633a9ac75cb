"""`skip_unreadable=true` leaves pictures that cannot be read out, aloud, in folders and in tables."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from foretoll.data import open_data
from foretoll.errors import DataError, UsageError


def picture(value: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, form)
    return buffer.getvalue()


def huge() -> bytes:
    """A header of 2^31 - 1 pixels a side, without pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


# no picture at all, cut behind a whole header, empty, too large
BAD = {5: b"no picture", 12: picture(12)[:48], 17: b"", 23: huge()}
KEPT = [value for value in range(40) if value not in BAD]


def folder(top: Path, bad: dict[int, bytes]) -> Path:
    for value in range(40):
        place = top / ("ant" if value % 2 else "bee")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{value:02}.png").write_bytes(bad.get(value) or (b"" if value in bad else picture(value)))
    return top


def table(path: Path, bad: dict[int, bytes | None]) -> Path:
    cells = [bad[value] if value in bad else picture(value) for value in range(40)]
    pq.write_table(pa.table({"image": cells, "label": [value % 2 for value in range(40)]}), path)
    return path


def values(uri: str) -> list[int]:
    data = open_data(uri)
    splits = (data.train, data.validation, data.test)
    return sorted(int(v) for split in splits for v in split.all().inputs.float().mean((1, 2, 3)))


def test_a_folder_without_its_unreadable_pictures(tmp_path: Path) -> None:
    uri = f"folder:{folder(tmp_path / 'd', BAD)}?skip_unreadable=true"
    assert values(uri) == KEPT
    notes = " ".join(open_data(uri).card.notes)
    assert "4 of 40 images cannot be read and are left out (skip_unreadable=true), such as this: " in notes
    assert "ant/05.png" in notes


def test_a_table_without_its_unreadable_pictures(tmp_path: Path) -> None:
    path = table(tmp_path / "d.parquet", {**BAD, 30: None})
    assert values(f"parquet:{path}?skip_unreadable=true") == [v for v in KEPT if v != 30]
    assert "5 of 40 images" in " ".join(open_data(f"parquet:{path}?skip_unreadable=1").card.notes)


def test_without_the_key_the_first_is_named_with_their_count_and_the_way_out(tmp_path: Path) -> None:
    top = folder(tmp_path / "d", {5: b"no picture", 17: b""})
    with pytest.raises(
        DataError, match=r"ant/05\.png is no readable image.*skip_unreadable=true \(2 of 40 images\)"
    ):
        open_data(f"folder:{top}")
    path = table(tmp_path / "d.parquet", {5: None})
    with pytest.raises(DataError, match=r"the image of row 5 is missing: .*skip_unreadable=true"):
        open_data(f"parquet:{path}")


def test_nothing_is_said_where_all_can_be_read(tmp_path: Path) -> None:
    top = folder(tmp_path / "d", {})
    assert values(f"folder:{top}?skip_unreadable=true") == list(range(40))
    assert not open_data(f"folder:{top}?skip_unreadable=true").card.notes
    with pytest.raises(DataError, match="of 40 images none can be read"):
        open_data(f"folder:{folder(tmp_path / 'e', dict.fromkeys(range(40), b'x'))}?skip_unreadable=true")


def test_the_key_is_for_pictures_and_true_or_false(tmp_path: Path) -> None:
    top = folder(tmp_path / "d", BAD)
    with pytest.raises(UsageError, match="skip_unreadable=perhaps must be true or false"):
        open_data(f"folder:{top}?skip_unreadable=perhaps")
    with pytest.raises(UsageError, match="unknown key 'skip_unreadable'"):
        open_data("digits?skip_unreadable=true")
    with pytest.raises(DataError, match="is no readable image"):
        open_data(f"folder:{top}?skip_unreadable=false")
