"""Cases that need no learned model: what is known by looking, up to the size of the samples that were looked at."""

from __future__ import annotations

import math

from foretoll.forecast.case import Case
from foretoll.options.table import traits_of
from foretoll.records import Interval


def looked_up_quality(case: Case) -> tuple[float, int] | None:
    """Quality of an option that takes no step, and the samples it was seen on; None where it was not seen."""
    traits = traits_of(case.option)
    if not traits.leaves_model:
        seen = case.signals.get(traits.known_from)
        return None if seen is None else (seen, case.looked_at)
    if case.start_quality is None:
        return None
    return case.start_quality, case.validation_samples


def binomial_deviation(quality: float, *samples: int) -> float:
    """Standard deviation of a share of successes that is seen on each of these samples, kept off 0 at the ends."""
    spread = max(quality * (1 - quality), 0.25 / max(min(samples), 1))
    return math.sqrt(sum(spread / max(n, 1) for n in samples))


def test_quality(quality: float, seen_on: int, test_samples: int, level: float) -> Interval:
    """Test quality of a model whose quality was seen on other samples of the same data."""
    from scipy.special import ndtri

    deviation = binomial_deviation(quality, seen_on, test_samples)
    half = float(ndtri((1 + level) / 2)) * deviation
    return Interval(median=quality, low=max(quality - half, 0.0), high=min(quality + half, 1.0), level=level)


def served_by_looking(case: Case, quality: float, samples: int) -> float:
    """Probability that a model whose quality was seen on so many samples meets the target on all data like them."""
    from scipy.special import ndtr

    return float(ndtr((quality - case.until + case.margin) / binomial_deviation(quality, samples)))


def reach_by_looking(case: Case) -> float | None:
    """Probability that an option that takes no step meets the target on the validation data."""
    seen = looked_up_quality(case)
    if seen is None:
        return None
    quality, samples = seen
    if traits_of(case.option).leaves_model:
        return float(quality >= case.until)  # seen on the very data that decide
    from scipy.special import ndtr

    deviation = binomial_deviation(quality, samples, case.validation_samples)
    return float(ndtr((quality - case.until) / deviation))
