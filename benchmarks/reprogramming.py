"""Reprogramming against a linear head, program and head together, and fine-tuning, on three real data set pairs.

    FORETOLL_DATA=/path/to/data python benchmarks/reprogramming.py [--samples N] [--epochs E] [--seeds K]
    FORETOLL_DATA=/path/to/data python benchmarks/reprogramming.py --defaults

Trains each source once, carries out every option by foretoll's own measured loop, and writes reprogramming.md and
results/reprogramming.json (one row per run; a second call goes on where the first was stopped). Every option trains for
the same number of epochs, and its last weights are tested once, so that nothing is chosen on test data.

--defaults prints the small table in docs/reprogramming.md by which the options' defaults were chosen: a small source of
MNIST digits before smaller images, and under shifts of its own task (some minutes on one core).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from foretoll.data import TaskData, open_data
from foretoll.measure import describe_hardware
from foretoll.models import Model, build_model
from foretoll.options import OPTIONS, Option
from foretoll.options.reprogram import Reprogram, ReprogramAndHead
from foretoll.records import Shift, TrainingSettings
from foretoll.workflows.carry_out import carry_out
from foretoll.workflows.context import Accounting, Runtime, Update, choose_device
from foretoll.workflows.train import train_model

FOLDER = Path(__file__).resolve().parent
PAIRS = {
    "Tiny ImageNet → CIFAR-10": ("npz:{data}/tiny_imagenet_32px_13000.npz", "parquet:{data}/cifar10.parquet"),
    "Tiny ImageNet → GTSRB": ("npz:{data}/tiny_imagenet_32px_13000.npz", "npz:{data}/gtsrb_32px_8880.npz"),
    "Fashion-MNIST → USPS": ("npz:{data}/fashion_mnist.npz", "npz:{data}/usps.npz"),
}
MAPPINGS = ("random", "frequent", "iterative", "bayesian", "bayesian_topk", "linear")
PROGRAMS = ("pad", "full", "low_rank", "trainable_resize", "sample_mask")
ORDERINGS = {
    "mapping: random < frequent": ("full, random", "full, frequent"),
    "mapping: frequent < iterative": ("full, frequent", "full, iterative"),
    "mapping: iterative < bayesian": ("full, iterative", "full, bayesian"),
    "program: pad < full": ("pad, bayesian", "full, bayesian"),
    "program: full < sample mask": ("full, bayesian", "sample_mask, bayesian"),
    "program alone < linear head": ("sample_mask, bayesian", "head"),
    "linear head < program + head": ("head", "sample_mask + head"),
    "program + head < all weights": ("sample_mask + head", "finetune"),
}


def options(source_classes: int, target_classes: int) -> dict[str, Option]:
    """What is compared, by the row's name; a one-to-one mapping needs as many source classes."""
    found: dict[str, Option] = {
        f"full, {mapping}": Reprogram("full", mapping)
        for mapping in MAPPINGS
        if source_classes >= target_classes or mapping in ("bayesian", "bayesian_topk", "linear")
    }
    found |= {f"{program}, bayesian": Reprogram(program, "bayesian") for program in PROGRAMS}
    found |= {f"{program} + head": ReprogramAndHead(program) for program in ("full", "sample_mask")}
    return found | {name: OPTIONS[name] for name in ("head", "finetune", "scratch")}


def source_model(
    uri: str,
    arguments: argparse.Namespace,
    *,
    arch: str = "foretoll:resnet",
    options: dict[str, Any] | None = None,
    glue: str = "?",
) -> tuple[Model, TaskData]:
    """The source, trained once from seed 0."""
    data = open_data(f"{uri}{glue}limit={arguments.source_samples}")
    if options is None:
        options = {"width": arguments.width, **({"input_size": 32} if data.shape[1] < 32 else {})}
    settings = TrainingSettings(max_epochs=arguments.source_epochs, evals_per_epoch=1, lr=2e-3)
    done = train_model(
        partial(build_model, arch, options=options),
        data,
        settings,
        Runtime(choose_device(arguments.device), Accounting(energy="none")),
    )
    if done.model is None:
        sys.exit(f"the training on {uri} did not end: {done.run.reason}")
    print(f"source {data.name}: test accuracy {done.run.quality.after:.3f}", flush=True)
    return done.model, data


