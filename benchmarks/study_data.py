"""Write what studies of tasks need besides their data sets: `python benchmarks/study_data.py /my/data`.

Regression, one-logit and multi-label targets of real tables, series and small images, masks of small images that lie on
photographs, and texts as bags of words, made from the files that the other studies read and from scikit-learn's own.
Each keeps the name of what it is made from, in a folder of its own, so that runs know which data they share.
The same files give the same arrays.
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes

Array = npt.NDArray[Any]
# what a German traffic sign shows, by its class number of GTSRB
ATTRIBUTES = {
    "round": [*range(11), 15, 16, 17, *range(32, 43)],
    "triangle": [11, 13, *range(18, 32)],
    "red": [*range(6), 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, *range(18, 32)],
    "blue": range(33, 41),
    "number": range(9),
    "end": [6, 32, 41, 42],
    "arrow": [19, 20, 21, *range(33, 41)],
    "vehicle": [9, 10, 16, 23, 29, 41, 42],
}
# classes that are hard to tell apart
TWO_CLASSES = (
    ("mnist", 3, 8), ("mnist", 4, 9), ("fashion_mnist", 2, 4), ("usps", 4, 9), ("kmnist_test10k_split", 1, 6)
)  # fmt: skip
# what lies in a scene, and on what
SCENES = (
    ("mnist", "tiny_imagenet_32px_13000"), ("fashion_mnist", "tiny_imagenet_32px_13000"),
    ("kmnist_test10k_split", "gtsrb_32px_8880"), ("usps", "gtsrb_32px_8880"),
)  # fmt: skip
TEXTS = ("sst2", "movie_reviews_mr", "trec6", "ag_news_7600")
KINDS = 4  # that are told apart in a scene
INK = 80  # grey level from which a pixel of a small image belongs to what it shows


def main(folder: Path) -> None:
    """Write them all into the folder of the others."""
    rng = np.random.default_rng(0)
    diabetes = load_diabetes(as_frame=True, scaled=False).frame
    breast_cancer = load_breast_cancer(as_frame=True).frame
    _table(diabetes, folder / "diabetes.parquet")
    _table(breast_cancer, folder / "breast_cancer.parquet")
    adult(folder)
    weather(folder)
    electricity(folder)
    series(folder, rng)
    images(folder, rng)
    scenes(folder, np.random.default_rng(0))
    bags(folder)


def adult(folder: Path) -> None:
    """Who somebody is, from age, work and schooling: four labels."""
    table = pd.read_parquet(folder / "adult.parquet")
    labels = {
        "rich": table.label == 1,
        "married": table.marital_status.str.startswith("Married"),
        "male": table.sex == "Male",
        "long_hours": table.hours_per_week > 40,
    }
    kept = [
        "age", "workclass", "education_num", "occupation", "race", "native_country", "capital_gain", "capital_loss"
    ]  # fmt: skip
    _table(table[kept].assign(**_truth(labels)), folder / "labels" / "adult.parquet")


def weather(folder: Path) -> None:
    """Tomorrow's weather from today's, in the order of the days: a temperature, a wind, and four labels."""
    table = pd.read_parquet(folder / "neweather.parquet").rename(columns={"label": "rain"})
    after = table.shift(-1)
    labels = {
        "rain_after": after.rain == 1,
        "warmer": after.f0 > table.f0,
        "windier": after.f4 > table.f4,
        "clearer": after.f3 > table.f3,
    }
    whole = table.assign(f2=table.f2.clip(upper=1100), **_truth(labels), temperature=after.f0, wind=after.f4)
    _table(whole.iloc[:-1], folder / "after" / "neweather.parquet")


def electricity(folder: Path) -> None:
    """The next half hour of a market, in the order of time: a price, a demand, and three labels."""
    table = pd.read_parquet(folder / "elec2.parquet").drop(columns=["label", "date"])
    after = table.shift(-1)
    labels = {f"{name}_up": after[name] > table[name] for name in ("nswprice", "nswdemand", "vicdemand")}
    whole = table.assign(**_truth(labels), price=after.nswprice * 1000, demand=after.nswdemand * 100)
    _table(whole.iloc[:-1], folder / "after" / "elec2.parquet")


def series(folder: Path, rng: np.random.Generator) -> None:
    """Heartbeats and household devices: what comes next, which are odd, which of two run at once."""
    beats, kinds = _both_parts(folder, "ucr_ecg5000")
    _arrays(folder / "whole" / "ucr_ecg5000.npz", beats, kinds)
    _arrays(folder / "odd" / "ucr_ecg5000.npz", beats, (kinds > 0).astype(np.int64))
    _arrays(folder / "next" / "ucr_ecg5000.npz", beats[:, :100], beats[:, 100:120].mean(axis=1))
    curves, devices = _both_parts(folder, "ucr_electricdevices")
    _arrays(folder / "next" / "ucr_electricdevices.npz", curves[:, :72], curves[:, 72:].mean(axis=1))
    _arrays(folder / "two" / "ucr_electricdevices.npz", curves, np.isin(devices, (1, 4)).astype(np.int64))
    first, second = rng.permutation(len(curves))[: len(curves) // 2 * 2].reshape(2, -1)
    both = np.stack([curves[first], curves[second]], axis=1)
    _arrays(folder / "pairs" / "ucr_electricdevices.npz", both, _present(devices[first], devices[second], 7))


def images(folder: Path, rng: np.random.Generator) -> None:
    """Halves whose other half is told, pairs of small images, two classes, and what traffic signs show."""
    for file in ("mnist", "fashion_mnist", "kmnist_test10k_split"):
        pictures, kinds = _both_parts(folder, file)
        small = pictures.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).round().astype(np.uint8)
        chosen = rng.permutation(len(small))[:20_000]
        first, second = chosen.reshape(2, -1)
        both = np.concatenate([small[first], small[second]], axis=2)
        _arrays(folder / "pairs" / f"{file}.npz", both, _present(kinds[first], kinds[second], 10))
        half = small[chosen]
        hidden = half[:, :, 7:].mean(axis=(1, 2)).astype(np.float32)
        _arrays(folder / "halves" / f"{file}.npz", half[:, :, :7], hidden)
    for file, one, other in TWO_CLASSES:
        pictures, kinds = _both_parts(folder, file)
        two = np.isin(kinds, (one, other))
        is_other = (kinds[two] == other).astype(np.int64)
        _arrays(folder / f"{one}_{other}" / f"{file}.npz", pictures[two], is_other)
    signs, kinds = _both_parts(folder, "gtsrb_32px_8880")
    signs = signs.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    shown = np.stack([np.isin(kinds, list(numbers)) for numbers in ATTRIBUTES.values()], axis=1)
    _arrays(folder / "attributes" / "gtsrb_32px_8880.npz", signs, shown.astype(np.int64))


def scenes(folder: Path, rng: np.random.Generator, count: int = 3_000, side: int = 24) -> None:
    """Two small images of 14 pixels a side on a photograph, in colours of their own, and the class of each pixel.

    Of the first four kinds: once 1 for whatever lies there (`objects`), once its kind, from 1 (`kinds`).
    """
    for file, ground in SCENES:
        pictures, kinds = _both_parts(folder, file)
        chosen = rng.choice(np.flatnonzero(kinds < KINDS), (count, 2))
        grounds = _both_parts(folder, ground)[0]
        x = grounds[rng.choice(len(grounds), count)][:, 4 : 4 + side, 4 : 4 + side].copy()
        y = np.zeros((count, side, side), dtype=np.int64)
        for scene, mask, pair in zip(x, y, chosen, strict=True):
            for i in pair:
                small = _small(pictures[i])
                top, left = rng.integers(0, side - len(small) + 1, 2)
                place = np.s_[top : top + len(small), left : left + len(small)]
                cover = small[..., None] / 255
                scene[place] = scene[place] * (1 - cover) + rng.integers(0, 256, 3) * cover
                mask[place][small >= INK] = kinds[i] + 1
        _arrays(folder / "objects" / f"{file}.npz", x, (y > 0).astype(np.int64))
        _arrays(folder / "kinds" / f"{file}.npz", x, y)


def bags(folder: Path, size: int = 512) -> None:
    """Texts as the words that occur in them: whether any of those that share a place does, by a hash of the word."""
    for file in TEXTS:
        table = pd.read_parquet(folder / f"{file}.parquet")
        x = np.zeros((len(table), size), dtype=np.uint8)
        for row, text in zip(x, table.text, strict=True):
            row[[zlib.crc32(word.encode()) % size for word in re.findall(r"\w+", text.lower())]] = 1
        _arrays(folder / "bags" / f"{file}.npz", x, table.label.to_numpy(np.int64))


def _small(picture: Array) -> Array:
    """A grey image in 14 × 14 pixels: the mean of each two by two, or the middle of a smaller one."""
    if len(picture) == 28:
        return picture.reshape(14, 2, 14, 2).mean(axis=(1, 3))
    edge = (len(picture) - 14) // 2
    return picture[edge : edge + 14, edge : edge + 14]


def _both_parts(folder: Path, name: str) -> tuple[Array, Array]:
    with np.load(folder / f"{name}.npz") as found:
        x, y = (np.concatenate([found[f"{k}_train"], found[f"{k}_test"]]) for k in "xy")
    return x, y.astype(np.int64)


def _present(first: Array, second: Array, classes: int) -> Array:
    return ((np.eye(classes)[first] + np.eye(classes)[second]) > 0).astype(np.int64)


def _truth(labels: dict[str, Any]) -> dict[str, Any]:
    return {name: values.astype(np.int64) for name, values in labels.items()}


def _arrays(path: Path, x: Array, y: Array) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, x=x, y=y)


def _table(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    frame.to_parquet(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
