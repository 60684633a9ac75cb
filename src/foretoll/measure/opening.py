"""Open an energy meter by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import UsageError, shown, unknown_name
from foretoll.measure.fixed_meters import NoMeter, ReplayMeter
from foretoll.measure.meter import EnergyMeter

if TYPE_CHECKING:
    import torch

METERS: tuple[str, ...] = ("auto", "codecarbon", "none", "nvml", "rapl", "replay:FILE", "watts:NUMBER")


def open_meter(name: str = "auto", *, device: torch.device | str = "cpu") -> EnergyMeter:
    """A fresh meter for one measurement.

    Args:
        name: `auto` (counters where there are any, CodeCarbon's power models for the rest), `codecarbon`,
            `nvml` (the GPU's counter alone), `rapl` (the processor's counters alone), `none` (durations only),
            `watts:NUMBER` (a constant power that the user knows, say from a wall plug), or `replay:FILE`
            (a recorded series, see ReplayMeter.from_file).
        device: where the work runs; it is synchronised at every boundary.

    Raises:
        UsageError: an unknown name, or watts that are no number.
        MeasureError: `nvml` or `rapl` was asked for by name and this machine has no such counter.
    """
    place = str(device)
    kind, argument = meter_named(name)
    if kind == "watts":
        return ReplayMeter(watts=_watts(argument), by_user=True, device=place)
    if kind == "replay":
        return ReplayMeter.from_file(Path(argument), device=place)
    return _PLAIN[kind](place)


def meter_named(name: str) -> tuple[str, str]:
    """The kind of a meter and its argument, with nothing opened; UsageError where there is no such meter."""
    kind, _, argument = name.strip().partition(":")
    if argument and kind == "watts":
        _watts(argument)
    elif not (argument and kind == "replay") and (argument or kind not in _PLAIN):
        raise UsageError(unknown_name("energy meter", name, METERS))
    return kind, argument


def _watts(text: str) -> float:
    try:
        watts = float(text)
    except ValueError:
        watts = math.nan
    if not (math.isfinite(watts) and watts >= 0):
        raise UsageError(
            f"--energy watts:{shown(text)[1:-1]} is no power: give a number of watts, such as watts:65"
        )
    return watts


def _auto(device: str) -> EnergyMeter:
    from foretoll.measure.composite import auto_meter

    return auto_meter(device)


def _codecarbon(device: str) -> EnergyMeter:
    from foretoll.measure.codecarbon_meter import CodeCarbonMeter

    return CodeCarbonMeter(device=device)


def _nvml(device: str) -> EnergyMeter:
    from foretoll.measure.nvml_meter import NvmlMeter

    return _ready(NvmlMeter(device=device))


def _rapl(device: str) -> EnergyMeter:
    from foretoll.measure.rapl_meter import RaplMeter

    return _ready(RaplMeter(device=device))


def _ready(meter: EnergyMeter) -> EnergyMeter:
    """Fail now, not at the start of a run."""
    meter.prepare()
    return meter


_PLAIN: dict[str, Callable[[str], EnergyMeter]] = {
    "auto": _auto,
    "codecarbon": _codecarbon,
    "none": lambda device: NoMeter(device=device),
    "nvml": _nvml,
    "rapl": _rapl,
}
