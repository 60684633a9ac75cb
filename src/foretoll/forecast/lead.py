"""The lead of the next batches, forecast: by how much an update would beat the served model, with an interval.

Learned from lives whose every possible update was carried out (`benchmarks/lives.py`): a ridge regression on what is
known of the batches that the model of today served. Its interval is split conformal with whole streams held out: the
residuals are those of streams that the coefficients were not fitted on, in units of a spread that grows with the noise
of the measured leads. What ships is a file of numbers, lead.json beside this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from foretoll.records import ANSWERS, ServedBatch, ServedMetric

Floats = npt.NDArray[np.float64]
BATCHES = 8  # that are looked back on, and forecast
LEVEL = 0.9
_RIDGE = 30.0
NAMES = (
    "recent lead", "last lead", "mean lead", "slope of the lead", "error of the mean lead", "spread of the lead",
    "leads known", "batches without labels", "batches served", "quality", "quality below its mean",
    "quality below the start", "slope of the quality", "KS", "KS since the last labels", "confidence lost",
    "recent lead × delay", "least lead", "largest lead", "head", "head × recent lead",
)  # fmt: skip


class LeadForecast(NamedTuple):
    """Mean lead of an update over the next BATCHES batches, a share of answers, with an interval at LEVEL."""

    value: float
    low: float
    high: float


def lead_features(
    since: Sequence[ServedBatch],
    start: float | None,
    served: ServedMetric = ANSWERS,
    *,
    only_head: bool = False,
) -> Floats | None:
    """What the forecast reads of the batches that the model of today served; (len(NAMES),).

    start: its quality when it was deployed, where that is known. served: in what qualities and leads are; they are read
    as shares of the way from a trivial model to a perfect one. only_head: the update changes the head alone. None where
    no lead was measured.
    """
    measured = [b for b in since if b.lead is not None][-BATCHES:]
    if not measured:
        return None
    leads = np.array([b.lead for b in measured], dtype=np.float64) / served.unit
    errors = np.array([b.lead_error or 0.0 for b in measured]) / served.unit
    known = [b.quality for b in since if b.quality is not None][-BATCHES:]
    if not served.metric.share:
        known = [1 - served.lost(quality) for quality in known]
        start = None if start is None else 1 - served.lost(start)
    qualities = np.array(known, dtype=np.float64)
    weights = 0.5 ** np.arange(len(leads))[::-1]
    recent = float((leads * weights).sum() / weights.sum())
    newest, last = since[-1], measured[-1]
    late = (newest.number - last.number) / 4
    moved = newest.ks or 0.0
    values = (
        recent, leads[-1], leads.mean(), _slope(leads), math.sqrt(float((errors**2).sum())) / len(errors),
        float(leads.std()) if len(leads) > 2 else 0.0, len(leads) / BATCHES, late, math.log1p(len(since)),
        qualities[-1], qualities.mean() - qualities[-1],
        (qualities[0] if start is None else start) - qualities[-1], _slope(qualities), moved,
        moved - (last.ks or 0.0), (since[0].confidence or 0.0) - (newest.confidence or 0.0),
        max(recent, 0.0) * late, leads.min(), leads.max(), float(only_head), only_head * recent,
    )  # fmt: skip
    return np.array(values, dtype=np.float64)


def _slope(values: Floats) -> float:
    """Least squares slope by batch; 0 of fewer than three."""
    if len(values) < 3:
        return 0.0
    x = np.arange(len(values)) - (len(values) - 1) / 2
    return float((x * values).sum() / (x * x).sum())


@dataclass(frozen=True)
class LeadModel:
    """Coefficients by feature, and of the spread; `low` and `high`: conformal ends in units of the spread.

    lives, streams: how many it was learned from.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    spread: tuple[float, float, float]  # of 1, the error of the mean lead, and the spread of the lead
    low: float
    high: float
    lives: int = 0
    streams: int = 0

    @classmethod
    def fit(cls, x: Floats, y: Floats, groups: Sequence[str], *, lives: int = 0) -> Self:
        """Learn from rows (n, len(NAMES)) and the leads that came (n,); rows of one group are held out together.

        Raises ValueError for fewer than two groups.
        """
        names = np.array(groups)
        if len(set(groups)) < 2:
            raise ValueError("a forecast of the lead needs lives of at least two streams")
        residual = np.empty(len(y))
        for group in np.unique(names):
            weights, intercept = _ridge(x[names != group], y[names != group])
            held = names == group
            residual[held] = y[held] - x[held] @ weights - intercept
        weights, intercept = _ridge(x, y)
        scale = _spread_of(x, residual)
        units = residual / _spread(x, scale)
        # each stream counts alike: one with many lives does not set the interval of all
        _, where, counts = np.unique(names, return_inverse=True, return_counts=True)
        share = 1 / counts[where]
        low, high = (_quantile(units, share, level) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return cls(
            NAMES,
            tuple(float(w) for w in weights),
            float(intercept),
            scale,
            low,
            high,
            lives=lives,
            streams=len(set(groups)),
        )

    def __call__(self, features: Floats) -> LeadForecast:
        """The forecast for one row of features; within −1 and 1."""
        value = float(features @ np.array(self.weights)) + self.intercept
        spread = float(_spread(features[None], self.spread)[0])
        ends = (value, value + self.low * spread, value + self.high * spread)
        value, low, high = (min(max(end, -1.0), 1.0) for end in ends)
        return LeadForecast(value, min(low, value), max(high, value))

    def text(self) -> str:
        """The model as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """A model that `text` wrote. Raises ValueError where it is of other features."""
        data = json.loads(text)
        first, second, third = data["spread"]
        model = cls(
            names=tuple(data["names"]),
            weights=tuple(data["weights"]),
            intercept=data["intercept"],
            spread=(first, second, third),
            low=data["low"],
            high=data["high"],
            lives=data["lives"],
            streams=data["streams"],
        )
        if model.names != NAMES or len(model.weights) != len(NAMES):
            raise ValueError("this forecast of the lead reads other features: learn it anew")
        return model


@cache
def shipped() -> LeadModel:
    """The forecast that comes with foretoll."""
    return LeadModel.of_text(resources.files("foretoll.forecast").joinpath("lead.json").read_text("utf-8"))


def _ridge(x: Floats, y: Floats) -> tuple[Floats, float]:
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + _RIDGE * np.eye(x.shape[1]), z.T @ (y - y.mean())) / scale
    return weights, float(y.mean() - mean @ weights)


def _noise(x: Floats) -> Floats:
    """What the spread is made of: 1, the error of the mean lead, the spread of the lead; (n, 3)."""
    places = [NAMES.index("error of the mean lead"), NAMES.index("spread of the lead")]
    return np.column_stack([np.ones(len(x)), x[:, places]])


def _spread_of(x: Floats, residual: Floats) -> tuple[float, float, float]:
    """Coefficients ≥ 0 of the mean absolute residual."""
    from scipy.optimize import nnls

    found = nnls(_noise(x), np.abs(residual))[0]
    return float(max(found[0], 1e-3)), float(found[1]), float(found[2])


def _spread(x: Floats, scale: tuple[float, float, float]) -> Floats:
    spread: Floats = _noise(x) @ np.array(scale)
    return spread


def _quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])
