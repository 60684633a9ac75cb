"""What is looked at of a source that stays on disk: the same indices and signals as of one in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

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


def looked_at(uris: list[str]) -> tuple[type, dict[str, float | None]]:
    update = open_update("foretoll:mlp?width=8", *uris)
    seen = take_signals(update, SETTINGS, samples=90)
    pilot = pilot_signals(update, get_option("finetune"), SETTINGS)
    start = {"start": start_quality(update, SETTINGS)}
    return type(update.target.train), seen.signals | pilot | start


@pytest.mark.parametrize("write", [parquet, text, arrays])
def test_indices_and_signals_are_those_of_the_source_in_memory(
    write: Callable[[Path, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = [write(tmp_path / name, seed) for seed, name in enumerate(("old", "new"))]
    _, whole = looked_at(uris)
    for opener in (open_parquet, open_csv, open_npz):
        monkeypatch.setattr(opener, "LAZY_BYTES", 0)
    kind, rows = looked_at(uris)
    assert kind is DatasetSplit and rows.keys() == whole.keys()
    assert {k: v for k, v in rows.items() if v is not None} == pytest.approx(
        {k: v for k, v in whole.items() if v is not None}, rel=1e-6, abs=1e-6
    )
