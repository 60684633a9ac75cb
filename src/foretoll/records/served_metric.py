"""By what a life counts what it served: a metric that is a mean over samples, or its root, and its scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from foretoll.errors import UsageError
from foretoll.records.base import SHARES, QualityScale
from foretoll.tasks import Metric, known_metric


@dataclass(frozen=True)
class ServedMetric:
    """A metric of single samples, with what its values are worth on this life's target.

    What is lost, and won, is counted in the metric's own unit times samples: answers, where the metric is a share.
    """

    metric: Metric
    scale: QualityScale = SHARES

    @property
    def name(self) -> str:
        """What it is called in a sentence: quality, where it is a share, else its title."""
        return "quality" if self.metric.share else self.metric.title

    @property
    def counted(self) -> str:
        """In what losses and gains are counted."""
        return "answers" if self.metric.share else f"{self.metric.title} × samples"

    @property
    def unit(self) -> float:
        """By how much a perfect model is better than a trivial one; 1 of a share."""
        return abs(self.scale.best - self.scale.trivial)

    def check_floor(self, floor: float) -> None:
        """Raise UsageError where this is no quality that may be asked for: of a share above 0, of an error as well."""
        if self.metric.share and not 0 < floor <= 1:
            raise UsageError(f"--floor {floor:g} is no quality: it lies above 0 and at most at 1")
        if self.metric.share:
            return
        if (
            not math.isfinite(floor)
            or not self.metric.low <= floor <= self.metric.high
            or floor == self.scale.best
        ):
            raise UsageError(
                f"--floor {floor:g} is no {self.metric.title} that can be kept to: give one worse than the perfect "
                f"{self.scale.best:g}"
            )

    def loss(self, value: float) -> float:
        """What a sample loses against a perfect model, in the metric's unit."""
        return self.scale.best - value if self.scale.higher_is_better else value - self.scale.best

    def lost(self, value: float) -> float:
        """The same as a share of what a trivial model loses, at most 1."""
        return min(max(self.loss(value) / self.unit, 0.0), 1.0)

    def fallen(self, value: float, best: float) -> float:
        """By how much a value is worse than another, as a share of `unit`."""
        return (best - value if self.scale.higher_is_better else value - best) / self.unit

    def better(self, value: float, by: float) -> float:
        """The value that is better by so much."""
        return value + by if self.scale.higher_is_better else value - by

    def worse(self, *values: float) -> float:
        """The worst of several values."""
        return min(values) if self.scale.higher_is_better else max(values)

    def best_of(self, *values: float) -> float:
        """The best of several values."""
        return max(values) if self.scale.higher_is_better else min(values)

    def error(self, value: float, samples: int) -> float:
        """The sampling error of a value that was seen on so many samples."""
        return self.metric.error(value, samples)

    def lost_variance(self, value: float, samples: int) -> float:
        """The sampling variance of `lost`; that of no loss at all is what half a wrong sample would say."""
        if not self.metric.share:
            return max(self.metric.error(value, samples) / self.unit, 0.5 / samples) ** 2
        share = min(max(self.lost(value), 0.5 / samples), 1 - 0.5 / samples)
        return share * (1 - share) / samples

    def pooled(self, parts: Iterable[tuple[float, float]]) -> float | None:
        """The value over several parts, each with its own value and samples; None of none."""
        return self.metric.pooled(parts)

    def amount(self, value: float, digits: int = 1) -> str:
        """Losses or gains in words: 12.3 answers, 4.56 RMSE × samples."""
        number = f"{value:.{digits}f}" if self.metric.share else f"{value:.3g}"
        return f"{number} {self.counted}"

    def under(self, floor: float) -> str:
        """That a quality is not good enough, in words."""
        return f"{'under' if self.scale.higher_is_better else 'above'} the floor of {self.text(floor)}"

    def not_under(self, floor: float) -> str:
        """That it is."""
        side = "at or above" if self.scale.higher_is_better else "at or below"
        return f"{side} the floor of {self.text(floor)}"

    def text(self, value: float) -> str:
        """A value with as many digits as tell it apart."""
        return f"{value:.3g}" if self.metric.share else f"{value:.4g}"


def served_metric(name: str, task: str, scale: QualityScale | None = None) -> ServedMetric:
    """The metric of that name of a task; of a share its own scale."""
    found = known_metric(name, task)
    assert found is not None  # noqa: S101  (what calls this has checked it)
    return ServedMetric(found, SHARES if found.share or scale is None else scale)


ANSWERS = served_metric("accuracy", "classification")
"""Right answers among classes."""
