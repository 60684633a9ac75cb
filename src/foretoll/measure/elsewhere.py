"""What a training step would take on hardware that is not at hand: counted work over a data sheet's throughput.

A step's work is counted exactly here: floating-point operations (torch's own counter, forward and backward) and calls
of operators. There, the step takes

    seconds = max(operations / (peak × share), calls × overhead)

since small models are limited by how fast operators can be launched, large ones by arithmetic. What share of the peak a
training gets, and how long a launch takes, differ widely (below): the interval is as wide, and no more is claimed.
Reading data is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foretoll.measure.catalogue import Device
from foretoll.records import EnergyBasis, EnergyComponent, StepProbe
from foretoll.units import kwh_from_joules

# (fast, typical, slow): share of the peak that dense training reaches, seconds per operator call
SHARE = {"gpu": (0.5, 0.2, 0.05), "cpu": (0.7, 0.35, 0.1)}
LAUNCH_S = {"gpu": (4e-6, 8e-6, 20e-6), "cpu": (2e-6, 6e-6, 20e-6)}
# (least, typical, most): share of the board power that is drawn while training
POWER_SHARE = (0.35, 0.7, 1.0)


@dataclass(frozen=True)
class Work:
    """What a piece of work consists of, whatever it runs on."""

    operations: float  # floating-point
    calls: float  # of operators

    def times(self, factor: float) -> Work:
        """So many times this work."""
        return Work(self.operations * factor, self.calls * factor)


def count_work(work: Callable[[], object]) -> Work:
    """Carry the work out once and count it."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
        """Counts operators as they are called."""

        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += 1
            return func(*args, **(kwargs or {}))

    calls = Calls()  # type: ignore[no-untyped-call]  # untyped in torch
    with FlopCounterMode(display=False) as flops, calls:
        work()
    return Work(float(flops.get_total_flops()), calls.count)


def seconds_on(device: Device, work: Work) -> tuple[float, float, float]:
    """Seconds of the work on a device: (low, typical, high)."""

    def at(rank: int) -> float:
        arithmetic = work.operations / (device.tflops * 1e12 * SHARE[device.kind][rank])
        return max(arithmetic, work.calls * LAUNCH_S[device.kind][rank])

    return at(0), at(1), at(2)


def probe_on(
    device: Device, *, step: Work, evaluation: Work, preparation: Work
) -> tuple[StepProbe, EnergyBasis]:
    """A step probe for a device that is not at hand, and what its joules rest on."""
    low, typical, high = seconds_on(device, step)
    _, evaluated, _ = seconds_on(device, evaluation)
    _, prepared, _ = seconds_on(device, preparation)
    watts = device.watts * POWER_SHARE[1]
    probe = StepProbe(
        steps=0,
        repeats=0,
        seconds_per_step=typical,
        seconds_per_step_low=low,
        seconds_per_step_high=high,
        joules_per_step=typical * watts,
        seconds_per_evaluation=evaluated,
        joules_per_evaluation=evaluated * watts,
        seconds_of_preparation=prepared,
        joules_of_preparation=prepared * watts,
    )
    part = EnergyComponent(
        name=device.kind,
        method="constant",
        energy_kwh=kwh_from_joules(typical * watts),
        watts=device.watts,
        recognised=True,
        detail=f"{POWER_SHARE[1]:.0%} of the {device.watts:g} W on its data sheet; nothing was measured",
    )
    basis = EnergyBasis(
        method=f"data sheet of {device.name}, not measured",
        tool="foretoll's catalogue",
        components=(part,),
        counter_share=0.0,
        scope="device",
        relative_low=POWER_SHARE[0] / POWER_SHARE[1],
        relative_high=POWER_SHARE[2] / POWER_SHARE[1],
        left_out=("the host of the device", "reading data", "cooling and power supply (unless a PUE is set)"),
    )
    return probe, basis
