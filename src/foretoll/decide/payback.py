"""After how many answers an update has paid for itself: what it costs over what its better answers are worth."""

from __future__ import annotations

import math
from statistics import NormalDist

from foretoll.records import Interval, ServedMetric


def gain_of(after: Interval, before: float, error: float, served: ServedMetric) -> Interval | None:
    """By how much an answer is better after an update, in the metric's unit; None where the quality is not known.

    `error`: standard error of `before`. Ends are as far off as both errors make them, which are taken for independent.
    """
    if after.median is None or after.low is None or after.high is None:
        return None
    doubt = NormalDist().inv_cdf((1 + after.level) / 2) * error

    def better(value: float) -> float:
        return served.loss(before) - served.loss(value)

    median = better(after.median)
    low, high = sorted((better(after.low), better(after.high)))
    return Interval(
        median=median,
        low=median - math.hypot(median - low, doubt),
        high=median + math.hypot(high - median, doubt),
        level=after.level,
    )


def answers_to_repay(cost: Interval, worth: float, gain: Interval) -> Interval:
    """How many answers pay for an update, of which each is `gain` better and one more right one is worth `worth`.

    The fewest are those of the lowest cost and the highest gain, the most those of the highest cost and the lowest
    gain: wider than the level of either, as both ends are rarely met at once. None, in a median or an end: never, as
    nothing is won, or not within any number of answers.
    """
    return Interval(
        median=_number(cost.median, worth, gain.median),
        low=_number(cost.low, worth, gain.high),
        high=_number(cost.high, worth, gain.low),
        level=cost.level,
    )


def _number(cost: float | None, worth: float, gain: float | None) -> float | None:
    if cost is None or gain is None or gain <= 0:
        return None
    won = worth * gain
    number = cost / won if won > 0 else math.inf
    return number if math.isfinite(number) else None
