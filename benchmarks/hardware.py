"""How far off forecasts for hardware that is not at hand are, against times and powers that others measured.

    python benchmarks/hardware.py ../shared/traces

Zeus (NSDI 2023) trained six tasks on four GPUs at many batch sizes; rows at the highest power limit of each are taken.

1. By work: of ResNet-50 on ImageNet and BERT-base on SQuAD the work of a step is known, and is counted here without any
   data (device "meta"). Time of an epoch and mean power by `foretoll.measure.Pace`, as `--hardware` makes them.
2. By the catalogue alone: the time of an epoch on one GPU carried over to another, for all six tasks, where nothing is
   known of the work. Between the least and the largest ratio of what can limit a step (arithmetic, bandwidth, calls,
   which take as long anywhere); typical is their geometric mean.
3. What the device's own power leaves out: power of whole nodes in MLPerf Training 4.0 over that of their boards.
4. Peak memory of real trainings on the processor at hand beside what `foretoll size` says without loading anything.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch

from foretoll.data import open_data
from foretoll.measure import CATALOGUE, Machine, Pace, Work, count_work
from foretoll.models import build_model
from foretoll.options import get_option
from foretoll.options.reading import step_batches
from foretoll.options.stepper import Stepper
from foretoll.records import Device, TrainingSettings
from foretoll.workflows.size import size

SETTINGS = TrainingSettings(batch_size=16, optimizer="adamw")

GPUS = {"a40": "A40", "p100": "P100 PCIe", "rtx6000": "Quadro RTX 6000", "v100": "V100 PCIe"}
SAMPLES = {"imagenet": 1_281_167, "squad": 88_524}  # squad: windows of 384 tokens, a stride of 128
TASKS = {
    "imagenet": "ResNet-50, ImageNet",
    "squad": "BERT-base, SQuAD",
    "cifar100": "ShuffleNetV2, CIFAR-100",
    "librispeech": "DeepSpeech2, LibriSpeech",
    "movielens-1m": "NCF, MovieLens",
    "sentiment140": "BERT-base, Sentiment140",
}


def measured(folder: Path) -> pd.DataFrame:
    """One row a task, batch size and GPU: seconds of an epoch and mean watts at the highest power limit."""
    parts = []
    for key, name in GPUS.items():
        rows = pd.read_csv(folder / "zeus_nsdi23" / f"summary_power_{key}.csv")
        rows = rows[rows.power_limit == rows.power_limit.max()].assign(gpu=name)
        parts.append(rows)
    every = pd.concat(parts)
    return every.groupby(["dataset", "batch_size", "gpu"], as_index=False)[
        ["time_per_epoch", "average_power"]
    ].mean()


def step_of(dataset: str, batch: int) -> Work:
    """The work of a training step."""
    with torch.device("meta"):
        if dataset == "imagenet":
            from torchvision.models import resnet50

            network, inputs = resnet50(), torch.zeros(batch, 3, 224, 224)
            forward: Callable[[], torch.Tensor] = lambda: network(inputs).sum()  # noqa: E731
            optimizer: torch.optim.Optimizer = torch.optim.Adadelta(network.parameters())
        else:
            from transformers import BertConfig, BertForQuestionAnswering

            network, ids = BertForQuestionAnswering(BertConfig()), torch.zeros(batch, 384, dtype=torch.long)
            forward = lambda: network(ids).start_logits.sum()  # noqa: E731
            optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        forward().backward()
        optimizer.step()

    step()
    return count_work(step)


def by_work(rows: pd.DataFrame) -> None:
    print(
        "| task | GPU | batch sizes | time: median factor | furthest | hold | span | power: median factor | hold |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    everything: list[tuple[float, bool, float, float, bool]] = []
    for dataset, samples in SAMPLES.items():
        of_task = rows[rows.dataset == dataset]
        works = {int(b): step_of(dataset, int(b)) for b in sorted(of_task.batch_size.unique())}
        for gpu in GPUS.values():
            found = []
            for row in of_task[of_task.gpu == gpu].itertuples():
                pace = Pace.of(Machine(CATALOGUE[gpu]), works[int(row.batch_size)])
                steps = math.ceil(samples / row.batch_size)
                low, typical, high = (steps * seconds for seconds in pace.seconds)
                least, usual, most = pace.watts or (0.0, 0.0, 0.0)
                found.append(
                    (
                        row.time_per_epoch / typical, low <= row.time_per_epoch <= high, high / low,
                        row.average_power / usual, least <= row.average_power <= most,
                    )
                )  # fmt: skip
            everything += found
            print(f"| {TASKS[dataset]} | {gpu} | {len(found)} | {_line(found)} |")
    print(f"| both | all | {len(everything)} | {_line(everything)} |")


def _line(found: Sequence[tuple[float, bool, float, float, bool]]) -> str:
    factors = [max(f, 1 / f) for f, *_ in found]
    watts = [max(f, 1 / f) for *_, f, _ in found]
    return (
        f"{median(factors):.2f} | {max(factors):.2f} | {sum(f[1] for f in found)} of {len(found)} | "
        f"{median(f[2] for f in found):.0f} | {median(watts):.2f} | {sum(f[4] for f in found)} of {len(found)}"
    )


def ratios(one: Device, other: Device) -> list[float]:
    """Time there over time here, for each of what can limit a step."""
    return [one.fp32_tflops / other.fp32_tflops, one.bandwidth_gb_s / other.bandwidth_gb_s, 1.0]


def by_catalogue(rows: pd.DataFrame) -> None:
    print(
        "| task | carried over | factor of the median | 9 of 10 within | no change assumed | between the ratios |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    everything: list[tuple[float, float, bool]] = []
    for dataset, title in TASKS.items():
        found = []
        for _, batch in rows[rows.dataset == dataset].groupby("batch_size"):
            times = dict(zip(batch.gpu, batch.time_per_epoch, strict=True))
            for here, there in itertools.permutations(times, 2):
                by = ratios(CATALOGUE[here], CATALOGUE[there])
                truth = times[there] / times[here]
                typical = math.prod(by) ** (1 / len(by))
                found.append((_off(truth / typical), _off(truth), min(by) <= truth <= max(by)))
        everything += found
        print(f"| {title} | {_carried(found)} |")
    print(f"| all | {_carried(everything)} |")


def _off(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _carried(found: Sequence[tuple[float, float, bool]]) -> str:
    factors = sorted(f for f, *_ in found)
    ninth = factors[min(math.ceil(0.9 * len(factors)) - 1, len(factors) - 1)]
    hold = sum(f[2] for f in found) / len(found)
    return (
        f"{len(found)} | {median(factors):.2f} | {ninth:.2f} | {median(f[1] for f in found):.2f} | {hold:.0%}"
    )


def whole_nodes(folder: Path) -> None:
    power = pd.read_csv(folder / "mlperf_training_v4.0" / "power.csv")
    rows = power[(power.coverage > 0.9) & power.system.str.contains("H100-SXM")]
    share = rows.mean_power_w / rows.nodes / 8 / CATALOGUE["H100"].watts
    low, middle, high = share.quantile([0.05, 0.5, 0.95])
    print(
        f"\nMLPerf Training 4.0: {len(rows)} runs on nodes of 8 H100; a node's power for each over its board's 700 W: "
        f"{middle:.2f} ({low:.2f} … {high:.2f} for 9 of 10)"
    )


MEMORY = (
    ("torchvision:resnet18", "finetune", {"classes": 10}),
    ("torchvision:resnet18", "head", {"classes": 10}),
    ("timm:vit_tiny_patch16_224", "finetune", {"classes": 10}),
    ("timm:vit_tiny_patch16_224", "lora", {"classes": 10}),
)


def memory() -> None:
    """Peak memory of real trainings on this machine's processor, each in a process of its own, beside the forecast."""
    print("\n| model | option | forecast, tensors alone | measured | ratio |")
    print("|---|---|---:|---:|---:|")
    for model, option, more in MEMORY:
        told = size(model, option, settings=SETTINGS, **more)  # type: ignore[arg-type]
        done = subprocess.run(
            [sys.executable, __file__, "--train", model, option], check=True, capture_output=True, text=True
        )
        peak = float(done.stdout.split()[-1])
        print(
            f"| {model} | {option} | {told.memory_high_bytes / 1e6:.0f} MB | {peak / 1e6:.0f} MB | "
            f"{peak / told.memory_high_bytes:.2f} |",
            flush=True,
        )


