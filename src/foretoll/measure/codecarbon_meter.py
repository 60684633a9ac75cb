"""CodeCarbon behind our own adapter: offline, silent, process mode, a fresh tracker per measurement.

What was found in CodeCarbon 3.3.2 and what is done about it:

1. In process mode the CPU's energy is (CPU seconds of the process and its children / seconds / hardware threads)
   × TDP × seconds: an exact integral between two samples, however long they are apart. So nothing is gained by
   frequent sampling, and a sample forced at a phase boundary splits the energy exactly (to the 10 ms tick of
   the process clock). The periodic sampler is therefore put off for ever; otherwise it could run in its thread
   at the same moment as a forced sample and count an interval twice.
2. `start`, `stop` and the constructor swallow every exception: their effect is checked afterwards.
3. The user's CodeCarbon configuration (files, environment) can switch on files, an HTTP end point, a look-up of
   the grid over the network, a PUE of its own: everything of that kind is overridden here. `force_cpu_power`
   and `force_ram_power` are left to the user, and the basis then says "set by the user". A broken file would
   leave a tracker half made: see `foretoll.measure.codecarbon_config`.
4. Its emissions are not used: intensity 0 is forced so that no data of any country is looked up, and its samplers
   are stopped rather than the tracker, whose `stop` loads tables of countries and clouds to make up emissions.
5. It loads pandas and starts a process to look one processor up: see `foretoll.measure.codecarbon_table`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from foretoll.errors import MeasureError, one_line
from foretoll.measure.basis import PartReport
from foretoll.measure.codecarbon_config import only_user_settings
from foretoll.measure.codecarbon_table import lean_look_ups, watts_of
from foretoll.measure.meter import Clock, EnergyMeter, Scope
from foretoll.measure.plausible import COUNTER_RANGE, CPU_WATTS_PER_THREAD, cpu_range, ram_range
from foretoll.records import EnergyComponent
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch

NEVER_S = 3.0e7  # a year: the periodic sampler does not run (see 1 above)
JOULES_PER_KWH = 3_600_000.0
HOOKS = (
    "_measure_power_and_energy",
    "_total_cpu_energy",
    "_total_ram_energy",
    "_total_gpu_energy",
    "_hardware",
    "_scheduler",
    "_scheduler_monitor_power",
)
CPU_COUNTERS = {
    "intel_rapl": "RAPL",
    "windows_emi": "Windows EMI",
    "intel_power_gadget": "Intel Power Gadget",
}


class CodeCarbonMeter(EnergyMeter):
    """CPU, memory and (for a CUDA or ROCm device) GPU energy by CodeCarbon's power models and counters.

    `cpu_unread` names processor counters that cannot be read: the processor is then modelled by its load, since
    CodeCarbon would add up the counters that are left.
    """

    scope: Scope = "process"

    def __init__(
        self,
        *,
        device: torch.device | str = "cpu",
        mode: Literal["process", "machine"] = "process",
        with_gpu: bool = True,
        cpu_unread: Sequence[str] = (),
        clock: Clock = time.perf_counter,
    ) -> None:
        super().__init__(device=device, clock=clock)
        self.scope = mode
        self._mode = mode
        self._cpu_unread = tuple(cpu_unread)
        self._gpu = with_gpu and self.device.startswith("cuda")
        self._tracker: Any = None
        self._zero: dict[str, float] = {}
        self._level: int | None = None
        self._held_gb: float | None = None

    def _prepare(self) -> None:
        with _silent_environment():
            try:
                from codecarbon import OfflineEmissionsTracker
            except ImportError as error:
                raise MeasureError(
                    f"the energy meter 'codecarbon' cannot be loaded ({error}): pip install 'codecarbon>=3.3.2,<3.4', "
                    "or use --energy none"
                ) from error
            self.tool = f"codecarbon {importlib.metadata.version('codecarbon')}"
            logger = logging.getLogger("codecarbon")
            self._level = logger.level
            logger.setLevel(logging.CRITICAL)
            try:
                with only_user_settings(), lean_look_ups():
                    tracker = self._new_tracker(OfflineEmissionsTracker)
                    if hasattr(tracker, "get_detected_hardware"):
                        tracker.get_detected_hardware()  # sets the hardware up now: 2 to 4 s, once in a process
            except Exception as error:  # a library that asks the machine in many ways
                raise MeasureError(
                    f"{self.tool} cannot be set up ({type(error).__name__}: {one_line(str(error), 120)}): "
                    "use --energy watts:NUMBER or --energy none"
                ) from error
        missing = [hook for hook in HOOKS if not hasattr(tracker, hook)]
        if missing or not tracker._hardware:
            why = f"has no {missing[0]}" if missing else "found nothing to measure"
            raise MeasureError(
                f"{self.tool} {why}: pip install 'codecarbon>=3.3.2,<3.4', or use --energy none"
            )
        if not self._gpu:  # other people's GPUs are not ours to count
            tracker._hardware = [part for part in tracker._hardware if type(part).__name__ != "GPU"]
        self._tracker = tracker

    def _new_tracker(self, tracker_class: Any) -> Any:
        """A tracker whose every setting is said here, but for those that the user may make."""
        return tracker_class(
            country_iso_code="USA",  # must be some country; has no effect (see 4 above)
            region=None,
            country_2letter_iso_code=None,
            cloud_provider=None,
            cloud_region=None,
            force_carbon_intensity_g_co2e_kwh=0.0,
            pue=1.0,
            wue=0.0,
            tracking_mode=self._mode,
            measure_power_secs=NEVER_S,
            log_level="critical",
            output_methods=[],
            output_handlers=[],
            output_dir=tempfile.gettempdir(),  # must exist; nothing is written
            emissions_endpoint=None,
            electricitymaps_api_token="",
            api_call_interval=-1,
            allow_multiple_runs=True,
            gpu_ids=_gpu_ids(self.device) if self._gpu else None,
            **({"force_mode_cpu_load": True} if self._cpu_unread else {}),
        )

    def _begin(self) -> None:
        self._tracker.start()
        if self._tracker._start_time is None:
            raise MeasureError(
                f"{self.tool} could not start measuring: use --energy none, or --energy watts:NUMBER"
            )
        self._zero = self._totals()

    def _totals(self) -> dict[str, float]:
        tracker = self._tracker
        totals = {
            "cpu": tracker._total_cpu_energy.kWh * JOULES_PER_KWH,
            "ram": tracker._total_ram_energy.kWh * JOULES_PER_KWH,
            "gpu": tracker._total_gpu_energy.kWh * JOULES_PER_KWH,
        }
        present = {_part_of(part) for part in tracker._hardware}
        return {name: joules for name, joules in totals.items() if name in present}

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        self._tracker._measure_power_and_energy()
        return {name: joules - self._zero[name] for name, joules in self._totals().items()}

    def _finish(self) -> None:
        tracker = self._tracker
        if tracker is None:
            return
        ram = next((part for part in tracker._hardware if type(part).__name__ == "RAM"), None)
        if ram is not None:
            self._held_gb = ram.process_memory_GB if self._mode == "process" else ram.machine_memory_GB
        tracker._scheduler.stop()
        tracker._scheduler_monitor_power.stop()
        if self._level is not None:
            logging.getLogger("codecarbon").setLevel(self._level)

    def _left_out(self) -> tuple[str, ...]:
        return ("idle power of the rest of the machine",) if self._mode == "process" else ()

    # --- what the parts rest on ------------------------------------------------------------------

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        by_part = {_part_of(part): part for part in self._tracker._hardware}
        build = {"cpu": self._cpu_report, "ram": self._ram_report, "gpu": self._gpu_report}
        return [build[name](by_part[name], total, duration_s) for name, total in joules.items()]

    def _cpu_report(self, cpu: Any, joules: float | None, duration_s: float) -> PartReport:
        kind = getattr(cpu, "_mode", type(cpu).__name__)
        model = str(getattr(cpu, "_model", None) or "unknown CPU")
        energy = None if joules is None else kwh_from_joules(joules)
        if kind in CPU_COUNTERS:
            detail = f"{CPU_COUNTERS[kind]} of {model}, whole machine"
            return PartReport(
                EnergyComponent(name="cpu", method="counter", energy_kwh=energy, detail=detail),
                *COUNTER_RANGE,
            )
        if kind not in ("cpu_load", "constant"):
            detail = f"power readings of {model} by {kind}"
            return PartReport(
                EnergyComponent(name="cpu", method="counter", energy_kwh=energy, detail=detail),
                *COUNTER_RANGE,
            )
        watts, threads = float(cpu._tdp), int(cpu._cpu_count)
        forced = self._tracker._force_cpu_power is not None
        recognised = None if forced else _recognised(model)
        load = joules / (watts * duration_s) if joules and watts and duration_s else 0.0
        detail = f"{model}: {watts:g} W at full load of {threads} hardware threads, mean load {load:.0%}"
        if self._cpu_unread:
            detail += f"; modelled, since no counter can be read of {', '.join(self._cpu_unread)}"
        if recognised is False:
            detail += (
                f"; not in the table of CPUs, so {CPU_WATTS_PER_THREAD:g} W per hardware thread are assumed"
            )
        return PartReport(
            EnergyComponent(
                name="cpu",
                method="set by the user" if forced else ("load × TDP" if kind == "cpu_load" else "constant"),
                energy_kwh=energy,
                watts=watts,
                recognised=recognised,
                detail=detail,
            ),
            *((1.0, 1.0) if forced else cpu_range(watts, threads, load=load, recognised=bool(recognised))),
        )

    def _ram_report(self, ram: Any, joules: float | None, duration_s: float) -> PartReport:
        forced = self._tracker._force_ram_power is not None
        watts = joules / duration_s if joules is not None and duration_s > 0 else None
        held = self._held_gb
        return PartReport(
            EnergyComponent(
                name="ram",
                method="set by the user" if forced else "constant",
                energy_kwh=None if joules is None else kwh_from_joules(joules),
                watts=watts,
                detail="" if held is None else f"flat power per assumed memory module, {held:.2g} GB held",
            ),
            *((1.0, 1.0) if forced or held is None or not watts else ram_range(watts, held)),
        )

    def _gpu_report(self, gpu: Any, joules: float | None, duration_s: float) -> PartReport:
        energy = None if joules is None else kwh_from_joules(joules)
        detail = "energy counter, or power readings where there is none, by CodeCarbon"
        return PartReport(
            EnergyComponent(name="gpu", method="counter", energy_kwh=energy, detail=detail), *COUNTER_RANGE
        )


@contextmanager
def _silent_environment() -> Iterator[None]:
    """CodeCarbon logs while it is imported and before it reads its log_level argument."""
    before = os.environ.get("CODECARBON_LOG_LEVEL")
    os.environ["CODECARBON_LOG_LEVEL"] = "critical"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("CODECARBON_LOG_LEVEL", None)
        else:
            os.environ["CODECARBON_LOG_LEVEL"] = before


def _part_of(part: Any) -> str:
    """cpu, ram or gpu: which total CodeCarbon adds this part to."""
    name = type(part).__name__
    if name in ("CPU", "RAM", "GPU"):
        return name.lower()
    return str(getattr(part, "chip_part", "cpu")).lower()  # Apple silicon, Raspberry Pi


def _recognised(model: str) -> bool | None:
    """Whether CodeCarbon has this CPU in its table; None where it cannot be asked."""
    try:
        return watts_of(model) is not None
    except (ImportError, AttributeError, TypeError, OSError, LookupError, ValueError):
        return None


def _gpu_ids(device: str) -> list[int]:
    """The one GPU of this device, as the driver numbers it (CodeCarbon cuts the letters of "GPU-" off a UUID)."""
    from foretoll.measure.nvml_meter import driver_index

    return [driver_index(device)]
