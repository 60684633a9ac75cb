"""What it costs that a network never gets memory that is read again, and that what hooks keep is copied.

    OMP_NUM_THREADS=1 python benchmarks/copy_cost.py

A sweep over the samples with the embedding, the logits and all comparable layers kept, as a look at a target takes it,
against the same sweep with every copy of a tensor left out. Processor seconds of one thread, medians of nine, by turns
in one run. Writes copy_cost.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from foretoll.data import open_data
from foretoll.models import Model, build_model, comparable_layers, load_model
from foretoll.representation import sweep

TABLE = Path(__file__).with_name("copy_cost.md")
SAMPLES, SIDE, CLASSES, REPEATS = 512, 32, 10, 9


class Standardised(nn.Module):
    """A perceptron on floats, which is given the data's own memory unless it is copied."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 64), nn.ReLU(inplace=True))
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        logits: Tensor = self.head(self.body(x))
        return logits


@contextmanager
def without_copies() -> Iterator[None]:
    """Tensors are not copied in this block: what is kept may be written over by a layer that works in place."""
    with patch.object(torch.Tensor, "clone", lambda tensor, **_: tensor):
        yield


def main() -> None:
    """Measure, print and write."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, SAMPLES)
    pixels = open_data((draw.integers(0, 256, (SAMPLES, 3, SIDE, SIDE), dtype=np.uint8), labels))
    floats = open_data((draw.random((SAMPLES, 3, SIDE, SIDE), dtype=np.float32), labels))
    torch.manual_seed(0)
    cases: list[tuple[str, Model]] = [
        *((arch, build_model(arch, data=pixels, seed=0)) for arch in ("foretoll:cnn", "foretoll:resnet")),
        ("foretoll:vit", build_model("foretoll:vit", data=pixels, seed=0)),
        ("a perceptron of one's own, on floats", load_model(Standardised(), data=floats)),
    ]
    lines = [
        "# What copies cost",
        "",
        "`OMP_NUM_THREADS=1 python benchmarks/copy_cost.py`",
        "",
        f"{len(pixels.train)} samples of {SIDE} × {SIDE} pixels, processor seconds of one thread, medians of {REPEATS} "
        "by turns.",
        "",
        "| model | with copies, s | without, s | ratio |",
        "|---|---:|---:|---:|",
    ]
    for name, model in cases:
        data = floats if "floats" in name else pixels
        layers = comparable_layers(model).rows
        taken: tuple[list[float], list[float]] = ([], [])
        for turn in range(2 * (REPEATS + 1)):
            began = time.process_time()
            if turn % 2:
                with without_copies():
                    sweep(model, data.train, [lambda _: None], layers=layers)
            else:
                sweep(model, data.train, [lambda _: None], layers=layers)
            taken[turn % 2].append(time.process_time() - began)
        copied, plain = (median(seconds[1:]) for seconds in taken)
        lines.append(f"| {name} | {copied:.3f} | {plain:.3f} | {copied / plain:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
