"""Weights as other programs save them, through whole commands: the same quality as of the checkpoint itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .conftest import Call

State = dict[str, Tensor]
DATA = "--source digits?limit=200 --target digits?limit=200&shift=contrast:0.6"
QUIET = "--energy none --region DE -q"


def _with(prefix: str) -> Callable[[State, Path], str]:
    def save(state: State, folder: Path) -> str:
        torch.save({prefix + name: value for name, value in state.items()}, folder / "w.pt")
        return "w.pt"

    return save


def _shards(state: State, folder: Path) -> str:
    (folder / "shards").mkdir()
    names = list(state)
    parts = {"a.safetensors": names[:2], "b.safetensors": names[2:]}
    for file, some in parts.items():
        save_file({name: state[name] for name in some}, folder / "shards" / file)
    index = {"metadata": {}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    return "shards"


def _saved(wrap: Callable[[State], object]) -> Callable[[State, Path], str]:
    def save(state: State, folder: Path) -> str:
        torch.save(wrap(state), folder / "w.pt")
        return "w.pt"

    return save


SAVED: dict[str, Callable[[State, Path], str]] = {
    "in parts": _shards,
    "in parallel": _with("module."),
    "compiled and in parallel": _with("_orig_mod.module."),
    "in parallel and compiled": _with("module._orig_mod."),
    "with an optimiser": _saved(
        lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"param_groups": [{"lr": 0.1}]}}
    ),
    "by Lightning": _saved(lambda s: {"state_dict": {f"model.{n}": v for n, v in s.items()}, "epoch": 1}),
    "averaged": _saved(lambda s: {**{f"module.{n}": v for n, v in s.items()}, "n_averaged": torch.tensor(5)}),
    "in double precision": _saved(lambda s: {n: v.double() for n, v in s.items()}),
}


@pytest.fixture
def trained(call: Call) -> float:
    """A checkpoint in `m`; the accuracy that it has on the target."""
    words = "train --arch foretoll:mlp?width=8 --data digits?limit=200 --max-epochs 8 --lr 0.01 --batch-size 16 --out m"
    done = call(f"{words} {QUIET}")
    assert done.code == 0, done.err
    return _quality(call, "--model m")


def _quality(call: Call, model: str) -> float:
    done = call(f"estimate {model} {DATA} -o keep --until 0.5 --samples 100 --out e --json {QUIET}")
    assert done.code == 0, done.err
    quality: float = done.data["signals"]["initial_quality"]
    return quality


@pytest.mark.slow
def test_weights_as_others_save_them(call: Call, trained: float) -> None:
    assert trained > 0.5  # far above chance
    found = {}
    for name, save in SAVED.items():
        file = save(dict(load_file("m/model.safetensors")), Path())
        found[name] = _quality(call, f"--model foretoll:mlp?width=8 --weights {file}")
    assert found == dict.fromkeys(SAVED, trained)
