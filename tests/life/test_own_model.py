"""The life of a network of the user's own: by a factory that is named, and as a module that Python hands in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foretoll.errors import ForetollError
from foretoll.models import load_model
from foretoll.workflows.life import Life

from .worlds import ACCOUNTING, SETTINGS, build

OWN = """
from torch import nn

def build(num_classes):
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, num_classes))
"""
FLAGS = "--energy watts:10 --region DE --quiet"


def call(folder: Path, command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "foretoll.cli", *command.split()],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_factory_is_watched_and_updated_where_it_is_trusted(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    code, said = call(
        tmp_path, f"train --arch own:build --data npz:src.npz --out trained --max-epochs 10 {FLAGS}"
    )
    assert code == 0, said
    code, said = call(
        tmp_path,
        f"life start shop --model own:build --weights trained --source npz:src.npz --worth 5J --policy every {FLAGS}",
    )
    assert code == 0 and "foretoll life watch shop --batch URI --trust-code" in said
    code, said = call(tmp_path, f"life watch shop --batch npz:w0.npz {FLAGS}")
    assert code == 1 and "pass --trust-code" in said
    for batch in ("w0", "w1"):
        code, said = call(
            tmp_path, f"life watch shop --batch npz:{batch}.npz --carry-out --trust-code {FLAGS}"
        )
        assert code == 0 and "decision " in said


@pytest.mark.parametrize("option", ["finetune", "lora", "head"])
def test_a_module_in_memory_lives_on_where_one_like_it_is_handed_in(tmp_path: Path, option: str) -> None:
    build(tmp_path)
    module = load_model(tmp_path / "m").network
    uri = f"npz:{tmp_path}/src.npz"
    begun = Life.start(
        "own", module, uri, worth="5J", policy="every", window=2, settings=SETTINGS, options=(option,),
        ledger=str(tmp_path / "ledger.db"), accounting=ACCOUNTING, folder=tmp_path / "life",
    )  # fmt: skip
    for i in range(2):
        decision = begun.watch(f"npz:{tmp_path}/w{i}.npz")
    begun.carry_out(decision)
    with pytest.raises(ForetollError, match=r"module in memory.*Life\.open\(name, network=MODULE\)"):
        Life.open("own", ledger=str(tmp_path / "ledger.db")).model()
    later = Life.open("own", ledger=str(tmp_path / "ledger.db"), network=module, accounting=ACCOUNTING)
    look = later.watch(f"npz:{tmp_path}/w2.npz")
    assert look.after and later.serving == begun.serving
