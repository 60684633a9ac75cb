"""The Pareto front: candidates that no other beats in both quality and cost."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.decide.price import kind_of_price, measured_price, price
from foretoll.records import Candidate, QualityScale

CostAndQuality = tuple[float, float]
"""Cost (kWh, or seconds where no energy is known) and quality on the test data."""


def forecast_point(candidate: Candidate, kind: str) -> CostAndQuality | None:
    """The medians of the forecast; None where one is not known."""
    cost = price(candidate, kind)
    quality = candidate.quality.median if candidate.quality is not None else None
    return None if candidate.why_not or cost is None or quality is None else (cost, quality)


def measured_point(candidate: Candidate, kind: str, requests: int = 0) -> CostAndQuality | None:
    """What a run took and reached; None where there is no run, or where it was not measured to its end."""
    cost = measured_price(candidate, kind, requests)
    quality = candidate.run.quality if candidate.run is not None else None
    return None if cost is None or quality is None or quality.after is None else (cost, quality.after)


def mark_front(
    candidates: Sequence[Candidate], requests: int = 0, *, scale: QualityScale | None = None
) -> tuple[Candidate, ...]:
    """The same candidates, with `on_front` set where no other is as good in cost and quality and better in one.

    `scale`: of the qualities; None: higher is better.
    By what was measured where any was carried out, else by the medians of the forecasts; never a mixture.
    """
    kind = kind_of_price(candidates)
    points: list[CostAndQuality | None] = [
        measured_point(candidate, kind, requests) for candidate in candidates
    ]
    if not any(points):
        points = [forecast_point(candidate, kind) for candidate in candidates]
    if scale is not None and not scale.higher_is_better:
        points = [None if point is None else (point[0], -point[1]) for point in points]
    known = [point for point in points if point is not None]
    return tuple(
        candidate.model_copy(
            update={"on_front": point is not None and not any(_beats(other, point) for other in known)}
        )
        for candidate, point in zip(candidates, points, strict=True)
    )


def _beats(other: CostAndQuality, point: CostAndQuality) -> bool:
    """Whether `other` is at least as good in both and better in one."""
    return other[0] <= point[0] and other[1] >= point[1] and other != point
