"""What the indices cost, as ratios to a plain batched forward pass over the same data on the same machine.

    python benchmarks/index_cost.py --out benchmarks/index_cost.md

Each pair of cases is timed between two plain passes and divided by their mean; the table shows the median over the
rounds and the range. The images are generated, so nothing is downloaded. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

# threads that wait for each other sleep: other processes on the machine then disturb the figures less
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor

from foretoll.data import DatasetSplit, TaskData, open_data
from foretoll.indices.collect import BATCH, PartRequest, collect
from foretoll.indices.preindex import PreIndex
from foretoll.indices.resque import ResqueDistribution, resque_task
from foretoll.indices.scores import SideSample, scores
from foretoll.indices.survey import survey
from foretoll.models import Model, build_model, countable_layers
from foretoll.options import Training, get_option
from foretoll.options.stepper import Stepper
from foretoll.records import Shift, TrainingSettings
from foretoll.representation import Arrangement, Features, arrangement, sweep

CLASSES = 10
SETTINGS = TrainingSettings(until=0.9)  # the defaults of `foretoll estimate`
TARGETS = {"resque": 1.05, "papers": 1.5, "signals": 2.5, "all_per_epoch": 0.7}
GROWTH_MB = 100.0
SHORT, LONG, CAPACITY = 1_000, 50_000, 2_000


@dataclass(frozen=True)
class Case:
    """A model, the number of samples a side, and how often everything is timed."""

    name: str
    arch: str
    options: dict[str, Any]
    samples: int
    rounds: int


CASES = (
    Case("small CNN (foretoll:cnn)", "foretoll:cnn", {}, 2000, 5),
    Case("ResNet-18, 3×3 stem (foretoll:resnet, width 64)", "foretoll:resnet", {"width": 64}, 2000, 2),
    Case("ResNet-18 (torchvision:resnet18)", "torchvision:resnet18", {"input_size": 32}, 2000, 3),
)


def images(labels: np.ndarray, seed: int) -> np.ndarray:
    """Images uint8 (n, 32, 32, 3): a coarse pattern of the class, and noise."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(0).normal(size=(CLASSES, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    noise = generator.normal(size=(len(labels), 32, 32, 3)).astype(np.float32)
    return np.clip(127 + 40 * patterns[labels] + 40 * noise, 0, 255).astype(np.uint8)


def data(samples: int) -> tuple[TaskData, TaskData]:
    """A source whose training part has `samples` images, and the same with noise, in memory."""
    wanted = samples * 2  # what validation and test take is cut off below
    labels = np.random.default_rng(1).integers(0, CLASSES, wanted)
    source = open_data((images(labels, 2), labels))
    target = source.shifted(Shift(kind="gaussian_noise", level=0.1))
    return _cut(source, samples), _cut(target, samples)


def _cut(task: TaskData, samples: int) -> TaskData:
    part = task.train.take(torch.arange(samples))
    stored = part.in_memory() if isinstance(part, DatasetSplit) else part
    return TaskData(task.card, stored, task.validation, task.test)


def warm_model(case: Case, source: TaskData, device: str) -> Model:
    """The architecture after twenty steps: its representations tell the classes apart."""
    model = build_model(case.arch, data=source, seed=0, options=case.options).to(device)
    for step, _ in enumerate(training_steps(model, source, device)):
        if step == 19:
            break
    return model.eval()


def training_steps(model: Model, data: TaskData, device: str) -> Iterator[None]:
    """One epoch of optimisation steps of all weights, one at a time."""
    option = get_option("finetune")
    training = Training(model, data.train, data.validation, option.trainable(model))
    stepper = Stepper(training, option, SETTINGS, device=device)
    training.train_mode()
    for batch in data.train.batches(SETTINGS.batch_size, shuffle_seed=0):
        stepper.take([batch])
        yield


