"""Tables that are larger than what is read at once: the same samples as in memory, and no more of them read."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import csv

from foretoll.data import ArraySplit, DatasetSplit, TaskData, open_data, stratified_sample
from foretoll.data import grouped as of_groups
from foretoll.data import open_csv as of_text
from foretoll.data import open_parquet as opener
from foretoll.data.grouped import MappedTable, ParquetTable
from foretoll.data.limits import held_bytes, memory_bytes, memory_for_data
from foretoll.data.table_rows import TableRows
from foretoll.errors import DataError, UsageError
from foretoll.models import load_model
from foretoll.options import Training

ROWS, GROUP = 600, 50


def values(rows: int = ROWS) -> dict[str, Any]:
    random = np.random.default_rng(0)
    label = random.integers(0, 3, rows)
    return {
        "a": random.normal(label, 1.0),
        "b": (random.normal(0, 9, rows)).astype(np.float32),
        "count": random.integers(0, 40, rows),
        "city": [("Bonn", "Ulm", "Graz ", None)[i] for i in random.integers(0, 4, rows)],
        "on": random.integers(0, 2, rows).astype(bool),
        "label": np.array(["x", "y", "z"])[label],
    }


@pytest.fixture
def lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)


def written(path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=GROUP)
    return f"parquet:{path}"


def reader(data: TaskData) -> TableRows:
    split = data.train
    assert isinstance(split, DatasetSplit) and isinstance(split.dataset, TableRows)
    return split.dataset


def both(uri: str, monkeypatch: pytest.MonkeyPatch) -> tuple[TaskData, TaskData]:
    """The same source in memory and on disk."""
    whole = open_data(uri)
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    return whole, open_data(uri)


@pytest.mark.parametrize(
    "more", ["", "?limit=100", "?classes=z,x", "?where=city!Ulm", "?part=2/3", "?shift=gaussian_noise:0.3"]
)
def test_the_samples_are_those_of_the_table_in_memory(
    more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, rows = both(written(tmp_path / "t.parquet", values()) + more, monkeypatch)
    assert rows.card == whole.card
    for one, other in zip(
        (whole.train, whole.validation, whole.test), (rows.train, rows.validation, rows.test), strict=True
    ):
        assert torch.equal(one.all().inputs, other.all().inputs)
        assert one.labels is not None and other.labels is not None
        assert torch.equal(one.labels, other.labels) and torch.equal(one.ids, other.ids)
        for mine, theirs in zip(
            one.batches(64, shuffle_seed=3), other.batches(64, shuffle_seed=3), strict=True
        ):
            assert torch.equal(mine.inputs, theirs.inputs) and torch.equal(mine.labels, theirs.labels)


@pytest.mark.usefixtures("lazily")
def test_an_epoch_visits_every_sample_once_however_little_may_be_held(tmp_path: Path) -> None:
    uri = written(tmp_path / "t.parquet", values())
    with memory_for_data("2kB"):  # a window of one group
        data = open_data(uri)
        rows = [torch.cat([data.train.ids[data.train.order(seed)]]) for seed in (0, 0, 1)]
        seen = [batch.inputs for batch in data.train.batches(32, shuffle_seed=1)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    assert torch.equal(rows[2].sort().values, data.train.ids.sort().values)
    assert torch.equal(torch.cat(seen), data.train.all().inputs[data.train.order(1)])
    groups = rows[0] // GROUP
    assert len(torch.unique_consecutive(groups)) == len(torch.unique(groups))  # one group after the other
    assert bool((rows[0][groups == groups[0]].diff() < 0).any())  # whose rows are shuffled
    held = reader(data)._pieces._held
    assert sum(part.numel() * 4 for part in held.values()) <= max(2000, GROUP * reader(data).width * 4)


@pytest.mark.usefixtures("lazily")
def test_a_sample_is_read_in_one_pass_of_the_columns_that_are_inputs(tmp_path: Path) -> None:
    counts = []
    for rows in (ROWS, 4 * ROWS):
        data = open_data(written(tmp_path / f"{rows}.parquet", values(rows)) + "?drop=count,city,on")
        table = reader(data).table
        assert table.rows_read == {"label": rows}  # the numbers themselves are not looked at
        sample = stratified_sample(data.train.take(torch.arange(40)), 20, seed=0)
        for _ in range(3):
            list(sample.batches(7))
        counts.append(table.rows_read.pop("a"))
        assert counts[-1] == table.rows_read.pop("b")
    assert counts[0] == counts[1]  # as many rows, whatever the size


@pytest.mark.usefixtures("lazily")
def test_what_is_missing_is_told_where_it_is_known_and_where_it_is_met(tmp_path: Path) -> None:
    columns = values()
    columns["a"] = pa.array([None if i == 77 else x for i, x in enumerate(columns["a"])])
    with pytest.raises(DataError, match="1 missing numbers in column 'a', the first in row 77"):
        open_data(written(tmp_path / "null.parquet", columns))
    kept = open_data(f"parquet:{tmp_path}/null.parquet?where=a!(missing)")
    assert 77 not in kept.train.ids and bool(torch.isfinite(kept.train.all().inputs).all())
    columns = values()
    columns["b"] = np.where(np.arange(ROWS) == 5, np.nan, columns["b"]).astype(np.float32)
    data = open_data(written(tmp_path / "nan.parquet", columns))
    holds = next(part for part in (data.train, data.validation, data.test) if 5 in part.ids)
    for read in (lambda: holds.all(), lambda: list(holds.batches(64))):
        with pytest.raises(DataError, match=r"column 'b' that are missing.*drop=b"):
            read()


@pytest.mark.usefixtures("lazily")
def test_texts_that_are_no_utf_8_are_refused(tmp_path: Path) -> None:
    bad = pa.array([b"Ulm", b"K\xf6ln"] * (ROWS // 2)).view(pa.binary()).cast(pa.binary())
    city = pa.Array.from_buffers(pa.string(), ROWS, bad.buffers())
    with pytest.raises(DataError, match="no UTF-8"):
        open_data(written(tmp_path / "t.parquet", values() | {"city": city}))


@pytest.mark.usefixtures("lazily")
def test_what_cannot_be_read_by_groups_is_read_whole(tmp_path: Path) -> None:
    columns = values() | {"pair": [[1.0, float(i)] for i in range(ROWS)]}
    data = open_data(written(tmp_path / "t.parquet", columns))
    assert not isinstance(data.train, DatasetSplit) and data.shape == (10,)


def test_only_a_large_table_is_left_on_disk(tmp_path: Path) -> None:
    assert not isinstance(open_data(written(tmp_path / "t.parquet", values())).train, DatasetSplit)
    assert of_groups.LAZY_BYTES > ROWS * 100


def test_a_large_text_table_is_parsed_once_into_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    csv.write_csv(pa.table(values()), path)
    whole = open_data(f"csv:{path}")
    monkeypatch.setattr(of_text, "LAZY_BYTES", 0)
    rows = open_data(f"csv:{path}")
    assert rows.card == whole.card
    table = reader(rows).table
    assert isinstance(table, ParquetTable)
    folder = table.path.parent
    assert folder.is_dir()
    path.unlink()
    for one, other in (
        (whole.train, rows.train),
        (whole.validation, rows.validation),
        (whole.test, rows.test),
    ):
        assert torch.equal(one.all().inputs, other.all().inputs) and torch.equal(one.ids, other.ids)
    del rows, other, table
    gc.collect()
    assert not folder.exists()


def test_a_text_table_whose_types_show_late_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_text, "LAZY_BYTES", 0)
    monkeypatch.setattr(of_text, "BLOCK", 300)
    lines = [f"{i if i < 90 else 'late'},{i % 2}" for i in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["a,label", *lines]))
    data = open_data(f"csv:{tmp_path}/t.csv?columns=a")
    assert data.card.layout is not None and data.card.layout.columns[0].kind == "category"


@pytest.mark.parametrize(("text", "found"), [("4GB", 4 * 10**9), ("1.5 MiB", 3 * 2**19), ("800", 800)])
def test_an_amount_of_memory_is_read(text: str, found: int) -> None:
    assert memory_bytes(text) == found
    with memory_for_data(text):
        assert held_bytes() == found


@pytest.mark.parametrize("text", ["much", "4XB", "-1GB", "nanGB", ""])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 4GB"):
        memory_bytes(text)


def test_the_bound_is_of_the_environment_where_nobody_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETOLL_MEMORY", "3kB")
    assert held_bytes() == 3000
    with memory_for_data("2kB"):
        assert held_bytes() == 2000


def test_an_arrow_file_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pa.OSFile(f"{tmp_path}/t.arrow", "wb") as sink,
        pa.ipc.new_file(sink, pa.table(values()).schema) as out,
    ):
        out.write_table(pa.table(values()), max_chunksize=70)
    (tmp_path / "cut.arrow").write_bytes((tmp_path / "t.arrow").read_bytes()[:-300])
    with pytest.raises(DataError, match="cannot be read as an Arrow file"):
        open_data(f"parquet:{tmp_path}/cut.arrow")
    monkeypatch.setattr(of_groups, "_SLICE", 64)
    whole, rows = both(f"parquet:{tmp_path}/t.arrow", monkeypatch)
    assert rows.card == whole.card and isinstance(reader(rows).table, MappedTable)
    assert isinstance(whole.train, ArraySplit)
    for one, other in zip(
        whole.train.batches(50, shuffle_seed=1), rows.train.batches(50, shuffle_seed=1), strict=True
    ):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.labels, other.labels)


@pytest.mark.usefixtures("lazily")
def test_training_holds_the_validation_samples_once(tmp_path: Path) -> None:
    with memory_for_data("2kB"):
        data = open_data(written(tmp_path / "t.parquet", values()))
    model = load_model("foretoll:mlp?width=4", data=data)
    training = Training(model, data.train, data.validation, {})
    before = dict(reader(data).table.rows_read)
    for _ in range(3):
        list(training.validation.batches(32))
    assert reader(data).table.rows_read == before
