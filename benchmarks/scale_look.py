"""What an estimate of few large pictures takes beside the retraining that it forecasts, with a whole look and less."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import foretoll
import scale_data
from foretoll.workflows import Watcher

PICTURES, ARCH = 1_500, "foretoll:cnn?width=4"
UNTIL = 0.95


class Stages(Watcher):
    """When each stage began."""

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []

    def stage(self, text: str) -> None:
        """A new one begins."""
        self.began.append((text, time.process_time()))

    def seconds(self, beginning: str) -> float:
        """What the stage that begins with these words took."""
        at = next(i for i, (text, _) in enumerate(self.began) if text.startswith(beginning))
        return self.began[at + 1][1] - self.began[at][1]


def section(args: argparse.Namespace) -> list[str]:
    """The section of benchmarks/scale.md."""
    with scale_data.folder(args.work) as work:
        source, target = (scale_data.picture_folders(work, PICTURES, seed) for seed in (0, 1))
        model = scale_data.trained(work, source, ARCH, "look")
        rows = [_row(name, samples, (str(model), source, target), work) for name, samples in
                (("whole", 2_000), ("by default", None))]  # fmt: skip
    return [
        f"An estimate of {PICTURES:,} JPEGs of 224 px for {ARCH}, until accuracy {UNTIL}: all samples looked at, and",
        "as many as the default budget of 3 % leaves. The retraining is the forecast one (median, wall time).",
        "",
        "| look | samples | look s | rest of the estimate s | retraining s |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
    ]


def _row(name: str, samples: int | None, words: tuple[str, str, str], work: Path) -> str:
    watcher, began = Stages(), time.process_time()
    ledger = work / f"look-{time.time_ns()}.db"
    told = foretoll.estimate(*words, until=UNTIL, samples=samples, ledger=ledger, watcher=watcher)
    whole, look = time.process_time() - began, watcher.seconds("look at source and target")
    duration = told.forecast.duration_s
    assert duration is not None and duration.median is not None
    seen = max(index.samples or 0 for index in told.indices.values())
    rest = whole - look
    row = f"| {name} | {seen:,} | {look:.0f} | {rest:.0f} | {duration.median:.0f} |"
    print(row, [line for line in told.warnings if "looked at" in line], file=sys.stderr)
    return row
