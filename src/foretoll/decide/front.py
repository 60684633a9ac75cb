"""The Pareto front: candidates that no other beats in both quality and energy."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.records import Candidate


def cost_and_quality(candidate: Candidate) -> tuple[float, float] | None:
    """Energy (kWh, or seconds where there is no meter) and test quality: measured where it was, else expected."""
    run = candidate.run
    if run is not None and run.quality is not None and run.quality.after is not None:
        cost = run.toll.energy_kwh if run.toll.energy_kwh is not None else run.toll.duration_s
        return None if cost is None else (cost, run.quality.after)
    spent = candidate.forecast.energy_kwh or candidate.forecast.duration_s
    quality = candidate.quality
    if spent is None or spent.median is None or quality is None or quality.median is None:
        return None
    return spent.median, quality.median


def mark_front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The same candidates, with `on_front` set where no other costs at most as much and reaches more."""
    points = [cost_and_quality(candidate) for candidate in candidates]
    marked = []
    for candidate, point in zip(candidates, points, strict=True):
        front = point is not None and not any(_beats(other, point) for other in points if other is not None)
        marked.append(candidate.model_copy(update={"on_front": front}))
    return tuple(marked)


def _beats(other: tuple[float, float], point: tuple[float, float]) -> bool:
    """Whether `other` is at least as good in both and better in one."""
    return other[0] <= point[0] and other[1] >= point[1] and other != point
