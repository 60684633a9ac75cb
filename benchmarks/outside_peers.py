"""What is told of a curve from its beginning: by foretoll's live forecast, and by what others would do.

Each tells, of a `View`: quantiles (99,) of the best progress by the end; and of a target, quantiles (99,) of the epochs
to come until it, at most those that are left. A method that tells a point alone gets its spread from its own errors on
curves of other base models and other data sets (`with_spread`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit, logit, logsumexp, ndtri, softmax

from foretoll.forecast.live import OF_CURVE, LiveModel, live_features
from outside_curves import CUTS, OF_FINAL, Array, Curve, View, family_weights, views

LEVELS = np.arange(1, 100) / 100
MIDDLE = 49
LEAST = 1e-3  # of a share, and of what is missing to 1, before its log odds
NODES = 80  # targets at which a curve's final quality is read off the chances
ERROR_LEFT = 1e-3  # of the error now, at the last of them
FEWEST_TO_FIT = 3


@dataclass(frozen=True)
class Told:
    """Quantiles at LEVELS of the best progress by the end, and of the epochs until the target (None: not told)."""

    final: Array
    left: Array | None


Method = Callable[[View, float], Told]


# --- foretoll ------------------------------------------------------------------------------------


def live(model: LiveModel) -> Method:
    """The live forecast, read both ways: its chance of each quality is the distribution of the final one."""

    def told(view: View, target: float) -> Told:
        goals = 1 - (1 - view.best) * np.geomspace(1, ERROR_LEFT, NODES)[1:]
        points = view.points
        chances = np.array(
            [model.time_left(course, points).within(course.budget) for course in map(view.course, goals)]
        )
        chances = np.minimum.accumulate(chances)
        # the quality that is exceeded with probability 1 − level; below the first goal nothing is gained
        places = np.interp(1 - LEVELS, chances[::-1], goals[::-1], left=goals[-1], right=view.best)
        left = None
        if target > view.best:
            time = model.time_left(view.course(target), points)
            left = np.array([time.at(float(level)) for level in LEVELS])
        return Told(np.where(chances[0] < 1 - LEVELS, view.best, places), left)

    return told


def learned_from(curves: Sequence[Curve]) -> LiveModel:
    """The live forecast's own form, with coefficients of these curves: every family of them counts the same."""
    x, lower, upper, weights = [], [], [], []
    of_curve = dict(zip((c.run for c in curves), family_weights(curves), strict=True))
    for view in views(curves, (*CUTS, 0.05, 0.6, 0.8)):
        curve, points = view.curve, view.points
        above = [*(g for g in GOALS if g > view.best), OF_FINAL * curve.final]
        goals = [goal for goal in above if goal > view.best]
        for goal in goals:
            features = live_features(view.course(goal), points)
            x.append([features[name] for name in OF_CURVE])
            at = curve.time_to(goal)
            before = (
                view.left if at is None else curve.epochs[np.searchsorted(curve.epochs, at) - 1] - view.now
            )
            lower.append(math.log(before / view.now) if before > 0 else -math.inf)
            upper.append(math.inf if at is None else math.log((at - view.now) / view.now))
            weights.append(of_curve[curve.run] / len(goals))
    scale = len(weights) / sum(weights)
    ends = np.array(lower), np.array(upper)
    of = len(curves), len({curve.family for curve in curves})
    return LiveModel.fit(OF_CURVE, np.array(x), ends, scale * np.array(weights), of=of)


GOALS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


# --- points --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One value of the final quality, and the epochs to come until a target (at most what is left)."""

    final: float
    left: float


def last_value(view: View, target: float) -> Point:
    """Nothing more is gained."""
    return Point(view.best, view.left)


def line(view: View, target: float) -> Point:
    """The slope of the last two evaluations goes on."""
    curve, at = view.curve, view.seen - 1
    rise = float(curve.progress[at] - curve.progress[at - 1]) if at else 0.0
    rate = max(rise, 0.0) / float(curve.epochs[at] - curve.epochs[at - 1]) if at else 0.0
    final = min(max(float(curve.progress[at]) + rate * view.left, view.best), 1.0)
    left = (target - float(curve.progress[at])) / rate if rate > 0 else math.inf
    return Point(final, min(max(left, 0.0), view.left))


