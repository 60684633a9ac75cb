"""The boundary between foretoll and a training loop of somebody else: a fault of ours never stops or changes it.

Whatever foretoll does inside such a loop, or beside the steps of its own, is called through a `Guard`. A fault becomes
one line on the standard error, with the way out, and what failed is not tried again. What passes is Ctrl-C and, with
`strict` (or FORETOLL_STRICT=1), everything.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from foretoll.errors import one_line
from foretoll.measure import EnergyMeter, EnergyReading, NoMeter

if TYPE_CHECKING:
    import torch

M = TypeVar("M", bound=Callable[..., Any])
T = TypeVar("T")
LONGEST = 300  # characters of the line
ONCE = "your training goes on without it"
AS_NAMED = "the run is recorded with the settings that were named"
STRICT = "FORETOLL_STRICT"


def never(error: BaseException) -> bool:
    """No error."""
    return False


def is_refused_input(error: BaseException) -> bool:
    """Whether an error is a sentence of ours on what was given: at the start, before anything is spent."""
    from foretoll.errors import ForetollError

    return isinstance(error, ForetollError)


def is_refusal(error: BaseException) -> bool:
    """Whether an error tells that what was given cannot be used: a sentence of ours, or one from within the network.

    A network that fails will fail in its training too; running out of memory need not come again.
    """
    from foretoll.errors import is_out_of_memory

    if is_refused_input(error):
        return True
    if is_out_of_memory(error):
        return False
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "_call_impl" and code.co_filename.endswith("module.py"):
            return True
        trace = trace.tb_next
    return False


def strict_everywhere() -> bool:
    """Whether the environment asks for faults as errors, as `foretoll --strict` does: for continuous integration."""
    return os.environ.get(STRICT, "").strip() not in ("", "0")


class Guard:
    """Calls what may fail. `strict`: let faults pass as they are, for tests and continuous integration."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict or strict_everywhere()
        self.failed: dict[str, str] = {}  # what failed, and why

    def call(
        self,
        what: str,
        work: Callable[[], T],
        *,
        so: str = ONCE,
        passes: Callable[[BaseException], bool] = never,
    ) -> T | None:
        """What `work` returns; None where it failed, now or before.

        what: what is done, as the beginning of a sentence, by which it is known; so: what follows from its failure;
        passes: which errors are none of ours
        """
        if what in self.failed:
            return None
        try:
            return work()
        except (Exception, SystemExit) as error:  # a library that ends the process is a fault like any other
            if self.strict or passes(error):
                raise
            self.fault(what, error, so)
            return None

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence on each fault."""
        return tuple(f"{what} failed ({why})" for what, why in self.failed.items())

    def fault(self, what: str, error: BaseException | str, so: str = ONCE) -> None:
        """Say once that something of ours failed; it is not tried again."""
        if what in self.failed:
            return
        self.failed[what] = why(error)
        say(f"{what} failed ({self.failed[what]}): {so}")


def why(error: BaseException | str) -> str:
    """The error in a few words: its type where that is not one of ours, and its message on one line."""
    from foretoll.errors import ForetollError

    if isinstance(error, str):
        return one_line(error, LONGEST // 2)
    text = one_line(str(error), LONGEST // 2)
    if isinstance(error, ForetollError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def say(text: str, *, longest: int = LONGEST) -> None:
    """One line on the standard error, whatever has become of it. No warning: those may be made errors."""
    try:
        sys.stderr.write(one_line(f"foretoll: {text}", longest) + "\n")
        sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110  # closed, full or replaced: nothing is left to say it to
        pass


def harmless(method: M) -> M:
    """A method that another library calls: a fault of ours in it is one line, and stops nothing of the library's.

    Its object has a `guard`. What is refused of an input passes.
    """

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard: Guard = self.guard
        what = f"the callback {method.__name__}"
        return guard.call(what, lambda: method(self, *args, **kwargs), passes=is_refused_input)

    return cast("M", call)


class GuardedMeter:
    """An energy meter that cannot fail: where it does, durations are still measured, and energy is unknown.

    Has what a `Recorder` asks of a meter: `start`, `switch`, `stop` and `running`. A context manager, as meters are.
    """

    def __init__(
        self, guard: Guard, open_meter: Callable[[], EnergyMeter], *, device: torch.device | str
    ) -> None:
        self._guard = guard
        self._clock = NoMeter(device=device)
        self._meter = guard.call("opening the energy meter", open_meter, so=_NO_ENERGY)
        self._whole = self._meter is not None

    def __enter__(self) -> Self:
        self._tell(lambda meter: meter.prepare())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meter = self._meter
        if meter is not None and self._whole:
            self._guard.call("closing the energy meter", lambda: meter.__exit__(None, None, None))

    @property
    def running(self) -> bool:
        """Whether a measurement is under way."""
        return self._clock.running

    @property
    def so_far_kwh(self) -> float | None:
        """Energy of the intervals that are over; None where it is not known."""
        return self._tell(lambda meter: meter.so_far_kwh)

    def start(self, phase: str) -> None:
        """Begin the measurement with `phase`."""
        self._tell(lambda meter: meter.start(phase))
        self._clock.start(phase)

    def switch(self, phase: str) -> None:
        """End the phase under way and begin, or go on with, another."""
        self._tell(lambda meter: meter.switch(phase))
        self._clock.switch(phase)

    def stop(self) -> EnergyReading:
        """End the measurement; the reading of the clock alone where the meter failed meanwhile."""
        reading = self._tell(lambda meter: meter.stop())
        durations = self._clock.stop()
        return durations if reading is None else reading

    def _tell(self, tell: Callable[[EnergyMeter], T]) -> T | None:
        meter = self._meter
        if meter is None or not self._whole:
            return None
        result = self._guard.call("measuring energy", lambda: tell(meter), so=_NO_ENERGY)
        if self._guard.failed.get("measuring energy"):
            self._whole = False
            self._guard.call("closing the energy meter", lambda: meter.__exit__(None, None, None))
        return result


_NO_ENERGY = 'the run is recorded without its energy; Accounting(energy="none") does without a meter'