def train(model: str, option: str) -> None:
    """Train for four steps; the last line says how much the process grew at its peak."""
    images = np.random.default_rng(0).integers(0, 255, (40, 3, 224, 224), dtype=np.uint8)
    data = open_data((images, np.arange(40) % 10))
    network = build_model(model, data=data, seed=0)
    chosen = get_option(option)
    _warm_up()
    before = _status("VmRSS") - sum(p.numel() * p.element_size() for p in network.parameters())
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    training = chosen.start(network, data, SETTINGS, task_shift=False, device=torch.device("cpu"))
    del network
    training.open()
    training.begin()
    stepper = Stepper(training, chosen, SETTINGS)
    for batches in itertools.islice(step_batches(training.train, SETTINGS, 0), 1):
        for _ in range(4):
            training.into_training()
            stepper.take(batches)
    print(_status("VmHWM") - before)


def _warm_up() -> None:
    """What the first training of a process loads, whatever it trains."""
    layer = torch.nn.Conv2d(3, 4, 3)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "traces", type=Path, nargs="?", help="folder of the traces; without it only memory is measured"
    )
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(*given.train)
        raise SystemExit
    if given.traces is not None:
        truth = measured(given.traces)
        by_work(truth)
        print()
        by_catalogue(truth)
        whole_nodes(given.traces)
    memory()