def fitted(shape: Callable[[Array, float], Array]) -> Callable[[View, float], Point]:
    """A curve top − height × shape(epochs, rate), by least squares; the last value where there is too little to fit."""

    def told(view: View, target: float) -> Point:
        if view.seen < FEWEST_TO_FIT:
            return last_value(view, target)
        top, height, rate = _fit(shape, view)
        ahead = view.curve.epochs[view.seen :]
        course = top - height * shape(ahead / view.now, rate)
        final = min(max(float(course.max()), view.best), 1.0)
        met = np.flatnonzero(course >= target)
        return Point(final, float(ahead[met[0]]) - view.now if len(met) else view.left)

    return told


def _fit(shape: Callable[[Array, float], Array], view: View) -> tuple[float, float, float]:
    t = view.curve.epochs[: view.seen] / view.now
    y = view.curve.progress[: view.seen]
    start = [min(view.best + 0.1, 1.0), 0.3, 1.0]
    found = least_squares(
        lambda p: p[0] - p[1] * shape(t, p[2]) - y, start, bounds=([0, 0, 0.01], [1, 5, 10]), max_nfev=200
    )
    top, height, rate = found.x
    return float(top), float(height), float(rate)


def power(t: Array, rate: float) -> Array:
    """t ** −rate."""
    return np.asarray(t**-rate)


def exponential(t: Array, rate: float) -> Array:
    """exp(−rate × t)."""
    return np.exp(-rate * t)


POINTS: dict[str, Callable[[View, float], Point]] = {
    "last value": last_value,
    "line through the last two": line,
    "power law": fitted(power),
    "exponential": fitted(exponential),
}


def with_spread(
    points: Sequence[Point], seen: Sequence[View], targets: Sequence[float], came: Sequence[float | None]
) -> list[Told]:
    """Points with the spread of their errors on unrelated curves at the same share.

    came: the epochs until each target, None where it was met before. Errors are log odds of the final quality, and logs
    of the epochs to come; each family counts the same.
    """
    weights = family_weights([view.curve for view in seen])
    shares = np.array([view.share for view in seen])
    odds = np.array([_odds(point.final) for point in points])
    off = np.array([_odds(view.curve.final) for view in seen]) - odds
    known = np.array([left is not None for left in came])
    times = np.array(
        [math.log((left or 1.0) / max(p.left, 1e-9)) for left, p in zip(came, points, strict=True)]
    )
    rest = _unrelated([view.curve for view in seen])
    found = []
    for k, view in enumerate(seen):
        others = (shares == view.share) & rest(view.curve)
        final = expit(odds[k] + weighted_quantiles(off[others], weights[others], LEVELS))
        left = None
        if targets[k] > view.best:
            others &= known
            spread = weighted_quantiles(times[others], weights[others], LEVELS)
            left = np.minimum(points[k].left * np.exp(spread), view.left)
        found.append(Told(np.maximum(final, view.best), left))
    return found


def _odds(share: float) -> float:
    return float(logit(min(max(share, LEAST), 1 - LEAST)))


def _unrelated(curves: Sequence[Curve]) -> Callable[[Curve], NDArray[np.bool_]]:
    """Which of the curves (n,) share neither the base model nor a known data set with one."""
    bases = np.array([curve.base for curve in curves])
    sets = np.array([curve.data or "" for curve in curves])

    @cache
    def of(base: str, data: str | None) -> NDArray[np.bool_]:
        return (bases != base) & ((sets != data) if data else np.ones(len(curves), bool))

    return lambda curve: of(curve.base, curve.data)


