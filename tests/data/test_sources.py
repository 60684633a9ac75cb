"""Real data through every scheme."""

from __future__ import annotations

import struct
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from foretoll.data import ArraySplit, DatasetSplit, TaskData, open_data
from foretoll.data.open_hf import OLDEST
from foretoll.errors import DataError, UsageError
from foretoll.records import Shift


def _digits() -> tuple[np.ndarray, np.ndarray]:
    data = open_data("digits")
    return data.train.all().inputs.numpy()[:, 0], data.train.all().labels.numpy()


# --- npz -----------------------------------------------------------------------------------------


def test_npz_images(shared_dir: Path) -> None:
    data = open_data(f"npz:{shared_dir}/data/usps.npz")
    assert (data.kind, data.shape, data.num_classes, data.name) == ("image", (1, 16, 16), 10, "usps")
    assert (len(data.train), len(data.validation), len(data.test)) == (5833, 1458, 2007)
    with np.load(shared_dir / "data" / "usps.npz") as arrays:
        assert torch.equal(data.test.all().inputs[:, 0], torch.from_numpy(arrays["x_test"]))
        assert data.test.all().labels.tolist() == arrays["y_test"].tolist()
        row = int(data.train.ids[100])
        assert torch.equal(data.train.all().inputs[100, 0], torch.from_numpy(arrays["x_train"][row]))
    colour = open_data(f"npz:{shared_dir}/data/gtsrb_32px_8880.npz?limit=500&split=test")
    assert colour.shape == (3, 32, 32)
    assert len(colour.train) + len(colour.validation) == 500


def test_npz_names_columns_and_audio(shared_dir: Path) -> None:
    path = f"npz:{shared_dir}/data/fsdd_8khz.npz"
    theo, rest = open_data(f"{path}?where=speaker:theo"), open_data(f"{path}?where=speaker!theo&limit=100")
    assert (theo.kind, theo.shape) == ("series", (1, 8000))
    assert sum(map(len, (theo.train, theo.validation, theo.test))) == 500
    assert not set(theo.train.ids.tolist()) & set(rest.train.ids.tolist())
    inputs = theo.train.all().inputs
    assert inputs.dtype == torch.float32
    assert -1 <= float(inputs.min()) < float(inputs.max()) < 1
    assert float(inputs.abs().max()) > 0.1
    with pytest.raises(UsageError, match="did you mean 'theo'"):
        open_data(f"{path}?where=speaker:teo")
    names = open_data(f"npz:{shared_dir}/data/tiny_imagenet_32px_13000.npz?classes=goldfish,bullfrog")
    assert names.classes == ("goldfish", "bullfrog")
    ecg = f"npz:{shared_dir}/data/ucr_ecg5000.npz"
    assert open_data(ecg).shape == (140,)
    assert open_data(f"{ecg}?kind=series&shift=gaussian_blur:2").shape == (1, 140)


# --- parquet -------------------------------------------------------------------------------------


def test_parquet_images(shared_dir: Path) -> None:
    data = open_data(f"parquet:{shared_dir}/data/cifar10.parquet?limit=60&classes=cat,dog&shift=contrast:0.5")
    assert (data.kind, data.shape, data.classes) == ("image", (3, 32, 32), ("cat", "dog"))
    assert isinstance(data.train, ArraySplit)
    assert (len(data.train), len(data.validation), len(data.test)) == (48, 12, 15)


def test_parquet_mixed_columns(shared_dir: Path) -> None:
    path = f"parquet:{shared_dir}/data/adult.parquet"
    data = open_data(f"{path}?limit=2000")
    assert (data.kind, data.num_classes) == ("vector", 2)
    frame = pq.read_table(f"{shared_dir}/data/adult.parquet").to_pandas().drop(columns=["split", "label"])
    texts = [c for c in frame if frame[c].dtype.kind not in "if"]
    width = sum(frame[c].nunique() if c in texts else 1 for c in frame)  # "?" is a level of its own
    assert data.shape == (width,)
    # the vocabulary is the whole file's: any selection has the same columns
    private = open_data(f"{path}?where=workclass:Private&limit=50")
    assert private.shape == data.shape
    missing = open_data(f"{path}?where=workclass:(missing)&limit=300")
    assert missing.card.train + missing.card.validation == 300


def test_parquet_streams_keep_time_order(shared_dir: Path) -> None:
    path = f"parquet:{shared_dir}/data/elec2.parquet"
    early, late = open_data(f"{path}?rows=0:20000"), open_data(f"{path}?rows=20000:&limit=500")
    assert int(early.train.ids.max()) < 20000 <= int(late.train.ids.min())
    date = early.train.all().inputs[:, 0]
    assert float(torch.diff(date).min()) >= 0


def test_parquet_texts(shared_dir: Path) -> None:
    data = open_data(f"parquet:{shared_dir}/data/trec6.parquet?limit=100")
    assert data.kind == "text"
    assert data.num_classes == 6
    assert len(data.classes[0]) > 1  # named by label_name
    batch = next(iter(data.train.batches(4)))
    assert isinstance(batch.inputs[0], str)
    with pytest.raises(UsageError, match="natural shifts"):
        data.shifted(Shift(kind="frost", level=0.5))


