"""What a survey keeps of one side of the data, in one sweep; mergeable, so that a sweep can be cut into shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from foretoll.errors import UsageError
from foretoll.representation import Features, sweep
from foretoll.tasks import TargetScale, get_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretoll.data import Split
    from foretoll.indices._sample import Sample
    from foretoll.indices.resque import Side
    from foretoll.models import Model
    from foretoll.models.rows import Order

Part = Literal["source", "target", "clean"]
BATCH = 256
DEFAULT_SAMPLES = 2000  # of either side, by the rule of docs/sample_size.md


@dataclass(frozen=True)
class PartRequest:
    """What to keep of one part of the data: settings only, so that they can be sent to a worker.

    part: "clean" is the target before its synthetic shift
    capacity: samples whose representations, logits and layers are kept
    classes: groups of the target (its classes), for RESQUE's sums; None: no RESQUE
    task, targets: of which task the labels are, and the scale by which they are grouped
    layers: the layers for ARM and PreIndex, with how their rows lie (`comparable_layers`); empty: neither
    """

    part: Part
    capacity: int
    classes: int | None = None
    layers: Mapping[str, Order] | tuple[str, ...] = ()
    task: str = "classification"
    targets: TargetScale | None = None

    @property
    def side(self) -> Side:
        """The side of a comparison that this part stands on."""
        return "source" if self.part == "source" else "target"


class PartCollection:
    """The accumulators of one part: a consumer of `sweep`. Samples of unknown class count as the predicted one."""

    def __init__(self, wanted: PartRequest) -> None:
        from foretoll.indices._sample import BoundedSample
        from foretoll.indices.arm import Arm
        from foretoll.indices.resque import ResqueDistribution

        self.wanted = wanted
        self.kept = BoundedSample(wanted.capacity)
        self.resque = None if wanted.classes is None else ResqueDistribution(wanted.classes)
        self.arm = Arm(capacity=wanted.capacity) if wanted.layers else None

    def __call__(self, features: Features) -> None:
        """Take in a batch."""
        task, scale = get_task(self.wanted.task), self.wanted.targets
        numbers = features.labels.is_floating_point() or (task.places > 0 and not task.groups_are)
        groups = task.groups(features.labels, scale) if numbers else features.labels
        kept = {"representations": features.representations, "logits": features.logits}
        if numbers:
            kept["targets"] = features.labels
        self.kept.update(features.ids, groups, **kept)
        side = self.wanted.side
        if self.resque is not None:
            known = groups >= 0
            classes = torch.where(known, groups, task.predicted_groups(features.logits, scale))
            self.resque.update(features.representations, classes, side=side, ids=features.ids)
        if self.arm is not None:
            self.arm.update(features.layers, features.ids, side=side)

    def merge(self, other: PartCollection) -> PartCollection:
        """Take in what another shard of the same part has seen; returns itself."""
        if self.wanted != other.wanted:
            raise UsageError(f"cannot merge {other.wanted} into {self.wanted}: cut one part into shards")
        self.kept.merge_state(other.kept)
        for mine, theirs in ((self.resque, other.resque), (self.arm, other.arm)):
            if mine is not None:
                mine.merge_state(theirs)  # type: ignore[arg-type]  # both are made from the same settings
        return self

    def layers(self) -> Sample:
        """The kept samples' layers, by id."""
        if self.arm is None:
            raise UsageError("no layers were collected: name them in Wanted")
        return self.arm.sampler(self.wanted.side).compute()


class Collector(Protocol):
    """Where a sweep runs: here (`collect`), or in shards on an engine (`foretoll.workflows.sharded`)."""

    def __call__(
        self, model: Model, split: Split, wanted: PartRequest, *, device: torch.device | str = "cpu"
    ) -> PartCollection:
        """Sweep `split` with `model` into fresh accumulators."""
        ...


def collect(
    model: Model, split: Split, wanted: PartRequest, *, device: torch.device | str = "cpu"
) -> PartCollection:
    """Sweep `split` with `model` in this process."""
    found = PartCollection(wanted)
    sweep(model, split, [found], layers=wanted.layers, batch_size=BATCH, device=device)
    return found
