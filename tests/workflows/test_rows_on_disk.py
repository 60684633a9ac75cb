"""What is looked at of a source that stays on disk: the same indices and signals as of one in memory."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyarrow import csv
from torch.utils.data import IterableDataset

from foretoll.data import DatasetSplit, open_csv, open_npz, open_parquet
from foretoll.options import get_option
from foretoll.records import TrainingSettings
from foretoll.workflows.context import open_update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.planned import start_quality
from foretoll.workflows.retrain import take_signals

SETTINGS = TrainingSettings(until=0.9, batch_size=16)


def columns(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, 400)
    return {f"c{i}": random.normal(label * (i % 2), 1 + seed) for i in range(4)} | {"label": label}


def parquet(path: Path, seed: int) -> str:
    pq.write_table(pa.table(columns(seed)), f"{path}.parquet", row_group_size=64)
    return f"parquet:{path}.parquet"


def text(path: Path, seed: int) -> str:
    csv.write_csv(pa.table(columns(seed)), f"{path}.csv")
    return f"csv:{path}.csv"


def arrays(path: Path, seed: int) -> str:
    *x, y = columns(seed).values()
    np.savez(f"{path}.npz", x=np.stack(x, axis=1), y=y)
    return f"npz:{path}.npz"


class Streamed(IterableDataset[Any]):
    """Rows that are given once, one by one."""

    def __init__(self, x: Any, y: Any) -> None:
        self.pairs = list(zip(torch.from_numpy(x), y, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pairs)


def coloured(seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    y = np.sort(random.integers(0, 3, 200))
    x = random.integers(0, 120 + 30 * seed, (200, 8, 8, 3)) + 40 * y[:, None, None, None]
    return x.astype(np.uint8), y


def folder(path: Path, seed: int) -> str:
    for row, (pixels, label) in enumerate(zip(*coloured(seed), strict=True)):
        (path / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path / str(label) / f"{row:03}.png")
    return f"folder:{path}"


def shard(path: Path, seed: int) -> str:
    with tarfile.open(f"{path}.tar", "w") as tar:
        for row, (pixels, label) in enumerate(zip(*coloured(seed), strict=True)):
            held = io.BytesIO()
            Image.fromarray(pixels).save(held, "png")
            for name, content in ((f"{row:03}.png", held.getvalue()), (f"{row:03}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return f"tar:{path}.tar"


def looked_at(uris: list[Any], arch: str = "foretoll:mlp?width=8") -> tuple[type, dict[str, float | None]]:
    update = open_update(arch, *uris)
    seen = take_signals(update, SETTINGS, samples=90)
    pilot = pilot_signals(update, get_option("finetune"), SETTINGS)
    start = {"start": start_quality(update, SETTINGS)}
    return type(update.target.train), seen.signals | pilot | start


@pytest.mark.parametrize("write", [parquet, text, arrays])
def test_indices_and_signals_are_those_of_the_source_in_memory(
    write: Callable[[Path, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = [write(tmp_path / name, seed) for seed, name in enumerate(("old", "new"))]
    whole = looked_at(uris)
    for opener in (open_parquet, open_csv, open_npz):
        monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    check(looked_at(uris), whole)


def test_a_data_set_that_gives_its_items_once_is_one_of_arrays() -> None:
    pairs = []
    for seed in (0, 1):
        *x, y = columns(seed).values()
        pairs.append((np.stack(x, axis=1).astype(np.float32), y))
    check(looked_at([Streamed(*pair) for pair in pairs]), looked_at(pairs))


@pytest.mark.parametrize("write", [folder, shard])
def test_pictures_in_files_are_those_of_arrays(write: Callable[[Path, int], str], tmp_path: Path) -> None:
    uris = [write(tmp_path / name, seed) for seed, name in enumerate(("old", "new"))]
    check(
        looked_at(uris, "foretoll:cnn?width=4"), looked_at([coloured(0), coloured(1)], "foretoll:cnn?width=4")
    )


def check(lazy: tuple[type, dict[str, float | None]], whole: tuple[type, dict[str, float | None]]) -> None:
    """Read lazily, and to 1e-6 the same."""
    kind, rows = lazy
    assert kind is DatasetSplit and rows.keys() == whole[1].keys()
    assert {k: v for k, v in rows.items() if v is not None} == pytest.approx(
        {k: v for k, v in whole[1].items() if v is not None}, rel=1e-6, abs=1e-6
    )
