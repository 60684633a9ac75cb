"""Real data sets, end to end: train, estimate, retrain, by the very commands that a user would type.

    FORETOLL_DATA=/path/to/data python benchmarks/cases.py
    FORETOLL_DATA=/path/to/data python benchmarks/cases.py --new
    FORETOLL_DATA=/path/to/data python benchmarks/cases.py --twelve [NAME …]

Writes docs/cases.md: each command, and the numbers it gave. With `--new`, docs/new_cases.md: cases whose data
set and architecture no run of the reference ledger has, which were chosen and committed before any of them was run,
and one of more than 20,000 samples, for the share of its own cost that an estimate may have. With `--twelve` the
second list of that page, or those of its cases that are named by their model, in this order. Models that others
trained lie in `models` beside the folder of the data.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean, median
from typing import Any

from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.measure import describe_hardware
from foretoll.units import human_duration, human_energy, human_mass
from pages import RESULTS, markdown_table, replace_block, replace_ledger_block

DOCS = Path(__file__).resolve().parents[1] / "docs"
COSTS = {
    "epochs": "epochs",
    "gradient_norm": "gradient norm",
    "parameter_change": "parameter change",
    "energy_kwh": "energy",
    "emissions_kg": "emissions",
    "duration_s": "duration",
}

OWN_CODE = "networks:"  # begins an architecture of benchmarks/networks.py
NEW_PAGE = DOCS / "new_cases.md"
TWELVE_RESULTS = RESULTS / "new_cases"
KEPT = ("forecast", "reach_probability", "settings", "signals", "self_cost", "basis", "warnings")


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
    given: str = ""  # a model that others trained, as the commands name it; nothing is trained before
    before: str = ""  # a command that the others need


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

# Twelve more, recorded before any of them was run. Data sets of the ledger recur, for it has nearly all that are at
# hand; architectures (separable, gated, recurrent over sound, the speech encoder), shifts (impulse noise, frost, a
# speaker, a kind of employer) and pairs are not in it where that could be had. Targets were guessed.
TWELVE = (
    Case(
        "Pretrained: which digit is said, by a speaker who was never heard; the GE2E speaker encoder",
        "npz:$D/fsdd_8khz.npz?where=speaker!yweweler&limit=600",
        "npz:$D/fsdd_8khz.npz?where=speaker:yweweler",
        "--same-task --until 0.88 --max-epochs 8",
        "speaker",
        given="zoo.speech:speaker_encoder --weights $D/../models/resemblyzer_ge2e/model.safetensors",
    ),
    Case(
        "Pretrained: ImageNet to handwritten digits, a new task; SqueezeNet 1.1",
        "npz:$D/tiny_imagenet_32px_13000.npz?split=test&limit=600",
        "digits?limit=700",
        "--task --until 0.85 --max-epochs 8",
        "squeezenet",
        given=(
            "'torchvision:squeezenet1_1?input_size=96' "
            "--weights $D/../models/squeezenet1_1_tin200/model.safetensors"
        ),
    ),
    Case(
        "Pretrained: CIFAR-10 under impulse noise; ResNet-20",
        "parquet:$D/cifar10.parquet?split=test&part=1/4&limit=1000",
        "parquet:$D/cifar10.parquet?split=test&part=2/4&limit=1200&shift=impulse_noise:0.05",
        "--until 0.7 --max-epochs 8",
        "resnet20",
        given="zoo.cifar_resnet:resnet20 --weights $D/../models/cifar_resnet20/model.safetensors",
    ),
    Case(
        "Pretrained: kinds of news, without the data that it was trained on; MiniLM",
        "none",
        "parquet:$D/ag_news_7600.parquet?limit=500",
        "--task --until 0.8 --max-epochs 6",
        "minilm",
        given="minilm",
        # as first recorded, without this line, the encoder was named itself, and refused: it has no head
        before=(
            "foretoll retrain --model 'hf:$D/../models/minilm_l6?max_length=32' --option head "
            "--source 'parquet:$D/trec6.parquet?limit=200' --target 'parquet:$D/trec6.parquet?limit=200' "
            "--same-task --until 0.3 --max-epochs 2 --out minilm"
        ),
    ),
    Case(
        "Text: bytes of questions, then of film reviews; a small GPT",
        "text:$D/trec6.parquet?block=48&part=1/2&limit=1200",
        "text:$D/movie_reviews_mr.parquet?block=48&part=3/4&limit=1000",
        "--same-task --metric loss --until 2.5 --max-epochs 8",
        "bytes",
        train_flags="--metric loss --max-epochs 8 --lr 0.003",
        arch="foretoll:gpt?dim=48&depth=1&context=48",
    ),
    Case(
        "Table: the price of electricity two years later; gated linear units of our own",
        "parquet:$D/elec2.parquet?rows=0:15000",
        "parquet:$D/elec2.parquet?rows=30000:45312",
        "--until 0.78",
        "price",
        train_flags="--max-epochs 10",
        arch="networks:gated?inputs=8",
    ),
    Case(
        "Table: incomes of private employees, then of those who work for the state or for themselves",
        "parquet:$D/adult.parquet?where=workclass:Private"
        "&columns=age,education_num,capital_gain,capital_loss,hours_per_week&limit=9000",
        "parquet:$D/adult.parquet?where=workclass!Private"
        "&columns=age,education_num,capital_gain,capital_loss,hours_per_week&limit=6000",
        "--same-task --metric macro_f1 --until 0.72",
        "income",
        train_flags="--metric macro_f1 --max-epochs 6",
        arch="networks:gated?inputs=5",
    ),
    Case(
        "Table: rain, decades later, with a faulty station (impulse noise); gated linear units of our own",
        "parquet:$D/neweather.parquet?rows=0:6000",
        "parquet:$D/neweather.parquet?rows=12000:18159&shift=impulse_noise:0.15",
        "--until 0.74",
        "rain",
        train_flags="--max-epochs 10",
        arch="networks:gated?inputs=8",
    ),
    Case(
        "Large: Kuzushiji to all of MNIST, a new task of 48,000 training samples; separable convolutions of our own",
        "npz:$D/kmnist_test10k_split.npz?part=1/2",
        "npz:$D/mnist.npz",
        "--task --until 0.985 --max-epochs 8",
        "kuzushiji",
        train_flags="--max-epochs 4",
        arch="networks:separable",
    ),
    Case(
        "Large: MNIST to all of Fashion-MNIST behind frost, 48,000 training samples; separable convolutions of our own",
        "npz:$D/mnist.npz?part=1/6",
        "npz:$D/fashion_mnist.npz?shift=frost:0.65",
        "--task --until 0.82 --max-epochs 8",
        "frost",
        train_flags="--max-epochs 3",
        arch="networks:separable",
    ),
    Case(
        "Handwritten digits behind frost; separable convolutions of our own",
        "digits?part=1/2",
        "digits?part=2/2&shift=frost:0.65",
        "--until 0.85",
        "rime",
        train_flags="--max-epochs 20",
        arch="networks:separable",
    ),
    Case(
        "Sound: digits by a speaker who was never heard; convolutions and a recurrent network of our own",
        "npz:$D/fsdd_8khz.npz?where=speaker!theo",
        "npz:$D/fsdd_8khz.npz?where=speaker:theo",
        "--same-task --until 0.85",
        "voice",
        train_flags="--max-epochs 8",
        arch="networks:listening",
    ),
)


def run(command: str, folder: Path, data: str) -> tuple[dict[str, Any], float]:
    """Run a command of the page; return its JSON and the seconds it took."""
    words = [sys.executable, "-m", "foretoll.cli", *shlex.split(command.replace("$D", data))[1:], "--json"]
    environment = {
        **os.environ,
        "FORETOLL_LEDGER": str(folder / "ledger.db"),
        # zoo, the builders of networks that others trained, before zoo.py beside this file; networks.py
        "PYTHONPATH": os.pathsep.join((str(Path(data).parent / "models"), str(Path(__file__).parent))),
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


def commands_of(case: Case, trained: set[str]) -> list[str]:
    """The commands of a case; a model that several cases share is trained by the first."""
    commands = [case.before] if case.before else []
    if not case.given and case.model not in trained:
        commands.append(
            f"foretoll train --arch '{case.arch}' --data '{case.source}' {case.train_flags} --out {case.model}"
        )
        trained.add(case.model)
    model = case.given or case.model
    shared = f"--model {model} --source '{case.source}' --target '{case.target}' {case.flags} --region DE"
    if not case.given and case.arch.startswith(OWN_CODE):
        shared += " --trust-code"  # no file may name code to run, also not the folder that was just written
    commands.append(f"foretoll estimate {shared} --out {case.model}-estimate")
    commands.append(
        f"foretoll retrain {shared} --estimate {case.model}-estimate/estimate.json --out {case.model}-updated"
    )
    return commands


@dataclass(frozen=True)
class Found:
    """What a case came to: its commands, and the JSON of the estimate and of the run."""

    title: str
    commands: list[str]
    estimate: dict[str, Any]
    run: dict[str, Any]

    @classmethod
    def of(cls, case: Case, folder: Path, data: str, trained: set[str]) -> Found:
        """Carry out a case."""
        commands = commands_of(case, trained)
        answers = [run(command, folder, data)[0] for command in commands]
        found = cls(case.title, commands, answers[-2], answers[-1])
        print(f"{case.title}: {found.outcome}, {found.run['toll']['epochs']:.2f} epochs", flush=True)
        return found

    @property
    def outcome(self) -> str:
        """How the run ended."""
        return str(self.run["outcome"])

    @property
    def open(self) -> bool:
        """Whether the first evaluation left something to train."""
        return self.run["toll"]["epochs"] != 0

    def told(self, cost: str) -> dict[str, float] | None:
        """The forecast of a cost: median, low and high; None without one."""
        told = self.estimate["forecast"][cost]
        return None if told is None or told["median"] is None else told

    def held(self, cost: str) -> bool | None:
        """Whether the measured cost lies in its interval; None where one of them is not known."""
        told, came = self.told(cost), self.run["toll"][cost]
        return None if told is None or came is None else bool(told["low"] <= came <= told["high"])

    def section(self, level: int = 2) -> list[str]:
        """The case as a section of a page, under a heading of this level."""
        rows = ["| | forecast | 90 % interval | measured |", "|---|---|---|---|"]
        reach, most = self.estimate["reach_probability"], self.estimate["settings"]["max_epochs"]
        chance = "–" if reach is None else f"{reach:.0%}"
        rows.append(f"| reached in {most:g} epochs | {chance} | | {self.outcome} |")
        for cost, words in COSTS.items():
            told = self.told(cost)
            ends = f"{show(cost, told['low'])} … {show(cost, told['high'])}" if told else "–"
            median = show(cost, told["median"] if told else None)
            rows.append(f"| {words} | {median} | {ends} | {show(cost, self.run['toll'][cost])} |")
        return [
            f"{'#' * level} {self.title}",
            "",
            "```",
            *self.commands,
            "```",
            "",
            *rows,
            "",
            self._words(),
            "",
        ]

    def _words(self) -> str:
        quality, signals = self.run["quality"] or {}, self.estimate["signals"]
        seen = (("recoverability gap", "recoverability_gap"), ("RESQUE", "resque"), ("1 − ARI", "inv_ari"))
        known = [f"{words} {signals[name]:.3f}" for words, name in seen if signals.get(name) is not None]
        own, spent = self.estimate["self_cost"], self.run["toll"]
        before, after = (
            "–" if quality.get(name) is None else f"{quality[name]:.3f}" for name in ("before", "after")
        )
        metric = self.estimate["settings"].get("metric", "accuracy").replace("_", " ")
        return (
            f"Test {metric} {before} before, {after} after; "
            f"{', '.join(known[:2]) or 'no index of the shift'}; rests on "
            f"{self.estimate['basis']['runs']} runs; estimating took "
            f"{human_duration(own['duration_s'])} and {human_energy(own['energy_kwh'])} "
            f"({own['duration_s'] / max(spent['duration_s'], 1e-9):.1%} of the retraining's time, "
            f"{own['energy_kwh'] / max(spent['energy_kwh'], 1e-30):.1%} of its energy)."
        )


def shares(found: Sequence[Found]) -> str:
    """Of each cost, in how many cases the measured value lay in its interval."""
    seen = {
        words: [held for one in found if (held := one.held(cost)) is not None]
        for cost, words in COSTS.items()
    }
    return ", ".join(f"{words} {sum(held)} of {len(held)}" for words, held in seen.items() if held)


def made_by(flag: str, threads: str = "") -> str:
    """The command, date and machine of a page."""
    hardware = describe_hardware("cpu")
    return (
        f"`FORETOLL_DATA=$D {threads}python benchmarks/cases.py{flag}` ({date.today()}, {hardware.cpu}, "
        f"{hardware.cores} cores, Python {platform.python_version()}, torch {hardware.torch}, seed 0, one run each)"
    )


def first_pages(new: bool, data: str) -> None:
    """Carry out the real cases, or the first list of new ones, and write their page."""
    trained: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        found = [Found.of(case, Path(folder), data, trained) for case in (NEW_CASES if new else CASES)]
    sections = [line for one in found for line in one.section(3 if new else 2)]
    held = f"Measured values inside their 90 % interval: {shares(found)}."
    if new:
        replace_block(NEW_PAGE, "first", "\n".join([f"{made_by(' --new')}. {held}", "", *sections]))
        return
    lines = [
        "# Real data sets, with the numbers obtained",
        "",
        "Every number on this page comes from the commands above it; `$D` is the folder with the data sets. The page",
        f"is written by {made_by('')}.",
        "",
        held,
        "",
        *sections,
    ]
    (DOCS / "cases.md").write_text("\n".join(lines), encoding="utf-8")


def twelve(data: str, models: Sequence[str] = ()) -> None:
    """Carry out the second list, or its cases of these models, each with a ledger of its own; write its block.

    What a case came to is kept in a file of its own under the results, and is not carried out again. The page is
    written after each case, of those that are there.
    """
    TWELVE_RESULTS.mkdir(parents=True, exist_ok=True)
    cases = {case.model: case for case in TWELVE}
    for case in (cases[model] for model in models or cases):
        kept = TWELVE_RESULTS / f"{case.model}.json"
        if not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                found = Found.of(case, Path(folder), data, set())
            slim = {name: found.estimate[name] for name in KEPT}
            numbers = {name: found.run[name] for name in ("outcome", "toll", "quality")}
            record = {"title": case.title, "commands": found.commands, "estimate": slim, "run": numbers}
            kept.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _write_twelve()


def _write_twelve() -> None:
    files = [TWELVE_RESULTS / f"{case.model}.json" for case in TWELVE]
    found = [Found(**json.loads(file.read_text("utf-8"))) for file in files if file.exists()]
    by = made_by(" --twelve", "OMP_NUM_THREADS=1 ")
    lines = [f"{by}: {len(found)} of {len(TWELVE)} carried out.", "", *summary(found), ""]
    text = "\n".join([*lines, *(line for one in found for line in one.section(3))])
    replace_ledger_block(NEW_PAGE, "twelve", text)


def summary(found: Sequence[Found]) -> list[str]:
    """All cases in one table, and how far off the forecasts of those were that left something to train."""
    rows = []
    for one in found:
        told, chance = one.told("epochs"), one.estimate["reach_probability"]
        ends = f"{told['median']:.2f} ({told['low']:.2f} … {told['high']:.2f})" if told else "–"
        held = [bool(is_in) for cost in COSTS if (is_in := one.held(cost)) is not None]
        rows.append(
            [
                one.title, "–" if chance is None else f"{chance:.0%}", one.outcome, ends,
                f"{one.run['toll']['epochs']:.2f}", f"{sum(held)} of {len(held)}",
            ]
        )  # fmt: skip
    head = ["case", "forecast chance", "outcome", "epochs forecast", "measured", "costs inside"]
    left = [one for one in found if one.open]
    reached = [one for one in left if one.outcome == "reached"]
    lines = [
        markdown_table(head, rows),
        "",
        f"{len(left)} of them left something to train, and {len(reached)} of these reached their target.",
    ]
    if left:
        spans = _errors(left)[1]
        lines[-1] += (
            f" Intervals of epochs spanned a median factor of {math.exp(median(spans)):.1f}, and measured values lay "
            f"inside: {shares(left)}."
        )
        if offs := _errors(reached)[0]:
            lines[-1] += (
                f" Epochs of those that reached were off by a median factor of {math.exp(median(offs)):.2f}, at the "
                f"most by {math.exp(max(offs)):.1f}."
            )
        known = [(one.estimate["reach_probability"], one.outcome == "reached") for one in left]
        squares = [(chance - met) ** 2 for chance, met in known if chance is not None]
        if squares:
            lines[-1] += f" Brier score of the chance: {fmean(squares):.2f} (always one half: 0.25)."
    return lines


def _errors(found: Sequence[Found]) -> tuple[list[float], list[float]]:
    """Logs of the factor that the epochs were off by, and of high over low, of cases with a forecast."""
    offs, spans = [], []
    for one in found:
        if (told := one.told("epochs")) is not None:
            came, middle, low, high = (
                value + EPOCH_OFFSET
                for value in (one.run["toll"]["epochs"], told["median"], told["low"], told["high"])
            )
            offs.append(abs(math.log(middle / came)))
            spans.append(math.log(high / low))
    return offs, spans


def main() -> None:
    """Carry out the cases and write their page."""
    data = os.environ.get("FORETOLL_DATA")
    if not data:
        raise SystemExit("set FORETOLL_DATA to the folder with the data sets")
    if "--twelve" in sys.argv[1:]:
        twelve(data, [word for word in sys.argv[1:] if not word.startswith("--")])
    else:
        first_pages("--new" in sys.argv[1:], data)


if __name__ == "__main__":
    main()
