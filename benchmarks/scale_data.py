"""Peak memory and processor time of an estimate and of a short retraining, with ever more samples or parameters."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import foretoll

HERE = Path(foretoll.__file__).parents[1]
COLUMNS, CLASSES, SIDE = 20, 5, 224
PICTURES = 300  # real ones of a folder; more files are hard links to them
STEPS = 24
FILES, ROWS, PARAMETERS = (
    (1_500, 12_000),
    (1_000, 30_000, 1_000_000, 3_000_000),
    (1_000_000, 10_000_000, 146_000_000),
)
HELD = """
import json, os, sys, time
def held(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) / 1024
import foretoll
base = held("VmRSS")
"""


def _estimate(more: str = "", start: str = "") -> str:
    """An estimate in a process whose words are the model, the source, the target and a ledger."""
    return f"""{HELD}{start}
foretoll.estimate(*sys.argv[1:4], ledger=sys.argv[4], until=0.999, {more})
print(json.dumps([held("VmHWM") - base, time.process_time()]))
"""


SMALL_STEPS = "samples=100, settings=foretoll.TrainingSettings(batch_size=4)"
RETRAIN = f"""{HELD}
settings = foretoll.TrainingSettings(max_steps={STEPS}, max_epochs=1000)
foretoll.retrain(*sys.argv[1:4], ledger=sys.argv[4], settings=settings, until=0.999)
print(json.dumps([held("VmHWM") - base, time.process_time()]))
"""
TORCH = "import torch\nbase = held('VmRSS')\n"  # of networks: what is above torch itself
# a loop of somebody who never heard of foretoll: as many Adam steps on a network of the same layers
PLAIN = f"""{HELD.replace("import foretoll", "")}{TORCH}
import numpy as np
from safetensors.torch import load_file
state = load_file(f"{{sys.argv[1]}}/model.safetensors")
layers = []
for name, value in state.items():
    if name.endswith("weight"):
        layers += [torch.nn.Linear(value.shape[1], value.shape[0]), torch.nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.copy_(value)
network = torch.nn.Sequential(*layers[:-1])
del state, value
x = torch.from_numpy(np.load(sys.argv[2].partition(":")[2])["x_train"])[:4]
optimiser = torch.optim.Adam(network.parameters(), 1e-4)
for _ in range({STEPS}):
    optimiser.zero_grad()
    network(x).square().mean().backward()
    optimiser.step()
print(json.dumps([held("VmHWM") - base, time.process_time()]))
"""


def section(args: argparse.Namespace) -> list[str]:
    """The section of benchmarks/scale.md."""
    sources = [("now", HERE), *([("before", args.before)] if args.before else [])]
    with folder(args.work) as work:
        return [
            "Peak memory above `import foretoll` (torch and the rest are 600 MB of it), each in a process of its own;",
            "2,000 samples of either side are looked at, of pictures 500. Retrain: "
            f"{STEPS} steps, with the signals before and the evaluations around them.",
            "",
            "| what | size | | estimate MB | s | retrain MB | s |",
            "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
            *_table(
                "JPEGs of 224 px in folders",
                FILES,
                picture_folders,
                "foretoll:cnn?width=4",
                sources,
                work,
                args,
            ),
            *_table("rows of 20 columns, Parquet", ROWS, _parquet, "foretoll:mlp", sources, work, args),
            *_table("rows of 20 columns, CSV", ROWS[1:-1], _csv, "foretoll:mlp", sources, work, args),
            *_table("rows of 20 numbers, .npz", ROWS[1:], _npz, "foretoll:mlp", sources, work, args),
        ]


def section_of_networks(args: argparse.Namespace) -> list[str]:
    """The section of benchmarks/scale.md on networks."""
    sources = [("now", HERE), *([("before", args.before)] if args.before else [])]
    with folder(args.work) as work:
        return [
            f"A network of so many parameters, estimated from 100 samples with batches of 4, and {STEPS} Adam steps of "
            "a plain loop of torch; above `import torch`, which takes 320 MB:",
            "",
            "| parameters | | plain MB | s | estimate MB | s | ratio MB |",
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
            *_networks(sources, work, args),
        ]


@contextmanager
def folder(named: Path | None) -> Iterator[Path]:
    """The named folder, or one that is thrown away."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _table(
    what: str,
    sizes: tuple[int, ...],
    make: Callable[[Path, int, int], str],
    arch: str,
    sources: list[tuple[str, Path]],
    work: Path,
    args: argparse.Namespace,
) -> list[str]:
    if args.only and args.only not in what:
        return []
    rows = []
    for size in sizes:
        if size > args.up_to:
            continue
        uris = [make(work, size, seed) for seed in (0, 1)]
        model = trained(work, make(work, min(sizes[0], size), 0), arch, what)
        for name, source in sources:
            words = [str(model), *uris]
            told = _estimate("samples=500" if make is picture_folders else "")
            seen = [_measured(code, words, source, work) for code in (told, RETRAIN)]
            cells = " | ".join(f"{mb:,.0f} | {s:.1f}" for mb, s in seen)
            rows.append(f"| {what} | {size:,} | {name} | {cells} |")
            print(rows[-1], file=sys.stderr)
    return rows


