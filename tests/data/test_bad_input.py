"""Every kind of bad data gets one sentence that names the offender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from foretoll.data import open_data
from foretoll.errors import DataError

X = np.arange(200, dtype=np.float32).reshape(50, 4)
Y = np.arange(50) % 2


def _with(array: np.ndarray, value: float) -> np.ndarray:
    out = array.copy()
    out.flat[21] = value
    return out


def _npz(tmp_path: Path, **arrays: Any) -> str:
    np.savez(tmp_path / "d.npz", **arrays)
    return f"npz:{tmp_path}/d.npz"


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "wrong keys": ({"images": X, "y": Y}, "has images, y: it needs x_train"),
    "only train": ({"x_train": X, "y_train": Y}, "it needs x_train"),
    "half labelled": ({"x_train": X, "y_train": Y, "x_test": X}, "no y_test"),
    "nan": ({"x": _with(X, np.nan), "y": Y}, "1 NaN or infinite values, the first in row 5"),
    "inf": ({"x": _with(X, np.inf), "y": Y}, "NaN or infinite"),
    "too large for float32": ({"x": _with(X.astype(float), 1e300), "y": Y}, "as float32"),
    "float labels": ({"x": X, "y": Y.astype(float)}, "labels of type float64"),
    "nan labels": ({"x": X, "y": _with(Y.astype(float), np.nan)}, "1 NaN labels"),
    "negative label": ({"x": X, "y": _with(Y, -1)}, "negative label -1 in row 21"),
    "label out of range": (
        {"x": X, "y": _with(Y, 2), "classes": ["a", "b"]},
        "label 2 in row 21, out of range",
    ),
    "one-hot labels": ({"x": X, "y": np.eye(2)[Y]}, "not one-hot"),
    "different numbers": ({"x": X, "y": Y[:-1]}, "50 samples and y 49 labels"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "has shape|is empty"),
    "empty test": ({"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}, "has shape|is empty"),
    "single class": ({"x": X, "y": Y * 0}, "single class '0'"),
    "pickled objects": ({"x": np.array([{}, 1, "a"], dtype=object), "y": Y}, "never unpickled"),
    "texts as samples": ({"x": np.full((50, 2), "a"), "y": Y}, "samples are numbers"),
    "flat samples": ({"x": X[:, 0], "y": Y}, "one axis of their own"),
    "different shapes": ({"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y}, "must be equal"),
    "five channels": ({"x": np.zeros((50, 4, 4, 5), np.uint8), "y": Y}, "C = 1 or 3"),
    "normalised images": ({"x": np.full((50, 4, 4, 3), -2.0), "y": Y}, "leave normalisation out"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_npz(case: str, tmp_path: Path) -> None:
    arrays, message = CASES[case]
    with pytest.raises(DataError, match=message) as caught:
        open_data(_npz(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    for scheme in ("npz", "parquet"):
        with pytest.raises(DataError, match="is no file"):
            open_data(f"{scheme}:{tmp_path}/none.{scheme}")
        with pytest.raises(DataError, match=r"is no file|has no \.npy file"):
            open_data(f"{scheme}:{tmp_path}")
    with pytest.raises(DataError, match="is no folder"):
        open_data(f"folder:{tmp_path}/none")
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).normal(size=(50, 40)), y=Y)
    pq.write_table(pa.table({"a": X[:, 0], "label": Y}), tmp_path / "whole.parquet")
    for scheme in ("npz", "parquet"):
        content = (tmp_path / f"whole.{scheme}").read_bytes()
        for kept in (0, 10, len(content) // 2, len(content) - 5):
            (tmp_path / "cut").write_bytes(content[:kept])
            with pytest.raises(DataError, match="cannot be read as"):
                open_data(f"{scheme}:{tmp_path}/cut")
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[300:330] = bytes(30)
    (tmp_path / "cut").write_bytes(damaged)
    with pytest.raises(DataError, match="cannot be read as"):
        open_data(f"npz:{tmp_path}/cut")
    np.save(tmp_path / "single.npy", X)
    with pytest.raises(DataError, match="single array"):
        open_data(f"npz:{tmp_path}/single.npy")


PARQUET: dict[str, tuple[dict[str, Any], str]] = {
    "null number": ({"a": [None, *X[1:, 0].tolist()], "label": Y}, "1 missing numbers in column 'a'"),
    "nan number": (
        {"a": _with(X[:, 0], np.nan), "label": Y},
        "1 missing numbers in column 'a', .*where=a!",
    ),
    "null label": ({"a": X[:, 0], "label": [None, *Y[1:].tolist()]}, "1 missing labels"),
    "huge label": ({"a": X[:, 0], "label": Y * 1e17}, "no whole numbers .1e.17.: labels are classes"),
    "negative label": ({"a": X[:, 0], "label": _with(Y, -3)}, "negative label -3"),
    "no features": ({"label": Y}, "no column besides"),
    "no rows": ({"a": X[:0, 0], "label": Y[:0]}, "no rows"),
    "null text": ({"text": [None, *(["a"] * 49)], "label": Y}, "no text in row 0"),
    "dates": ({"a": pa.array([0] * 50, pa.date32()), "label": Y}, "no column to learn from .*dates or times"),
    "ragged lists": ({"a": [[1.0]] * 49 + [[1.0, 2.0]], "label": Y}, "different lengths"),
    "no image bytes": ({"image": [b"xyz"] * 50, "label": Y}, "row 0 is no readable image"),
    "missing image": ({"image": [None] + [b"xyz"] * 49, "label": Y}, "row 0 is missing"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_bad_parquet(case: str, tmp_path: Path) -> None:
    columns, message = PARQUET[case]
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"parquet:{tmp_path}/d.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["text", "label", "level"])
def test_texts_that_are_no_text_are_one_sentence(column: str, tmp_path: Path) -> None:
    texts = [f"{'ab'[i % 2]}" for i in range(60)]
    table = pa.table({"x": [float(i) for i in range(60)], "label": texts, column: [*texts[:-1], "\u00e4"]})
    pq.write_table(table, tmp_path / "d.parquet", compression="none", use_dictionary=False)
    content = (tmp_path / "d.parquet").read_bytes()
    (tmp_path / "d.parquet").write_bytes(content.replace("\u00e4".encode(), b"\xe40"))
    with pytest.raises(
        DataError, match=r"d\.parquet holds texts that are no UTF-8, or it is damaged: make or copy"
    ):
        open_data(f"parquet:{tmp_path}/d.parquet")


def test_ids_alone_are_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": [f"n{i}" for i in range(1200)], "label": [0, 1] * 600}), tmp_path / "d.parquet"
    )
    with pytest.raises(
        DataError, match=r"no column to learn from .*an id: nearly every row has its own.*columns="
    ):
        open_data(f"parquet:{tmp_path}/d.parquet")


def test_folders_without_images_or_with_broken_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in sub-folders"):
        open_data(f"folder:{tmp_path}")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("L", (64, 64), i).save(tmp_path / name / f"{i}.png")
    data = open_data(f"folder:{tmp_path}")
    path = sorted((tmp_path / "a").glob("*.png"))[0]
    for content in (b"", path.read_bytes()[:60]):  # no image at all; a header without its pixels
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"0\.png is no readable image"):
            for split in (data.train, data.validation, data.test):
                list(split.batches(8))


def test_choices_that_leave_nothing(tmp_path: Path) -> None:
    uri = _npz(tmp_path, x=X, y=Y, month=np.arange(50) // 25)
    with pytest.raises(DataError, match="split is empty"):
        open_data(f"{uri}?rows=0:1")
    with pytest.raises(DataError, match="single class '1'"):
        open_data(f"{uri}?classes=1")
    with pytest.raises(DataError, match="split is empty"):
        open_data(f"{uri}?rows=100:200")
    assert open_data(f"{uri}?where=month:0").card.train < 30
