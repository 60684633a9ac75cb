"""From the parts of a reading to what stands beside every kWh: method, counter share, plausible range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foretoll.records import EnergyBasis, EnergyComponent

ALWAYS_LEFT_OUT = (
    "cooling and power supply (unless a PUE is set)",
    "network and storage",
    "making the hardware (embodied carbon)",
)


@dataclass(frozen=True)
class PartReport:
    """One part of the machine, with factors that span its plausible energy (1, 1: no range is known)."""

    component: EnergyComponent
    low: float = 1.0
    high: float = 1.0


def build_basis(
    reports: Sequence[PartReport],
    *,
    tool: str,
    scope: Literal["process", "machine", "device", "none"],
    left_out: Sequence[str] = (),
) -> EnergyBasis:
    """Weigh the parts by their energy.

    `counter_share` is the share of the energy that a hardware counter measured; None where no energy is
    known. `relative_low` and `relative_high` are the energy-weighted means of the parts' factors, so the low
    ends (and the high ends) of all parts are taken together; None where no part has a range.
    """
    parts = [report.component for report in reports]
    known = bool(parts) and all(part.energy_kwh is not None for part in parts)
    weights = _weights(parts) if known else []
    counter_share = (
        sum(w for w, part in zip(weights, parts, strict=True) if part.method == "counter") if known else None
    )
    if counter_share is not None:
        counter_share = min(1.0, counter_share)
    ranged = known and any((report.low, report.high) != (1.0, 1.0) for report in reports)
    return EnergyBasis(
        method=_method_line(parts, counter_share) + _mostly_memory(parts, weights),
        tool=tool,
        components=tuple(parts),
        counter_share=counter_share,
        scope=scope if known else "none",
        relative_low=_mean(weights, [r.low for r in reports]) if ranged else None,
        relative_high=_mean(weights, [r.high for r in reports]) if ranged else None,
        left_out=(*left_out, *ALWAYS_LEFT_OUT),
    )


def _weights(parts: Sequence[EnergyComponent]) -> list[float]:
    energies = [part.energy_kwh or 0.0 for part in parts]
    total = sum(energies)
    return [energy / total for energy in energies] if total > 0 else [1.0 / len(parts)] * len(parts)


def _mean(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _mostly_memory(parts: Sequence[EnergyComponent], weights: Sequence[float]) -> str:
    """What a reader must know where a flat power for memory is the largest part: it does not follow the work."""
    if len(parts) < 2 or len(weights) != len(parts) or not any(part.energy_kwh for part in parts):
        return ""
    weight, largest = max(zip(weights, parts, strict=True), key=lambda pair: pair[0])
    if largest.name != "ram" or largest.method != "constant":
        return ""
    flat = f" at a flat {largest.watts:.3g} W" if largest.watts is not None else " at a flat power"
    return f", {weight:.0%} of it memory{flat}".replace("%", " %")


def _method_line(parts: Sequence[EnergyComponent], counter_share: float | None) -> str:
    """One line for people."""
    if counter_share is None:
        return "energy not measured"
    methods = {part.method for part in parts}
    if methods == {"replay"}:
        return "replayed series"
    if methods == {"set by the user"}:
        watts = [part.watts for part in parts if part.watts is not None]
        return f"{sum(watts):g} W set by the user" if watts else "set by the user"
    if methods == {"counter"}:
        return "hardware counter, 100 % by counter"
    names = "hardware counter and power model" if "counter" in methods else "power model"
    return f"{names}, {counter_share:.0%} by counter".replace("%", " %")