def _networks(sources: list[tuple[str, Path]], work: Path, args: argparse.Namespace) -> list[str]:
    rows = []
    for size in PARAMETERS:
        if size > args.up_to_parameters:
            continue
        uris = [_npz(work, 1_000, seed) for seed in (0, 1)]
        width = round((size / 2) ** 0.5)  # three hidden layers: two squares of weights
        model = trained(work, uris[0], f"foretoll:mlp?width={width}&depth=3", f"mlp{size}")
        plain = _measured(PLAIN, [str(model), *uris], HERE, work)
        for name, source in sources:
            told = _measured(_estimate(SMALL_STEPS, TORCH), [str(model), *uris], source, work)
            cells = " | ".join(f"{mb:,.0f} | {s:.1f}" for mb, s in (plain, told))
            rows.append(f"| {size:,} | {name} | {cells} | {told[0] / plain[0]:.2f} |")
            print(rows[-1], file=sys.stderr)
    return rows


def trained(work: Path, uri: str, arch: str, name: str) -> Path:
    """A checkpoint folder, trained for a few steps."""
    out = work / f"model-{''.join(c for c in name if c.isalnum())}"
    if not out.exists():
        settings = foretoll.TrainingSettings(max_steps=STEPS)
        foretoll.train(arch, uri, out=out, settings=settings, ledger=work / "train.db")
    return out


def _measured(code: str, words: list[str], source: Path, work: Path) -> tuple[float, float]:
    """Peak MB above the import, and seconds of the processor."""
    with tempfile.TemporaryDirectory(dir=work) as fresh:
        environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        environment |= {"FORETOLL_REGION": "DE", "TMPDIR": fresh}
        command = [sys.executable, "-c", code, *words, f"{fresh}/runs.db"]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    mb, seconds = json.loads(done.stdout.splitlines()[-1])
    return mb, seconds


def picture_folders(work: Path, count: int, seed: int) -> str:
    """A data URI of so many JPEGs, smooth colours and noise in five classes."""
    from PIL import Image

    real, root = work / f"pictures{seed}", work / f"folder{count}-{seed}"
    if not real.exists():
        real.mkdir()
        random = np.random.default_rng(seed)
        for number in range(PICTURES):
            grid = random.integers(0, 256, (7, 7, 3)).astype(np.uint8)
            grid[:, :, number % 3] = 40 * (number % CLASSES)
            smooth = Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            noise = random.normal(0, 12 + 8 * seed, (SIDE, SIDE, 3))
            pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(real / f"{number}.jpg", quality=85)
    if not root.exists():
        for number in range(CLASSES):
            (root / f"class{number}").mkdir(parents=True)
        for number in range(count):
            one = number % PICTURES
            os.link(real / f"{one}.jpg", root / f"class{one % CLASSES}" / f"{number}.jpg")
    return f"folder:{root}"


def _chunks(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (CLASSES, COLUMNS))
    for start in range(0, count, 1 << 20):
        labels = random.integers(0, CLASSES, min(1 << 20, count - start))
        yield centres[labels] + random.normal(seed, 1 + seed, (len(labels), COLUMNS)), labels


def _parquet(work: Path, count: int, seed: int) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = work / f"rows{count}-{seed}.parquet"
    if not path.exists():
        writer = None
        for values, labels in _chunks(count, seed):
            table = pa.table({f"c{i}": values[:, i] for i in range(COLUMNS)} | {"label": labels})
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        writer.close()
    return f"parquet:{path}"


def _csv(work: Path, count: int, seed: int) -> str:
    import pyarrow as pa
    from pyarrow import csv

    path = work / f"rows{count}-{seed}.csv"
    if not path.exists():
        parts = [
            pa.table({f"c{i}": values[:, i] for i in range(COLUMNS)} | {"label": labels})
            for values, labels in _chunks(count, seed)
        ]
        csv.write_csv(pa.concat_tables(parts), path)
    return f"csv:{path}"


def _npz(work: Path, count: int, seed: int) -> str:
    path = work / f"rows{count}-{seed}.npz"
    if not path.exists():
        x, y = (np.concatenate(parts) for parts in zip(*_chunks(count, seed), strict=True))
        x = x.astype(np.float32)
        cut = count * 4 // 5
        np.savez(path, x_train=x[:cut], y_train=y[:cut], x_test=x[cut:], y_test=y[cut:])
    return f"npz:{path}"
