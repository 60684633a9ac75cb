"""What the studies of the indices share: three small models trained by foretoll, and what a sweep sees of data.

The data sets are read from the folder that FORETOLL_DATA names (mnist.npz, fashion_mnist.npz, cifar10.parquet).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from foretoll.data import Split, TaskData, open_data
from foretoll.indices._sample import BoundedSample
from foretoll.indices.arm import arm
from foretoll.indices.preindex import preindex_distance
from foretoll.indices.recoverability import linear_probe_accuracy
from foretoll.indices.resque import resque_distribution, resque_task
from foretoll.indices.scores import SideSample, scores
from foretoll.indices.separability import linear_cka
from foretoll.models import Model, build_model, countable_layers
from foretoll.records import TrainingSettings
from foretoll.representation import renormalised, sweep
from foretoll.workflows.context import Accounting, Runtime
from foretoll.workflows.train import train_model

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "MNIST": "npz:{data}/mnist.npz",
    "Fashion-MNIST": "npz:{data}/fashion_mnist.npz",
    "CIFAR-10": "parquet:{data}/cifar10.parquet",
}
SETTINGS = TrainingSettings(max_epochs=3, evals_per_epoch=1, batch_size=64, lr=2e-3, seed=0)


def uri(name: str, query: str) -> str:
    """The URI of a data set with a query; the source takes `part=1/2`, the target `part=2/2`."""
    folder = os.environ.get("FORETOLL_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit("set FORETOLL_DATA to the folder of mnist.npz, fashion_mnist.npz and cifar10.parquet")
    return f"{FILES[name].format(data=folder)}?{query}"


def trained(
    name: str, limit: int, *, width: int = 16, settings: TrainingSettings = SETTINGS
) -> tuple[Model, TaskData]:
    """A small CNN trained by foretoll on the first half of a data set, and that half (`limit` samples of it)."""
    source = open_data(uri(name, f"part=1/2&limit={limit}"))
    done = train_model(
        partial(build_model, "foretoll:cnn", options={"width": width}),
        source,
        settings,
        Runtime(accounting=Accounting(energy="none")),
    )
    if done.model is None:
        sys.exit(f"the training on {name} did not end: {done.run.outcome}")
    return done.model, source


@dataclass(frozen=True)
class Seen:
    """What one sweep saw, float32, rows in the order of the ids: representations, logits, labels, layers."""

    ids: Tensor
    labels: Tensor
    representations: Tensor
    logits: Tensor
    layers: dict[str, Tensor]

    def rows(self, at: Tensor) -> Seen:
        """The same of some rows."""
        layers = {name: x[at] for name, x in self.layers.items()}
        return Seen(self.ids[at], self.labels[at], self.representations[at], self.logits[at], layers)

    @property
    def kept(self) -> SideSample:
        """As the scores take it."""
        return SideSample(self.representations.double(), self.logits.double(), self.labels, self.ids)

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return float((self.logits.argmax(1) == self.labels).double().mean())


def look(model: Model, split: Split) -> Seen:
    """One sweep over a split, everything kept."""
    kept, names = BoundedSample(len(split)), countable_layers(model)
    sweep(
        model,
        split,
        [
            lambda f: kept.update(
                f.ids,
                f.labels,
                representations=f.representations,
                logits=f.logits,
                **{f"layer_{i}": f.layers[name] for i, name in enumerate(names)},
            )
        ],
        layers=names,
    )
    sample = kept.compute()
    layers = {name: sample.tensors[f"layer_{i}"] for i, name in enumerate(names)}
    return Seen(
        sample.ids, sample.labels, sample.tensors["representations"], sample.tensors["logits"], layers
    )


def look_renormalised(model: Model, split: Split) -> Seen:
    """The same after batch-norm statistics were estimated again on the split."""
    fresh = renormalised(model, split)
    if fresh is None:
        sys.exit("the study's model has no batch norm")
    return look(fresh, split)


def values(
    source: Seen, target: Seen, until: float, *, clean: Seen | None = None, again: Seen | None = None
) -> dict[str, float]:
    """Every index that is computed from a sample, by its name in the table; `again`: renormalised."""
    found = {k: v for k, v in scores(source.kept, target.kept, task_shift=False).items() if v is not None}
    x, y = target.representations, target.labels
    found["resque"] = resque_distribution(source.representations, source.labels, x, y)
    found["inv_ari"] = resque_task(x, y)
    found["arm"] = arm(source.layers, target.layers)
    probe = linear_probe_accuracy(x, y, ids=target.ids)
    found["probe_accuracy"] = best = probe.accuracy
    found["initial_loss"] = float(F.cross_entropy(target.logits.double(), y))
    if clean is not None:
        classes = target.logits.shape[1]
        found["preindex"] = preindex_distance(clean.layers, target.layers, num_classes=classes)
        found["cka"] = linear_cka(clean.representations, x)
    if again is not None:
        redone = linear_probe_accuracy(again.representations, y, ids=target.ids).accuracy
        found["renormalised_probe_accuracy"] = redone
        best = max(best, redone)
    found["recoverability_gap"] = until - best
    return found
