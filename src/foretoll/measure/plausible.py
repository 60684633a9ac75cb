"""How far off a modelled power may plausibly be: factors of the figure. The reasoning stands in docs/energy.md."""

from __future__ import annotations

CPU_WATTS_PER_THREAD = 4.0  # what CodeCarbon 3.3.2 assumes per hardware thread of a CPU that it does not know
CPU_WATTS_PER_THREAD_LOW = 1.4  # 360 W / 256 threads, AMD EPYC 9754
CPU_WATTS_PER_THREAD_HIGH = 8.0  # 253 W / 32 threads, Intel Core i9-14900K (maximum turbo power)
SUSTAINED_SHARE_LOW = 0.5  # busy but memory-bound or scalar code, against the TDP
SUSTAINED_SHARE_HIGH = 1.5  # turbo limits above the TDP
IDLE_SHARE = 0.3  # of full power that a processor draws for the first busy thread
IDLE_FACTOR_LIMIT = 5.0  # at very low load the idle share is not ours any more
RAM_WATTS_PER_GB_LOW = 0.1
RAM_WATTS_PER_GB_HIGH = 0.4
COUNTER_RANGE = (0.95, 1.05)  # what NVIDIA states for its power readings; taken for RAPL too


def cpu_range(tdp_w: float, threads: int, *, load: float, recognised: bool) -> tuple[float, float]:
    """Factors (low, high) of load × TDP × time.

    Low: half of the TDP when busy, or the most frugal watts per thread, whichever is less (in a virtual machine
    a recognised TDP is the whole socket's, of which we see few threads). High: turbo above the TDP, or for an
    unknown CPU the hungriest watts per thread; and the share that the processor draws before any load.
    """
    low_w = min(SUSTAINED_SHARE_LOW * tdp_w, CPU_WATTS_PER_THREAD_LOW * threads)
    high_w = SUSTAINED_SHARE_HIGH * tdp_w
    if not recognised:
        high_w = max(high_w, CPU_WATTS_PER_THREAD_HIGH * threads)
    busy = min(max(load, 1e-9), 1.0)
    idle = min((IDLE_SHARE + (1.0 - IDLE_SHARE) * busy) / busy, IDLE_FACTOR_LIMIT)
    return min(1.0, low_w / tdp_w), max(1.0, high_w / tdp_w * idle)


def ram_range(watts: float, held_gb: float) -> tuple[float, float]:
    """Factors (low, high) of a flat memory power, from watts per GB of the memory that is held."""
    return (
        min(1.0, RAM_WATTS_PER_GB_LOW * held_gb / watts),
        max(1.0, RAM_WATTS_PER_GB_HIGH * held_gb / watts),
    )
