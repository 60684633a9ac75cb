"""What an update costs with the requests that are served afterwards."""

from __future__ import annotations

from foretoll.records import InferenceCost, Interval


def energy_with_serving(
    update_kwh: Interval | None,
    inference: InferenceCost | None,
    requests: int,
) -> Interval | None:
    """Energy (kWh) of the update and of `requests` samples; None where either is not known.

    The ends of the interval add the ends of the inference probe's spread, as the update's own interval does.
    """
    if update_kwh is None or inference is None or inference.energy_kwh_per_1000 is None:
        return None
    served = inference.energy_kwh_per_1000 * requests / 1000
    second = inference.seconds_per_1000
    low, high = (
        (inference.seconds_per_1000_low / second, inference.seconds_per_1000_high / second)
        if second
        else (1.0, 1.0)
    )

    def plus(value: float | None, factor: float) -> float | None:
        return None if value is None else value + factor * served

    return Interval(
        median=plus(update_kwh.median, 1.0),
        low=plus(update_kwh.low, min(low, 1.0)),
        high=plus(update_kwh.high, max(high, 1.0)),
        level=update_kwh.level,
    )
