"""Large arrays that stay on disk: the same samples as in memory, and no more of them read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretoll.data import ArraySplit, DatasetSplit, TaskData, array_rows, open_data, stratified_sample
from foretoll.data import open_npz as opener
from foretoll.data.array_rows import ArrayRows
from foretoll.errors import DataError

ROWS = 240


def inputs(kind: str) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(0)
    return {
        "vectors": lambda: random.normal(0, 3, (ROWS, 7)),
        "images": lambda: random.integers(0, 256, (ROWS, 9, 8, 3)).astype(np.uint8),
        "floats": lambda: random.uniform(0, 1, (ROWS, 10, 10)).astype(np.float32),
        "transparent": lambda: random.integers(0, 256, (ROWS, 9, 8, 4)).astype(np.uint8),
        "series": lambda: random.integers(-999, 999, (ROWS, 2, 30)).astype(np.int16),
    }[kind]()


def written(where: Path, x: np.ndarray[Any, Any], form: str) -> str:
    y = np.arange(len(x)) % 3
    cut = len(x) * 3 // 4
    arrays = {"x_train": x[:cut], "y_train": y[:cut], "x_test": x[cut:], "y_test": y[cut:]}
    if form == "folder":
        (where / "arrays").mkdir()
        for name, array in arrays.items():
            np.save(where / "arrays" / f"{name}.npy", array)
        return f"npz:{where}/arrays"
    (np.savez if form == "stored" else np.savez_compressed)(where / "arrays.npz", **arrays)
    return f"npz:{where}/arrays.npz"


def reader(data: TaskData) -> ArrayRows:
    split = data.train
    assert isinstance(split, DatasetSplit) and isinstance(split.dataset, ArrayRows)
    return split.dataset


@pytest.mark.parametrize("form", ["stored", "folder"])
@pytest.mark.parametrize("kind", ["vectors", "images", "floats", "transparent", "series"])
def test_the_samples_are_those_of_arrays_in_memory(
    kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = written(tmp_path, inputs(kind), form)
    whole = open_data(uri)
    assert isinstance(whole.train, ArraySplit)
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    rows = open_data(uri)
    assert isinstance(rows.train, DatasetSplit) and rows.card == whole.card
    pairs = ((whole.train, rows.train), (whole.validation, rows.validation), (whole.test, rows.test))
    for one, other in pairs:
        assert torch.equal(one.all().inputs, other.all().inputs) and torch.equal(one.ids, other.ids)
        for mine, theirs in zip(
            one.batches(50, shuffle_seed=2), other.batches(50, shuffle_seed=2), strict=True
        ):
            assert torch.equal(mine.inputs, theirs.inputs) and torch.equal(mine.labels, theirs.labels)


def test_no_more_than_the_sample_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    data = open_data(written(tmp_path, inputs("images"), "stored"))
    assert reader(data).rows_read == 0
    sample = stratified_sample(data.train, 30, seed=0)
    list(sample.batches(8))
    assert reader(data).rows_read == 30


def test_values_that_cannot_be_used_are_refused_where_they_are_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    monkeypatch.setattr(array_rows, "_LOOK", 2)  # samples that tell what all are like
    x = inputs("floats")
    x[1] = np.nan
    data = open_data(written(tmp_path, x, "stored"))
    assert data.kind == "image"
    with pytest.raises(DataError, match="a part of it, has 100 NaN or infinite values"):
        data.train.all(), data.validation.all()


def test_compressed_arrays_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    assert isinstance(open_data(written(tmp_path, inputs("vectors"), "compressed")).train, ArraySplit)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("x", b"\x93NUMPY\x01\x00", "no whole array"), ("z", b"", "it needs x_train")],
)
def test_a_folder_of_other_files_is_refused(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.npy").write_bytes(content)
    with pytest.raises(DataError, match=told):
        open_data(f"npz:{tmp_path}")
