"""What recording a training costs: seconds of foretoll's hooks against seconds of a step, in one run.

ResNet-18 for images of 32 × 32 (3 × 3 stem, no pooling in front), batches of 64, SGD with momentum, float32. Two ways:

- directly: what the hooks of a tracked run do at a step (the call of the model, the gradient's norm, the count), timed
  on real gradients many times over, against the median step without foretoll;
- by turns: steps with and without the hooks alternate, and their medians are compared (noisier: a step takes long).

Writes recording_cost.md. Run: OMP_NUM_THREADS=2 python benchmarks/recording_cost.py [--steps 12] [--device cuda]
"""

from __future__ import annotations

import argparse
import time
from collections import OrderedDict
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18

import foretoll
from foretoll.measure import describe_hardware, synchronise
from foretoll.tracking.gradients import gradient_norm

TABLE = Path(__file__).with_name("recording_cost.md")


def network(device: str) -> nn.Module:
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model.to(device)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = given.device
    model = network(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images = torch.randn(64, 3, 32, 32, device=device)
    labels = torch.randint(10, (64,), device=device)

    def step() -> float:
        synchronise(device)
        began = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        synchronise(device)
        return time.perf_counter() - began

    for _ in range(2):
        step()
    run = foretoll.track(
        model, optimizer, ledger="/dev/null/none", accounting=foretoll.Accounting("none"), quiet=True
    )
    run.start()
    hooks = run._hooks
    assert hooks is not None and run._seen is not None
    plain, tracked = [], []
    for _ in range(given.steps):
        kept = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
        optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks = (
            OrderedDict(),
            OrderedDict(),
        )
        plain.append(step())
        optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks = kept
        tracked.append(step())

    def recorded() -> None:
        hooks._before_call(model, (images,), {})
        hooks._before_step(optimizer, (optimizer,), {})
        hooks._after_step(optimizer, (optimizer,), {})

    def seconds(work: object, times: int = 30) -> float:
        found = []
        for _ in range(times):
            synchronise(device)
            began = time.perf_counter()
            work()  # type: ignore[operator]
            synchronise(device)
            found.append(time.perf_counter() - began)
        return median(found)

    own, norm = seconds(recorded), seconds(lambda: gradient_norm(optimizer))
    run.finish()
    base, turns = median(plain), median(tracked)
    hardware = describe_hardware(device)
    alone = f"{min(plain):.1f} … {max(plain):.1f} s"
    beside = f"{min(tracked):.1f} … {max(tracked):.1f} s"
    rows = [
        (f"step without foretoll ({alone})", base, ""),
        (
            f"step with its hooks, by turns ({beside})",
            turns,
            f"{turns / base - 1:+.2%}",
        ),
        ("the hooks alone, directly", own, f"{own / base:.2%}"),
        ("of which the gradient's norm", norm, f"{norm / base:.2%}"),
    ]
    text = "\n".join(f"| {name} | {1000 * value:.3f} | {share} |" for name, value, share in rows)
    TABLE.write_text(
        "# What recording a training costs\n\n"
        "By `benchmarks/recording_cost.py`: ResNet-18 for 32 × 32, batches of 64, SGD, float32; medians of "
        f"{given.steps} steps by turns and of 30 calls of the hooks, in one run on {hardware.device_name} "
        f"({hardware.threads} threads), torch {hardware.torch}.\n\n"
        f"| | milliseconds | share of a step |\n|---|---:|---:|\n{text}\n"
    )
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
