"""What a look at a served batch costs, in forward passes over it, and where outputs are handed in.

    OMP_NUM_THREADS=1 python benchmarks/look_cost.py

A forward pass is the model on the batch in evaluation mode, embedding layer and logits. A look adds drift, quality and
lead by labels, and the sums of the shadow. Medians of seven, taken in turn in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from foretoll.data import open_data
from foretoll.data.stream import all_rows
from foretoll.indices.shadow import Shadow
from foretoll.models import build_model
from foretoll.representation import sweep
from foretoll.workflows.look import Look, look_at, served_batch
from foretoll.workflows.scoring import Scoring

ROWS, CLASSES, SIDE, REPEATS = 1000, 10, 32, 7


def main() -> None:
    """Measure and print."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    data = open_data((pixels, draw.integers(0, CLASSES, ROWS)))
    rows = all_rows(data)
    assert rows.labels is not None
    truth = rows.labels.numpy()
    print("| model | forward pass, s | look, forward passes | look with outputs handed in, s |")
    print("|---|--:|--:|--:|")
    for arch in ("foretoll:cnn", "foretoll:resnet", "foretoll:vit"):
        model = build_model(arch, data=data, seed=0)
        reference = look_at(model, rows)

        scoring = Scoring.of(model.card)

        def told(look: Look, known: Look = reference, scoring: Scoring = scoring) -> None:
            shadow = Shadow(window=8)
            scoring.add(shadow, "before", known.representations, truth)
            served_batch("b", 0, look, scoring, reference=known, labels=truth, shadow=shadow)
            scoring.add(shadow, "b", look.representations, truth)

        def forward(model: torch.nn.Module = model) -> None:
            sweep(model, rows, [lambda _: None], batch_size=256, device="cpu")

        outputs = np.log(reference.outputs)
        tried: tuple[Callable[[], None], ...] = (
            forward,
            lambda m=model: told(look_at(m, rows)),
            lambda r=reference, o=outputs: told(Look.of_outputs(r.representations, o)),
        )
        seconds: list[list[float]] = [[] for _ in tried]
        for _ in range(REPEATS):
            for each, found in zip(tried, seconds, strict=True):
                began = time.process_time()
                each()
                found.append(time.process_time() - began)
        one, look, handed = (float(np.median(found)) for found in seconds)
        print(f"| {arch} | {one:.3f} | {look / one:.2f} | {handed:.3f} |")
    print(f"{ROWS} samples of {SIDE} x {SIDE} pixels, {CLASSES} classes, processor time of one thread")


if __name__ == "__main__":
    main()
