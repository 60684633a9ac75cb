"""Hostile data handed over in Python: tables, arrays, tensors, data sets and loaders."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .case import TEXTS, Case
from .data_files import ROWS, samples

X, Y = samples()
NAMES = np.array(["ant", "bee", "cat"])


def settings(**changes: Any) -> Any:
    from foretoll import TrainingSettings

    return TrainingSettings(**{"max_epochs": 0.05, "batch_size": 32, **changes})


def quiet(**more: Any) -> dict[str, Any]:
    from foretoll import Accounting

    return {
        "settings": settings(),
        "accounting": Accounting(energy="none", region="DE"),
        "device": "cpu",
        **more,
    }


def _doors(draw: random.Random, data: Any) -> tuple[str, Callable[[], object]]:
    """A door that takes data, and its call."""
    import foretoll

    door = draw.choice(("open_data", "train", "target", "source", "compare"))
    calls: dict[str, Callable[[], object]] = {
        "open_data": lambda: repr(foretoll.open_data(data)),
        "train": lambda: repr(foretoll.train("foretoll:mlp?width=4", data, **quiet())),
        "target": lambda: repr(
            foretoll.estimate("m", "npz:old.npz", data, option="head", samples=40, **quiet())
        ),
        "source": lambda: repr(foretoll.retrain("m", data, "npz:new.npz", option="head", **quiet())),
        "compare": lambda: repr(
            foretoll.compare("m", "npz:old.npz", data, options=["keep", "head"], samples=40, **quiet())
        ),
    }
    return door, calls[door]


def _data_case(
    draw: random.Random, what: str, data: Any, *names: str, kept: Callable[[], bytes] | None = None
) -> Case:
    door, call = _doors(draw, data)
    known = (
        "python:",
        "the data",
        "arrays",
        "the labels",
        "quality target",
        "source",
        "target",
        "table",
        "data set",
        "of shape",
        "the splits",
    )
    names = (*names, *known, type(data).__name__, "old.npz")
    return Case(f"{door}({what})", ["python", door], names=names, call=call, kept=kept)


def _column(draw: random.Random) -> tuple[str, Any]:
    import pandas as pd

    text = draw.choice([t for t in TEXTS if "\udcff" not in t])
    columns: dict[str, Callable[[], Any]] = {
        "objects": lambda: [object()] * ROWS,
        "lists": lambda: [[1, 2]] * ROWS,
        "dicts": lambda: [{"a": 1}] * ROWS,
        "mixed": lambda: [1, "a", None, 2.5] * (ROWS // 4),
        "none": lambda: [None] * ROWS,
        "text": lambda: [text] * ROWS,
        "texts": lambda: [f"{text}{i}" for i in range(ROWS)],
        "dates": lambda: pd.date_range("2020", periods=ROWS),
        "durations": lambda: pd.to_timedelta(np.arange(ROWS), unit="s"),
        "nan": lambda: [float("nan")] * ROWS,
        "periods": lambda: pd.period_range("2020", periods=ROWS, freq="D"),
        "huge": lambda: [1e308] * ROWS,
        "category": lambda: pd.Categorical([text or "e", "b"] * (ROWS // 2)),
        "complex": lambda: X[:, 0] * 1j,
        "intervals": lambda: pd.interval_range(0, ROWS),
        "bytes": lambda: [b"\xff\x00"] * ROWS,
        "big integers": lambda: [2**70] * ROWS,
        "nullable": lambda: pd.array([1, None] * (ROWS // 2), dtype="Int64"),
        "sparse": lambda: pd.arrays.SparseArray(np.zeros(ROWS)),
        "true": lambda: [True] * ROWS,
        "nested": lambda: [X] * ROWS,
        "uint64": lambda: np.full(ROWS, 2**64 - 1, dtype=np.uint64),
        "zones": lambda: pd.date_range("2020", periods=ROWS, tz="Asia/Tokyo"),
        "functions": lambda: [print] * ROWS,
        "infinite": lambda: [float("inf")] * ROWS,
        "half": lambda: X[:, 0].astype(np.float16),
        "surrogates": lambda: pd.Series(["\udcff"] * ROWS, dtype=object),
    }
    name = draw.choice(list(columns))
    return name, columns[name]()


def frames(draw: random.Random, _: Path) -> Case:
    """DataFrames and dicts of columns with one that is odd, in its name, its index or its values."""
    import pandas as pd

    frame = pd.DataFrame({f"f{i}": X[:, i] for i in range(6)} | {"label": NAMES[Y]})
    kind = draw.choice(
        ("column", "column", "column", "name", "twice", "levels", "rows", "index", "dict", "labels", "attrs")
    )
    data: Any = frame
    if kind == "column":
        kind, values = _column(draw)
        frame[draw.choice(("label", "f0", "extra"))] = values
    elif kind == "name":
        name = draw.choice((*TEXTS, None, 3, 1.5, ("a", "b"), b"x", float("nan")))
        frame = data = frame.rename(columns={draw.choice(("label", "f0")): name})
        kind = f"name {name!r:.20}"
    elif kind == "twice":
        data = pd.concat([frame, frame[["f0", "label"]]], axis=1)
    elif kind == "levels":
        data = frame.set_axis(pd.MultiIndex.from_product([["a"], frame.columns]), axis=1)
    elif kind == "rows":
        rows = draw.choice((0, 1, 2, 3, 5))
        data, kind = frame[:rows], f"{rows} rows"
    elif kind == "index":
        data = frame.set_axis([draw.choice(TEXTS)] * ROWS, axis=0)
    elif kind == "dict":
        data = draw.choice(
            (
                {},
                {"label": []},
                {"a": 1},
                {"a": [1, 2], "label": [1]},
                {1: X[:, 0], 2: Y},
                {"x": X},
                {"train": frame},
                {"train": frame, "test": X},
                {"train": {"train": frame}},
                {"x": None, "y": Y},
                {"x": X, "y": frame},
                dict.fromkeys("abc", X),
                {"x_train": X, "y_train": Y},
                {"test": frame},
                {"train": None, "test": None},
                {"label": Y},
                {**{f"c{i}": X[:, 0] for i in range(3000)}, "label": Y},
            )
        )
        kind = f"dict of {list(data)[:3]}"
    elif kind == "labels":
        data = (
            frame.drop(columns="label"),
            draw.choice((Y[:-1], frame["label"], None, 3, "label", [[1]] * ROWS, frame)),
        )
    else:
        frame.attrs["x" * 10_000] = object()
    return _data_case(draw, f"frame: {kind}", data, "DataFrame", "f0", "label", "extra")


class _Values:
    """An array by protocol only."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise MemoryError("no")


