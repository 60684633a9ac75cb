"""What watching costs by the size of a network and the length of its updates, on batches of 2,000 CIFAR-10 images.

    FORETOLL_DATA=/path/to/data FORETOLL_MODELS=/path/to/models OMP_NUM_THREADS=1 \\
        python benchmarks/life_watching.py --folder DIR [--only resnet20:1] [--write]

A life of four batches, an update of so many epochs on them with its judgement, and four batches more, on the 10,000
test images as others keep them (JPEG, for ResNet-20 a natural shift), the first 2,000 of which stand for its source.
Once looks go through 1,000 samples of each batch whatever that takes, and once with the share of 5 % of what updates
take: before the first update of what looks say of it, afterwards of what it took. Looks with labels, and the update, in
processor seconds of one thread; and how many answers `rent` counts as lost before the update, at their lower bound,
which is what it decides by. A row that is kept in DIR is not measured again; `--write` puts the table into
docs/life.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from foretoll.decide.offers import looked_at
from foretoll.decide.policies.rent import avoidable_loss
from foretoll.measure import ReplayMeter
from foretoll.models import build_model
from foretoll.records import Decision, Looking, TrainingSettings
from foretoll.workflows.context import Accounting, Runtime
from foretoll.workflows.life import Life
from foretoll.workflows.train import train_model
from pages import ROOT, replace_block

ROWS, BATCHES = 2000, 4
ACCOUNTING = Accounting(energy=ReplayMeter(watts=65.0, by_user=True, clock=time.process_time), region="DE")
NETWORKS = {"mlp": "foretoll:mlp?width=256", "cnn": "foretoll:cnn", "resnet20": "zoo.cifar_resnet:resnet20"}
CASES = ("mlp:1", "mlp:5", "cnn:1", "cnn:5", "resnet20:1", "resnet20:5")


def begin(folder: Path, case: str, looking: Looking) -> Life:
    """A life of a network, whose updates have so many epochs."""
    network, epochs = case.split(":")
    settings = TrainingSettings(max_epochs=float(epochs), lr=1e-3, batch_size=128)
    source, model, weights = f"npz:{folder}/b0.npz", NETWORKS[network], None
    if network == "resnet20":
        models = Path(os.environ["FORETOLL_MODELS"])
        sys.path.insert(0, str(models))
        weights = models / "cifar_resnet20" / "model.safetensors"
    elif not (folder / network).exists():
        first = settings.model_copy(update={"max_epochs": 1.0})
        train_model(
            partial(build_model, model), source, first, Runtime(accounting=ACCOUNTING), out=folder / network
        )
    name = f"{network}-{epochs}-{looking.share:g}"
    return Life.start(
        name,
        model if weights else str(folder / network),
        source,
        weights=weights,
        worth="1J",
        policy="every",
        window=BATCHES,
        look=looking,
        options=("finetune",),
        settings=settings,
        ledger=str(folder / "ledger.db"),
        accounting=ACCOUNTING,
        folder=folder / f"life-{name}",
        trust_code=True,
    )


def write_batches(folder: Path) -> None:
    """The test images, decoded, one file a batch; from the fifth on the same ones, mixed anew."""
    rows = pq.read_table(
        Path(os.environ["FORETOLL_DATA"]) / "cifar10.parquet",
        columns=["image", "label"],
        filters=[("split", "=", "test")],
    )
    labels = rows["label"].to_numpy().astype(np.int64)
    x = np.stack(
        [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in rows["image"].to_pylist()]
    )
    draw = np.random.default_rng(0)
    order = draw.permutation(len(x))
    again = draw.permutation(order[ROWS:])
    for number, some in enumerate(np.split(np.concatenate([order, again]), 2 * BATCHES + 1)):
        np.savez(folder / f"b{number}.npz", x=x[some], y=labels[some])


def measured(folder: Path, case: str) -> dict[str, Any]:
    """Processor seconds of looks and of the update, and how many samples were looked at."""
    plain, bound = (begin(folder, case, Looking(share=share)) for share in (0.0, 0.05))
    for number in range(1, BATCHES + 1):
        plain.look(f"npz:{folder}/b{number}.npz")
        bound.look(f"npz:{folder}/b{number}.npz")
    before = spent(bound, "look", "labels")
    lost = [avoidable_loss(life.view(life.events(), ())) for life in (plain, bound)]
    bound.carry_out(
        Decision(policy="every", action="update", option="finetune", reason="", after=BATCHES - 1)
    )
    for number in range(BATCHES + 1, 2 * BATCHES + 1):
        bound.look(f"npz:{folder}/b{number}.npz")
    seen = [looked_at(bound.card, e.served) for e in bound.events() if e.kind == "look" and e.served]
    return {
        "weights": bound.card.model.parameters,
        "plain": spent(plain, "look", "labels"),
        "before": before,
        "after": spent(bound, "look", "labels") - before,
        "update": spent(bound, "update"),
        "looked": seen,
        "lost": lost,
    }


def spent(life: Life, *kinds: str) -> float:
    """Processor seconds of the events of some kinds."""
    return sum(e.spent.duration_s or 0.0 for e in life.events() if e.kind in kinds and e.spent is not None)


def table(found: dict[str, dict[str, Any]]) -> str:
    """By network and epochs: what looks and labels of four batches took of the update."""
    lines = [
        "| network | weights | epochs of an update | update, s | four looks at 1,000 samples, s | over the update "
        "| within 5 %: before the first update | after it | samples looked at "
        "| answers lost before the update, as `rent` counts them | within 5 % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|",
    ]
    for case, row in found.items():
        network, epochs = case.split(":")
        shares = [f"{100 * row[key] / row['update']:.1f} %" for key in ("plain", "before", "after")]
        lines.append(
            f"| {network} | {row['weights']:,} | {epochs} | {row['update']:.1f} | {row['plain']:.2f} | "
            f"{' | '.join(shares)} | {', '.join(f'{each:,}' for each in row['looked'])} | "
            f"{' | '.join(f'{each:.0f}' for each in row['lost'])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Live, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if not (chosen.folder / f"b{2 * BATCHES}.npz").exists():
        write_batches(chosen.folder)
    found = {}
    for case in CASES if chosen.only is None else (chosen.only,):
        kept = chosen.folder / f"{case.replace(':', '-')}.json"
        if not kept.exists() and not chosen.write:
            kept.write_text(json.dumps(measured(chosen.folder, case)))
        if kept.exists():
            found[case] = json.loads(kept.read_text())
    text = table(found)
    print(text)
    if chosen.write:
        replace_block(ROOT / "docs" / "life.md", "resnet", text)


if __name__ == "__main__":
    main()
