"""A folder full of things that are wrong: what the cases of bad input name."""

from __future__ import annotations

import gzip
import pickle
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from foretoll.data import open_data
from foretoll.ledger import Ledger
from foretoll.models import build_model, save_checkpoint
from foretoll.records import DataCard, Outcome, Run, TrainingSettings

FACTORIES = '''
import torch
from torch import nn

class Headless(nn.Module):
    """Classifies, but by no layer that looks like a head."""
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 3))
    def forward(self, x):
        return x @ self.weight

def headless():
    return Headless()

class Squeezed(nn.Sequential):
    """Loses its batch axis for a batch of one."""
    def forward(self, x):
        return super().forward(x.squeeze())

def squeezed():
    return Squeezed(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

def softmax():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))

def maps():
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 1))

def broken():
    raise ValueError("no such flavour")

def fine():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
'''


def build_yard(yard: Path) -> None:
    """Fill the folder. The current folder is left as it is."""
    draw = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = draw.normal(size=(300, 6)).astype(np.float32)
    x[np.arange(300), y] += 3

    def npz(name: str, **arrays: object) -> None:
        np.savez(yard / f"{name}.npz", **arrays)  # type: ignore[arg-type]

    def changed(array: np.ndarray, value: float, row: int = 21) -> np.ndarray:
        out = array.copy()
        out[row] = value
        return out

    npz("old", x=x, y=y)
    npz("new", x=x + np.float32(0.7), y=y)
    npz("bare", x=x + np.float32(0.7))
    npz("keys", images=x, labels=y)
    npz("half", x_train=x, y_train=y, x_test=x)
    npz("short", x=x, y=y[:-1])
    npz("nan", x=changed(x, np.nan), y=y)
    npz("nanlabel", x=x, y=changed(y.astype(float), np.nan))
    npz("floats", x=x, y=y.astype(float))
    npz("negative", x=x, y=changed(y, -1))
    npz("range", x=x, y=changed(y, 3), classes=["a", "b", "c"])
    npz("onehot", x=x, y=np.eye(3)[y])
    npz("texts", x=np.full((300, 6), "a"), y=y)
    npz("objects", x=np.array([{"a": 1}] * 300, dtype=object), y=y)
    npz("none", x=x[:0], y=y[:0])
    npz("single", x=x, y=y * 0)
    npz("wide", x=np.c_[x, x], y=y)
    npz("five", x=x, y=np.arange(300) % 5)
    npz("two", x=x, y=np.arange(300) % 2)
    npz("others", x=x, y=y, classes=["ant", "bee", "cat"])
    npz("same", x=np.ones_like(x), y=y)
    npz("pictures", x=draw.integers(0, 255, (300, 8, 8)).astype(np.uint8), y=y)
    npz("channels", x=draw.integers(0, 255, (300, 8, 8, 5)).astype(np.uint8), y=y)
    npz("series", x=draw.normal(size=(300, 1, 20)).astype(np.float32), y=y)
    npz("stereo", x=draw.normal(size=(300, 2, 20)).astype(np.float32), y=y)
    whole = (yard / "old.npz").read_bytes()
    (yard / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (yard / "cut.parquet").write_bytes(b"PAR1" + bytes(50))
    np.save(yard / "array.npy", x)
    (yard / "text.npz").write_text("this is a text")
    (yard / "empty").mkdir()
    for name in ("ant", "bee"):
        (yard / "photos" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("L", (8, 8), 20 * i).save(yard / "photos" / name / f"{i:02}.png")
    (yard / "photos" / "ant" / "03.png").write_bytes(b"no picture")
    _models(yard)
    _ledgers(yard)
    _studies(yard)


def _models(yard: Path) -> None:
    data, images = open_data(f"npz:{yard}/old.npz"), open_data(f"npz:{yard}/pictures.npz")
    model = build_model("foretoll:mlp?width=16", data=data, seed=0)
    save_checkpoint(model, yard / "m")
    save_checkpoint(build_model("foretoll:cnn?width=4", data=images, seed=0), yard / "seer")
    save_checkpoint(
        build_model("foretoll:mlp?width=16", data=open_data(f"npz:{yard}/series.npz"), seed=0),
        yard / "hearer",
    )
    with torch.no_grad():
        model.head_module().weight.fill_(3e38)  # type: ignore[union-attr,operator]
    save_checkpoint(model, yard / "hot")
    state = {name: value.clone() for name, value in model.network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, yard / "w.safetensors")
    save_file(
        {f"encoder_{name}": value.contiguous() for name, value in state.items()}, yard / "other.safetensors"
    )
    save_file({name: value * torch.nan for name, value in state.items()}, yard / "nan.safetensors")
    whole = (yard / "w.safetensors").read_bytes()
    (yard / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save(state, yard / "w.pt")
    whole = (yard / "w.pt").read_bytes()
    (yard / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (yard / "model.pt").write_bytes(pickle.dumps(Path("a pickled object"), protocol=2))
    (yard / "w.bmp").write_bytes(b"BM")
    (yard / "half").mkdir()
    (yard / "half" / "model.safetensors").write_bytes((yard / "m" / "model.safetensors").read_bytes())
    (yard / "stranger").mkdir()
    card = (yard / "m" / "model.json").read_text().replace("foretoll:mlp", "os:system")
    save_file(state, yard / "stranger" / "model.safetensors", metadata={"foretoll": card})
    (yard / "stranger" / "model.json").write_text(card)
    card = (yard / "m" / "model.json").read_text().replace('"width": 16', '"width": 16000')
    (yard / "swollen").mkdir()
    save_file(state, yard / "swollen" / "model.safetensors", metadata={"foretoll": card})
    (yard / "swollen" / "model.json").write_text(card)
    with (
        zipfile.ZipFile(yard / "w.pt") as whole_file,
        zipfile.ZipFile(yard / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole_file.namelist():
            packed.writestr(name, whole_file.read(name))
    (yard / "card").mkdir()
    (yard / "card" / "model.safetensors").write_bytes(whole)
    (yard / "card" / "model.json").write_text("{}")
    (yard / "torn").mkdir()
    for name, size in (("model.safetensors", 300), ("model.json", 10_000)):
        (yard / "torn" / name).write_bytes((yard / "m" / name).read_bytes()[:size])
    (yard / "yardmodels.py").write_text(FACTORIES)


def a_run(name: str) -> Run:
    """A finished run without a measurement."""
    card = DataCard(
        uri="digits",
        name="digits",
        kind="vector",
        shape=(6,),
        classes=("0", "1"),
        train=8,
        validation=4,
        test=4,
    )
    model = build_model("foretoll:mlp?width=4", data=open_data("digits?limit=60"), seed=0).card
    return Run.model_validate(
        {
            "id": name,
            "option": "finetune",
            "outcome": Outcome.CENSORED,
            "started_at": "2026-01-01T00:00:00Z",
            "finished_at": "2026-01-01T00:00:09Z",
            "model": model,
            "target": card,
            "settings": TrainingSettings(),
        }
    )


def _ledgers(yard: Path) -> None:
    (yard / "schema.json").write_text('{"schema": "something else"}')
    (yard / "notes.db").write_text("milk, bread, a database\n" * 30)
    ledger = Ledger.open(yard / "whole.db")
    for name in ("one", "other"):
        ledger.finish(a_run(name))
    ledger.export(yard / "runs.jsonl")
    (yard / "cut.db").write_bytes((yard / "whole.db").read_bytes()[:10_000])
    with closing(sqlite3.connect(yard / "bookmarks.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    lines = (yard / "runs.jsonl").read_text()
    (yard / "cut.jsonl").write_text(lines[:-200])
    (yard / "cut.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0)[:-20])


def _studies(yard: Path) -> None:
    (yard / "broken.toml").write_text("name = \n")
    (yard / "mistakes.toml").write_text(
        'schema = "foretoll.study/1"\nname = "s"\n[models]\nmlp = "foretoll:mlp"\n'
        '[shifts]\ngausian_noise = "default"\n[design]\noptions = ["fintune"]\n'
        '[[sources]]\nname = "old"\nsource = "npz:old.npz"\ntarget = "npz:new.npz"\n'
    )
    (yard / "rooted.toml").write_text(
        'schema = "foretoll.study/1"\nname = "s"\n[models]\nmlp = "foretoll:mlp"\n'
        '[[sources]]\nname = "old"\nsource = "npz:{root}/old.npz"\n'
    )
    (yard / "stranger.toml").write_text(
        'schema = "foretoll.study/1"\nname = "stranger"\n[models]\nm = "os:system?command=true"\n'
        '[[sources]]\nname = "old"\nsource = "npz:old.npz"\n'
    )
    (yard / "small.toml").write_text(
        'schema = "foretoll.study/1"\nname = "small"\n[models]\nmlp = "foretoll:mlp?width=4"\n'
        "[shifts]\ncontrast = [0.5]\n"
        '[[sources]]\nname = "old"\nsource = "npz:old.npz"\ntarget = "npz:new.npz"\n'
    )