class Cost:
    """The timed cases of one model."""

    def __init__(self, case: Case, device: str) -> None:
        self.case, self.device = case, device
        self.source, self.target = data(case.samples)
        self.model = warm_model(case, self.source, device)
        self.layers = tuple(countable_layers(self.model))

    @torch.no_grad()
    def plain(self, *, arranged: bool = False) -> None:
        """A batched forward pass over both sides; nothing is kept. `arranged`: laid out as the sweep does on a CPU."""
        self.model.eval()
        for side in (self.source.train, self.target.train):
            layout = arrangement(self.model, side, self.device) if arranged else Arrangement()
            for inputs, _ in side.batches(BATCH):
                for part in layout.bites(inputs):
                    self.model(part.to(self.device))

    def resque(self) -> None:
        """RESQUE's distribution form alone, with interval and floor."""
        index = ResqueDistribution(CLASSES)
        for side, task in (("source", self.source), ("target", self.target)):

            def consume(seen: Features, side: Any = side) -> None:
                index.update(seen.representations, seen.labels, side=side, ids=seen.ids)

            sweep(self.model, task.train, [consume], batch_size=BATCH, device=self.device)
        index.compute()

    def papers(self) -> None:
        """RESQUE in both forms, ARM and PreIndex, from one sweep a side (the target is the source, shifted)."""
        source, target = (
            collect(
                self.model, task.train, PartRequest(part, CAPACITY, CLASSES, self.layers), device=self.device
            )
            for part, task in (("source", self.source), ("target", self.target))  # type: ignore[arg-type]
        )
        before, after = source.layers(), target.layers()
        preindex = PreIndex(num_classes=CLASSES)
        for start in range(0, len(before), BATCH):
            rows = slice(start, start + BATCH)
            first, second = ({n: x[rows] for n, x in side.tensors.items()} for side in (before, after))
            preindex.update(first, second, ids=after.ids[rows])
        preindex.compute()
        for mine, theirs in ((source.resque, target.resque), (source.arm, target.arm)):
            if mine is not None and theirs is not None:
                mine.merge_state(theirs)
                mine.compute()
        kept = SideSample.of(target.kept.compute())
        resque_task(kept.representations, kept.labels)

    def signals(self, *, paired: bool = False) -> None:
        """All that `foretoll estimate` looks at before the step probe; `paired`: PreIndex and CKA too."""
        survey(
            self.model,
            self.source,
            self.target,
            SETTINGS,
            task_shift=False,
            clean=self.source if paired else None,
            samples=self.case.samples,
        )

    def epoch(self) -> None:
        """One epoch of training on the target's samples, as `foretoll retrain` trains, without evaluations."""
        for _ in training_steps(self.model.clone(), self.target, self.device):
            pass

    def timed(self) -> dict[str, Any]:
        """Seconds of the plain pass, and the ratio of each case to it: median, least, most."""
        cases: dict[str, Callable[[], None]] = {
            "plain_arranged": lambda: self.plain(arranged=True),
            "resque": self.resque,
            "papers": self.papers,
            "signals": self.signals,
            "all": lambda: self.signals(paired=True),
            "target_epoch": self.epoch,
        }
        self.plain()
        self.resque()  # first calls load libraries
        self.signals(paired=True)
        ratios: dict[str, list[float]] = {name: [] for name in cases}
        plain: list[float] = []
        for _ in range(self.case.rounds):
            before = seconds(self.plain, self.device)
            for pair in zip(*[iter(cases.items())] * 2, strict=True):
                own = {name: seconds(run, self.device) for name, run in pair}
                after = seconds(self.plain, self.device)
                for name, duration in own.items():
                    ratios[name].append(2 * duration / (before + after))
                plain.append(before)
                before = after
        epochs = ratios["target_epoch"]
        # an epoch over the same data has the samples of both sides
        ratios["all_per_epoch"] = [a / (2 * e) for a, e in zip(ratios["all"], epochs, strict=True)]
        ratios["all_per_target_epoch"] = [a / e for a, e in zip(ratios["all"], epochs, strict=True)]
        return {
            "samples_per_side": self.case.samples,
            "rounds": self.case.rounds,
            "plain_ms_per_image": round(1000 * median(plain) / (2 * self.case.samples), 4),
            **{name: spread(values) for name, values in ratios.items()},
        }


def seconds(run: Callable[[], None], device: str) -> float:
    """Duration of a call, synchronised with the device."""
    _synchronise(device)
    began = time.perf_counter()
    run()
    _synchronise(device)
    return time.perf_counter() - began


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


class Generated:
    """Images that exist only while they are read."""

    def __init__(self, samples: int, level: float) -> None:
        self.samples, self.level = samples, level
        self.patterns = np.random.default_rng(0).normal(size=(CLASSES, 8, 8, 3)).repeat(4, 1).repeat(4, 2)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        noise = np.random.default_rng(row).normal(size=(32, 32, 3))
        image = 127 + 40 * self.patterns[row % CLASSES] + self.level * noise
        return torch.from_numpy(np.clip(image, 0, 255).astype(np.uint8)).permute(2, 0, 1), row % CLASSES


