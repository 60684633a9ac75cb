"""Cost over a model's life: the update, and every request that is served afterwards."""

from __future__ import annotations

from foretoll.records import InferenceCost, Interval


def life_energy(
    update_kwh: Interval | None, inference: InferenceCost | None, requests: int
) -> Interval | None:
    """Energy (kWh) of the update and of `requests` samples; None where either is not known."""
    if update_kwh is None or inference is None or inference.energy_kwh_per_1000 is None:
        return None
    served = inference.energy_kwh_per_1000 * requests / 1000

    def plus(value: float | None) -> float | None:
        return None if value is None else value + served

    return Interval(
        median=plus(update_kwh.median),
        low=plus(update_kwh.low),
        high=plus(update_kwh.high),
        level=update_kwh.level,
    )
