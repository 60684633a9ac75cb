"""What a training step would take on hardware that is not at hand: counted work over what a training gets of a device.

A step's work is counted exactly here: floating-point operations (torch's own counter, forward and backward), bytes that
operators read and write, and calls of operators. There, on `n` devices that share a batch, the step takes

    seconds = max(operations / (n × rate), bytes / (n × bandwidth), calls × overhead) / efficiency

since small models are limited by how fast operators can be launched, large ones by arithmetic or by memory. Each device
draws its idle power, and the rest in proportion to the time in which its units are busy. Rates, overheads and powers
are ranges (`throughput`), and the interval is as wide; no more is claimed. Reading data is not in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foretoll.measure.machines import Machine
from foretoll.measure.throughput import Range
from foretoll.records import EnergyBasis, EnergyComponent, StepProbe
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    from torch import Tensor

BOUNDS = ("arithmetic", "memory traffic", "operator calls")


@dataclass(frozen=True)
class Work:
    """What a piece of work consists of, whatever it runs on.

    peak_bytes: the most that tensors made by it take up at one time, beyond what was there before.
    """

    operations: float  # floating-point
    calls: float  # of operators
    moved_bytes: float = 0.0
    peak_bytes: float = 0.0

    def times(self, factor: float) -> Work:
        """So many times this work, one after the other."""
        return Work(self.operations * factor, self.calls * factor, self.moved_bytes * factor, self.peak_bytes)


def count_work(work: Callable[[], object]) -> Work:
    """Carry the work out once and count it; on tensors of the device "meta" nothing is computed."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Counts(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
        """Counts operators as they are called, what they read and write, and what they leave in memory."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
            self.calls = self.moved = self.held = self.peak = 0
            self.seen: set[int] = set()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += 1
            made = func(*args, **(kwargs or {}))
            given = list(_tensors((args, kwargs or {})))
            storages = {id(tensor.untyped_storage()) for tensor in given}
            written = list(_tensors(made))
            fresh = [tensor for tensor in written if id(tensor.untyped_storage()) not in storages]
            if fresh or func._schema.is_mutable:  # a view reads and writes nothing
                self.moved += sum(map(_bytes, given)) + sum(map(_bytes, written))
            for tensor in fresh:
                self._holds(tensor.untyped_storage())
            return made

        def _holds(self, storage: Any) -> None:
            if id(storage) in self.seen:
                return
            self.seen.add(id(storage))
            size, key = storage.nbytes(), id(storage)
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._freed, key, size).atexit = False

        def _freed(self, key: int, size: int) -> None:
            self.seen.discard(key)
            self.held -= size

    counts = Counts()
    with FlopCounterMode(display=False) as flops, counts:
        work()
    return Work(float(flops.get_total_flops()), counts.calls, counts.moved, counts.peak)


def _tensors(value: Any) -> Iterator[Tensor]:
    from torch import Tensor

    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class Pace:
    """How long a piece of work takes on a machine, what it draws meanwhile, and what limits it.

    seconds: (at best, typical, at worst); watts: of all devices, (least, typical, most), None where not known.
    """

    seconds: Range
    watts: Range | None
    bound: str

    @classmethod
    def of(cls, machine: Machine, work: Work, precision: str = "fp32") -> Pace:
        """The pace of some work on a machine."""
        gets, count = machine.throughput(precision), machine.count

        def parts(rank: int) -> tuple[float, float, float]:
            arithmetic = work.operations / (count * gets.operations_per_s[rank])
            traffic = work.moved_bytes / (count * gets.bytes_per_s[rank])
            return arithmetic, traffic, work.calls * gets.call_s[rank]

        best, typical, worst = (max(parts(rank)) / machine.efficiency[rank] for rank in range(3))
        limits = parts(1)
        busy = max(limits[:2]) / typical if typical else 0.0
        least, usual, most = (
            count * (idle + max(full - idle, 0.0) * busy)
            for idle, full in zip(gets.idle_w, gets.busy_w, strict=True)
        )
        return cls(
            (best, typical, worst),
            (least, usual, most) if machine.knows_power else None,
            BOUNDS[limits.index(max(limits))],
        )


def probe_on(
    machine: Machine, *, step: Work, evaluation: Work, preparation: Work, precision: str = "fp32"
) -> tuple[StepProbe, EnergyBasis]:
    """A step probe for a machine that is not at hand, and what its joules rest on.

    The range of the power is part of the energy's interval there, and no factor beside it.
    """
    pace, looks, before = (Pace.of(machine, work, precision) for work in (step, evaluation, preparation))
    best, typical, worst = pace.seconds
    watts = _usual(pace)
    probe = StepProbe(
        steps=0,
        repeats=0,
        seconds_per_step=typical,
        seconds_per_step_low=best,
        seconds_per_step_high=worst,
        joules_per_step=None if watts is None else typical * watts,
        seconds_per_evaluation=looks.seconds[1],
        joules_per_evaluation=_joules(looks),
        seconds_of_preparation=before.seconds[1],
        joules_of_preparation=_joules(before),
    )
    left_out = ("the host of the device", "reading data", "cooling and power supply (unless a PUE is set)")
    if pace.watts is None or watts is None:
        return probe, EnergyBasis(
            method=f"power of {machine.name} not known", tool="foretoll", left_out=left_out
        )
    part = EnergyComponent(
        name=machine.device.kind,
        method="constant",
        energy_kwh=kwh_from_joules(typical * watts),
        watts=round(watts, 1),
        recognised=True,
        detail=f"{pace.watts[0]:.0f} … {pace.watts[2]:.0f} W, by how long the units are busy",
    )
    return probe, EnergyBasis(
        method=f"{machine.basis(precision)}, for {machine.name}",
        tool="foretoll's counts of a step",
        components=(part,),
        counter_share=0.0,
        scope="device",
        left_out=left_out,
    )


def _usual(pace: Pace) -> float | None:
    return None if pace.watts is None else pace.watts[1]


def _joules(pace: Pace) -> float | None:
    return None if pace.watts is None else pace.seconds[1] * pace.watts[1]
