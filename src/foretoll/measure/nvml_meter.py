"""The energy counter of an NVIDIA GPU (Volta or newer): millijoules since the driver was loaded.

The counter is updated every 20 to 100 ms, so an interval's energy is uncertain by up to one update at each end:
integrate over seconds. It counts the whole board, whoever uses it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from foretoll.errors import MeasureError
from foretoll.measure.basis import PartReport
from foretoll.measure.meter import Clock, EnergyMeter, Scope
from foretoll.measure.plausible import COUNTER_RANGE
from foretoll.records import EnergyComponent
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch

UPDATE_PERIOD_S = 0.1  # the longest known time between two updates of the counter


class GpuCounter(Protocol):
    """What the meter needs of a GPU; the driver's own is `open_gpu_counter`."""

    name: str

    def millijoules(self) -> int:
        """Energy since the driver was loaded."""
        ...

    def close(self) -> None:
        """Let the driver go."""
        ...


class NvmlMeter(EnergyMeter):
    """Energy of one NVIDIA GPU by its own counter. `counter` is given in tests only."""

    tool = "NVML"
    scope: Scope = "device"

    def __init__(
        self,
        *,
        device: torch.device | str = "cuda",
        counter: GpuCounter | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        super().__init__(device=device, clock=clock)
        self._counter = counter
        self._name = ""
        self._zero = 0

    def _prepare(self) -> None:
        if self._counter is None:
            self._counter = open_gpu_counter(self.device)
        self._name = self._counter.name

    def _begin(self) -> None:
        assert self._counter is not None  # noqa: S101  (set by _prepare)
        self._zero = self._counter.millijoules()

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        assert self._counter is not None  # noqa: S101
        try:
            return {"gpu": (self._counter.millijoules() - self._zero) / 1000.0}
        except MeasureError:  # lost in the middle of a run: the run goes on, its energy is unknown
            return {"gpu": None}

    def _finish(self) -> None:
        if self._counter is not None:
            self._counter.close()

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        total = joules.get("gpu")
        detail = f"{self._name}: total energy counter of the board"
        return [
            PartReport(
                EnergyComponent(
                    name="gpu",
                    method="counter",
                    energy_kwh=None if total is None else kwh_from_joules(total),
                    detail=detail
                    if total is not None
                    else f"{self._name}: the counter could not be read any more",
                ),
                *COUNTER_RANGE,
            )
        ]

    def _notes(self, shortest_s: Mapping[str, float]) -> list[str]:
        short = sorted(phase for phase, seconds in shortest_s.items() if seconds < UPDATE_PERIOD_S)
        if not short:
            return []
        return [
            f"the GPU's energy counter is updated every 20 to 100 ms and {', '.join(short)} had shorter intervals: "
            "the total is right, its split between the phases is rough"
        ]


class _NvmlCounter:
    """One GPU through pynvml."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        name = nvml.nvmlDeviceGetName(handle)
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def millijoules(self) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise MeasureError(
                f"the energy counter of {self.name} cannot be read ({error}): use --energy codecarbon"
            ) from error

    def close(self) -> None:
        with contextlib.suppress(self._nvml.NVMLError):  # gone already: nothing is held
            self._nvml.nvmlShutdown()


def open_gpu_counter(device: str) -> GpuCounter:
    """The energy counter of a torch device.

    Raises:
        MeasureError: no CUDA device, no NVIDIA driver, or a GPU without the counter (before Volta, or a MIG slice).
    """
    if not device.startswith("cuda"):
        raise MeasureError(
            f"--energy nvml measures an NVIDIA GPU and the device is {device!r}: use --device cuda or --energy auto"
        )
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:
        raise MeasureError(f"--energy nvml finds no NVIDIA driver ({error}): use --energy auto") from error
    try:
        counter = _NvmlCounter(pynvml, _handle(pynvml, device))
        counter.millijoules()
    except (MeasureError, pynvml.NVMLError) as error:
        pynvml.nvmlShutdown()
        raise MeasureError(
            f"--energy nvml cannot read the energy counter of {device} ({error}): use --energy auto"
        ) from error
    return counter


def driver_index(device: str) -> int:
    """The driver's number of a torch device. Torch counts the visible GPUs only, the driver all of them."""
    import torch

    index = torch.device(device).index or 0
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetIndex(_handle(pynvml, device)))
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001  (no NVIDIA driver: an AMD GPU)
        return _visible(index)


def _handle(nvml: Any, device: str) -> Any:
    """The driver's handle of a torch device: by UUID, since torch and the driver may number differently."""
    import torch

    place = torch.device(device)
    if torch.cuda.is_available():
        uuid = str(torch.cuda.get_device_properties(place).uuid)
        return nvml.nvmlDeviceGetHandleByUUID((uuid if uuid.startswith("GPU-") else f"GPU-{uuid}").encode())
    return nvml.nvmlDeviceGetHandleByIndex(_visible(place.index or 0))


def _visible(index: int) -> int:
    visible = [entry for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry]
    return int(visible[index]) if index < len(visible) and visible[index].isdigit() else index
