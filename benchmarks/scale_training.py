"""Pictures a second of a training that reads JPEGs, beside a plain loop of torch with a DataLoader."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import foretoll
from scale_data import CLASSES, PICTURES, SIDE, folder, picture_folders, trained

HERE = Path(foretoll.__file__).parents[1]
FILES, HELD_OUT, BATCH, WORKERS, TURNS = 20_000, 150, 32, 2, 3
ARCH = "foretoll:cnn?width=4"
# by somebody who never heard of foretoll: the same network, pictures, batches, optimiser and readers
PLAIN = f"""
import json, sys, time
from pathlib import Path
import numpy as np, torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from foretoll.models import load_model
root, steps = Path(sys.argv[2].partition(":")[2]) / "train", int(sys.argv[3])
class Pictures(Dataset):
    def __init__(self):
        self.files = sorted(root.rglob("*.jpg"))
    def __len__(self):
        return len(self.files)
    def __getitem__(self, row):
        file = self.files[row]
        pixels = np.array(Image.open(file).convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1), int(file.parent.name.removeprefix("class"))
network = load_model(sys.argv[1])
optimiser = torch.optim.Adam(network.parameters(), 1e-4)
loader = DataLoader(Pictures(), batch_size={BATCH}, shuffle=True, num_workers={WORKERS}, drop_last=True)
network.train()
began, used = time.perf_counter(), time.process_time()
for step, (x, y) in enumerate(loader, 1):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(network(x), y).backward()
    optimiser.step()
    if step == steps:
        break
print(json.dumps(steps * {BATCH} / (time.perf_counter() - began)))
"""
OURS = f"""
import json, sys
import foretoll
settings = foretoll.TrainingSettings(
    max_steps=int(sys.argv[3]), max_epochs=1000, batch_size={BATCH}, workers={WORKERS}, lr=1e-4, evals_per_epoch=1,
)
run = foretoll.train(sys.argv[1], sys.argv[2], ledger=sys.argv[4], settings=settings)
print(json.dumps(int(sys.argv[3]) * {BATCH} / run.training.duration_s))
"""


def section(args: argparse.Namespace) -> list[str]:
    """The section of benchmarks/scale.md on training."""
    with folder(args.work) as work:
        uri = _in_splits(work)
        model = trained(work, uri, ARCH, "training")
        steps = args.steps
        seen: dict[str, list[float]] = {"plain": [], "foretoll": []}
        for turn in range(TURNS):
            for name, code in (("plain", PLAIN), ("foretoll", OURS)):
                ledger = work / f"training{turn}.db"
                words = [str(model) if name == "plain" else ARCH, uri, str(steps), str(ledger)]
                environment = os.environ | {
                    "PYTHONPATH": str(HERE),
                    "OMP_NUM_THREADS": "1",
                    "FORETOLL_REGION": "DE",
                }
                done = subprocess.run(
                    [sys.executable, "-c", code, *words],
                    env=environment,
                    check=False,
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    raise SystemExit(done.stderr[-2000:])
                seen[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(name, seen[name][-1], file=sys.stderr)
    ratios = [ours / plain for plain, ours in zip(seen["plain"], seen["foretoll"], strict=True)]
    return [
        f"{FILES:,} JPEGs of {SIDE} px in {CLASSES} folders, `{ARCH}`, batches of {BATCH}, {steps} Adam steps; pictures"
        f" a second of the training: `workers={WORKERS}` beside a DataLoader of torch with `num_workers={WORKERS}`, by "
        "turns.",
        "",
        "| turn | plain loop | foretoll | ratio |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {turn} | {plain:,.0f} | {ours:,.0f} | {ours / plain:.2f} |"
            for turn, (plain, ours) in enumerate(zip(seen["plain"], seen["foretoll"], strict=True), 1)
        ),
        f"| median | {statistics.median(seen['plain']):,.0f} | {statistics.median(seen['foretoll']):,.0f} "
        f"| {statistics.median(ratios):.2f} |",
    ]


def _in_splits(work: Path) -> str:
    """The pictures of a training in `train`, and few in `val` and `test`."""
    root = work / "splits"
    if not root.exists():
        picture_folders(work, PICTURES, 0)
        for split, count in (("train", FILES), ("val", HELD_OUT), ("test", HELD_OUT)):
            for number in range(count):
                one = number % PICTURES
                place = root / split / f"class{one % CLASSES}"
                place.mkdir(parents=True, exist_ok=True)
                os.link(work / "pictures0" / f"{one}.jpg", place / f"{number}.jpg")
    return f"folder:{root}"
