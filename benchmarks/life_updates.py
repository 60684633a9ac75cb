"""Lives that `foretoll.Life` really lives: four ways to go on from what was learned, and what watching costs.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_updates.py --folder DIR [--seeds 2] \\
        [--only watching] [--write]

Streams are those of `life_streams.py` with recurring drift, the model is `foretoll:mlp?width=32`, and each batch a file
that the life opens by its URI. One record a life is kept in DIR; those that are there are left alone. `--write` records
nothing: it puts what is recorded into results/life_updates.json, and the tables into docs/life.md. What
watching costs is measured under `rent`, at a worth of a right answer at which an update is worth some 30 points of one
batch, with the energy of looks, labels and estimates in what is lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foretoll.atomic import replacing
from foretoll.measure import ReplayMeter
from foretoll.models import build_model
from foretoll.records import Continual, LifeEvent, Looking, TrainingSettings
from foretoll.report.life_bill import spent_by_kind
from foretoll.units import joules_from_kwh
from foretoll.workflows.context import Accounting, Runtime
from foretoll.workflows.life import Life
from foretoll.workflows.look import look_at
from foretoll.workflows.train import train_model
from life_streams import LifeSpec, all_lives
from pages import RESULTS, ROOT, replace_block

SETTINGS = TrainingSettings(max_epochs=8, lr=3e-3, batch_size=64)
# processor time at constant power: what other processes do meanwhile does not count
ACCOUNTING = Accounting(energy=ReplayMeter(watts=65.0, by_user=True, clock=time.process_time), region="DE")
EVERY, WINDOW = 4, 4  # batches between updates, and that each is trained on: one regime of most streams
WAYS = {
    "from the last": Continual(),
    "from the first": Continual(update_from="first"),
    "from the last, rehearsing 20 %": Continual(rehearse=0.2),
    "from the last, rehearsing 50 %": Continual(rehearse=0.5),
}
LOOKS = {
    "all": Looking(share=0.0),
    "5 % of updates, 200 samples at the least": Looking(),
    "5 % of updates, batches left out": Looking(skip=True),
}
WORTH = 0.1  # J that a right answer is worth: an update takes 5 J or so, a batch has 200 samples
TABLES = ("ways", "watching")
Found = dict[str, Any]


def write_world(spec: LifeSpec, seed: int, folder: Path) -> int:
    """The source, one file a batch, and the first model; how many batches there are."""
    served = spec.make(seed)
    np.savez(folder / "source.npz", x=served.source[0], y=served.source[1])
    count = len(served.x) // served.every
    for j in range(count):
        rows = slice(j * served.every, (j + 1) * served.every)
        np.savez(folder / f"b{j}.npz", x=served.x[rows], y=served.y[rows])
    train_model(
        partial(build_model, "foretoll:mlp?width=32"),
        f"npz:{folder}/source.npz",
        SETTINGS.model_copy(update={"max_epochs": 20, "seed": seed}),
        Runtime(accounting=ACCOUNTING),
        out=folder / "model",
    )
    return count


def live(folder: Path, name: str, count: int, **said: Any) -> Found:
    """Live a life of `count` batches that lie in a folder; what it served, and what came of each update."""
    life = Life.start(
        name,
        str(folder / "model"),
        f"npz:{folder}/source.npz",
        settings=SETTINGS,
        ledger=str(folder / "ledger.db"),
        accounting=ACCOUNTING,
        folder=folder / name,
        **said,
    )
    updated = []
    for j in range(count):
        uri = f"npz:{folder}/b{j}.npz"
        decision = life.watch(uri)
        if decision.action == "update" and j < count - 1:
            life.carry_out(decision)
            updated.append(j)
    return {**_told(life.events()), "updated_after": updated}


def _told(events: list[LifeEvent]) -> Found:
    batches = [e.served for e in events if e.kind == "labels" and e.served is not None]
    updates = [e for e in events if e.kind == "update"]
    return {
        "qualities": [batch.quality for batch in batches if batch.quality is not None],
        "last_label": [batch.last_label for batch in batches],
        "samples": sum(batch.samples for batch in batches) / len(batches),
        "promoted": [bool(e.promoted) for e in updates],
        "earlier": [None if e.earlier is None else e.earlier.model_dump() for e in updates],
        "joules": {kind: joules_from_kwh(spent.energy_kwh) for kind, spent in spent_by_kind(events).items()},
    }


def live_ways(folder: Path, count: int) -> Found:
    """The same life by each way, updated at the same times."""
    found = {}
    for number, (way, continual) in enumerate(WAYS.items()):
        found[way] = live(
            folder, f"way{number}", count, worth="1J", policy=f"periodic:{EVERY}", window=WINDOW,
            options=("finetune",), continual=continual,
        )  # fmt: skip
    return found


def live_watched(folder: Path, count: int) -> Found:
    """The same life under `rent`, by how much is looked at; what all batches were served with is asked afterwards."""
    found = {}
    for number, (title, looking) in enumerate(LOOKS.items()):
        name = f"look{number}"
        found[title] = live(
            folder, name, count, worth=f"{WORTH}J", policy="rent", window=WINDOW, options=("finetune",), look=looking
        )  # fmt: skip
        life = Life.open(name, ledger=str(folder / "ledger.db"), accounting=ACCOUNTING)
        found[title]["served"] = [
            _quality(life, event, folder) for event in life.events() if event.kind == "look"
        ]
    return found


def _quality(life: Life, event: LifeEvent, folder: Path) -> float:
    """What a batch was really served with, whether it was looked at or not."""
    assert event.served is not None
    _, rows, labels = life.opened(f"npz:{folder}/b{event.served.number}.npz")
    return float((look_at(life.model(event.model), rows).outputs.argmax(1) == labels).mean())


def record(folder: Path, seeds: int, kind: str) -> None:
    """Live what is missing of a kind of lives."""
    for spec, seed in jobs(seeds):
        path = path_of(folder, spec, seed, kind)
        if path.exists():
            continue
        began = time.process_time()
        with tempfile.TemporaryDirectory() as place:
            count = write_world(spec, seed, Path(place))
            found = (live_ways if kind == "ways" else live_watched)(Path(place), count)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, ".part") as file:
            file.write(json.dumps(found).encode())
        print(f"{spec.name} {seed}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)


def jobs(seeds: int) -> list[tuple[LifeSpec, int]]:
    """The lives with recurring drift, all of one seed before the next."""
    return [(spec, seed) for seed in range(seeds) for spec in all_lives() if spec.kind == "recurring"]


def path_of(folder: Path, spec: LifeSpec, seed: int, kind: str) -> Path:
    """Where the record of a life lies."""
    return folder / f"{kind}-{spec.name.replace(' ', '_')}-{seed}.json"


def recorded(folder: Path, seeds: int, kind: str) -> dict[str, Found]:
    """The records that are there, by life and seed."""
    paths = {f"{spec.name}/{seed}": path_of(folder, spec, seed, kind) for spec, seed in jobs(seeds)}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def ways_table(lives: dict[str, Found]) -> str:
    """By way: what was served, what was forgotten, what updates took; intervals over streams."""
    first = next(iter(WAYS))
    names = sorted(lives)
    streams = sorted({name.split()[0] for name in names})
    draw = np.random.default_rng(0)
    drawn = [draw.choice(streams, len(streams)) for _ in range(2000)]

    def by_stream(value: Any) -> dict[str, float]:
        return {s: float(np.mean([value(n) for n in names if n.split()[0] == s])) for s in streams}

    def served(way: str) -> dict[str, float]:
        return by_stream(lambda n: 100 * np.mean(lives[n][way]["qualities"]))

    def forgotten(way: str) -> dict[str, float]:
        return by_stream(
            lambda n: 100 * np.mean([e["before"] - e["after"] for e in lives[n][way]["earlier"] if e])
        )

    def said(values: dict[str, float], sign: str = "") -> str:
        low, high = np.quantile([np.mean([values[s] for s in d]) for d in drawn], [0.05, 0.95])
        return f"{np.mean(list(values.values())):{sign}.1f} ({low:{sign}.1f} … {high:{sign}.1f})"

    lines = [
        "| updates | quality served, points | more than from the last | lost of what came before, an update "
        "| on what came before, at the end | not served | energy of updates, of that from the last |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for way in WAYS:
        quality, base = served(way), served(first)
        more = "" if way == first else said({s: quality[s] - base[s] for s in streams}, "+")
        ends = by_stream(lambda n, w=way: 100 * [e for e in lives[n][w]["earlier"] if e][-1]["after"])
        energy = np.median(
            [lives[n][way]["joules"]["update"] / lives[n][first]["joules"]["update"] for n in names]
        )
        promoted = [each for n in names for each in lives[n][way]["promoted"]]
        lines.append(
            f"| {way} | {said(quality)} | {more} | {said(forgotten(way), '+')} | {said(ends)} "
            f"| {100 * (1 - np.mean(promoted)):.0f} % | {energy:.1f} times |"
        )
    return "\n".join(lines)


def watching_table(lives: dict[str, Found]) -> str:
    """By how much is looked at: what watching took of updates, and what was lost, watching counted and not."""
    lines = [
        "| looked at | watching over updates: median | worst | lives at 5 % or less | batches looked at | updates "
        "| updated after the same batches | quality served | answers and updates, points a batch "
        "| with watching |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first = next(iter(LOOKS))
    for title in LOOKS:
        each = [life[title] for life in lives.values()]
        same = [life[title]["updated_after"] == life[first]["updated_after"] for life in lives.values()]
        watched = [one["joules"]["look"] + one["joules"]["offers"] for one in each]
        ratios = [
            w / one["joules"]["update"] for w, one in zip(watched, each, strict=True) if one["promoted"]
        ]
        lost, whole = [], []
        for one, taken in zip(each, watched, strict=True):
            batches = len(one["served"])
            points = 100 / (WORTH * one["samples"] * batches)  # of one joule
            wrong = 100 * (1 - np.mean(one["served"]))
            lost.append(wrong + one["joules"]["update"] * points)
            whole.append(lost[-1] + taken * points)
        seen = np.mean([len(one["qualities"]) / len(one["served"]) for one in each])
        lines.append(
            f"| {title} | {100 * np.median(ratios or [0.0]):.0f} % | {100 * max(ratios, default=0.0):.0f} % "
            f"| {sum(ratio <= 0.05 for ratio in ratios)} of {len(ratios)} | {100 * seen:.0f} % "
            f"| {np.mean([len(one['promoted']) for one in each]):.1f} | {sum(same)} of {len(same)} "
            f"| {100 * np.mean([np.mean(one['served']) for one in each]):.1f} | {np.mean(lost):.1f} "
            f"| {np.mean(whole):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Live, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2, help="of the lives with recurring drift")
    parser.add_argument("--only", choices=TABLES, help="one of both tables")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    results = RESULTS / "life_updates.json"
    kept = json.loads(results.read_text())
    for kind in TABLES if chosen.only is None else (chosen.only,):
        if not chosen.write:
            record(chosen.folder, chosen.seeds, kind)
        lives = recorded(chosen.folder, chosen.seeds, kind)
        said = f"{len(lives)} lives of {len({name.split()[0] for name in lives})} streams"
        if kind == "ways":
            text = f"{ways_table(lives)}\n\n{said}, {len(WAYS)} ways each."
        else:
            text = f"{watching_table(lives)}\n\n{said}, under `rent`."
        print(text, end="\n\n")
        if chosen.write:
            kept[kind] = lives
            results.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
            replace_block(ROOT / "docs" / "life.md", kind, text)


if __name__ == "__main__":
    main()
