"""The quality that was served, batch by batch, with an interval where labels are late or few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from foretoll.records import ANSWERS, LifeEvent, ServedBatch, ServedMetric

LEVEL = 0.9
_Z = 1.6449  # of a two-sided interval of that level


class ServedQuality(NamedTuple):
    """The quality of one batch: measured, or what it was between; all three None where nothing tells."""

    batch: ServedBatch
    model: str
    at: float  # seconds since 1970
    value: float | None
    low: float | None
    high: float | None


def served_quality(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> list[ServedQuality]:
    """All batches in order.

    A batch whose labels are all there was served with the quality that was measured. Of one with some labels the rest
    is known by them (Wilson's interval for the samples without a label; of a metric with a unit its sampling error). Of
    one without labels it lies around that of the model's last labelled batch, as far off as batches so far apart
    differed in this life.
    """
    labelled = {e.key: e.served for e in events if e.kind == "labels" and e.served is not None}
    looks = [e for e in events if e.kind == "look" and e.served is not None]
    known: list[tuple[str, ServedBatch]] = []
    found = []
    for event in looks:
        batch = labelled.get(event.key, event.served)
        assert batch is not None  # noqa: S101  (chosen above)
        if batch.quality is not None:
            known.append((event.model, batch))
        value, low, high = _of(served, batch, event.model, known)
        found.append(ServedQuality(batch, event.model, event.at.timestamp(), value, low, high))
    return found


def _of(
    served: ServedMetric, batch: ServedBatch, model: str, known: Sequence[tuple[str, ServedBatch]]
) -> tuple[float | None, float | None, float | None]:
    if batch.quality is not None:
        rest = batch.samples - batch.labelled
        if rest <= 0:
            return batch.quality, batch.quality, batch.quality
        low, high = _sampled(served, batch.quality, batch.labelled)
        share = rest / batch.samples
        mean = batch.quality
        return mean, mean + share * (low - mean), mean + share * (high - mean)
    own = [each for name, each in known if name == model]
    if not own:
        return None, None, None
    last = own[-1]
    value = last.quality or 0.0
    spread = _Z * differs(known, batch.number - last.number, last, served)
    metric = served.metric
    return value, max(value - spread, metric.low), min(value + spread, metric.high)


def _sampled(served: ServedMetric, value: float, n: int) -> tuple[float, float]:
    if served.metric.share:
        return wilson(value, n)
    half = _Z * served.error(value, n)
    return max(value - half, served.metric.low), min(value + half, served.metric.high)


def differs(
    known: Sequence[tuple[str, ServedBatch]],
    apart: int,
    last: ServedBatch,
    served: ServedMetric = ANSWERS,
) -> float:
    """How far batches so far apart differ: root mean square of what was seen under one model, at least by sampling."""
    squares: dict[int, list[float]] = {}
    for i, (model, a) in enumerate(known):
        for other, b in known[i + 1 :]:
            if other == model and 0 < b.number - a.number <= apart:
                squares.setdefault(b.number - a.number, []).append(
                    ((b.quality or 0.0) - (a.quality or 0.0)) ** 2
                )
    quality = last.quality or 0.0
    if served.metric.share:
        quality = min(max(quality, 0.5 / last.labelled), 1 - 0.5 / last.labelled)
    sampling = 2 * served.error(quality, last.labelled) ** 2
    longest = max(squares, default=0)
    seen = sum(squares[longest]) / len(squares[longest]) * apart / longest if longest else 0.0
    return math.sqrt(max(seen, sampling))


def wilson(share: float, n: int, z: float = _Z) -> tuple[float, float]:
    """Wilson's interval of a share of n samples (1927, JASA 22)."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)