def arrays(draw: random.Random, _: Path) -> Case:
    """Arrays and tensors of other types, shapes and kinds than expected; one, two, three or four of them."""
    tensor = torch.from_numpy(X)
    choices: dict[str, Callable[[], Any]] = {
        "half": lambda: (X.astype(np.float16), Y),
        "objects": lambda: (X.astype(object), Y),
        "complex": lambda: (X * 1j, Y),
        "meta": lambda: (tensor.to("meta"), Y),
        "sparse": lambda: (tensor.to_sparse(), torch.from_numpy(Y)),
        "with a gradient": lambda: (tensor.clone().requires_grad_(), torch.from_numpy(Y)),
        "bfloat16": lambda: (tensor.bfloat16(), Y),
        "of a scalar": lambda: (np.broadcast_to(np.float32(0), (10**9, 1000)), np.broadcast_to(0, (10**9,))),
        "expanded": lambda: (torch.zeros(1, 1).expand(10**6, 10**6), torch.zeros(1).expand(10**6)),
        "masked": lambda: (np.ma.masked_array(X, X > 0), Y),
        "backwards": lambda: (X[::-1, ::-1], Y[::-1]),
        "list": lambda: (X.tolist(), Y.tolist()),
        "ragged": lambda: ([[1.0, 2.0], [1.0]] * 60, Y),
        "generator": lambda: (v for v in X),
        "one": lambda: X,
        "none": lambda: None,
        "number": lambda: 3,
        "empty": lambda: (),
        "three": lambda: (X, Y, X),
        "five": lambda: (X, Y, X, Y, X),
        "none of two": lambda: (None, None),
        "a scalar": lambda: (np.array(1.0), np.array(0)),
        "records": lambda: (np.zeros(ROWS, dtype=[("a", "f4")]), Y),
        "texts": lambda: (np.array(["a"] * ROWS), Y),
        "dates": lambda: (X.astype("M8[s]"), Y),
        "swapped": lambda: (Y, X),
        "a set": lambda: {1, 2},
        "read only": lambda: (_read_only(X), _read_only(Y)),
        "bytes": lambda: b"\x00" * 100,
        "labels out of range": lambda: (X, Y + 10**12),
        "negative labels": lambda: (X, Y - 5),
        "labels of one class": lambda: (X, Y * 0),
        "NaN labels": lambda: (X, np.where(Y == 0, np.nan, Y)),
        "quantised": lambda: (torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), Y),
        "5 axes": lambda: (X.reshape(ROWS, 1, 1, 1, 1, 6), Y),
        "an array by name": lambda: (_Values(np.float32), Y),
        "a matrix": lambda: (np.matrix(X), Y),
        "a type": lambda: dict,
        "a path": lambda: Path("old.npz"),
        "bool labels": lambda: (X, Y > 0),
        "labels in columns": lambda: (X, Y[:, None]),
        "one-hot": lambda: (X, np.eye(3)[Y]),
        "parameters": lambda: (nn.Parameter(tensor), Y),
        "infinite": lambda: (X / 0.0, Y),
        "nested": lambda: ((X, Y), (X, Y)),
        "pairs of others": lambda: ((X, Y), (X[:, :3], Y)),
        "itself": _itself,
    }
    name = draw.choice(list(choices))
    with np.errstate(all="ignore"):
        data = choices[name]()
    return _data_case(draw, f"arrays: {name}", data, kept=lambda: X.tobytes() + Y.tobytes())


