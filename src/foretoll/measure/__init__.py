"""Energy meters, grid intensity, hardware and the probe of a few training steps.

Nothing here imports torch, codecarbon or pynvml before it is used.
"""

from foretoll.measure.catalogue import CATALOGUE, Device, find_device
from foretoll.measure.elsewhere import Work, count_work, probe_on
from foretoll.measure.fixed_meters import NoMeter, ReplayMeter
from foretoll.measure.green_window import GreenWindow, IntensitySeries, green_window, make_series, read_series
from foretoll.measure.grid import grid_intensity, known_regions
from foretoll.measure.hardware import describe_hardware
from foretoll.measure.inference import probe_inference
from foretoll.measure.meter import EnergyMeter, EnergyReading, synchronise
from foretoll.measure.opening import METERS, MeterLike, open_meter
from foretoll.measure.self_cost import SelfCostMeter
from foretoll.measure.step_probe import probe_steps

__all__ = [
    "CATALOGUE",
    "METERS",
    "Device",
    "EnergyMeter",
    "EnergyReading",
    "GreenWindow",
    "IntensitySeries",
    "MeterLike",
    "NoMeter",
    "ReplayMeter",
    "SelfCostMeter",
    "Work",
    "count_work",
    "describe_hardware",
    "find_device",
    "green_window",
    "grid_intensity",
    "known_regions",
    "make_series",
    "open_meter",
    "probe_inference",
    "probe_on",
    "probe_steps",
    "read_series",
    "synchronise",
]
