"""Record the lives of `life_streams.py`: every update that could have been made is carried out once.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_records.py --folder DIR [--seeds 3]

A network of one hidden layer in numpy, trained by Adam, since a hundred lives hold five thousand updates: seconds a
life. Looks, shadows, gates and windows are foretoll's own. A record is one file; those that are there are left alone,
so that a second call goes on. An update costs the multiplications of its training steps, at 1e9 a joule.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.atomic import replacing
from foretoll.data.partition import in_order
from foretoll.decide.policies.base import WINDOW
from foretoll.decide.replay import FIRST, Possible, RecordedLife
from foretoll.indices.shadow import Shadow
from foretoll.records import ANSWERS, ServedBatch
from foretoll.tasks import get_task
from foretoll.workflows.look import Look, served_batch
from foretoll.workflows.scoring import Scoring
from life_streams import Floats, Labels, Served, all_lives

HIDDEN = 32
BATCH = 64
EPOCHS = {"source": 30, "finetune": 8, "head": 8}
RATE = 3e-3
PER_JOULE = 1e9  # multiplications
Weights = list[Floats]  # of the hidden layer, its bias, of the head, its bias


@dataclass(frozen=True)
class Network:
    """A perceptron with one hidden layer of ReLU units."""

    weights: Weights

    @classmethod
    def fresh(cls, inputs: int, classes: int, seed: int) -> Network:
        """He's initialisation."""
        draw = np.random.default_rng(seed)
        shapes = ((inputs, HIDDEN), (HIDDEN,), (HIDDEN, classes), (classes,))
        return cls(
            [
                (draw.normal(size=s) * np.sqrt(2 / s[0])).astype(np.float32)
                if len(s) == 2
                else np.zeros(s, dtype=np.float32)
                for s in shapes
            ]
        )

    def look(self, x: Floats) -> Look:
        """Representations and probabilities of a batch."""
        hidden = np.maximum(x @ self.weights[0] + self.weights[1], 0)
        logits = hidden @ self.weights[2] + self.weights[3]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return Look(hidden, shares / shares.sum(1, keepdims=True))

    def trained(self, x: Floats, y: Labels, option: str, seed: int) -> tuple[Network, float]:
        """The network after an update on these rows, and its joules."""
        weights = [each.copy() for each in self.weights]
        changed = (2, 3) if option == "head" else (0, 1, 2, 3)
        first, second = ([np.zeros_like(each) for each in weights] for _ in range(2))
        draw, wanted, count = np.random.default_rng(seed), np.eye(weights[3].size, dtype=np.float32)[y], 0
        for _ in range(EPOCHS[option]):
            order = draw.permutation(len(x))
            for start in range(0, len(x), BATCH):
                rows, count = order[start : start + BATCH], count + 1
                slopes = _slopes(weights, x[rows], wanted[rows], option)
                for i in changed:
                    first[i] += 0.1 * (slopes[i] - first[i])
                    second[i] += 0.001 * (slopes[i] ** 2 - second[i])
                    step = first[i] / (1 - 0.9**count)
                    weights[i] -= RATE * step / (np.sqrt(second[i] / (1 - 0.999**count)) + 1e-8)
        body, head = weights[0].size, weights[2].size
        passes = body + 3 * head if option == "head" else 3 * (body + head)
        return Network(weights), passes * len(x) * EPOCHS[option] / PER_JOULE


def _slopes(weights: Weights, x: Floats, wanted: Floats, option: str) -> dict[int, Floats]:
    """Gradients of the mean cross-entropy by the place of the weights."""
    before = x @ weights[0] + weights[1]
    hidden = np.maximum(before, 0)
    logits = hidden @ weights[2] + weights[3]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    wrong = (shares / shares.sum(1, keepdims=True) - wanted) / len(x)
    found = {2: hidden.T @ wrong, 3: wrong.sum(0)}
    if option != "head":
        back = (wrong @ weights[2].T) * (before > 0)
        found |= {0: x.T @ back, 1: back.sum(0)}
    return found


