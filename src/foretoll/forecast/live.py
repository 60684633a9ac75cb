"""The forecast of a run while it goes on: what is left of it, and its chance, from the curve seen so far.

One distribution says both: that of the log of the epochs still to come over those already trained. It is logistic
around a location that is linear in a few numbers of the curve, of the budget and of the forecast before the run: the
accelerated-failure-time model of `foretoll.forecast.survival`, so that a run that ended short of its target teaches as
one that is censored. The chance is the share of it that lies within the budget.

Learned from the curves of the ledger that ships, at each evaluation of each run (`benchmarks/live.py`); what ships is a
file of numbers, live.json beside this module. There is no torch in here, and nothing is read of what comes later.
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

from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.forecast.survival import Array, IntervalRidge
from foretoll.records import Interval, LiveForecast, MadeForecast, TrainingSettings
from foretoll.records.base import FALLING

LEVEL = 0.9
RIDGE = 30.0
LEAST_CHANCE = 0.005  # that a forecast before the run is taken to leave either way
LEAST_ERROR = 1e-3  # of a progress, before its logarithm
WINDOW = 3.0  # the slope is that of the evaluations since a third of the epochs so far
FARTHEST = 6.0  # log of the most times that a slope is followed
USUAL_NOISE = 0.05  # standard error of a quality, where nobody knows how many samples it was seen on
# No count of evaluations: a run that is evaluated often, or goes on for long, has more of them than those learned from.
OF_CURVE = ("gap", "gap in standard errors", "share closed", "extrapolated", "log steps", "log budget left")
OF_FORECAST = ("odds before", "odds before × share closed")


class Seen(NamedTuple):
    """One evaluation: epochs trained, and progress on the scale of the metric, from 0 (trivial) to 1 (perfect)."""

    epochs: float
    progress: float


@dataclass(frozen=True)
class Course:
    """What a run aims at and has: what does not change while it goes on.

    until: the progress that ends it; budget: in epochs; validation: samples that a quality is seen on, 0 where that is
    not known. before, reach: epochs to the target as forecast before the run, and the probability that they lie within
    the budget; None where there was no forecast. stretch: of these epochs in a pass over the data
    (`EvaluationSchedule.counted`).
    """

    until: float
    budget: float
    evals_per_epoch: float
    steps_per_epoch: int
    validation: int = 0
    before: Interval | None = None
    reach: float | None = None
    stretch: float = 1.0

    @classmethod
    def of(
        cls, settings: TrainingSettings, steps_per_epoch: int, validation: int, made: MadeForecast | None
    ) -> Self | None:
        """The course that settings and a forecast describe; None without a target that is better than trivial."""
        if settings.until is None or settings.known_scale is FALLING:  # a scale that nobody measured
            return None
        if (until := settings.progress(settings.until)) <= 0:
            return None
        known = made is not None and made.reach_probability is not None
        schedule = settings.evaluations(steps_per_epoch)
        return cls(
            until,
            settings.epoch_budget(steps_per_epoch) * schedule.stretch,
            4 if schedule.is_early else settings.evals_per_epoch,
            schedule.counted,
            validation,
            times(made.forecast.epochs, schedule.stretch) if made is not None and known else None,
            made.reach_probability if made is not None else None,
            schedule.stretch,
        )

    def seen(self, epochs: float, progress: float) -> Seen:
        """An evaluation after so many passes over the data."""
        return Seen(epochs * self.stretch, progress)

    def told(self, found: LiveForecast) -> LiveForecast:
        """A forecast in passes over the data."""
        whole = 1 / self.stretch
        left = times(found.epochs_left, whole)
        return found.model_copy(update={"epochs": found.epochs * whole, "epochs_left": left})


def times(epochs: Interval | None, factor: float) -> Interval | None:
    """Epochs in others that are so many times shorter."""
    if epochs is None or factor == 1:
        return epochs
    ends = {name: getattr(epochs, name) for name in ("median", "low", "high")}
    return epochs.model_copy(update={name: end and end * factor for name, end in ends.items()})


def live_features(course: Course, curve: Sequence[Seen]) -> dict[str, float]:
    """What is read of a curve that ends now, by name: OF_CURVE, and OF_FORECAST where there was a forecast."""
    now, until = curve[-1], course.until
    level, slope = _trend(curve)
    best = max(seen.progress for seen in curve)
    missing = math.log(max(1 - level, LEAST_ERROR) / max(1 - until, LEAST_ERROR))
    stretch = min(max(missing, 0.0) / max(-slope, 1e-2), FARTHEST)
    noise = (
        math.sqrt(max(until * (1 - until), 0.01) / course.validation) if course.validation else USUAL_NOISE
    )
    closed = min(max((best - curve[0].progress) / max(until - curve[0].progress, 0.01), -1.0), 1.0)
    found = {
        "gap": until - level,
        "gap in standard errors": math.asinh((until - best) / noise),
        "share closed": closed,
        "extrapolated": math.log(math.expm1(max(stretch, 0.02))),
        "log steps": math.log(max(now.epochs * course.steps_per_epoch, 1.0)),
        "log budget left": min(max(_log_left(course, now.epochs), -5.0), 8.0),
    }
    if course.reach is not None:
        odds = odds_before(course, now.epochs)
        found |= {"odds before": odds, "odds before × share closed": odds * closed}
    return found


def odds_before(course: Course, epochs: float) -> float:
    """Log odds of the target by the forecast before the run, given that it was not met in so many epochs."""
    reach = min(max(0.5 if course.reach is None else course.reach, LEAST_CHANCE), 1 - LEAST_CHANCE)
    done = min(_cdf_before(course, epochs, reach), reach)
    left = (reach - done) / (1 - done)
    return _logit(min(max(left, LEAST_CHANCE), 1 - LEAST_CHANCE))


def _cdf_before(course: Course, epochs: float, reach: float) -> float:
    """P(epochs to the target ≤ `epochs`) by that forecast: linear in log epochs between its quantiles."""
    before = course.before
    if before is None:
        return 0.0
    tail = (1 - before.level) / 2
    quantiles = ((before.low, tail), (before.median, 0.5), (before.high, 1 - tail))
    known = [(_log(v), p) for v, p in quantiles if v is not None and v < course.budget and p < reach]
    known.append((_log(course.budget), reach))
    places, shares = zip((known[0][0] - 1.0, 0.0), *known, strict=True)
    return float(np.interp(_log(epochs), places, shares))


def _log(epochs: float) -> float:
    return math.log(epochs + EPOCH_OFFSET)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _expit(odds: float) -> float:
    return 0.5 * (1 + math.tanh(odds / 2))


def _log_left(course: Course, epochs: float) -> float:
    """Log of the budget that is left over the epochs that were trained."""
    return math.log(max(course.budget - epochs, 1e-9) / epochs)


def _trend(curve: Sequence[Seen]) -> tuple[float, float]:
    """Progress now and slope of the log error in log epochs: a power law through the last evaluations."""
    recent = [seen for seen in curve if seen.epochs > 0 and seen.epochs >= curve[-1].epochs / WINDOW - 1e-9]
    if len(recent) < 2:
        recent = list(curve[-2:])
    if len(recent) < 2:
        return curve[-1].progress, 0.0
    x = np.array([_log(seen.epochs) for seen in recent])
    y = np.log(np.maximum(1 - np.array([seen.progress for seen in recent]), LEAST_ERROR))
    apart = x - x.mean()
    slope = float(apart @ y / max(float(apart @ apart), 1e-9))
    return 1 - math.exp(float(y.mean()) + slope * float(x[-1] - x.mean())), slope


@dataclass(frozen=True)
class TimeLeft:
    """The epochs to come until the target, as a distribution: the log of their ratio to those trained is logistic.

    now: epochs trained; budget: epochs in all; least: epochs from one evaluation to the next.
    """

    location: float
    sigma: float
    now: float
    budget: float
    least: float

    def within(self, epochs: float) -> float:
        """P(the target is met within so many epochs in all, those trained among them)."""
        ratio = math.log(max(epochs - self.now, 1e-9) / self.now)
        return _expit((ratio - self.location) / self.sigma)

    def at(self, level: float) -> float:
        """The epochs to come that are stayed below with probability `level`; those of the budget at the most."""
        ratio = math.exp(min(self.location + self.sigma * _logit(level), 50.0))
        return min(max(self.now * ratio, self.least), self.budget - self.now)


@dataclass(frozen=True)
class LiveModel:
    """Coefficients by feature: the location of log(epochs to come / epochs trained), and the scale of its errors.

    runs, data_sets: how many it was learned from. held: share of the intervals that held, for data sets left out; None
    where that was not measured.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    sigma: float
    runs: int = 0
    data_sets: int = 0
    held: float | None = None

    @classmethod
    def fit(
        cls, names: Sequence[str], x: Array, ends: tuple[Array, Array], weights: Array, *, of: tuple[int, int]
    ) -> Self:
        """Learn from rows (n, len(names)) and the ends (n,), (n,) that the log ratio that came lies between.

        An upper end at infinity: the budget came first. `of`: runs and data sets that the rows are of.
        """
        mean, scale = x.mean(0), x.std(0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        found = IntervalRidge.fit((x - mean) / scale, *ends, weights, ridge=RIDGE)
        slopes = found.coefficients / scale
        numbers = (found.intercept - float(mean @ slopes), found.sigma)
        # six digits: the last ones differ from one machine to the next
        intercept, sigma, *kept = (float(f"{value:.6g}") for value in (*numbers, *slopes))
        return cls(tuple(names), tuple(kept), intercept, sigma, *of)

    def __call__(self, course: Course, curve: Sequence[Seen]) -> tuple[float, Interval]:
        """The chance of meeting the target within the budget, and the epochs to come until then.

        The curve ends at an evaluation within the budget, after a step, that did not meet the target.
        """
        found = self.time_left(course, curve)
        low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
        ends = Interval(median=found.at(0.5), low=found.at(low), high=found.at(high), level=LEVEL)
        return found.within(course.budget), ends

    def time_left(self, course: Course, curve: Sequence[Seen]) -> TimeLeft:
        """The distribution behind it."""
        features = live_features(course, curve)
        location = self.intercept + sum(
            w * features[name] for name, w in zip(self.names, self.weights, strict=True)
        )
        return TimeLeft(location, self.sigma, curve[-1].epochs, course.budget, 1 / course.evals_per_epoch)


@dataclass(frozen=True)
class LiveModels:
    """One model for runs that were forecast before their first step, and one for those that were not."""

    forecast: LiveModel
    alone: LiveModel

    def text(self) -> str:
        """The models as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Models that `text` wrote. Raises ValueError where they read other features."""
        data = json.loads(text)
        made = [
            LiveModel(**found | {"names": tuple(found["names"]), "weights": tuple(found["weights"])})
            for found in (data["forecast"], data["alone"])
        ]
        if [model.names for model in made] != [(*OF_FORECAST, *OF_CURVE), OF_CURVE]:
            raise ValueError("this live forecast reads other features: learn it anew with benchmarks/live.py")
        return cls(*made)

    def model(self, course: Course) -> LiveModel:
        """The one for a run with such a forecast, or without one."""
        return self.alone if course.reach is None else self.forecast

    def __call__(self, course: Course, curve: Sequence[Seen], *, met: bool = False) -> LiveForecast | None:
        """What is left of a run after these evaluations; `met`: one of them met the target.

        Before the first step it is the forecast that was made; None without one.
        """
        now = curve[-1].epochs
        if met:
            return LiveForecast(epochs=now, reach_probability=1.0, epochs_left=_exactly(0.0))
        if now >= course.budget - 1e-9:
            return LiveForecast(epochs=now, reach_probability=0.0, epochs_left=_exactly(0.0))
        if now > 0:
            chance, left = self.model(course)(course, curve)
            return LiveForecast(epochs=now, reach_probability=chance, epochs_left=left)
        if course.before is None or course.reach is None:
            return None
        return LiveForecast(epochs=now, reach_probability=course.reach, epochs_left=course.before)


def _exactly(value: float) -> Interval:
    return Interval(median=value, low=value, high=value, level=LEVEL)


@cache
def shipped() -> LiveModels:
    """The live forecast that comes with foretoll."""
    return LiveModels.of_text(resources.files("foretoll.forecast").joinpath("live.json").read_text("utf-8"))
