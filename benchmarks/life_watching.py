"""What watching costs where the network is no toy: ResNet-20 on batches of 2,000 CIFAR-10 images.

    FORETOLL_DATA=/path/to/data FORETOLL_MODELS=/path/to/models OMP_NUM_THREADS=1 \\
        python benchmarks/life_watching.py --folder DIR [--epochs 1] [--write]

A life of four batches that an update follows, on the 10,000 test images as others keep them (JPEG, a natural shift),
the first 2,000 of which stand for its source: looks at all samples and at 1,000 of each batch, labels, the update's
training for so many epochs and its judgement, in processor seconds of one thread. `--write` puts the table into
docs/life.md.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from foretoll.measure import ReplayMeter
from foretoll.records import Decision, TrainingSettings
from foretoll.workflows.context import Accounting
from foretoll.workflows.life import Life
from pages import ROOT, replace_block

ROWS, BATCHES = 2000, 4
ACCOUNTING = Accounting(energy=ReplayMeter(watts=65.0, by_user=True, clock=time.process_time), region="DE")


def begin(folder: Path, name: str, epochs: float, look: int) -> Life:
    """A life of the network."""
    models = Path(os.environ["FORETOLL_MODELS"])
    sys.path.insert(0, str(models))
    return Life.start(
        name,
        "zoo.cifar_resnet:resnet20",
        f"npz:{folder}/b0.npz",
        weights=models / "cifar_resnet20" / "model.safetensors",
        worth="1J",
        policy="every",
        window=BATCHES,
        look=look,
        options=("finetune",),
        settings=TrainingSettings(max_epochs=epochs, lr=1e-3, batch_size=128),
        ledger=str(folder / "ledger.db"),
        accounting=ACCOUNTING,
        folder=folder / name,
        trust_code=True,
    )


def write_batches(folder: Path) -> None:
    """The test images, decoded, one file a batch."""
    rows = pq.read_table(
        Path(os.environ["FORETOLL_DATA"]) / "cifar10.parquet",
        columns=["image", "label"],
        filters=[("split", "=", "test")],
    )
    labels = rows["label"].to_numpy().astype(np.int64)
    images = rows["image"].to_pylist()
    order = np.random.default_rng(0).permutation(len(images))
    for number in range(len(images) // ROWS):
        some = order[number * ROWS : (number + 1) * ROWS]
        x = np.stack([np.asarray(Image.open(io.BytesIO(images[i])).convert("RGB")) for i in some])
        np.savez(folder / f"b{number}.npz", x=x, y=labels[some])


def main() -> None:
    """Live, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=1.0, help="of the update")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    write_batches(chosen.folder)
    rows = []
    for look in (0, 1000):
        life = begin(chosen.folder, f"look-{look}-{chosen.epochs:g}", chosen.epochs, look)
        for number in range(1, BATCHES + 1):
            life.look(f"npz:{chosen.folder}/b{number}.npz")
        rows.append((look, *(spent(life, kind) for kind in ("look", "labels"))))
    life.carry_out(Decision(policy="every", action="update", option="finetune", reason="", after=BATCHES - 1))
    update = spent(life, "update")
    lines = [
        "| samples looked at, of a batch | looks, s | labels, s | update, s | looks and labels over the update |",
        "|--:|--:|--:|--:|--:|",
    ]
    for look, looks, labels in rows:
        share = 100 * (looks + labels) / update
        lines.append(f"| {look or ROWS:,} | {looks:.1f} | {labels:.1f} | {update:.1f} | {share:.1f} % |")
    text = "\n".join(lines)
    print(text)
    if chosen.write:
        replace_block(ROOT / "docs" / "life.md", "resnet", text)


def spent(life: Life, kind: str) -> float:
    """Processor seconds of the events of a kind."""
    return sum(e.spent.duration_s or 0.0 for e in life.events() if e.kind == kind and e.spent is not None)


if __name__ == "__main__":
    main()
