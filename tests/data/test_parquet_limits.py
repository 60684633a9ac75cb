"""Parquet files that unpack to more than any data do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretoll.data import open_data
from foretoll.errors import DataError

from .test_npz import BOMB


def texts(path: Path, column: pa.Array, **saving: object) -> str:
    pq.write_table(pa.table({"text": column, "label": np.arange(len(column)) % 2}), path, **saving)
    return f"parquet:{path}"


def test_rows_without_end_are_refused_by_what_is_declared(tmp_path: Path) -> None:
    with pq.ParquetWriter(
        tmp_path / "d.parquet", pa.schema([("a", pa.int64()), ("label", pa.int64())])
    ) as out:
        some = pa.table({"a": np.zeros(10_000_000, np.int64), "label": np.zeros(10_000_000, np.int64)})
        for _ in range(4):
            out.write_table(some)
    with pytest.raises(DataError, match=r"unpacks from [\d.]+ [km]?B to 6\d\d MB, which no data do"):
        open_data(f"parquet:{tmp_path}/d.parquet")


@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
def test_texts_multiplied_by_a_dictionary_take_no_memory(size: int, tmp_path: Path) -> None:
    rows = 3_000_000_000 // size
    column = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["a" * size]))
    uri = texts(tmp_path / "d.parquet", column, store_schema=False, dictionary_pagesize_limit=10**9)
    done = subprocess.run([sys.executable, "-c", BOMB, uri], capture_output=True, text=True, check=True)
    *told, memory = done.stdout.splitlines()
    assert len(told) == 1 and "which no data do" in told[0], done.stdout
    assert int(memory.split()[0]) < 800


def test_ordinary_dictionaries_are_read_whole(tmp_path: Path) -> None:
    names = [f"the name of city number {i % 300}, and what is said of it" for i in range(20_000)]
    uri = texts(tmp_path / "d.parquet", pa.array(names))
    data = open_data(f"{uri}?kind=text")
    assert (data.kind, data.card.train + data.card.validation + data.card.test) == ("text", 20_000)
    row = int(data.train.ids[5])
    assert data.train.all().inputs[5] == names[row]
