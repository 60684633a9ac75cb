"""What the machine and the device are, as far as a cost depends on it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.records import Hardware

if TYPE_CHECKING:
    import torch


def describe_hardware(device: torch.device | str = "cpu") -> Hardware:
    """The machine that this process sees: CPU model, usable cores, memory, and the device by name.

    `cores` are the ones that this process may use (CPU affinity), `memory_gb` is in units of 2**30 bytes.
    """
    import psutil
    import torch

    place = torch.device(device)
    return Hardware(
        device=str(place),
        device_name=_device_name(place),
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        platform=platform.platform(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
    )


def usable_cores() -> int:
    """Hardware threads that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model name from /proc/cpuinfo, else what the platform says."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("model name", "hardware", "cpu model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return cpu_name() if device.type == "cpu" else device.type
