"""One of several processes that train together; run by torch.distributed, see test_ranks.py."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

sys.path.insert(0, os.environ["TESTS"])

import foretoll
from foretoll.measure import EnergyMeter, ReplayMeter
from foretoll.workflows import Accounting
from tracking.loops import accuracy, adamw, blobs, network


class OwnMeter(ReplayMeter):
    """Counts this process alone, as CodeCarbon's models do."""

    def _report(self, joules: Any, duration_s: float) -> Any:
        return [
            part.__class__(part.component.model_copy(update={"name": "cpu", "method": "load × TDP"}))
            for part in super()._report(joules, duration_s)
        ]


class ByRank(Accounting):
    """1,000 J of each step phase on rank 0, 300 J on the other; its own, or the machine's."""

    def meter(self, device: torch.device | str) -> EnergyMeter:
        joules = {"training": 1000.0 if dist.get_rank() == 0 else 300.0, "evaluation": 10.0}
        return (OwnMeter if os.environ["WHOSE"] == "own" else ReplayMeter)(joules)


def main() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    data, model = blobs(), network()
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = adamw(wrapped)
    loader = DataLoader(data, 10, sampler=DistributedSampler(data, shuffle=False))
    accounting = ByRank("none", region="DE")
    with foretoll.track(
        wrapped, optimizer, until=0.2, accounting=accounting, quiet=True, strict=os.environ["WAY"] != "dead"
    ) as run:
        for _ in range(2):
            for inputs, labels in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(wrapped(inputs), labels).backward()
                optimizer.step()
        if os.environ["WAY"] == "dead" and rank == 1:
            os._exit(0)  # it leaves nothing
        stop = run.evaluate(accuracy(model, data))
    sys.stdout.write(f"rank {rank} stop={stop} record={run.record is not None}\n")
    sys.stdout.flush()
    if os.environ["WAY"] != "dead":
        dist.barrier()
        dist.destroy_process_group()
    else:
        os._exit(0)


if __name__ == "__main__":
    main()
