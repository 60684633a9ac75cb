"""Streams for `lives.py`: rows in time order, real drift and real data under drift that was made.

    FORETOLL_DATA=/path/to/data

Three of the ten streams drift by themselves (elec2, weather, adult by age), speech has new speakers; images and
series are served under five kinds of drift: none, gradual, sudden, recurring, new classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
ROWS = 200  # of a batch of images or series
BATCHES = 24
RARE = 4  # rows of each class that is new later, in the data of the first model
KNOWN = 0.5  # share of the classes that a life with new classes begins with


@dataclass(frozen=True)
class Served:
    """What the first model was trained on, and what was served, in time order."""

    source: tuple[Floats, Labels]
    x: Floats
    y: Labels
    every: int


@dataclass(frozen=True)
class LifeSpec:
    """A life: its name, its stream (what is left out as one when a rule is tuned on others), and its kind of drift."""

    name: str
    stream: str
    kind: str
    make: Callable[[int], Served]


def all_lives() -> Iterator[LifeSpec]:
    """All lives of the benchmark."""
    for name, start in (("a", 0), ("b", 14000), ("c", 28000)):
        yield LifeSpec(f"elec2 {name}", "elec2", "real", lambda _, s=start: _table("elec2", s, 2400, 336, 32))
    for name, start in (("a", 0), ("b", 9000)):
        yield LifeSpec(
            f"weather {name}", "weather", "real", lambda _, s=start: _table("neweather", s, 1500, 230, 32)
        )
    yield LifeSpec("adult by age", "adult", "real", _adult)
    for name, first in (("a", (4, 3)), ("b", (1, 5))):
        yield LifeSpec(f"speech {name}", "speech", "new speakers", lambda s, f=first: _speech(f, s))
    drifts: dict[str, dict[str, tuple[str, float, int]]] = {
        "fashion": {
            "gradual": ("rotation", 45.0, 0),
            "sudden": ("contrast", 0.7, 9),
            "recurring": ("contrast", 0.75, 4),
        },
        "kmnist": {
            "gradual": ("gaussian_noise", 0.4, 0),
            "sudden": ("translation", 0.08, 5),
            "recurring": ("rotation", 15.0, 6),
        },
        "usps": {
            "gradual": ("translation", 0.13, 0),
            "sudden": ("rotation", 30.0, 14),
            "recurring": ("inversion", 0.15, 3),
        },
        "mnist": {
            "gradual": ("inversion", 0.2, 0),
            "sudden": ("gaussian_blur", 1.2, 11),
            "recurring": ("translation", 0.06, 8),
        },
        "devices": {"gradual": ("translation", 0.2, 0), "sudden": ("brightness", 0.7, 7)},
        "ecg": {"gradual": ("contrast", 0.4, 0), "recurring": ("translation", 0.03, 5)},
    }
    for stream, kinds in drifts.items():
        for kind in ("none", *kinds, *(("new classes",) if stream not in ("devices", "ecg") else ())):
            yield LifeSpec(
                f"{stream} {kind}",
                stream,
                kind,
                lambda seed, s=stream, k=kind, d=kinds: _made(s, k, d.get(k), seed),
            )


def _folder() -> Path:
    return Path(os.environ["FORETOLL_DATA"])


def _table(file: str, start: int, source: int, every: int, batches: int) -> Served:
    """Consecutive rows of a table in time order; columns in units of the source's spread."""
    import pyarrow.parquet as pq

    rows = pq.read_table(_folder() / f"{file}.parquet").slice(start, source + every * batches)
    names = [name for name in rows.column_names if name not in ("label", "date")]
    x = np.stack([rows[name].to_numpy() for name in names], 1).astype(np.float32)
    y = rows["label"].to_numpy().astype(np.int64)
    x = (x - x[:source].mean(0)) / (x[:source].std(0) + 1e-6)
    x = x.clip(-5, 5)  # a column that hardly moved at first has values of thousands later
    return Served((x[:source], y[:source]), x[source:], y[source:], every)


def _adult(seed: int) -> Served:
    """People of 25 at first, who grow older batch by batch: income above 50K, from numbers and categories."""
    import pyarrow.parquet as pq

    table = pq.read_table(_folder() / "adult.parquet").to_pydict()
    columns = [
        np.asarray(table[n], dtype=np.float32) for n in ("education_num", "hours_per_week", "capital_gain")
    ]
    columns[2] = np.log1p(columns[2])
    for name in ("workclass", "occupation", "relationship", "sex"):
        values = np.asarray(table[name]).astype(str)
        columns += [(values == level).astype(np.float32) for level in np.unique(values)]
    x, y, age = np.stack(columns, 1), np.asarray(table["label"], dtype=np.int64), np.asarray(table["age"])
    draw = np.random.default_rng(seed)
    young = draw.permutation(np.flatnonzero(age <= 25))[:1500]
    left = np.ones(len(x), dtype=bool)
    left[young] = False
    found = []
    for i in range(BATCHES):  # nobody is served twice
        found.append(draw.choice(np.flatnonzero(left & (np.abs(age - (25 + i)) <= 2)), 250, replace=False))
        left[found[-1]] = False
    x = (x - x[young].mean(0)) / (x[young].std(0) + 0.05)
    rows = np.concatenate(found)
    return Served((x[young], y[young]), x[rows].clip(-5, 5), y[rows], 250)


