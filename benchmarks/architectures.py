"""Architectures of torchvision, timm and transformers through look-up, indices and one step of each option.

    python benchmarks/architectures.py            # goes on where it was stopped; about half an hour on one core
    python benchmarks/architectures.py --stale    # also those again that were tried on other code than today's
    python benchmarks/architectures.py --again    # from the beginning
    python benchmarks/architectures.py --only swin_t,GPT2

For each: build it by its name, without weights; find its head, its embedding and its layers; compute the indices and
signals of a shift (and of the pairs it is made of); give it a head for other classes; and prepare, train for one step
and finish every option that suits it. One worker process with one thread, replaced when an architecture takes more
processor time than its limit. Results, one line an architecture, are kept in
benchmarks/results/architectures.jsonl; the page docs/architectures.md is written from them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import psutil
import torch

from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.errors import ForetollError
from foretoll.indices.survey import survey
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model
from foretoll.options import OPTIONS, get_option, train_to_target
from foretoll.records import DataCard, Shift, TrainingSettings
from foretoll.representation import renormalised
from zoo import ENTRIES, WORDS, Entry, write_folder

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "architectures.jsonl", ROOT / "docs" / "architectures.md"
LIMIT_S = 1800  # of the processor: on a busy machine a limit of the clock is met by what was given no time
CLASSES, SAMPLES, VALIDATION = 3, 6, 3
SETTINGS = TrainingSettings(until=1.0, batch_size=3, max_epochs=0.5, lr=1e-4, evals_per_epoch=1)
INDICES = ("resque", "arm", "preindex", "inv_ari", "probe_accuracy", "recoverability_gap")
PROBED = {
    "probe_accuracy",
    "recoverability_gap",
}  # left out, and said so, where a few samples are too few for it
TASK_OPTIONS = ("head", "finetune")


def images(classes: int = CLASSES) -> TaskData:
    """Pictures of 32 × 32 with a brightness that the classes differ in."""
    random = np.random.default_rng(0)
    count = SAMPLES + 2 * VALIDATION
    labels = np.arange(count) % classes
    pixels = (
        random.integers(0, 128, (count, 3, 32, 32))
        + (127 * labels // max(classes - 1, 1))[:, None, None, None]
    )
    return _divided(
        open_data((pixels.astype(np.uint8), labels)), torch.from_numpy(pixels).to(torch.uint8), labels
    )


def sounds(classes: int = CLASSES) -> TaskData:
    """Tones of 3,200 numbers whose pitch the classes differ in."""
    random = np.random.default_rng(0)
    count = SAMPLES + 2 * VALIDATION
    labels = np.arange(count) % classes
    pitch = (0.02 + 0.05 * labels + random.uniform(0, 0.01, count))[:, None]
    waves = 0.5 * np.sin(2 * np.pi * pitch * np.arange(3200)) + 0.05 * random.standard_normal((count, 3200))
    inputs = waves[:, None].astype(np.float32)
    return _divided(open_data((inputs, labels)), torch.from_numpy(inputs), labels)


def texts(classes: int = CLASSES) -> TaskData:
    """Short texts of a few words, of other lengths."""
    random = np.random.default_rng(0)
    count = SAMPLES + 2 * VALIDATION
    labels = np.arange(count) % classes
    words = [
        " ".join([WORDS[5 + label], *random.choice(WORDS[4:], 3 + i % 5)]) for i, label in enumerate(labels)
    ]
    card = DataCard(
        uri="python:texts", name="texts", kind="text", shape=(), classes=tuple(map(str, range(classes))),
        train=SAMPLES, validation=VALIDATION, test=VALIDATION, labelled=True,
    )  # fmt: skip
    return TaskData(card, *_parts(words, labels))


def _divided(data: TaskData, inputs: Any, labels: Any) -> TaskData:
    card = data.card.model_copy(update={"train": SAMPLES, "validation": VALIDATION, "test": VALIDATION})
    return TaskData(card, *_parts(inputs, labels))


def _parts(inputs: Any, labels: Any) -> list[ArraySplit]:
    edges = (0, SAMPLES, SAMPLES + VALIDATION, SAMPLES + 2 * VALIDATION)
    return [ArraySplit(inputs[a:b], labels[a:b], ids=np.arange(a, b)) for a, b in itertools.pairwise(edges)]


@dataclass
class Tried:
    """What became of one architecture."""

    library: str
    family: str
    name: str
    parameters: int = 0
    heads: tuple[str, ...] = ()
    seconds: float = 0.0
    done: tuple[str, ...] = ()  # stages that went well
    unsuited: dict[str, str] | None = None  # options that do not suit it, with their sentences
    failures: dict[str, str] | None = None
    notes: tuple[str, ...] = ()
    code: str = ""  # `code_digest` of what it was tried on


def code_digest() -> str:
    """Of all of foretoll's code and of the architectures' settings: the same code, the same digest."""
    files = [*sorted((ROOT / "src" / "foretoll").rglob("*.py")), Path(__file__).with_name("zoo.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def try_out(entry: Entry) -> dict[str, Any]:
    """All stages of one architecture."""
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    tried = Tried(entry.library, entry.family, entry.name, unsuited={}, failures={}, code=code_digest())
    with tempfile.TemporaryDirectory() as folder:
        _stages(entry, tried, Path(folder))
    tried.seconds = round(time.perf_counter() - began, 1)
    return vars(tried)


def _stages(entry: Entry, tried: Tried, folder: Path) -> None:
    make = {"image": images, "text": texts, "sound": sounds}[entry.kind]
    source, other = make(), make(CLASSES + 2)
    shift = Shift(kind={"image": "contrast", "sound": "gaussian_noise"}.get(entry.kind, ""), level=0.4)
    target = source if entry.kind == "text" else source.shifted(shift)
    failures: dict[str, str] = {}
    unsuited: dict[str, str] = {}

    def stage(name: str, work: Any) -> Any:
        try:
            result = work()
        except ForetollError as error:
            failures[name] = str(error)
        except Exception as error:  # noqa: BLE001  (what nobody foresaw is what is looked for here)
            failures[name] = f"UNFORESEEN {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            tried.done = (*tried.done, name)
            return result
        return None

    def build() -> Model:
        model = build_model(write_folder(entry, folder), data=source, seed=0)
        # fresh weights shrink what comes out of many layers to nothing; statistics of the data are as after training
        return renormalised(model, source.train) or model

    model = stage("build", build)
    tried.failures, tried.unsuited = failures, unsuited
    if model is None:
        return
    tried.parameters, tried.heads = model.card.parameters, model.head_names()

    def indices() -> Any:
        seen = survey(model, source, target, SETTINGS, task_shift=False, clean=source, samples=SAMPLES)
        too_few = any("samples are too few" in warning for warning in seen.warnings)
        missing = [n for n in INDICES if n not in seen.indices and not (too_few and n in PROBED)]
        if missing or "logme" not in seen.signals:
            raise ForetollError(f"without {', '.join(missing)}: {'; '.join(seen.warnings)}")
        return seen

    seen = stage("indices", indices)
    tried.notes = () if seen is None else seen.warnings

    def step(name: str, data: TaskData, *, task_shift: bool) -> None:
        option = get_option(name)
        training = option.start(model, data, SETTINGS, task_shift=task_shift, device=torch.device("cpu"))
        result = train_to_target(option, training, SETTINGS, meter=NoMeter())
        if result.outcome.value not in ("reached", "censored"):
            raise ForetollError(f"{result.outcome.value}: {result.reason}")
        served = training.finish()
        with torch.no_grad():
            if not bool(torch.isfinite(served.eval()(data.test.all().inputs)).all()):
                raise ForetollError("the outputs are not finite afterwards")

    for name in OPTIONS:
        why = stage(
            f"{name} suits", lambda name=name: get_option(name).suits(model, target, task_shift=False) or ""
        )
        if why:
            unsuited[name] = why
        elif why is not None:
            stage(name, lambda name=name: step(name, target, task_shift=False))
    for name in TASK_OPTIONS:
        stage(f"{name}, new task", lambda name=name: step(name, other, task_shift=True))
    tried.done = tuple(name for name in tried.done if not name.endswith(" suits"))


def _serve(connection: Any) -> None:
    torch.set_num_threads(1)
    while True:
        entry = connection.recv()
        connection.send(try_out(entry))


class Worker:
    """A process that tries one architecture after another."""

    def __init__(self) -> None:
        here, there = multiprocessing.get_context("spawn").Pipe()
        self.connection = here
        self.process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
        self.process.start()
        there.close()

    def __call__(self, entry: Entry) -> dict[str, Any] | None:
        """What became of it; None where the process took too long or died."""
        self.connection.send(entry)
        begun = self._processor_seconds()
        try:
            while not self.connection.poll(5):
                if self._processor_seconds() - begun > LIMIT_S:
                    return None
            return self.connection.recv()
        except (EOFError, ConnectionResetError, psutil.NoSuchProcess):
            return None

    def _processor_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()


def known() -> dict[tuple[str, str], dict[str, Any]]:
    """Results so far."""
    if not RESULTS.is_file():
        return {}
    rows = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return {(row["library"], row["name"]): row for row in rows}


def run(entries: list[Entry], *, again: Callable[[dict[str, Any]], bool]) -> None:
    """Try the entries that have no result yet, or one to be found `again`; each result is written at once."""
    found, worker = known(), None
    for number, entry in enumerate(entries):
        if (entry.library, entry.name) in found and not again(found[entry.library, entry.name]):
            continue
        worker = worker or Worker()
        row = worker(entry)
        if row is None:
            worker.end()
            worker = None
            failed = Tried(
                entry.library,
                entry.family,
                entry.name,
                failures={"time": f"more than {LIMIT_S} s of the processor"},
                code=code_digest(),
            )
            row = vars(failed)
        found[entry.library, entry.name] = row
        RESULTS.write_text(
            "".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in found.values()), encoding="utf-8"
        )
        text = "; ".join(f"{k}: {v}" for k, v in (row["failures"] or {}).items()) or "works"
        print(
            f"{number + 1}/{len(entries)} {entry.library}:{entry.name} {row['seconds']} s {text}", flush=True
        )
    if worker is not None:
        worker.end()


def page(rows: list[dict[str, Any]]) -> str:
    """The page of the docs."""
    works = [row for row in rows if not row["failures"]]
    minutes = sum(row["seconds"] for row in rows) / 60
    lines = [
        "# Architectures",
        "",
        f"Written by `python benchmarks/architectures.py` ({minutes:.0f} minutes in one thread on a busy machine); not",
        "by hand. For each architecture: it is built by its name without weights; head, embedding and layers are",
        "found; the indices and signals of a shift and of its pairs are computed; every option that suits it is",
        "prepared, trained for one step and finished; and it gets a head for other classes under `head` and",
        "`finetune`. The smallest of a family is taken, at a small size, with 12 samples: this says that it works, not",
        "how well it learns.",
        "",
        f"**{len(works)} of {len(rows)} work** ({100 * len(works) / len(rows):.0f} %): "
        + ", ".join(f"{n} of {total} of {lib}" for lib, (n, total) in _by_library(rows).items())
        + ". "
        + _on_which_code(rows),
        "",
        "| library | family | architectures | work | options that do not suit | layers left out of ARM and PreIndex |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["library"], row["family"]), []).append(row)
    for (library, family), members in sorted(
        families.items(), key=lambda item: (item[0][0], item[0][1].lower())
    ):
        names = ", ".join(f"`{row['name']}`" for row in members)
        good = sum(not row["failures"] for row in members)
        unsuited = sorted({name for row in members for name in row["unsuited"] or {}})
        out = sum(
            int(note.split()[0]) for row in members for note in row["notes"] if "left out of ARM" in note
        )
        cells = (
            library,
            family,
            names,
            f"{good} of {len(members)}",
            ", ".join(unsuited) or "–",
            str(out or "–"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    failed = [row for row in rows if row["failures"]]
    lines += ["", "## What does not work, and why", ""]
    for row in failed:
        for name, why in row["failures"].items():
            told = re.sub(r"hf:/\S+", "hf:FOLDER", why)
            lines.append(f"- {row['library']} `{row['name']}`, {name}: {told}")
    if not failed:
        lines.append("Nothing of the above.")
    reasons = Counter(
        (name, why.replace(row["name"], "…")) for row in rows for name, why in (row["unsuited"] or {}).items()
    )
    lines += ["", "## Options that do not suit", ""]
    named: dict[str, list[int]] = {}
    for (name, _), count in reasons.items():
        named.setdefault(name, []).append(count)
    about = {
        "recalibrate": "there are no batch-norm statistics to estimate again",
        "reprogram": "there is no input program for texts in the model's own tokens, nor before a speech model",
        "reprogram+head": "the same",
        "lora": "no layer can be adapted",
    }
    for name, counts in sorted(named.items()):
        lines.append(f"- `{name}`: {sum(counts)} architectures ({about.get(name, 'see `suits`')})")
    return "\n".join(lines) + "\n"


def _on_which_code(rows: list[dict[str, Any]]) -> str:
    """How many rows come from which state of the code, the one with most of them first."""
    states = Counter(row.get("code", "") for row in rows)
    if len(states) == 1:
        return "All were tried on the same code."
    told = [f"{count} on the code of digest {code}" for code, count in states.most_common() if code]
    if states[""]:
        told.append(f"{states['']} on earlier code, before digests were kept")
    return f"Tried were {', '.join(told)} (`--stale` tries again what was tried on other code than today's)."


def _by_library(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    found = {}
    for library in ("torchvision", "timm", "transformers"):
        members = [row for row in rows if row["library"] == library]
        found[library] = (sum(not row["failures"] for row in members), len(members))
    return found


def main() -> None:
    """Run what has no result, then write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="forget earlier results")
    parser.add_argument("--only", default="", help="names, separated by commas: try these again")
    parser.add_argument("--failed", action="store_true", help="try those again that did not work")
    parser.add_argument("--stale", action="store_true", help="try those again that were tried on other code")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(",")) - {""}
    code = code_digest()

    def again(row: dict[str, Any]) -> bool:
        stale = arguments.stale and row.get("code") != code
        return (
            arguments.again or row["name"] in wanted or (arguments.failed and bool(row["failures"])) or stale
        )

    run([entry for entry in ENTRIES if not wanted or entry.name in wanted], again=again)
    rows = known()
    ordered = [rows[e.library, e.name] for e in ENTRIES if (e.library, e.name) in rows]
    RESULTS.write_text("".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in ordered), encoding="utf-8")
    PAGE.write_text(page(ordered), encoding="utf-8")
    print(f"{sum(not row['failures'] for row in ordered)} of {len(ordered)} work")


if __name__ == "__main__":
    main()