def _itself() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


class _Rows(torch.utils.data.Dataset[Any]):
    """A data set that is odd in its length, its items or both."""

    def __init__(self, item: Callable[[int], Any], length: Callable[[], Any]) -> None:
        self.item, self.length = item, length

    def __getitem__(self, row: int) -> Any:
        return self.item(int(row))

    def __len__(self) -> int:
        return self.length()  # type: ignore[no-any-return]


class _Endless(torch.utils.data.IterableDataset[Any]):
    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(6), 0


def _fails(*_: Any) -> Any:
    raise RuntimeError("\x1b[31mno\nsuch row" + "x" * 1000)


def datasets(draw: random.Random, _: Path) -> Case:
    """Data sets and loaders of torch that lie, fail, change, or never end."""
    state = random.Random(1)
    items: dict[str, Callable[[int], Any]] = {
        "fails": _fails,
        "fails late": lambda i: _fails() if i > 50 else (X[i], Y[i]),
        "no label": lambda i: X[i],
        "none": lambda i: None,
        "ragged": lambda i: (X[i][: 1 + i % 6], Y[i]),
        "dict": lambda i: {"x": X[i], "label": Y[i]},
        "text": lambda i: ("a" * i, Y[i]),
        "label text": lambda i: (X[i], "ant"),
        "label none": lambda i: (X[i], None),
        "label float": lambda i: (X[i], 0.5),
        "three": lambda i: (X[i], Y[i], 1),
        "label tensor": lambda i: (torch.from_numpy(X[i]), torch.eye(3)[Y[i]]),
        "label huge": lambda i: (X[i], 10**12),
        "changes": lambda i: (X[i] + state.random(), state.randrange(3)),
        "nan": lambda i: (X[i] * np.nan, Y[i]),
        "picture": lambda i: (object(), Y[i]),
        "ok": lambda i: (X[i], int(Y[i])),
        "large": lambda i: (np.broadcast_to(np.float32(0), (10**9,)), Y[i]),
        "label negative": lambda i: (X[i], -1),
        "complex": lambda i: (X[i] * 1j, Y[i]),
    }
    lengths: dict[str, Callable[[], Any]] = {
        "right": lambda: ROWS,
        "right ": lambda: ROWS,
        "right  ": lambda: ROWS,
        "negative": lambda: -1,
        "zero": lambda: 0,
        "fails": _fails,
        "too long": lambda: ROWS * 3,
        "huge": lambda: 2**62,
        "a float": lambda: 1.5,
        "short": lambda: 5,
    }
    item, length = draw.choice(list(items)), draw.choice(list(lengths))
    data: Any = _Rows(items[item], lengths[length])
    what = f"data set: {item}, length {length.strip()}"
    form = draw.choice(("plain", "plain", "loader", "list", "endless", "dict"))
    if form == "endless":
        data, what = _Endless(), "endless data set"
    elif form == "loader":
        data = torch.utils.data.DataLoader(data, batch_size=draw.choice((None, 1, 7)))
    elif form == "list":
        data = [data] * draw.choice((1, 2, 3, 4))
    elif form == "dict":
        data = {"train": data, draw.choice(("test", "validation", "more")): data}
    return _data_case(draw, f"{what} ({form})", data, "data set", "sample", "row", "label", "item", "Dataset")