@cache
def _spoken() -> dict[str, npt.NDArray[Any]]:
    """Log spectra of the spoken digits: 24 bands by 16 times."""
    stored = np.load(_folder() / "fsdd_8khz.npz")
    found = {}
    for part in ("train", "test"):
        sound = stored[f"x_{part}"].astype(np.float32).reshape(-1, 16, 500)
        power = np.abs(np.fft.rfft(sound * np.hanning(500).astype(np.float32), axis=2))[:, :, 1:241] ** 2
        bands = power.reshape(len(sound), 16, 24, 10).mean(3)
        found[f"x_{part}"] = np.log(bands + 1e3).reshape(len(sound), -1).astype(np.float32)
    return {
        "x": np.concatenate([found["x_train"], found["x_test"]]),
        "y": np.concatenate([stored["y_train"], stored["y_test"]]).astype(np.int64),
        "speaker": np.concatenate([stored["speaker_train"], stored["speaker_test"]]),
    }


def _speech(first: tuple[int, int], seed: int) -> Served:
    """Two speakers are known; then four others call, one after the other, and all six once more."""
    data, draw = _spoken(), np.random.default_rng(seed)
    own = {s: draw.permutation(np.flatnonzero(data["speaker"] == s)) for s in range(6)}
    source = np.concatenate([own[s][:400] for s in first])
    others = [s for s in range(6) if s not in first]
    parts = [own[s][100 * i : 100 * (i + 1)] for s in others for i in range(4)]
    parts += [own[s][400:] for s in (*first, *others)]
    rows = np.concatenate(parts)
    mean, spread = data["x"][source].mean(0), data["x"][source].std(0) + 0.1
    x = ((data["x"] - mean) / spread).clip(-5, 5)
    return Served((x[source], data["y"][source]), x[rows], data["y"][rows], 100)


_FILES = {
    "fashion": "fashion_mnist",
    "kmnist": "kmnist_test10k_split",
    "usps": "usps",
    "mnist": "mnist",
    "devices": "ucr_electricdevices",
    "ecg": "ucr_ecg5000",
}


@cache
def _stored(stream: str) -> tuple[npt.NDArray[Any], Labels]:
    """At most 10,000 samples; images as (n, 1, H, W) of 14 or 16 pixels a side."""
    stored = np.load(_folder() / f"{_FILES[stream]}.npz")
    x = np.concatenate([stored["x_train"], stored["x_test"]])
    y = np.concatenate([stored["y_train"], stored["y_test"]]).astype(np.int64)
    chosen = np.random.default_rng(7).permutation(len(x))[:10000]
    x, y = x[chosen], y[chosen]
    if x.ndim == 2:
        return x[:, None].astype(np.float32), y
    if x.shape[1] == 28:
        x = x.reshape(len(x), 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8)
    return x[:, None], y


def _made(stream: str, kind: str, drift: tuple[str, float, int] | None, seed: int) -> Served:
    """Real samples in random order, of which the later ones are served under a drift."""
    x, y = _stored(stream)
    order = np.random.default_rng(seed).permutation(len(x))
    most = (len(order) - 800) // BATCHES
    rows = min(ROWS, most)
    source, later = order[:800], order[800:]
    if kind == "new classes":
        known = y < round(KNOWN * (y.max() + 1))
        rare = np.concatenate([source[y[source] == c][:RARE] for c in range(int(y.max()) + 1)])
        source = np.concatenate([source[known[source]], rare[~known[rare]]])
        split = 8 * rows
        old = later[known[later]][:split]
        later = np.concatenate([old, later[~np.isin(later, old)]])
        later[split:] = np.random.default_rng(seed).permutation(later[split:])
    later = later[: BATCHES * rows]
    served = np.concatenate(
        [
            _shifted(x[part], i, drift, kind)
            for i, part in enumerate(np.split(later, range(rows, len(later), rows)))
        ]
    )
    flat = served.reshape(len(served), -1)
    first = _scaled(x[source]).reshape(len(source), -1)
    mean, spread = first.mean(0), first.std(0) + (0.1 if x.dtype == np.uint8 else 1e-3)
    return Served(
        (((first - mean) / spread).astype(np.float32), y[source]),
        ((flat - mean) / spread).astype(np.float32),
        y[later],
        rows,
    )


def _scaled(x: npt.NDArray[Any]) -> Floats:
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)


def _shifted(x: npt.NDArray[Any], number: int, drift: tuple[str, float, int] | None, kind: str) -> Floats:
    """A batch under the drift of its time: levels rise evenly, or stand from a batch on, or come and go."""
    if drift is None:
        return _scaled(x)
    name, level, when = drift
    identity = 1.0 if name == "contrast" else 0.0
    if kind == "gradual":
        level = identity + (level - identity) * number / (BATCHES - 1)
    elif (kind == "sudden" and number < when) or (kind == "recurring" and not number // when % 2):
        level = identity
    if level == identity:
        return _scaled(x)
    from foretoll.data import open_data
    from foretoll.records import Shift

    data = open_data((x, np.arange(len(x)) % 2))
    shifted = data.shifted(Shift(kind=name, level=level), seed=number)
    moved = np.empty((len(x), *x.shape[1:]), dtype=x.dtype)
    for split in (shifted.train, shifted.validation, shifted.test):
        moved[split.ids.numpy()] = split.all().inputs.numpy()
    return _scaled(moved)
