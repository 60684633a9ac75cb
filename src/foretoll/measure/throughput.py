"""What a training gets of a device: ranges of arithmetic, memory traffic, operator calls and power.

Of a device in the catalogue they are shares of what its data sheet promises, of a measured one shares of what was
measured there; either way (at best, typical, at worst). The shares were set once, by what is known of eager PyTorch,
and `benchmarks/hardware.py` says how often they hold (docs/hardware.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretoll.records import Device, MeasuredDevice

Range = tuple[float, float, float]
"""At best, typical, at worst."""

# share of the peak that dense training reaches: plain float32 units, tensor cores, processors
PLAIN_SHARE: Range = (0.9, 0.5, 0.15)
TENSOR_SHARE: Range = (0.6, 0.3, 0.08)
CPU_SHARE: Range = (0.9, 0.45, 0.1)
# share of the peak bandwidth; fused operators, and numbers that are still in a cache, need less than is counted
TRAFFIC_SHARE: Range = (1.5, 0.75, 0.4)
# seconds for a call of an operator, by whoever launches it
CALL_S: dict[str, Range] = {"gpu": (4e-6, 8e-6, 25e-6), "cpu": (2e-6, 6e-6, 25e-6)}
# share of the board power that is drawn without work, and with the units always busy: (least, typical, most)
IDLE_SHARE: Range = (0.1, 0.2, 0.35)
BUSY_SHARE: Range = (0.5, 0.85, 1.0)
# of what a benchmark reached: a training's layers are smaller than its product, or of a better shape
OF_MEASURED: Range = (1.25, 0.7, 0.3)
CALLS_OF_MEASURED: Range = (0.7, 1.2, 3.0)
WATTS_OF_MEASURED: Range = (0.85, 1.0, 1.15)


@dataclass(frozen=True)
class Throughput:
    """Operations and bytes a second and seconds of a call, (at best, typical, at worst); watts (least, typical, most).

    `basis`: what they rest on, in words.
    """

    operations_per_s: Range
    bytes_per_s: Range
    call_s: Range
    idle_w: Range
    busy_w: Range
    basis: str

    @classmethod
    def of_sheet(cls, device: Device, precision: str) -> Throughput:
        """From a data sheet. A precision that the device has no units for runs at its float32 rate."""
        low = getattr(device, f"{precision}_tflops", None) if precision != "fp32" else None
        if device.kind == "cpu":
            peak, words = _scaled(device.fp32_tflops, CPU_SHARE), f"peak × {_ends(CPU_SHARE)}"
        elif low is not None:
            peak, words = _scaled(low, TENSOR_SHARE), f"{precision} peak × {_ends(TENSOR_SHARE)}"
        else:
            peak, words = _scaled(device.fp32_tflops, PLAIN_SHARE), f"fp32 peak × {_ends(PLAIN_SHARE)}"
            tensor = 0.0 if device.tf32_tflops is None else device.tf32_tflops * TENSOR_SHARE[0]
            if tensor > peak[0]:  # PyTorch's default: convolutions by TF32, products in full float32
                peak, words = (tensor, math.sqrt(tensor * peak[2]), peak[2]), f"{words}, or by TF32"
            if precision != "fp32":
                words = f"no {precision} units: {words}"
        return cls(
            _scaled(1e12, peak),
            _scaled(device.bandwidth_gb_s * 1e9, TRAFFIC_SHARE),
            CALL_S[device.kind],
            _scaled(device.watts, IDLE_SHARE),
            _scaled(device.watts, BUSY_SHARE),
            f"catalogue: {words}",
        )

    @classmethod
    def of_measured(cls, device: MeasuredDevice, precision: str) -> Throughput:
        """From a benchmark. A precision that was not measured runs at the float32 rate."""
        name = precision if precision in device.matmul_flops else "fp32"
        product, layer = device.matmul_flops[name], device.convolution_flops.get(name)
        slower, faster = sorted((product, layer or product))
        best, typical, worst = OF_MEASURED
        rates = (faster * best, math.sqrt(slower * faster) * typical, slower * worst)
        busy = device.busy_w or 0.0
        idle = busy * IDLE_SHARE[1] if device.idle_w is None else min(device.idle_w, busy)
        unknown = "" if device.busy_w else "; no power was measured"
        other = "" if name == precision else f" in fp32 ({precision} was not measured)"
        return cls(
            rates,
            _scaled(device.bytes_per_s, OF_MEASURED),
            _scaled(device.call_s, CALLS_OF_MEASURED),
            _scaled(idle, WATTS_OF_MEASURED),
            _scaled(busy, WATTS_OF_MEASURED),
            f"benchmark of {device.device_name}{other} × {_ends(OF_MEASURED)}{unknown}",
        )


def _scaled(value: float, shares: Range) -> Range:
    return (value * shares[0], value * shares[1], value * shares[2])


def _ends(shares: Range) -> str:
    return f"{shares[2]:g} … {shares[0]:g}"