def peak_mb(arch: str, samples: int) -> float:
    """Peak resident memory of this process after it swept `samples` generated images of either side."""
    labels = np.arange(SHORT) % CLASSES
    case = Case("", arch, {"input_size": 32} if arch.startswith("torchvision") else {}, SHORT, 1)
    source = open_data((images(labels, 2), labels))
    model = build_model(case.arch, data=source, seed=0, options=case.options).eval()
    layers = tuple(countable_layers(model))
    found = []
    for part, level in (("source", 30.0), ("target", 60.0)):
        split = DatasetSplit(Generated(samples, level), labels=torch.arange(samples) % CLASSES)
        found.append(collect(model, split, PartRequest(part, CAPACITY, CLASSES, layers)))  # type: ignore[arg-type]
    kept = [SideSample.of(side.kept.compute()) for side in found]
    scores(kept[0], kept[1], task_shift=False)
    for mine, theirs in ((found[0].resque, found[1].resque), (found[0].arm, found[1].arm)):
        if mine is not None and theirs is not None:
            mine.merge_state(theirs)
            mine.compute()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent held when it started this process
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def growth(arch: str, threads: int) -> dict[str, float]:
    """Peak memory at either number of images, each in a process of its own."""
    peaks = []
    for samples in (SHORT, LONG):
        command = [sys.executable, __file__, "--peak", arch, str(samples), "--threads", str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(float(done.stdout.splitlines()[-1]))
    return {
        f"peak_mb_{SHORT}": round(peaks[0], 1),
        f"peak_mb_{LONG}": round(peaks[1], 1),
        "growth_mb": round(peaks[1] - peaks[0], 1),
    }


ROWS = {
    "resque": "RESQUE alone",
    "papers": "all indices of the papers",
    "signals": "signals: all that is cheap",
    "all": "signals and PreIndex's pairs",
    "all_per_epoch": "the same, against a training epoch over the same data",
    "all_per_target_epoch": "the same, against a training epoch over the target alone",
    "plain_arranged": "forward pass alone, laid out as the sweep does",
    "target_epoch": "training epoch over the target alone",
}


def page(found: dict[str, Any], command: str) -> str:
    """The figures as Markdown."""
    models = found["models"]
    lines = [
        "# What the indices cost",
        "",
        f"`{command}`",
        "",
        f"{found['machine']}, {found['threads']} threads, torch {torch.__version__}, device {found['device']}, "
        f"32×32 colour images, batches of {BATCH}; median (range) of the rounds. Unit: one plain batched forward pass "
        "without gradients over the samples of both sides, as the images are stored. On a CPU the sweep lays its "
        "batches out otherwise (channels last in memory; fewer images at once, so that they fit the caches), which is "
        'why it can be faster than that pass; divide by the row "forward pass alone" to see what the indices add to a '
        f"pass that is laid out alike. Training: Adam, batches of {SETTINGS.batch_size}, no evaluations.",
        "",
        "| | target | " + " | ".join(models) + " |",
        "|---|---|" + "---|" * len(models),
        "| samples a side, rounds | | "
        + " | ".join(f"{m['samples_per_side']}, {m['rounds']}" for m in models.values())
        + " |",
        "| plain pass, ms per image | | "
        + " | ".join(f"{m['plain_ms_per_image']:.2f}" for m in models.values())
        + " |",
    ]
    for name, text in ROWS.items():
        target = f"≤ {TARGETS[name]}" if name in TARGETS else ""
        cells = ["{median:.2f} ({low:.2f} to {high:.2f})".format(**m[name]) for m in models.values()]
        lines.append(f"| {text} | {target} | " + " | ".join(cells) + " |")
    if found["memory"]:
        lines += [
            "",
            f"Peak memory of a process that sweeps generated images of two sides into all accumulators ({CAPACITY} "
            f"samples kept a side, half of them at {SHORT} images) and computes ARM, RESQUE and the scores; target: "
            f"less than {GROWTH_MB:g} MB more.",
            "",
            f"| | {SHORT} images a side | {LONG} images a side | growth |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {arch} | {m[f'peak_mb_{SHORT}']:.0f} MB | {m[f'peak_mb_{LONG}']:.0f} MB | {m['growth_mb']:.0f} MB |"
            for arch, m in found["memory"].items()
        ]
    return "\n".join(lines) + "\n"


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines()] if info.exists() else []
    )
    keys = [line.partition(":")[0].strip() for line in info.read_text().splitlines()] if info.exists() else []
    found = dict(zip(keys, names, strict=True)).get("model name", platform.processor() or platform.machine())
    return f"{found}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the indices against a plain forward pass.")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the models, from 0; all without it")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory measurement out")
    parser.add_argument("--out", type=Path, help="write the table to this file")
    parser.add_argument("--peak", nargs=2, metavar=("ARCH", "SAMPLES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak_mb(args.peak[0], int(args.peak[1])))
        return
    cases = [CASES[i] for i in args.only] if args.only is not None else list(CASES)
    machine = torch.cuda.get_device_name() if args.device.startswith("cuda") else cpu_name()
    found: dict[str, Any] = {
        "machine": machine,
        "threads": args.threads,
        "device": args.device,
        "seed": 0,
        "models": {},
        "memory": {},
    }
    for case in cases:
        found["models"][case.name] = Cost(case, args.device).timed()
        print(case.name, json.dumps(found["models"][case.name]), file=sys.stderr, flush=True)
    if args.device.startswith("cuda"):
        for model in found["models"].values():
            model["throughput_share"] = round(1 / model["papers"]["median"], 3)
    if not args.no_memory:
        archs = dict.fromkeys(case.arch for case in cases if case.arch != "foretoll:resnet")
        found["memory"] = {arch: growth(arch, args.threads) for arch in archs}
    found["met"] = {
        name: all(m[name]["median"] <= limit for m in found["models"].values())
        for name, limit in TARGETS.items()
    }
    if found["memory"]:
        found["met"]["memory"] = all(m["growth_mb"] < GROWTH_MB for m in found["memory"].values())
    text = page(found, "python " + " ".join(sys.argv))
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
