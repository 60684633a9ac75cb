"""Labels that are large numbers, such as years, are as many classes as there are different ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from foretoll.data import TaskData, open_data

ROWS = 120


def csv(labels: np.ndarray, folder: Path) -> str:
    rows = (f"{row % 7},{row % 5},{label}" for row, label in enumerate(labels))
    (folder / "d.csv").write_text("\n".join(["a,b,label", *rows]))
    return f"csv:{folder}/d.csv"


def parquet(labels: np.ndarray, folder: Path) -> str:
    rows = np.arange(len(labels))
    pq.write_table(pa.table({"a": rows % 7, "b": rows % 5, "label": labels}), folder / "d.parquet")
    return f"parquet:{folder}/d.parquet"


def npz(labels: np.ndarray, folder: Path) -> str:
    x = np.random.default_rng(0).normal(size=(len(labels), 3))
    np.savez(folder / "d.npz", x=x.astype(np.float32), y=labels)
    return f"npz:{folder}/d.npz"


def pictures(labels: np.ndarray, folder: Path) -> str:
    for row, label in enumerate(labels):
        (folder / "d" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), row).save(folder / "d" / str(label) / f"{row}.png")
    return f"folder:{folder}/d"


@pytest.mark.parametrize("values", [range(2019, 2025), (0, 1, 9999)])
@pytest.mark.parametrize("kept", [csv, parquet, npz, pictures])
def test_years_and_other_large_labels_are_so_many_classes(
    kept: Callable[[np.ndarray, Path], str], values: range | tuple[int, ...], tmp_path: Path
) -> None:
    data = open_data(kept(np.array(values)[np.arange(ROWS) % len(values)], tmp_path))
    assert data.classes == tuple(map(str, values))
    assert data.train.labels is not None
    assert set(data.train.labels.tolist()) == set(range(len(values)))


def test_a_stray_label_9999_is_one_class_more_and_named_with_its_count(tmp_path: Path) -> None:
    labels = np.arange(ROWS) % 3
    labels[7] = 9999
    data = open_data(npz(labels, tmp_path))
    assert data.num_classes == 4
    assert any("'9999' (1 of 120)" in note for note in data.card.notes)


def test_a_test_label_that_no_training_sample_has_is_named_with_its_count(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32), np.arange(ROWS) % 3
    unseen = np.where(np.arange(ROWS) < 2, 7, y)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=unseen)
    data = open_data(f"npz:{tmp_path}/d.npz")
    assert any(
        "labels of the test split that no training sample has: '7' (2 of 120)" in n for n in data.card.notes
    )


def test_years_and_9999_among_the_inputs_stay_numbers(tmp_path: Path) -> None:
    rows = [f"{1990 + row % 30},{9999 if row % 7 == 0 else row % 5},{row % 3}" for row in range(ROWS)]
    (tmp_path / "d.csv").write_text("\n".join(["year,code,label", *rows]))
    data = open_data(f"csv:{tmp_path}/d.csv")
    assert isinstance(data, TaskData)
    assert (data.shape, data.num_classes, data.card.notes) == ((2,), 3, ())
    assert float(data.train.all().inputs[:, 0].min()) >= 1990
