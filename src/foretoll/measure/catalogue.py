"""Hardware that is not at hand: power and throughput of common devices, from their makers' data sheets.

`tflops`: peak dense float32 arithmetic (TF32 tensor cores where PyTorch's defaults would use them for convolutions),
10¹² operations a second. `watts`: board power or TDP. Both are ceilings; what a training gets of them is a matter of
wide ranges (`elsewhere`).
"""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Device:
    """A device as its data sheet has it."""

    name: str
    kind: str  # gpu or cpu
    tflops: float
    watts: float


_DEVICES = (
    Device("V100", "gpu", 15.7, 300),
    Device("T4", "gpu", 8.1, 70),
    Device("RTX 2080 Ti", "gpu", 13.4, 250),
    Device("RTX 3090", "gpu", 35.6, 350),
    Device("RTX 4090", "gpu", 82.6, 450),
    Device("A10", "gpu", 62.5, 150),
    Device("A40", "gpu", 74.8, 300),
    Device("A100", "gpu", 156.0, 400),
    Device("L4", "gpu", 60.0, 72),
    Device("L40S", "gpu", 183.0, 350),
    Device("H100", "gpu", 494.0, 700),
    Device("H200", "gpu", 494.0, 700),
    Device("EPYC 7763", "cpu", 5.0, 280),  # 64 cores × 2.45 GHz × 32 float32 operations a cycle
    Device("Xeon 8380", "cpu", 5.9, 270),  # 40 cores × 2.3 GHz × 64
    Device("Core i7-12700", "cpu", 0.8, 65),  # 8 performance cores × 2.1 GHz × 32, and 4 small ones
)
CATALOGUE: dict[str, Device] = {device.name: device for device in _DEVICES}


def find_device(name: str) -> Device:
    """The device of that name, however it is written; UsageError with the nearest names otherwise."""
    wanted = _plain(name)
    for device in _DEVICES:
        if wanted in (_plain(device.name), _plain(f"nvidia {device.name}")):
            return device
    raise UsageError(unknown_name("hardware", name, tuple(CATALOGUE)))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
