"""Real data sets, end to end: train, estimate, retrain, by the very commands that a user would type.

    FORETOLL_DATA=/path/to/data python benchmarks/cases.py
    FORETOLL_DATA=/path/to/data python benchmarks/cases.py --new

Writes docs/cases.md: each command, and the numbers it gave. With `--new`, docs/new_cases.md: cases whose data
set and architecture no run of the reference ledger has, which were chosen and committed before any of them was run,
and one of more than 20,000 samples, for the share of its own cost that an estimate may have.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from foretoll.measure import describe_hardware
from foretoll.units import human_duration, human_energy, human_mass

DOCS = Path(__file__).resolve().parents[1] / "docs"
COSTS = {
    "epochs": "epochs",
    "gradient_norm": "gradient norm",
    "parameter_change": "parameter change",
    "energy_kwh": "energy",
    "emissions_kg": "emissions",
    "duration_s": "duration",
}

ABOUT_NEW = (
    "The cases stood in `benchmarks/cases.py` before any of them was run. Of the first six, neither the data sets nor",
    "the architectures are in the reference ledger; the second three were added because two of the first turned out to",
    "need no update. The last is large, for what an estimate itself costs.",
    "",
)


@dataclass(frozen=True)
class Case:
    """A case: what is trained, on what, and what it must then serve."""

    title: str
    source: str
    target: str
    flags: str
    model: str
    train_flags: str = "--max-epochs 4"
    arch: str = "foretoll:cnn?width=16"


CASES = (
    Case(
        "Fashion-MNIST under gaussian noise",
        "npz:$D/fashion_mnist.npz?part=1/6",
        "npz:$D/fashion_mnist.npz?part=2/6&shift=gaussian_noise:0.2",
        "--until 0.82",
        "fashion",
    ),
    Case(
        "CIFAR-10 under gaussian blur",
        "parquet:$D/cifar10.parquet?part=1/5",
        "parquet:$D/cifar10.parquet?part=2/5&shift=gaussian_blur:0.8",
        "--until 0.52",
        "cifar",
        train_flags="--max-epochs 5",
    ),
    Case(
        "MNIST to USPS: a natural distribution shift",
        "npz:$D/mnist.npz?part=1/6",
        "npz:$D/usps.npz",
        "--same-task --until 0.95",
        "mnist",
    ),
    Case(
        "Fashion-MNIST to GTSRB: a task shift, 43 classes",
        "npz:$D/fashion_mnist.npz?part=1/6",
        "npz:$D/gtsrb_32px_8880.npz",
        "--task --until 0.6",
        "fashion",
    ),
)

NEW_CASES = (
    Case(
        "Tiny-ImageNet, 200 classes, defocused; torchvision's ResNet-18",
        "npz:$D/tiny_imagenet_32px_13000.npz?part=1/2",
        "npz:$D/tiny_imagenet_32px_13000.npz?part=2/2&shift=defocus_blur:1",
        "",
        "tiny",
        train_flags="--max-epochs 6",
        arch="torchvision:resnet18",
    ),
    Case(
        "Power drawn by household devices (ElectricDevices) with noise; a recurrent network of our own",
        "npz:$D/ucr_electricdevices.npz?part=1/2&kind=series",
        "npz:$D/ucr_electricdevices.npz?part=2/2&kind=series&shift=gaussian_noise:0.5",
        "",
        "devices",
        train_flags="--max-epochs 8",
        arch="networks:recurrent",
    ),
    Case(
        "Handwritten digits 0 to 4, then 5 to 9 as a new task; MobileNet",
        "digits?classes=0,1,2,3,4",
        "digits?classes=5,6,7,8,9",
        "--task --until 0.9",
        "digits",
        train_flags="--max-epochs 20",
        arch="torchvision:mobilenet_v3_small",
    ),
    Case(
        "Heartbeats (ECG5000) with the electrodes swapped; a recurrent network of our own",
        "npz:$D/ucr_ecg5000.npz?part=1/2&kind=series",
        "npz:$D/ucr_ecg5000.npz?part=2/2&kind=series&shift=inversion:1",
        "",
        "heart",
        train_flags="--max-epochs 20",
        arch="networks:recurrent",
    ),
    Case(
        "Power drawn by household devices, on a meter of another range; dilated convolutions of our own",
        "npz:$D/ucr_electricdevices.npz?part=1/2&kind=series",
        "npz:$D/ucr_electricdevices.npz?part=2/2&kind=series&shift=contrast:0.25",
        "",
        "power",
        train_flags="--max-epochs 20",
        arch="networks:dilated",
    ),
    Case(
        "Handwritten digits that lie elsewhere in the picture; ShuffleNet",
        "digits?part=1/2",
        "digits?part=2/2&shift=translation:0.13",
        "",
        "shuffle",
        train_flags="--max-epochs 20",
        arch="torchvision:shufflenet_v2_x0_5",
    ),
    Case(
        "Large: MNIST to all of Fashion-MNIST, a task of 48,000 training samples; ResNet",
        "npz:$D/mnist.npz?part=1/6",
        "npz:$D/fashion_mnist.npz",
        "--task --until 0.9",
        "large",
        train_flags="--max-epochs 3",
        arch="foretoll:resnet?width=8",
    ),
)


def run(command: str, folder: Path, data: str) -> tuple[dict[str, Any], float]:
    """Run a command of the page; return its JSON and the seconds it took."""
    words = [sys.executable, "-m", "foretoll.cli", *shlex.split(command.replace("$D", data))[1:], "--json"]
    environment = {
        **os.environ,
        "FORETOLL_LEDGER": str(folder / "ledger.db"),
        "PYTHONPATH": str(Path(__file__).parent),  # networks.py
    }
    began = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stderr}")
    return json.loads(done.stdout), time.perf_counter() - began


def show(cost: str, value: float | None) -> str:
    """A cost with a readable unit."""
    if value is None:
        return "–"
    humans = {"energy_kwh": human_energy, "emissions_kg": human_mass, "duration_s": human_duration}
    return humans[cost](value) if cost in humans else f"{value:.3g}"


Held = dict[str, list[bool]]  # cost → whether the measured value lay in its interval, case by case


def section(case: Case, folder: Path, data: str, trained: set[str], held: Held) -> list[str]:
    """Carry out a case and write it down; note which intervals held."""
    commands = []
    if case.model not in trained:
        commands.append(
            f"foretoll train --arch '{case.arch}' --data '{case.source}' {case.train_flags} --out {case.model}"
        )
        trained.add(case.model)
    shared = (
        f"--model {case.model} --source '{case.source}' --target '{case.target}' {case.flags} --region DE"
    )
    commands.append(f"foretoll estimate {shared} --out {case.model}-estimate")
    commands.append(
        f"foretoll retrain {shared} --estimate {case.model}-estimate/estimate.json --out {case.model}-updated"
    )
    found = [run(command, folder, data) for command in commands]
    estimate, done = found[-2][0], found[-1][0]
    print(f"{case.title}: {done['outcome']}, {done['toll']['epochs']:.2f} epochs", flush=True)
    rows = ["| | forecast | 90 % interval | measured |", "|---|---|---|---|"]
    reach = estimate["reach_probability"]
    rows.append(
        f"| reached in {estimate['settings']['max_epochs']:g} epochs | "
        f"{'–' if reach is None else f'{reach:.0%}'} | | {done['outcome']} |"
    )
    for cost, words in COSTS.items():
        told = estimate["forecast"][cost] or {"median": None, "low": None, "high": None}
        ends = (
            f"{show(cost, told['low'])} … {show(cost, told['high'])}" if told["median"] is not None else "–"
        )
        if ends != "–" and done["toll"][cost] is not None:
            held.setdefault(words, []).append(told["low"] <= done["toll"][cost] <= told["high"])
        rows.append(f"| {words} | {show(cost, told['median'])} | {ends} | {show(cost, done['toll'][cost])} |")
    quality = done["quality"] or {}
    before = "–" if quality.get("before") is None else f"{quality['before']:.3f}"
    own, spent = estimate["self_cost"], done["toll"]
    gap, resque = estimate["signals"].get("recoverability_gap"), estimate["signals"].get("resque")
    return [
        f"## {case.title}",
        "",
        "```",
        *commands,
        "```",
        "",
        *rows,
        "",
        f"Test accuracy {before} before, {quality.get('after', float('nan')):.3f} after; recoverability gap {gap:.3f}"
        + (
            f", RESQUE {resque:.3f}"
            if resque is not None
            else f", 1 − ARI {estimate['signals']['inv_ari']:.3f}"
        )
        + f"; rests on {estimate['basis']['runs']} runs; estimating took "
        f"{human_duration(own['duration_s'])} and {human_energy(own['energy_kwh'])} "
        f"({own['duration_s'] / max(spent['duration_s'], 1e-9):.1%} of the retraining's time, "
        f"{own['energy_kwh'] / max(spent['energy_kwh'], 1e-30):.1%} of its energy).",
        "",
    ]


def main() -> None:
    """Carry out all cases and write the page."""
    data = os.environ.get("FORETOLL_DATA")
    if not data:
        raise SystemExit("set FORETOLL_DATA to the folder with the data sets")
    new = "--new" in sys.argv[1:]
    hardware = describe_hardware("cpu")
    lines = [
        "# Cases that were new to the ledger" if new else "# Real data sets, with the numbers obtained",
        "",
        *(ABOUT_NEW if new else ()),
        "Every number on this page comes from the commands above it; `$D` is the folder with the data sets. The page",
        f"is written by `FORETOLL_DATA=$D python benchmarks/cases.py{' --new' if new else ''}` "
        f"({date.today()}, {hardware.cpu}, {hardware.cores} cores, "
        f"Python {platform.python_version()}, torch {hardware.torch}, seed 0, one run each).",
        "",
    ]
    trained: set[str] = set()
    held: Held = {}
    sections: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in NEW_CASES if new else CASES:
            sections += section(case, Path(folder), data, trained, held)
    shares = ", ".join(f"{cost} {sum(seen)} of {len(seen)}" for cost, seen in held.items())
    lines += [f"Measured values inside their 90 % interval: {shares}.", "", *sections]
    page = DOCS / ("new_cases.md" if new else "cases.md")
    page.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