def test_parquet_label_texts_lists_and_given_validation(tmp_path: Path) -> None:
    n = 40
    table = pa.table(
        {
            "f": [[float(i), 2.0] for i in range(n)],
            "b": [i % 3 == 0 for i in range(n)],
            "class": ["dog" if i % 2 else "cat" for i in range(n)],
            "split": ["train"] * 20 + ["valid"] * 8 + ["test"] * 12,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    data = open_data(f"parquet:{tmp_path}/t.parquet?label=class")
    assert data.classes == ("cat", "dog")
    assert data.shape == (3,)
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 8, 12)
    assert data.train.all().labels.tolist() == [0, 1] * 10
    no_label = open_data(f"parquet:{tmp_path}/t.parquet?where=class:cat")
    assert not no_label.card.labelled


# --- folder --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, labels = _digits()
    for role, rows in (("train", range(60)), ("test", range(60, 90))):
        for row in rows:
            target = tmp_path / role / f"c{labels[row] % 2}"
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).save(target / f"{row:03}.png")
    return tmp_path


def test_folder_with_splits_is_lazy(folder: Path) -> None:
    images, labels = _digits()
    data = open_data(f"folder:{folder}")
    assert isinstance(data.train, DatasetSplit)
    assert (data.shape, data.classes, len(data.test)) == ((1, 8, 8), ("c0", "c1"), 30)
    got = {tuple(x.flatten().tolist()): int(y) for x, y in zip(*data.test.all(), strict=True)}
    want = {tuple(images[r].flatten().tolist()): int(labels[r]) % 2 for r in range(60, 90)}
    assert got == want
    shifted = open_data(f"folder:{folder}?shift=gaussian_noise:0.2")
    big, small = shifted.train.all().inputs, torch.cat([b.inputs for b in shifted.train.batches(7)])
    assert torch.equal(big, small)
    assert not torch.equal(big, data.train.all().inputs)


def test_folder_without_splits_and_with_several_sizes(folder: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(folder / "train" / "c0" / "odd.png")
    data = open_data(f"folder:{folder}/train")
    assert data.shape == (3, 8, 8)
    assert sum(map(len, (data.train, data.validation, data.test))) == 61
    assert open_data(f"folder:{folder}/train?size=12x10").train.all().inputs.shape[1:] == (3, 12, 10)


# --- torchvision ---------------------------------------------------------------------------------


def _idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def test_torchvision_reads_local_files_and_never_downloads(tmp_path: Path) -> None:
    images, labels = _digits()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, rows in (("train", slice(0, 200)), ("t10k", slice(200, 300))):
        _idx(raw / f"{prefix}-images-idx3-ubyte", images[rows])
        _idx(raw / f"{prefix}-labels-idx1-ubyte", labels[rows])
    data = open_data(f"torchvision:MNIST?root={tmp_path}")
    assert (data.kind, data.shape, data.num_classes) == ("image", (1, 8, 8), 10)
    assert (len(data.train), len(data.validation), len(data.test)) == (160, 40, 100)
    assert torch.equal(data.test.all().inputs[:, 0], torch.from_numpy(images[200:300]))
    with pytest.raises(DataError, match="download=1"):
        open_data(f"torchvision:FashionMNIST?root={tmp_path}")
    assert not (tmp_path / "FashionMNIST").exists()


def test_torchvision_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'MNIST'"):
        open_data("torchvision:MNISTT?root=x")
    with pytest.raises(UsageError, match="needs root"):
        open_data("torchvision:MNIST")
    with pytest.raises(DataError, match="never unpickled"):
        open_data(f"torchvision:CIFAR10?root={tmp_path}")


# --- hf ------------------------------------------------------------------------------------------


def test_hf_from_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images, labels = _digits()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list("abcdefghij"))}
    )

    def part(rows: slice) -> object:
        pictures = [Image.fromarray(image) for image in images[rows]]
        return datasets.Dataset.from_dict(
            {"image": pictures, "label": labels[rows].tolist()}, features=features
        )

    datasets.DatasetDict({"train": part(slice(0, 100)), "test": part(slice(100, 150))}).save_to_disk(
        tmp_path / "d"
    )
    data = open_data(f"hf:{tmp_path}/d")
    assert isinstance(data, TaskData)
    assert (data.kind, data.shape, data.classes[:2]) == ("image", (1, 8, 8), ("a", "b"))
    assert torch.equal(data.test.all().inputs[:, 0], torch.from_numpy(images[100:150]))
    texts = datasets.Dataset.from_dict(
        {"sentence": [f"s{i}" for i in range(50)], "label": [i % 2 for i in range(50)]}
    )
    texts.save_to_disk(tmp_path / "t")
    assert open_data(f"hf:{tmp_path}/t").kind == "text"
    with pytest.raises(DataError, match="cannot be opened"):
        (tmp_path / "empty").mkdir()
        open_data(f"hf:{tmp_path}/empty")


def test_a_data_sets_script_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "stranger.py").write_text("from pathlib import Path; Path('CANARY').touch()")
    (tmp_path / "stranger" / "data.csv").write_text("x,label\n" + "1,0\n2,1\n" * 30)
    try:
        told = open_data("hf:stranger").card.reading  # the file beside it may be read
    except DataError as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) <= 300
    assert not (tmp_path / "CANARY").exists()


def test_datasets_that_may_run_a_script_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert f"datasets>={OLDEST}" in project["optional-dependencies"]["hf"]
    assert int(datasets.__version__.split(".")[0]) >= OLDEST
    monkeypatch.setattr(datasets, "__version__", "3.2.0")
    with pytest.raises(DataError, match=r"needs datasets 4 or newer and '3.2.0' is installed.*pip install"):
        open_data(f"hf:{tmp_path}")
