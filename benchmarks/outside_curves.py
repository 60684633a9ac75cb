"""Learning curves that others published: which are taken, and what a forecast part of the way sees of one.

The evaluation tables of model cards (`cards_runs.parquet`, `cards_curves.parquet`; SOURCES.md of the traces says
whose). A curve is the one quality metric of a run whose scale is known from its name alone, as progress from 0
(trivial) to 1. A loss has no such scale, so nothing is taken of it: foretoll says nothing of such a run either until it
has seen the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretoll.forecast.live import Course, Seen

Array = NDArray[np.float64]

# The first that a run has. F1 stands before accuracy, which says little of tokens: nearly all are of one class.
SHARES_OF = {
    "F1": "F1",
    "Overall F1": "F1",
    "Matthews Correlation": "Matthews correlation",
    "Accuracy": "accuracy",
    "Exact Match": "exact match",
    "Rouge1": "ROUGE, BLEU",
    "Bleu": "ROUGE, BLEU",
    "Wer": "word error rate",
    "Cer": "character error rate",
}
RATES = ("Wer", "Cer")  # errors: 0 is the best; without a word said it is 1
PERCENT = 1.5  # a share whose largest value, or an error rate whose median, lies above it is in percent
FEWEST = 10  # evaluations: so that a tenth of them is one
CUTS = (0.1, 0.2, 0.4)
OF_FINAL = 0.95
UNKNOWN = {"none", "nan", "unknown", "unkown", "null", ""}
EQUAL = 1e-9


@dataclass(frozen=True)
class Curve:
    """A curve that came to its end: epochs (n,) after the first step, rising, and progress (n,)."""

    run: int
    base: str
    data: str | None
    kind: str
    epochs: Array
    progress: Array
    steps_per_epoch: int

    @property
    def family(self) -> tuple[str, str]:
        """Base model and data set: curves of one family count as one."""
        return self.base, self.data or "unknown"

    @property
    def end(self) -> float:
        """Epochs in all."""
        return float(self.epochs[-1])

    @cached_property
    def best(self) -> Array:
        """The best progress so far (n,)."""
        return np.maximum.accumulate(self.progress)

    @property
    def final(self) -> float:
        """The best progress that it came to."""
        return float(self.best[-1])

    def time_to(self, progress: float) -> float | None:
        """Epochs of the first evaluation that is at least so good; None where none is."""
        at = int(np.searchsorted(self.best, progress - EQUAL))
        return float(self.epochs[at]) if at < len(self.best) else None

    def related(self, other: Curve) -> bool:
        """Whether it shares the base model, or the data set where both are known."""
        return self.base == other.base or (self.data is not None and self.data == other.data)


@dataclass(frozen=True)
class View:
    """A curve seen so far: its first `seen` evaluations, the part `share` of its epochs."""

    curve: Curve
    share: float
    seen: int

    @property
    def now(self) -> float:
        """Epochs trained."""
        return float(self.curve.epochs[self.seen - 1])

    @property
    def best(self) -> float:
        """The best progress so far."""
        return float(self.curve.best[self.seen - 1])

    @property
    def left(self) -> float:
        """Epochs to come."""
        return self.curve.end - self.now

    @property
    def points(self) -> list[Seen]:
        """The evaluations, as the live forecast takes them."""
        curve = self.curve
        return [
            Seen(float(e), float(p))
            for e, p in zip(curve.epochs[: self.seen], curve.progress[: self.seen], strict=True)
        ]

    def course(self, until: float) -> Course:
        """What a run with this target and the curve's own end would be."""
        curve = self.curve
        return Course(until, curve.end, len(curve.epochs) / curve.end, curve.steps_per_epoch)

    def evaluated(self, epochs: float) -> float:
        """So many epochs to come, up to the next evaluation: a target is met at one of them."""
        at = int(np.searchsorted(self.curve.epochs, self.now + epochs - EQUAL))
        return float(self.curve.epochs[min(max(at, self.seen), len(self.curve.epochs) - 1)]) - self.now


def views(curves: Sequence[Curve], cuts: Sequence[float] = CUTS) -> Iterator[View]:
    """Every curve at every cut at which it has been evaluated, and has something to come."""
    for curve in curves:
        for share in cuts:
            seen = int(np.searchsorted(curve.epochs, share * curve.end * (1 + EQUAL), side="right"))
            if 0 < seen < len(curve.epochs):
                yield View(curve, share, seen)


def read_cards(folder: Path) -> tuple[list[Curve], Counter[str]]:
    """The curves that are taken, and how many runs are not, by reason."""
    runs = pd.read_parquet(folder / "cards_runs.parquet")
    rows = pd.read_parquet(folder / "cards_curves.parquet")
    return curves_of(runs, rows)


def curves_of(runs: pd.DataFrame, rows: pd.DataFrame) -> tuple[list[Curve], Counter[str]]:
    """Curves of the tables of cards, and how many runs are left out, by reason."""
    rows = rows[rows.metric.isin(SHARES_OF)]
    by_run = {run: dict(list(table.groupby("metric"))) for run, table in rows.groupby("run")}
    found: list[Curve] = []
    why: Counter[str] = Counter()
    seen: set[tuple[bytes, bytes]] = set()
    for run in runs.itertuples():
        tables = by_run.get(run.run, {})
        name = next((name for name in SHARES_OF if name in tables), None)
        if name is None:
            why["no evaluation of a metric whose scale its name tells (most have losses alone)"] += 1
            continue
        curve = _curve(run, name, tables[name])
        if isinstance(curve, str):
            why[curve] += 1
            continue
        mark = curve.epochs.tobytes(), curve.progress.tobytes()
        if mark in seen:
            why["the same curve as another run's"] += 1
            continue
        seen.add(mark)
        found.append(curve)
    return found, why


def _curve(run: object, name: str, table: pd.DataFrame) -> Curve | str:
    """The curve of a run by one metric, or why it is not taken."""
    table = table[table.epoch > 0]  # what a model knows before its first step, few cards tell
    table = table.dropna(subset=["epoch", "step", "value"])
    if len(table) < FEWEST:
        return f"fewer than {FEWEST} evaluations of it with epoch and step"
    epochs, values = table.epoch.to_numpy(float), table.value.to_numpy(float)
    if not (np.diff(epochs) > 0).all():
        return "epochs that do not rise"
    progress = progress_of(name, values)
    if progress is None:
        return "values outside the metric's scale"
    steps = max(round(float(np.median(table.step.to_numpy(float) / epochs))), 1)
    data = str(run.dataset).strip()  # type: ignore[attr-defined]
    return Curve(
        int(run.run),  # type: ignore[attr-defined]
        str(run.base),  # type: ignore[attr-defined]
        None if data.lower() in UNKNOWN else data,
        SHARES_OF[name],
        epochs,
        progress,
        steps,
    )


def progress_of(name: str, values: Array) -> Array | None:
    """Values of a metric (n,) as progress; None where they lie outside its scale."""
    if name in RATES:
        share = values / 100 if float(np.median(values)) > PERCENT else values
        return None if share.min() < 0 else np.clip(1 - share, 0.0, 1.0)
    share = values / 100 if float(values.max()) > PERCENT else values
    return None if share.max() > 1 or share.min() < -1 else np.clip(share, 0.0, 1.0)


def family_weights(curves: Sequence[Curve]) -> Array:
    """Weights (n,) with which every family counts the same."""
    counts = Counter(curve.family for curve in curves)
    return np.array([1 / counts[curve.family] for curve in curves])
