"""A short benchmark of a device: what a training gets of its arithmetic, its memory and its operator calls, and power.

Each part repeats one kind of work and takes the fastest of its repeats, as `timeit` does: whatever else the machine
does only makes it slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from foretoll.errors import ForetollError, MeasureError
from foretoll.measure.hardware import describe_hardware
from foretoll.measure.meter import EnergyMeter, synchronise
from foretoll.measure.step_probe import joules
from foretoll.records import MeasuredDevice
from foretoll.records.hardware import Kind, Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REPEATS = 5
PART_S = 0.4  # of one repeat, about
IDLE_S, BUSY_S = 1.5, 2.0
IDLE, BUSY = "idle", "busy"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


def measure_device(
    device: torch.device | str = "cpu",
    *,
    name: str = "",
    meter_factory: Callable[[], EnergyMeter] | None = None,
    scale: float = 1.0,
) -> MeasuredDevice:
    """Measure a device with torch, in half a minute or so.

    meter_factory: gives a fresh energy meter; None: no power is measured. scale: of the sizes and times of its parts,
    for a test. Raises MeasureError where a part cannot be carried out.
    """
    import torch

    place = torch.device(device)
    described = describe_hardware(place)
    kind: Kind = "cpu" if place.type == "cpu" else "gpu"
    bench = _Bench(place, scale)
    try:
        found = [precision for precision in PRECISIONS if _has(place, precision)]
        with torch.random.fork_rng(devices=[] if kind == "cpu" else [place]):
            torch.manual_seed(0)
            product = {precision: bench.product(precision) for precision in found}
            layer = {precision: bench.convolution(precision) for precision in found}
            traffic, call = bench.traffic(), bench.call()
            idle, busy, basis = (None, None, "") if meter_factory is None else bench.power(meter_factory)
    except ForetollError:
        raise
    except RuntimeError as error:
        raise MeasureError(
            f"the benchmark fails on {described.device_name} ({type(error).__name__}): free its memory, or name "
            "another --device"
        ) from error
    memory = described.memory_gb * 2**30 / 1e9
    if place.type == "cuda":
        memory = torch.cuda.get_device_properties(place).total_memory / 1e9
    return MeasuredDevice(
        name=name or described.device_name,
        kind=kind,
        device_name=described.device_name,
        matmul_flops=product,
        convolution_flops=layer,
        bytes_per_s=traffic,
        call_s=call,
        idle_w=idle,
        busy_w=busy,
        energy=basis[:200],
        memory_gb=round(memory, 1),
        threads=described.threads if kind == "cpu" else None,
        torch=described.torch,
    )


def _has(place: torch.device, precision: str) -> bool:
    import torch

    if precision == "fp32":
        return True
    if place.type != "cuda":
        return False
    return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)


class _Bench:
    """The parts of the benchmark on one device."""

    def __init__(self, place: torch.device, scale: float) -> None:
        self.place, self.scale = place, scale
        self.large = place.type != "cpu"

    def product(self, precision: str) -> float:
        """Operations a second of a product of square matrices."""
        step, operations = self._product(precision)
        return operations / self._fastest(step)

    def _product(self, precision: str) -> tuple[Callable[[], object], float]:
        size = max(round((4096 if self.large else 1024) * self.scale), 16)
        a = self._numbers((size, size), precision)
        b = self._numbers((size, size), precision)
        return (lambda: a @ b), 2.0 * size**3

    def convolution(self, precision: str) -> float:
        """Operations a second of forward and backward of a 3 × 3 convolution, as a residual network has them."""
        import torch

        batch, side, width = (64, 56, 64) if self.large else (8, 56, 64)
        side = max(round(side * self.scale), 8)
        layer = torch.nn.Conv2d(width, width, 3, padding=1, bias=False, device=self.place)
        inputs = self._numbers((batch, width, side, side), "fp32").requires_grad_()
        low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

        def step() -> None:
            with nullcontext() if low is None else torch.autocast(self.place.type, low):
                outputs: Tensor = layer(inputs)
            torch.autograd.grad(outputs.sum(), (inputs, layer.weight))

        return 3 * 2.0 * batch * side**2 * width**2 * 9 / self._fastest(step)

    def traffic(self) -> float:
        """Bytes a second that an elementwise sum of arrays, too large for any cache, reads and writes."""
        import torch

        numbers = max(round((2**27 if self.large else 2**25) * self.scale), 1024)
        a, b, out = (torch.zeros(numbers, device=self.place) for _ in range(3))
        return 3.0 * 4 * numbers / self._fastest(lambda: torch.add(a, b, out=out))

    def call(self) -> float:
        """Seconds of one operator, within training steps of a small network."""
        import torch

        from foretoll.measure.elsewhere import count_work

        layers = [part for _ in range(8) for part in (torch.nn.Linear(16, 16), torch.nn.ReLU())]
        network = torch.nn.Sequential(*layers).to(self.place)
        weights = list(network.parameters())
        inputs = self._numbers((4, 16), "fp32")

        def step() -> None:
            gradients = torch.autograd.grad(network(inputs).sum(), weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.sub_(gradient, alpha=1e-9)

        step()
        return self._fastest(step) / count_work(step).calls

    def power(self, meter_factory: Callable[[], EnergyMeter]) -> tuple[float | None, float | None, str]:
        """Watts without work and with the product always under way, and how they are known; None where no meter is."""
        step, _ = self._product("fp32")
        with meter_factory() as meter:
            meter.start(IDLE)
            time.sleep(IDLE_S * self.scale)
            meter.switch(BUSY)
            began = time.perf_counter()
            while time.perf_counter() - began < BUSY_S * self.scale:
                step()
                synchronise(str(self.place))
            reading = meter.stop()
        found = []
        for phase in (IDLE, BUSY):
            used, seconds = joules(reading, phase), reading.phases[phase].duration_s
            found.append(None if used is None or not seconds else used / seconds)
        idle, busy = found
        if not busy:
            return None, None, ""
        return idle, busy, reading.basis.method

    def _numbers(self, shape: tuple[int, ...], precision: str) -> Tensor:
        import torch

        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
        return torch.randn(shape, device=self.place).to(dtype)

    def _fastest(self, step: Callable[[], object]) -> float:
        """Seconds of one step: the fastest of the repeats, each of as many steps as fill its time."""
        step()
        one = self._timed(step, 1)
        count = max(int(PART_S * self.scale / max(one, 1e-9)), 1)
        return min(self._timed(step, count) for _ in range(REPEATS))

    def _timed(self, step: Callable[[], object], count: int) -> float:
        synchronise(str(self.place))
        began = time.perf_counter()
        for _ in range(count):
            step()
        synchronise(str(self.place))
        return max(time.perf_counter() - began, 1e-9) / count
