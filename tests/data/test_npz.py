"""Hostile .npz files: one printable line, no memory taken for what is declared or not asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from foretoll.data import open_data
from foretoll.errors import DataError

from .hostile import FILES, ROWS, X, Y, packed, plain, zeros


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    make, message = FILES[case]
    with pytest.raises(DataError) as caught:
        open_data(f"npz:{make(tmp_path)}")
    told = str(caught.value).replace(str(tmp_path), "")
    assert message in told
    assert told.isprintable() and len(told) <= 300


def test_lone_surrogates_in_names_are_written_as_escapes(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y, classes=np.array(["a\udcff", "b", "c"]))
    data = open_data(f"npz:{tmp_path}/d.npz")
    assert data.classes == ("a\\udcff", "b", "c")
    assert data.card.model_dump_json()


def test_arrays_that_nobody_needs_are_not_unpacked(tmp_path: Path) -> None:
    others = {"x": plain(X), "y": plain(Y), "junk": b"no array at all", "month": plain(np.arange(ROWS) // 60)}
    packed(tmp_path / "d.npz", {**others, "objects": plain(np.zeros(3)).replace(b"<f8", b"|O ")})
    data = open_data(f"npz:{tmp_path}/d.npz?where=month:0")
    assert data.card.train + data.card.validation + data.card.test == 60


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i8", ">i2", "|u1"])
def test_arrays_come_as_numpy_reads_them(order: str, dtype: str, tmp_path: Path) -> None:
    x = np.asarray((X * 9).astype(dtype), order=order)  # type: ignore[call-overload]
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "d.npz", x=x, y=Y)
        data = open_data(f"npz:{tmp_path}/d.npz?kind=vector")
        assert torch.equal(data.test.all().inputs, torch.from_numpy(x.astype(np.float32))[data.test.ids])


BOMB = """
import resource, sys
from foretoll.data import open_data
from foretoll.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(open_data(sys.argv[1]).card.train)
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, "MB")
"""


def test_a_bomb_takes_no_memory_in_x_or_elsewhere(tmp_path: Path) -> None:
    bomb = zeros(tmp_path / "x.npz", "x", 1, {"y": plain(np.arange(1000) % 2)})
    unused = zeros(tmp_path / "unused.npz", "junk", 1, {"x": plain(X), "y": plain(Y)})
    for path, said in ((bomb, "x unpacks from 972 kB to 1.0 GB, which no data do"), (unused, "72")):
        done = subprocess.run(
            [sys.executable, "-c", BOMB, f"npz:{path}"], capture_output=True, text=True, check=True
        )
        *told, memory = done.stdout.splitlines()
        assert len(told) == 1 and said in told[0], done.stdout
        assert int(memory.split()[0]) < 200
