"""What each index costs beside the sweep: milliseconds per 1,000 samples, on 2,000 samples of 64 and of 512 channels.

    OMP_NUM_THREADS=1 python benchmarks/score_cost.py

Representations are made here (10 classes), so nothing is needed but the package. The median of five calls after one
to warm up, one thread. Not in it: the forward passes that make representations (benchmarks/index_cost.py), and
indices that need the model itself. Writes benchmarks/results/score_cost.json and the table of docs/indices.md.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import torch

from foretoll.indices import functional as f
from foretoll.indices.table import INDICES
from foretoll.measure import describe_hardware
from pages import RESULTS, ROOT, markdown_table, replace_block

SAMPLES, CLASSES, REPEATS = 2000, 10, 5
CHANNELS = (64, 512)


def calls(channels: int) -> dict[str, Callable[[], object]]:
    """Each index by its name, as a call without arguments."""
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, channels, generator=g)
    labels = torch.arange(SAMPLES) % CLASSES
    source, target = (
        (centres[labels] + scale * torch.randn(SAMPLES, channels, generator=g)).relu() for scale in (1.0, 1.6)
    )
    outputs = [side @ centres.T for side in (source, target)]
    layers = [{f"layer {i}": side + i for i in range(4)} for side in (source, target)]
    confidences = [f.max_confidence(o, from_logits=True) for o in outputs]
    entropies = [f.negative_entropy(o, from_logits=True) for o in outputs]
    correct = [o.argmax(1) == labels for o in outputs]
    ids = torch.arange(SAMPLES)
    return {
        "recoverability_gap": lambda: f.recoverability_gap(target, labels, 0.9, ids=ids),
        "resque": lambda: f.resque_distribution(source, labels, target, labels),
        "resque_predicted": lambda: f.resque_predicted(source, labels, target, outputs[1]),
        "resque_transport": lambda: f.resque_transport(source, labels, target),
        "inv_ari": lambda: f.resque_task(target, labels),
        "preindex": lambda: f.preindex_distance(layers[0], layers[1]),
        "arm": lambda: f.arm(layers[0], layers[1]),
        "probe_accuracy": lambda: f.linear_probe_accuracy(target, labels, ids=ids),
        "logme": lambda: f.logme(target, labels),
        "h_score": lambda: f.h_score(target, labels),
        "gbc": lambda: f.gbc(target, labels),
        "leep": lambda: f.leep(outputs[1].softmax(1), labels),
        "nce": lambda: f.nce(outputs[1].argmax(1), labels),
        "frechet": lambda: f.frechet(source, target),
        "mmd": lambda: f.mmd(source, target),
        "sliced_wasserstein": lambda: f.sliced_wasserstein(source, target),
        "doc": lambda: f.doc(confidences[0], confidences[1], float(correct[0].double().mean())),
        "atc": lambda: f.atc(entropies[0], correct[0], entropies[1]),
        "knn_accuracy": lambda: f.knn_accuracy(target, labels),
        "effective_rank": lambda: f.effective_rank(target, center=True),
        "cka": lambda: f.linear_cka(source, target),
        "calibration_error": lambda: f.expected_calibration_error(confidences[1], correct[1]),
    }


def milliseconds(call: Callable[[], object]) -> float:
    """Median time of a call, per 1,000 samples."""
    call()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3 * 1000 / SAMPLES


def shown(value: float) -> str:
    """Two digits."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    found = {
        name: [milliseconds(calls(channels)[name]) for channels in CHANNELS] for name in calls(CHANNELS[0])
    }
    hardware = describe_hardware("cpu")
    record = {"cpu": hardware.cpu, "torch": hardware.torch, "threads": 1, "ms_per_1000": found}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, default=lambda x: round(x, 3))
    (RESULTS / "score_cost.json").write_text(text + "\n", encoding="utf-8")
    rows = [
        [INDICES[name].title, *(f"{value:.0f}" if value >= 9.95 else f"{value:.2g}" for value in each)]
        for name, each in found.items()
    ]
    table = markdown_table(["index", *(f"{c} channels" for c in CHANNELS)], rows)
    machine = f"{hardware.cpu}, one thread, torch {hardware.torch}. Milliseconds per 1,000 samples:"
    replace_block(ROOT / "docs" / "indices.md", "costs", f"{machine}\n\n{table}")
    print(json.dumps(record["ms_per_1000"]))


if __name__ == "__main__":
    main()
