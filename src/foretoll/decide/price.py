"""What candidates are compared by: one kind of cost for all of them, forecast or measured."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.options.table import traits_of
from foretoll.records import Candidate, Interval
from foretoll.units import human_duration, human_energy

KINDS = ("energy_with_serving_kwh", "energy_kwh", "duration_s")


def kind_of_price(candidates: Sequence[Candidate]) -> str:
    """The first kind that is known of any candidate: energy with serving, energy, or seconds.

    One kind for all, so that no kWh is ever compared with a second; a candidate without it has no price.
    """
    usable = [candidate for candidate in candidates if not candidate.why_not]
    return next((kind for kind in KINDS if any(price(c, kind) is not None for c in usable)), KINDS[-1])


def price(candidate: Candidate, kind: str) -> float | None:
    """The forecast median in kWh or s; None where it is not known."""
    interval: Interval | None = (
        candidate.energy_with_serving_kwh if kind == KINDS[0] else getattr(candidate.forecast, kind)
    )
    return interval.median if interval is not None else None


def price_text(value: float | None, kind: str) -> str:
    """A price in words."""
    if kind == "duration_s":
        return human_duration(value)
    return f"{human_energy(value)} with serving" if kind == "energy_with_serving_kwh" else human_energy(value)


def measured_price(candidate: Candidate, kind: str, requests: int = 0) -> float | None:
    """What a candidate really took, in kWh or s; with serving: and `requests` samples served after it.

    Serving counts as it was probed once for all candidates of an architecture: probed anew after every run, it would
    rank them by its spread.
    """
    run = candidate.run
    if run is None:
        return None
    if kind == "duration_s":
        return run.toll.duration_s
    energy = run.toll.energy_kwh
    if kind == "energy_kwh" or energy is None:
        return energy
    served = candidate.inference.energy_kwh_per_1000 if candidate.inference is not None else None
    return None if served is None else energy + served * requests / 1000


def undominated(candidates: Sequence[Candidate], among: Sequence[int]) -> list[int]:
    """The positions without the options of a model that is among them as it is.

    Each of them makes the one evaluation that keeping it makes: none is cheaper, whatever the spread of two
    measurements of the same work says.
    """
    as_it_is = {i for i in among if traits_of(candidates[i].option).leaves_model}
    kept = {candidates[i].model for i in as_it_is}
    return [i for i in among if i in as_it_is or candidates[i].model not in kept]
