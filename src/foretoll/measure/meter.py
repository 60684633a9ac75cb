"""The energy meter: what every meter does, and what a reading is.

A meter is opened fresh for one measurement, wraps the work from outside and splits it into named phases::

    with open_meter("auto", device="cpu") as meter:
        meter.start("training")
        ...                       # steps
        meter.switch("evaluation")
        ...
        reading = meter.stop()

The laws of every meter, whatever stands behind it:

- the phases' durations add up to the reading's duration, their energies to its energy;
- both readings of an interval are taken after the device has finished its work;
- setting up and sampling lie outside the measured intervals (`setup_s`, `overhead_s` say how long they took);
- a phase that is entered again goes on adding up;
- what cannot be measured is None, never 0.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from foretoll.errors import MeasureError
from foretoll.measure.basis import PartReport, build_basis
from foretoll.records import EnergyBasis, PhaseCost
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch

Clock = Callable[[], float]
Scope = Literal["process", "machine", "device", "none"]


@dataclass(frozen=True)
class EnergyReading:
    """What one measurement gave.

    `energy_kwh` and `duration_s` are the sums over the phases. `setup_s` (finding the hardware, before the
    first phase) and `overhead_s` (sampling at the boundaries) are in neither. `notes`: sentences for people.
    """

    phases: dict[str, PhaseCost]
    basis: EnergyBasis
    energy_kwh: float | None
    duration_s: float
    setup_s: float = 0.0
    overhead_s: float = 0.0
    notes: tuple[str, ...] = ()


class _State(Enum):
    NEW = "new"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"


class EnergyMeter(ABC):
    """Measures duration and energy of one stretch of work, split into phases. Used once.

    Subclasses give cumulative joules per part of the machine (`_sample`) and say how they know them
    (`_report`); everything else is here. `clock` is replaced in tests only.
    """

    tool = "foretoll"
    scope: Scope = "none"

    def __init__(self, *, device: torch.device | str = "cpu", clock: Clock = time.perf_counter) -> None:
        self.device = str(device)
        self._clock = clock
        self._state = _State.NEW
        self._phase = ""
        self._since = 0.0
        self._durations: dict[str, float] = {}
        self._joules: dict[str, dict[str, float | None]] = {}  # phase → part → joules
        self._last: dict[str, float | None] = {}
        self._shortest: dict[str, float] = {}
        self._setup_s = 0.0
        self._overhead_s = 0.0
        self._reading: EnergyReading | None = None

    def fresh(self, device: str) -> Self:
        """A meter of the same settings for one measurement on a device; of one that was not started."""
        if self._state is not _State.NEW:
            raise MeasureError(
                "this energy meter was used already: give one that was not started, or its class"
            )
        other = copy.deepcopy(self)
        other.device = device
        return other

    # --- the public face ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Find the hardware and set everything up; `start` does it when nobody did before."""
        if self._state is not _State.NEW:
            return
        began = self._clock()
        self._prepare()
        self._setup_s = self._clock() - began
        self._state = _State.READY

    def start(self, phase: str = "run") -> None:
        """Begin the measurement with `phase`. A second start raises MeasureError."""
        if self._state in (_State.RUNNING, _State.DONE):
            raise MeasureError(
                f"this energy meter was already started (phase {self._phase!r}): open a fresh meter for each "
                "measurement, or call switch() to begin another phase"
            )
        self.prepare()
        synchronise(self.device)
        began = self._clock()
        self._begin()
        self._last = {}
        self._phase = phase
        self._state = _State.RUNNING
        self._since = self._clock()
        self._overhead_s += self._since - began

    def switch(self, phase: str) -> None:
        """End the phase under way and begin (or go on with) `phase`."""
        self._close_interval("switch")
        self._phase = phase
        now = self._clock()
        self._overhead_s += now - self._since
        self._since = now

    def stop(self) -> EnergyReading:
        """End the measurement and give its reading."""
        try:
            self._close_interval("stop")
        finally:
            if self._state is _State.RUNNING:
                self._state = _State.DONE
                self._finish()
        self._overhead_s += self._clock() - self._since
        self._reading = self._build_reading()
        return self._reading

    @property
    def reading(self) -> EnergyReading:
        """The reading of a stopped meter; MeasureError before that."""
        if self._reading is None:
            raise MeasureError("this energy meter has no reading yet: call stop() first")
        return self._reading

    @property
    def so_far_kwh(self) -> float | None:
        """Energy of the intervals that are over, while the measurement goes on; None where a part is not known."""
        return _kwh(_total(joules for sums in self._joules.values() for joules in sums.values()))

    @property
    def running(self) -> bool:
        """Whether a measurement is under way."""
        return self._state is _State.RUNNING

    def __enter__(self) -> Self:
        self.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what is still running, also after an exception, so that no thread is left behind."""
        if self._state is _State.RUNNING:
            try:
                self.stop()
            except MeasureError:
                if error is None:  # else the exception under way is the one to see
                    raise
        elif self._state is _State.READY:
            self._state = _State.DONE
            self._finish()

    # --- hooks -------------------------------------------------------------------------------

    def _prepare(self) -> None:  # noqa: B027  (most meters need no set-up)
        """Set up; raises MeasureError where the meter cannot work on this machine."""

    def _begin(self) -> None:  # noqa: B027
        """Set the zero of the cumulative readings."""

    @abstractmethod
    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        """Joules since `_begin` per part of the machine, never falling; `phase` is the one that just ended.

        A part that can no longer be read is None, and then so is the total.
        """

    @abstractmethod
    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        """How each part's energy is known, with its plausible range."""

    def _finish(self) -> None:  # noqa: B027
        """Release what `_prepare` took."""

    def _notes(self, shortest_s: Mapping[str, float]) -> list[str]:
        """Sentences about this reading; `shortest_s` is each phase's shortest interval."""
        return []

    def _left_out(self) -> tuple[str, ...]:
        """What the figure does not hold."""
        return ()

    # --- inside ------------------------------------------------------------------------------

    def _close_interval(self, call: str) -> None:
        if self._state is not _State.RUNNING:
            raise MeasureError(
                f"{call}() was called on an energy meter that does not run: call start() first"
            )
        synchronise(self.device)
        now = self._clock()
        duration = max(0.0, now - self._since)
        phase = self._phase
        self._since = now  # what follows is overhead
        self._durations[phase] = self._durations.get(phase, 0.0) + duration
        self._shortest[phase] = min(duration, self._shortest.get(phase, duration))
        sums = self._joules.setdefault(phase, {})
        sample = self._sample(phase, duration)
        for part, total in sample.items():
            last, so_far = self._last.get(part, 0.0), sums.get(part, 0.0)
            # once unknown, a part stays unknown: the joules of the gap cannot be told apart
            known = total is not None and last is not None and so_far is not None
            sums[part] = so_far + max(0.0, total - last) if known else None  # type: ignore[operator]  # known
        self._last = dict(sample)

    def _build_reading(self) -> EnergyReading:
        phases = {
            phase: PhaseCost(duration_s=duration, energy_kwh=_kwh(_total(self._joules[phase].values())))
            for phase, duration in self._durations.items()
        }
        duration = sum(self._durations.values())
        parts: dict[str, float | None] = {
            part: _total(sums[part] for sums in self._joules.values() if part in sums)
            for part in dict.fromkeys(part for sums in self._joules.values() for part in sums)
        }
        energies = [cost.energy_kwh for cost in phases.values()]
        return EnergyReading(
            phases=phases,
            basis=build_basis(
                self._report(parts, duration), tool=self.tool, scope=self.scope, left_out=self._left_out()
            ),
            energy_kwh=_total(energies),
            duration_s=duration,
            setup_s=self._setup_s,
            overhead_s=self._overhead_s,
            notes=tuple(self._notes(self._shortest)),
        )


def synchronise(device: str) -> None:
    """Wait until the accelerator has finished what it was given; nothing to do on a CPU."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return
    import torch

    if kind == "cuda" and torch.cuda.is_available():
        torch.cuda.synchronize(device)
    elif kind == "mps" and torch.backends.mps.is_available():
        torch.mps.synchronize()
    elif kind == "xpu" and torch.xpu.is_available():
        torch.xpu.synchronize(device)


def _total(values: object) -> float | None:
    """The sum; None for no values and where one is None."""
    known = list(values)  # type: ignore[call-overload]  # any iterable of float | None
    return None if not known or any(value is None for value in known) else float(sum(known))


def _kwh(joules: float | None) -> float | None:
    return None if joules is None else kwh_from_joules(joules)