def weighted_quantiles(values: Array, weights: Array, levels: Array) -> Array:
    """Smallest of the values (n,) that so much of the weight lies at or below: (levels,)."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    places = np.searchsorted(share, levels * share[-1] - 1e-12)
    return np.asarray(values[order][np.minimum(places, len(values) - 1)])


# --- Bayes ---------------------------------------------------------------------------------------


@dataclass
class CurvePosterior:
    """Bayesian extrapolation with the prior that LC-PFN was trained on (Adriaensen et al. 2023).

    A curve on evaluations 1 … 100 is a sum of a power law, 1/log and Janoschek's growth curve with random weights and
    parameters, kept if it rises and stays in [0, 1], plus normal noise with log deviation N(−4, 1). The network, whose
    weights are not at hand, approximates this posterior in one pass; here `draws` curves of the prior are weighted by
    their likelihood (importance sampling).

    Deviations: 1. the deviation of the noise is summed over nine quantiles of its prior for each draw. 2. Where fewer
    than `fewest` draws carry the weight, the likelihood is flattened (a power under 1) until as many do. 3. A curve of
    more than 100 evaluations is read on 100 places.
    """

    draws: int = 50_000
    fewest: float = 50.0
    futures: int = 500
    flattened: list[bool] = field(default_factory=list)

    LENGTH = 100

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(0)
        kept: list[Array] = []
        while sum(map(len, kept)) < self.draws:
            kept.append(self._candidates(50_000))
        self._curves = np.concatenate(kept)[: self.draws]
        self._columns = np.ascontiguousarray(self._curves.T)
        self._sigma = np.exp(-4 + ndtri(np.arange(1, 10) / 10))

    def _candidates(self, n: int) -> Array:
        """Curves (≤ n, 100) of the prior, without noise."""
        r, x = self._random, np.arange(1, self.LENGTH + 1.0)

        def column(values: Array) -> Array:
            return values[:, None]

        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            decay = x ** -column(r.lognormal(0, 2, n))
            power = column(r.uniform(0, 1.25, n)) - column(r.uniform(-0.6, 0.6, n)) * decay
            log = column(r.uniform(0, 1, n)) - column(r.uniform(-0.5, 0.5, n)) / np.log(x + 1)
            top, foot = column(r.uniform(0, 1, n)), column(r.uniform(0, 2, n))
            growth = np.exp(-column(r.lognormal(-2, 1, n)) * x ** column(r.lognormal(0, 0.5, n)))
            parts = (power, log, top - (top - foot) * growth)
            y = sum(column(r.uniform(0, 1, n)) * part for part in parts)
        y = np.asarray(y)
        good = (y[:, -1] > y[:, 0]) & (y >= 0).all(1) & (y <= 1).all(1)
        return np.asarray(y[good], dtype=np.float32)

    def __call__(self, view: View, target: float) -> Told:
        """The posterior's quantiles."""
        places = self._places(view)
        curves = self._posterior(places[: view.seen], view.curve.progress[: view.seen])
        ahead = places[view.seen :]
        shape = (self.futures, len(ahead))
        noise = self._random.standard_normal(shape) * curves.sigma[:, None]
        paths = np.clip(self._curves[curves.at][:, ahead] + noise, 0.0, 1.0)
        final = np.quantile(np.maximum(paths.max(1), view.best), LEVELS)
        left = None
        if target > view.best:
            met = paths >= target
            first = np.where(met.any(1), met.argmax(1), len(ahead) - 1)
            left = np.quantile(view.curve.epochs[view.seen :][first] - view.now, LEVELS)
        return Told(final, left)

    def _places(self, view: View) -> NDArray[np.intp]:
        """Which of the 100 places each evaluation of the curve is."""
        n = len(view.curve.epochs)
        if n <= self.LENGTH:
            return np.arange(n)
        return np.rint(np.linspace(0, self.LENGTH - 1, n)).astype(np.intp)

    def _posterior(self, places: NDArray[np.intp], y: Array) -> _Draws:
        squares = np.zeros(self.draws)
        for place, value in zip(places, y, strict=True):
            squares += (self._columns[place] - value) ** 2
        log = -squares[:, None] / (2 * self._sigma**2) - len(y) * np.log(self._sigma)
        likelihood = logsumexp(log, axis=1)
        power = self._power(likelihood)
        self.flattened.append(power < 1)
        at = self._random.choice(self.draws, self.futures, p=softmax(power * likelihood))
        of_noise = np.cumsum(softmax(log[at], axis=1), axis=1)
        sigma = (of_noise < self._random.random((self.futures, 1))).sum(1)
        return _Draws(at, self._sigma[np.minimum(sigma, len(self._sigma) - 1)])

    def _power(self, likelihood: Array) -> float:
        """The largest power of the likelihood, at most 1, with which enough draws carry the weight."""

        def carrying(power: float) -> float:
            return 1 / float((softmax(power * likelihood) ** 2).sum())

        if carrying(1.0) >= self.fewest:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if carrying(middle) >= self.fewest else (low, middle)
        return low


@dataclass(frozen=True)
class _Draws:
    at: NDArray[np.intp]
    sigma: Array