def measure(
    name: str,
    option: Option,
    model: Model,
    data: tuple[TaskData, TaskData],
    seed: int,
    arguments: argparse.Namespace,
    *,
    task_shift: bool = True,
) -> dict[str, Any]:
    """One run, as a row."""
    (source, target), device = data, choose_device(arguments.device)
    run = carry_out(
        option,
        Update(model, source, target, task_shift, device),
        TrainingSettings(max_epochs=arguments.epochs, evals_per_epoch=1, seed=seed),
        Runtime(device, Accounting(energy=arguments.energy)),
    ).run
    return {
        "option": name,
        "seed": seed,
        "accuracy": None if run.quality is None else run.quality.after,
        "trainable_parameters": run.trainable_parameters,
        "duration_s": run.toll.duration_s,
        "energy_kwh": run.toll.energy_kwh,
        "epochs": run.toll.epochs,
        "outcome": str(run.outcome),
        "reason": run.reason,
    }


def mean(rows: list[dict[str, Any]], key: str) -> float | None:
    """The mean of what was measured."""
    values = [row[key] for row in rows if row[key] is not None]
    return statistics.fmean(values) if values else None


def table(pair: str, rows: list[dict[str, Any]]) -> list[str]:
    """One pair's table: accuracy with its spread over seeds, size, time and energy."""
    lines = [
        f"## {pair}",
        "",
        "| program, mapping | test accuracy | sd | trained parameters | seconds | Wh | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["option"] for row in rows):
        own = [row for row in rows if row["option"] == name]
        found = [row["accuracy"] for row in own if row["accuracy"] is not None]
        if not found:
            lines.append(f"| {name} | failed: {own[0]['reason']} | | | | | {len(own)} |")
            continue
        spread = f"{statistics.stdev(found):.3f}" if len(found) > 1 else "–"
        energy = mean(own, "energy_kwh")
        lines.append(
            f"| {name} | {statistics.fmean(found):.3f} | {spread} | {own[0]['trainable_parameters']:,} | "
            f"{mean(own, 'duration_s') or 0:.1f} | {'–' if energy is None else f'{1000 * energy:.3f}'} | {len(found)} |"
        )
    return [*lines, ""]


def orderings(rows: list[dict[str, Any]]) -> list[str]:
    """In how many (pair, seed) the published orderings held, with the mean difference."""
    at = {(row["pair"], row["seed"], row["option"]): row["accuracy"] for row in rows}
    lines = ["## Orderings", "", "| ordering | held in | mean difference |", "|---|---|---|"]
    for text, names in ORDERINGS.items():
        for worse, better in pairwise(names):
            both = [
                (at[pair, seed, better], at[pair, seed, worse])
                for pair, seed, option in at
                if option == worse
                and at.get((pair, seed, better)) is not None
                and at[pair, seed, worse] is not None
            ]
            if both:
                held = sum(high > low for high, low in both)
                gain = statistics.fmean(high - low for high, low in both)
                lines.append(f"| {text} | {held} of {len(both)} | {gain:+.3f} |")
    return [*lines, ""]


def page(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    """The page, with the command and the machine."""
    hardware = describe_hardware(choose_device(arguments.device))
    given = " ".join(sys.argv[1:])
    lines = [
        "# Reprogramming, measured",
        "",
        f"`FORETOLL_DATA=$D python benchmarks/reprogramming.py {given}`".replace(" `", "`"),
        f"({date.today()}, {hardware.device_name or hardware.cpu}, {hardware.cores} cores, {hardware.threads} threads, "
        f"Python {platform.python_version()}, torch {hardware.torch}). Sources: ResNet-18 of width {arguments.width}, "
        f"{arguments.source_epochs:g} epochs on at most {arguments.source_samples:,} samples; targets: "
        f"{arguments.epochs:g} epochs on at most {arguments.samples:,} samples, Adam. sd: over seeds. Energy: "
        f"{arguments.energy}.",
        "",
    ]
    for pair in PAIRS:
        own = [row for row in rows if row["pair"] == pair]
        lines += table(pair, own) if own else []
    return "\n".join(lines + orderings(rows))


def defaults(data: str) -> None:
    """Print what decided the defaults: programs for smaller images, mappings for both kinds of shift."""
    arguments = argparse.Namespace(
        source_samples=2000, source_epochs=4, device="cpu", energy="none", epochs=8
    )
    mnist = f"npz:{data}/mnist.npz"
    model, source = source_model(
        f"{mnist}?part=1/2", arguments, arch="foretoll:cnn", options={"width": 8}, glue="&"
    )
    small = {"digits, 8 × 8": "digits?limit=1000", "USPS, 16 × 16": f"npz:{data}/usps.npz?limit=1000"}
    tried = {
        **{
            f"{p}, bayesian": Reprogram(p, "bayesian")
            for p in ("pad", "trainable_resize", "full", "sample_mask")
        },
        **{
            f"full, {m}": Reprogram("full", m)
            for m in ("random", "frequent", "iterative", "bayesian_topk", "linear")
        },
        "head": OPTIONS["head"],
        "full + head": ReprogramAndHead("full"),
    }
    rows = [
        {"pair": title, **measure(name, option, model, (source, open_data(uri)), seed, arguments)}
        for title, uri in small.items()
        for name, option in tried.items()
        for seed in (0, 1)
    ]
    own = open_data(f"{mnist}?part=2/2&limit=1000")
    shifts = (("gaussian_noise", 0.3), ("contrast", 0.2), ("brightness", 0.4), ("rotation", 45.0))
    for kind, level in shifts:
        target = own.shifted(Shift(kind=kind, level=level))
        rows += [
            {
                "pair": f"{kind} {level:g}",
                **measure(
                    f"full, {m}",
                    Reprogram("full", m),
                    model,
                    (source, target),
                    seed,
                    arguments,
                    task_shift=False,
                ),
            }
            for m in ("identity", "bayesian", "linear")
            for seed in (0, 1)
        ]
    for pair in dict.fromkeys(row["pair"] for row in rows):
        print("\n".join(table(pair, [row for row in rows if row["pair"] == pair])))


def main() -> None:
    """Measure what is not measured yet, and write both files after each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--source-samples", type=int, default=12000)
    parser.add_argument("--source-epochs", type=float, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="how many of the pairs, from the first")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--energy", default="auto", help="an energy meter, as foretoll's --energy")
    parser.add_argument("--defaults", action="store_true", help="only print what decided the defaults")
    arguments = parser.parse_args()
    data = os.environ.get("FORETOLL_DATA")
    if not data or not Path(data).is_dir():
        sys.exit("set FORETOLL_DATA to the folder with the data sets")
    if arguments.defaults:
        defaults(data)
        return
    kept = {k: v for k, v in vars(arguments).items() if k not in ("seeds", "pairs", "defaults")}
    file = FOLDER / "results" / "reprogramming.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    rows: list[dict[str, Any]] = before["rows"] if before.get("settings") == kept else []
    done = {(row["pair"], row["option"], row["seed"]) for row in rows}
    models: dict[str, tuple[Model, TaskData]] = {}
    for pair, (source_uri, target_uri) in list(PAIRS.items())[: arguments.pairs]:
        uri = source_uri.format(data=data)
        if uri not in models:
            models[uri] = source_model(uri, arguments)
        model, source = models[uri]
        target = open_data(f"{target_uri.format(data=data)}?limit={arguments.samples}")
        for seed in range(arguments.seeds):
            for name, option in options(model.num_classes, target.num_classes).items():
                if (pair, name, seed) in done:
                    continue
                row = {"pair": pair, **measure(name, option, model, (source, target), seed, arguments)}
                rows.append(row)
                print(f"{pair}, {name}, seed {seed}: {row['accuracy']}", flush=True)
                file.write_text(
                    json.dumps({"settings": kept, "rows": rows}, indent=1) + "\n", encoding="utf-8"
                )
                (FOLDER / "reprogramming.md").write_text(page(rows, arguments), encoding="utf-8")


if __name__ == "__main__":
    main()