def record(name: str, served: Served, seed: int) -> RecordedLife:
    """Train the first model on the source and carry out all updates from it, by both options."""
    x, y = served.source
    kept = in_order(np.random.default_rng(seed).permutation(len(x)))
    network = Network.fresh(x.shape[1], int(max(y.max(), served.y.max())) + 1, seed)
    network, _ = network.trained(x[kept[0]], y[kept[0]], "source", seed)
    edges = [*range(0, len(served.x), served.every), len(served.x)]
    if edges[-1] - edges[-2] < served.every / 2:
        del edges[-2]
    batches = [slice(a, b) for a, b in itertools.pairwise(edges)]
    first_hits, first = _row(network, served, batches, FIRST)
    updates: list[Possible] = []
    for option in ("finetune", "head"):
        hits = {FIRST: first_hits}
        for last in range(len(batches) - 1):
            begin = edges[max(0, last + 1 - WINDOW)]
            train, _, tested = in_order(np.arange(begin, edges[last + 1]))
            updated, cost = network.trained(served.x[train], served.y[train], option, seed)
            hits[last], rows = _row(updated, served, batches, last)
            judged = tested[
                tested >= edges[last]
            ]  # of the newest batch, which all earlier ones were looked at on
            gate = {
                other: bool(hits[last][judged].sum() >= right[judged].sum())
                for other, right in hits.items()
                if other < last
            }
            updates.append(Possible(last, option, cost, rows, gate))
    start = float((network.look(x[kept[2]]).outputs.argmax(1) == y[kept[2]]).mean())
    return RecordedLife(f"{name}/{seed}", Possible(FIRST, "", 0.0, first), tuple(updates), start=start)


def _row(
    network: Network, served: Served, batches: list[slice], last: int
) -> tuple[npt.NDArray[np.bool_], dict[int, ServedBatch]]:
    """What a model does on each batch that it could have served, and where it is right."""
    look = network.look(served.x)
    right = look.outputs.argmax(1) == served.y
    scoring = Scoring(get_task("classification"), ANSWERS, look.outputs.shape[1])
    shadow = Shadow(window=WINDOW)
    reference: Look | None = None
    found: dict[int, ServedBatch] = {}
    for j in range(max(0, last + 1 - WINDOW), len(batches)):
        rows = batches[j]
        part, truth = Look(look.representations[rows], look.outputs[rows]), served.y[rows]
        if j > last:
            found[j] = served_batch(
                f"b{j}", j, part, scoring, reference=reference, labels=truth, shadow=shadow
            )
        if reference is None or j <= last:
            reference = part
        scoring.add(shadow, f"b{j}", part.representations, truth)
    return right, found


FIELDS = (
    "samples",
    "labelled",
    "quality",
    "lead",
    "lead_error",
    "confidence",
    "ks",
    "psi",
    "last_label",
)


def write_record(path: Path, life: RecordedLife) -> None:
    """One life as JSON, compressed."""

    def possible(each: Possible) -> dict[str, Any]:
        rows = [[b.number, *(getattr(b, field) for field in FIELDS)] for b in each.served.values()]
        gate = {str(number): won for number, won in each.gate.items()}
        return {"last": each.last, "option": each.option, "cost": each.cost, "served": rows, "gate": gate}

    content = {
        "name": life.name,
        "start": life.start,
        "first": possible(life.first),
        "updates": [possible(update) for update in life.updates],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, ".part") as part:
        part.write(gzip.compress(json.dumps(content).encode(), mtime=0))


def read_record(path: Path) -> RecordedLife:
    """A life that `write_record` wrote."""

    def possible(data: dict[str, Any]) -> Possible:
        served = {
            row[0]: ServedBatch(name=f"b{row[0]}", number=row[0], **dict(zip(FIELDS, row[1:], strict=True)))
            for row in data["served"]
        }
        gate = {int(number): won for number, won in data["gate"].items()}
        return Possible(data["last"], data["option"], data["cost"], served, gate)

    data = json.loads(gzip.decompress(path.read_bytes()))
    updates = tuple(possible(each) for each in data["updates"])
    return RecordedLife(data["name"], possible(data["first"]), updates, start=data["start"])


def path_of(folder: Path, name: str, seed: int) -> Path:
    """Where the record of a life lies."""
    return folder / f"{name.replace(' ', '_')}-{seed}.json.gz"


def recorded(folder: Path, seeds: int) -> Iterator[tuple[str, str, str, RecordedLife]]:
    """All records that are there: name, stream, kind and the life."""
    for spec in all_lives():
        for seed in range(seeds):
            path = path_of(folder, spec.name, seed)
            if path.exists():
                yield spec.name, spec.stream, spec.kind, read_record(path)


def main() -> None:
    """Record what is missing, all lives of one seed before the next."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="lives whose name holds this")
    chosen = parser.parse_args()
    for seed in range(chosen.seeds):
        for spec in all_lives():
            path = path_of(chosen.folder, spec.name, seed)
            if path.exists() or chosen.only not in spec.name:
                continue
            began = time.process_time()
            write_record(path, record(spec.name, spec.make(seed), seed))
            print(f"{spec.name} {seed}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
