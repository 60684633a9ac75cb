"""`foretoll hardware measure`: a benchmark of a device, for forecasts that are made elsewhere."""

from __future__ import annotations

from foretoll.errors import UsageError, shown
from foretoll.measure import MeterLike, measure_device, open_meter
from foretoll.records import MeasuredDevice
from foretoll.workflows.context import Watcher, choose_device

LONGEST_NAME = 60


def measure_hardware(
    device: str = "auto", *, energy: MeterLike = "auto", name: str = "", watcher: Watcher | None = None
) -> MeasuredDevice:
    """Measure what a training gets of a device, and its power where a meter reads it.

    name: how it is called in tables; its own where none is given. energy: as `foretoll.measure.open_meter` takes it.
    Write the record with `foretoll.report.write_json`, and name that file as `hardware` in `foretoll.estimate`.
    Raises UsageError for an unknown device or a name that no table can hold.
    """
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise UsageError(
            f"--name {shown(name, 40)} is no name: give at most {LONGEST_NAME} printable characters"
        )
    place = choose_device(device)
    open_meter(energy, device=place).__exit__(None, None, None)  # an unknown meter is said before any work
    watcher = watcher or Watcher()
    watcher.stage(f"measure {place}: products, convolutions, memory, operators, power")
    factory = None if energy == "none" else lambda: open_meter(energy, device=place)
    return measure_device(place, name=name, meter_factory=factory)
