"""Energy meters, grid intensity, hardware and the probe of a few training steps.

Nothing here imports torch, codecarbon or pynvml before it is used.
"""

from foretoll.measure.benchmark import measure_device
from foretoll.measure.catalogue import CATALOGUE, find_device
from foretoll.measure.elsewhere import Pace, Work, count_work, probe_on
from foretoll.measure.fixed_meters import NoMeter, ReplayMeter
from foretoll.measure.green_window import GreenWindow, IntensitySeries, green_window, make_series, read_series
from foretoll.measure.grid import grid_intensity, known_regions
from foretoll.measure.hardware import describe_hardware
from foretoll.measure.inference import probe_inference
from foretoll.measure.machines import Machine, machines, read_measured
from foretoll.measure.meter import EnergyMeter, EnergyReading, synchronise
from foretoll.measure.opening import METERS, MeterLike, open_meter
from foretoll.measure.self_cost import SelfCostMeter
from foretoll.measure.step_probe import Timing, probe_steps

__all__ = [
    "CATALOGUE",
    "METERS",
    "EnergyMeter",
    "EnergyReading",
    "GreenWindow",
    "IntensitySeries",
    "Machine",
    "MeterLike",
    "NoMeter",
    "Pace",
    "ReplayMeter",
    "SelfCostMeter",
    "Timing",
    "Work",
    "count_work",
    "describe_hardware",
    "find_device",
    "green_window",
    "grid_intensity",
    "known_regions",
    "machines",
    "make_series",
    "measure_device",
    "open_meter",
    "probe_inference",
    "probe_on",
    "probe_steps",
    "read_measured",
    "read_series",
    "synchronise",
]
