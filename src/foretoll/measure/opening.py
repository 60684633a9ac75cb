"""Open an energy meter by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import UsageError, shown, unknown_name
from foretoll.measure.fixed_meters import NoMeter, ReplayMeter
from foretoll.measure.meter import EnergyMeter
from foretoll.registry import Registry

if TYPE_CHECKING:
    import torch

MeterLike = str | EnergyMeter | type[EnergyMeter]
"""A meter by name, a class of meters, or one that was not started: each measurement takes a fresh one of its kind."""


def open_meter(name: MeterLike = "auto", *, device: torch.device | str = "cpu") -> EnergyMeter:
    """A fresh meter for one measurement.

    Args:
        name: `auto` (counters where there are any, CodeCarbon's power models for the rest), `codecarbon`,
            `nvml` (the GPU's counter alone), `rapl` (the processor's counters alone), `none` (durations only),
            `watts:NUMBER` (a constant power that the user knows, say from a wall plug), or `replay:FILE`
            (a recorded series, see ReplayMeter.from_file); one of another package (entry points `foretoll.meters`), as
            NAME or NAME:ARGUMENT; or a class of meters, or a meter that was not started, of which a copy is used.
        device: where the work runs; it is synchronised at every boundary.

    Raises:
        UsageError: an unknown name, or watts that are no number.
        MeasureError: `nvml` or `rapl` was asked for by name and this machine has no such counter.
    """
    place = str(device)
    if isinstance(name, EnergyMeter):
        return name.fresh(place)
    if not isinstance(name, str):
        return METERS.part(name)("", place)
    kind, argument = meter_named(name)
    return METERS[kind](argument, place)


def meter_named(name: str) -> tuple[str, str]:
    """The kind of a meter and its argument, with nothing opened; UsageError where there is no such meter."""
    kind, _, argument = name.strip().partition(":")
    if argument and kind == "watts":
        _watts(argument)
    elif kind not in METERS or (METERS.brings(kind) and bool(argument) != (kind in _WITH_ARGUMENT)):
        others = [name for name in METERS if name not in _WITH_ARGUMENT]
        raise UsageError(unknown_name("energy meter", name, [*others, *_WITH_ARGUMENT.values()]))
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


def _of_class(found: object) -> MeterOpener:
    """What opens meters of a class: `Meter(device=…)`, or `Meter(ARGUMENT, device=…)` where one was given."""
    if not (isinstance(found, type) and issubclass(found, EnergyMeter)):
        raise TypeError("it is no class of foretoll.measure.EnergyMeter")
    made: Callable[..., EnergyMeter] = found
    return lambda argument, device: made(*([argument] if argument else []), device=device)


_WITH_ARGUMENT = {"replay": "replay:FILE", "watts": "watts:NUMBER"}
MeterOpener = Callable[[str, str], EnergyMeter]  # of an argument and a device
METERS: Registry[MeterOpener] = Registry(
    "energy meter",
    "foretoll.meters",
    {
        "auto": lambda _, device: _auto(device),
        "codecarbon": lambda _, device: _codecarbon(device),
        "none": lambda _, device: NoMeter(device=device),
        "nvml": lambda _, device: _nvml(device),
        "rapl": lambda _, device: _rapl(device),
        "replay": lambda file, device: ReplayMeter.from_file(Path(file), device=device),
        "watts": lambda watts, device: ReplayMeter(watts=_watts(watts), by_user=True, device=device),
    },
    made=_of_class,
)
