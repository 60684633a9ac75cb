"""A small world that drifts: three classes whose centres turn, a model of how they were, batches of how they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from foretoll.models import build_model
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Accounting, Runtime
from foretoll.workflows.life import Life
from foretoll.workflows.train import train_model

SETTINGS = TrainingSettings(max_epochs=10, lr=0.02, batch_size=16)
ACCOUNTING = Accounting(energy="watts:10", region="DE")


def samples(n: int, turn: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, 2) and labels of three classes whose centres have turned by so many radians."""
    draw = np.random.default_rng(seed)
    y = draw.integers(3, size=n)
    angle = turn + y * 2 * np.pi / 3
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * 2 + draw.normal(size=(n, 2)) * 0.6
    return x.astype(np.float32), y


def build(folder: Path, batches: int = 8) -> None:
    """Write the source, batches with labels (w0.npz …) and without (u0.npz …), and a trained model m."""
    x, y = samples(600, 0, 0)
    np.savez(folder / "src.npz", x=x, y=y)
    for i in range(batches):
        x, y = samples(100, 0.25 * min(i, 8), i + 1)
        np.savez(folder / f"w{i}.npz", x=x, y=y)
        np.savez(folder / f"u{i}.npz", x=x)
    train_model(
        partial(build_model, "foretoll:mlp?width=16"),
        f"npz:{folder}/src.npz",
        SETTINGS,
        Runtime(accounting=ACCOUNTING),
        out=folder / "m",
    )


def start(folder: Path, name: str = "shop", **said: object) -> Life:
    """Begin a life in this world."""
    given: dict[str, object] = {"worth": "5J", "settings": SETTINGS, "options": ("finetune",), **said}
    return Life.start(
        name,
        str(folder / "m"),
        f"npz:{folder}/src.npz",
        ledger=str(folder / "ledger.db"),
        accounting=ACCOUNTING,
        folder=folder / f"life-{name}",
        **given,  # type: ignore[arg-type]
    )
