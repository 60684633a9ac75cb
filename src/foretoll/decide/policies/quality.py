"""Policies that watch the quality that is served: a floor, a drop, and a change of its mean (ADWIN)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foretoll.decide.policies.base import Choice, Policy, Verdict, View


class Floor(Policy):
    """Update when the newest quality is under a floor: its own, or that of the life."""

    name = "floor"
    title = "update when the served quality falls under a floor"
    needs = ("labels",)

    def __init__(self, quality: float | None = None) -> None:
        self.quality = quality

    def _due(self, view: View, choice: Choice) -> Verdict:
        floor = self.quality if self.quality is not None else view.floor
        if floor is None:
            return Verdict(False, "there is no floor: name one, for example floor:0.85")
        if not view.labelled:
            return Verdict(False, "no labels have arrived since the last update")
        newest = view.labelled[-1].quality
        assert newest is not None  # noqa: S101  (`labelled` says so)
        figures: dict[str, float | None] = {"quality": newest, "floor": floor}
        served = view.served
        seen = f"the newest batch was served with {served.text(newest)}"
        if not served.scale.meets(newest, floor):
            return Verdict(True, f"{seen}, {served.under(floor)}", "", figures)
        return Verdict(False, f"{seen}, {served.not_under(floor)}", "", figures)

    def __str__(self) -> str:
        return self.name if self.quality is None else f"{self.name}:{self.quality:g}"


class Drop(Policy):
    """Update when the newest quality lies so far under the best since the last update, or under that at the start.

    So far: as a share of the way from a trivial model to a perfect one, which of accuracy is accuracy.
    """

    name = "drop"
    title = "update when the served quality has dropped by so much"
    needs = ("labels",)

    def __init__(self, drop: float = 0.05) -> None:
        self.drop = drop

    def _due(self, view: View, choice: Choice) -> Verdict:
        values = [batch.quality for batch in view.labelled if batch.quality is not None]
        if not values:
            return Verdict(False, "no labels have arrived since the last update")
        before = [view.start] if view.start is not None and not view.updated else []
        served = view.served
        fell = served.fallen(values[-1], served.best_of(*before, *values))
        figures: dict[str, float | None] = {"quality": values[-1], "drop": fell}
        if fell >= self.drop:
            return Verdict(True, f"the served quality has dropped by {fell:.3g}", "", figures)
        return Verdict(
            False,
            f"the served quality has dropped by {max(fell, 0.0):.3g}, less than {self.drop:g}",
            "",
            figures,
        )

    def __str__(self) -> str:
        return f"{self.name}:{self.drop:g}"


class Adwin(Policy):
    """Update when the mean of the error has risen within the window, by ADWIN (Bifet and Gavaldà 2007, SDM).

    Each labelled batch is one value, its error; of a metric with a unit as a share of a trivial model's. All cuts of
    the window are tested with the paper's normal approximation at confidence `delta`, which is what river's ADWIN does
    while it has not compressed its window.
    """

    name = "adwin"
    title = "update when ADWIN finds that the error has risen"
    needs = ("labels",)

    def __init__(self, delta: float = 0.002) -> None:
        self.delta = delta

    def _due(self, view: View, choice: Choice) -> Verdict:
        errors = [view.served.lost(batch.quality) for batch in view.labelled if batch.quality is not None]
        rise = risen(errors, self.delta)
        if rise is None:
            return Verdict(False, "the error has not risen, as far as ADWIN can tell")
        return Verdict(True, f"the mean error has risen by {rise:.3g}", "", {"rise": rise})

    def __str__(self) -> str:
        return f"{self.name}:{self.delta:g}"


def risen(values: Sequence[float], delta: float, *, least: int = 1) -> float | None:
    """By how much the mean after a cut lies above the one before it, for the first cut that ADWIN's bound rejects.

    A cut leaves at least `least` values on each side. None where no cut is rejected, or the mean fell there.
    """
    n = len(values)
    if n < 2:
        return None
    total = sum(values)
    mean = total / n
    variance = sum((value - mean) ** 2 for value in values) / n
    confidence = math.log(2.0 * math.log(n) / delta) if n > 2 else math.log(2.0 / delta)
    before = 0.0
    for cut in range(1, n):
        before += values[cut - 1]
        if cut < least or n - cut < least:
            continue
        harmonic = 1.0 / cut + 1.0 / (n - cut)
        bound = math.sqrt(2.0 * harmonic * variance * confidence) + 2.0 / 3.0 * harmonic * confidence
        rise = (total - before) / (n - cut) - before / cut
        if abs(rise) > bound:
            return rise if rise > 0 else None
    return None
