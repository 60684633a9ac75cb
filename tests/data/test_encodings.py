"""Text tables in other encodings than UTF-8: read where it is said which, and named where it is not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from foretoll.data import open_data
from foretoll.errors import DataError, UsageError

TOWNS = ("Zürich", "café", "x")
TEXTS = {
    "cp1252": TOWNS,
    "latin-1": TOWNS,
    "cp437": TOWNS,
    "cp932": ("x", "大阪", "東京"),
    "gbk": ("x", "东京", "大阪"),
}


def table(
    path: Path, encoding: str, towns: tuple[str, ...], *, packed: bool = False, name: str = "town"
) -> Path:
    lines = [f"{name},n,label", *(f"{towns[i % 3]},{i % 7},{i % 3}" for i in range(90))]
    content = "\n".join(lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", TEXTS)
def test_a_table_is_read_in_the_encoding_that_is_said(tmp_path: Path, encoding: str, packed: bool) -> None:
    path = table(tmp_path / "d.csv", encoding, TEXTS[encoding], packed=packed)
    layout = open_data(f"csv:{path}?encoding={encoding}").card.layout
    assert layout is not None
    assert layout.columns[0].levels == TEXTS[encoding]


@pytest.mark.parametrize("encoding", TEXTS)
def test_a_table_that_is_no_utf_8_is_named_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    path = table(tmp_path / "d.csv", encoding, TEXTS[encoding])
    with pytest.raises(
        DataError, match=r"d\.csv' is no text in UTF-8 in column 'town': say .* encoding=cp1252"
    ):
        open_data(f"csv:{path}")
    odd = table(tmp_path / "e.csv", encoding, TEXTS[encoding], name=TEXTS[encoding][1])
    with pytest.raises(DataError, match=r"e\.csv' is no text in UTF-8: say how it is encoded"):
        open_data(f"csv:{odd}")


def test_a_table_in_another_encoding_than_said_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", "latin-1", TOWNS)
    with pytest.raises(DataError, match=r"d\.csv' is no text in cp932.*: give another encoding="):
        open_data(f"csv:{path}?encoding=cp932")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_mark_at_the_beginning_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    layout = open_data(f"csv:{table(tmp_path / 'd.csv', encoding, TOWNS)}").card.layout
    assert layout is not None
    assert [column.name for column in layout.columns] == ["town", "n"]
    assert layout.columns[0].levels == TOWNS


@pytest.mark.parametrize("value", ["klingon", "base64", "hex", "%00", "x" * 200])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    path = table(tmp_path / "d.csv", "utf-8", TOWNS)
    with pytest.raises(UsageError, match="is no encoding of texts, such as cp1252") as caught:
        open_data(f"csv:{path}?encoding={value}")
    assert len(str(caught.value)) <= 300
