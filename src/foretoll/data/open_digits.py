"""`digits`: the 1,797 handwritten digits (8×8, grey) that ship with scikit-learn."""

from __future__ import annotations

import gzip
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from foretoll.data.address import DataUri
from foretoll.data.raw import RawData
from foretoll.data.splits import ArraySplit


def open_digits(uri: DataUri) -> RawData:
    """Images uint8 (1797, 1, 8, 8), the stored 0 … 16 scaled to 0 … 255; ten classes; no split of their own."""
    table = _table()
    images = np.rint(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    kind = uri.kind or "image"
    inputs = torch.from_numpy(images)
    if kind != "image":
        from foretoll.data.stored import stored_array

        inputs, kind = stored_array(images, "digits", kind)
    return RawData(
        name="digits",
        kind=kind,
        rows=ArraySplit(inputs, labels, ids=np.arange(len(labels))),
        classes=tuple(str(i) for i in range(10)),
        shape=tuple(inputs.shape[1:]),
        columns=("label",),
        column=lambda _: labels,
        reading=f"{len(labels):,} {kind} samples in 10 classes, no splits of its own",
    )


@cache
def _table() -> NDArray[np.float64]:
    """64 pixels and the label of each digit, (1797, 65), from scikit-learn's file: its import costs over a second."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            with gzip.open(file, "rt", encoding="ascii") as lines:
                return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
