"""Texts and bytes of a Parquet file are counted before they are unpacked, whatever stands for how many rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretoll.data import open_parquet
from foretoll.errors import DataError

ROWS = 3000


def test_they_are_counted_in_structs_and_lists_and_come_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [None if i % 50 == 0 else f"{i:060d}" * (i % 4) for i in range(ROWS)]
    pictures = [{"bytes": (text or "").encode() * 2, "path": f"{i}.png"} for i, text in enumerate(texts)]
    lists = [[text or "", "twice"] for text in texts]
    table = pa.table({"text": texts, "image": pictures, "tags": lists, "label": [i % 2 for i in range(ROWS)]})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=1000)
    asked: list[int] = []
    monkeypatch.setattr(open_parquet, "BOMB_BYTES", 0)  # whatever might repeat is counted
    monkeypatch.setattr(open_parquet, "check_memory", lambda need, *_: asked.append(need))
    assert open_parquet.read_table(tmp_path / "d.parquet", "d.parquet").equals(table)
    of_texts = sum(len(text or "") for text in texts)
    paths, twice = sum(len(f"{i}.png") for i in range(ROWS)), len("twice") * ROWS
    assert asked[-1] == of_texts + 2 * of_texts + paths + of_texts + twice
    assert len(asked) == 2, "once by what is declared, once by what comes"


def test_one_long_text_for_many_rows_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(["x" * 10**6]))
    pq.write_table(
        pa.table({"tags": pa.ListArray.from_arrays(list(range(ROWS + 1)), long)}), tmp_path / "d.parquet"
    )
    with pytest.raises(DataError, match=r"unpacks from .* to 3.0 GB, which no data do"):
        open_parquet.read_table(tmp_path / "d.parquet", "d.parquet")
