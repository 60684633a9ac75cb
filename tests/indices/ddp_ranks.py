"""What each process of a distributed run does in test_distributed.py; importable by the workers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._sample import BoundedSample
from foretoll.indices.arm import Arm
from foretoll.indices.frechet import FrechetDistance
from foretoll.indices.h_score import HScore
from foretoll.indices.preindex import PreIndex
from foretoll.indices.recoverability import Recoverability
from foretoll.indices.resque import ResqueDistribution, ResqueTask

SAMPLES, CLASSES = 330, 3
MEAN = 1e5  # large against the spread: raw fourth powers would keep no digit of it


class Rank(NamedTuple):
    """A process of the run: its number, how many there are, and the file by which they find each other."""

    number: int
    of: int
    meeting: str


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=generator)
    source = torch.randn(SAMPLES, 12, generator=generator, dtype=torch.float64) + labels[:, None]
    target = source + 0.3 * torch.randn(SAMPLES, 12, generator=generator, dtype=torch.float64)
    return torch.arange(SAMPLES), labels, source, target


def values(rows: list[Tensor], some: list[Tensor]) -> dict[str, float]:
    """Every accumulator's value from the batches `rows`; two of them see only the batches `some`."""
    ids, labels, source, target = data()
    resque, task, arm, preindex = ResqueDistribution(CLASSES), ResqueTask(), Arm(capacity=100), PreIndex()
    recoverable, frechet, h_score = Recoverability(0.9, capacity=200), FrechetDistance(), HScore(CLASSES)
    sample, partial, moved = BoundedSample(100), Arm(), FrechetDistance()
    for part in rows:
        i, y, x, t = ids[part], labels[part], source[part], target[part]
        for side, each in (("source", x), ("target", t)):
            resque.update(each, y, side=side, ids=i)
            arm.update({"a": each, "b": -each[:, :5].float()}, i, side=side)
            frechet.update(each + MEAN, side=side)
        task.update(t, y, i)
        preindex.update({"a": x}, {"a": t}, ids=i)
        recoverable.update(t, y, i)
        h_score.update(t + MEAN, y)
        sample.update(i, y, x=x)
    for part in some:
        for side, each in (("source", source[part]), ("target", target[part])):
            partial.update({"a": each}, ids[part], side=side)
            moved.update(each + MEAN, side=side)
    kept = sample.compute()
    found: dict[str, Any] = {
        "resque": resque.compute().value,
        "resque high": resque.compute().high,
        "resque_task": task.compute().value,
        "arm": arm.compute().value,
        "arm floor": arm.compute().floor,
        "preindex": preindex.compute().value,
        "recoverability": recoverable.compute().value,
        "frechet": frechet.compute(),
        "h_score": h_score.compute(),
        "sample ids": kept.ids.double().sum(),
        "sample rows": kept.tensors["x"].sum(),
        "sample seen": kept.seen,
    }
    found["fed in one process: arm"] = partial.compute().value
    found["fed in one process: frechet"] = moved.compute()
    frechet.update(source[:1] + MEAN, side="source")
    found["samples of its own"] = frechet.source_samples
    return {name: float(value) for name, value in found.items()}


def distributed(rank: Rank) -> tuple[dict[str, float], str]:
    """The values that this process computes together with the others, and how a disagreement is told."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rank.meeting}", rank=rank.number, world_size=rank.of
    )
    try:
        rows = list(torch.arange(SAMPLES).split(50))  # seven batches: an uneven division
        found = values(rows[rank.number :: rank.of], rows[1::2] if rank.number == 1 else [])
        other = PreIndex()
        width = 5 + rank.number
        other.update({"a": torch.rand(4, width)}, {"a": torch.rand(4, width)})
        try:
            other.compute()
        except DataError as error:
            return found, str(error)
        return found, ""
    finally:
        torch.distributed.destroy_process_group()
