"""Where a run is kept whatever becomes of its ledger, and who hears of it: nothing in here stops a training."""

from __future__ import annotations

from dataclasses import replace

from foretoll.errors import LedgerError
from foretoll.interruption import held
from foretoll.ledger import Ledger, rescue
from foretoll.records import EvalPoint, LiveForecast, Run, TrainingSettings
from foretoll.training.guard import Guard, say, why
from foretoll.workflows.context import Runtime, Watcher

LONGEST_COMMAND = 10_000  # characters: a path that lost its middle names no file


def begin(ledger: Ledger | None, run: Run, guard: Guard) -> bool:
    """Write the start of a run; whether the ledger has it."""

    def write() -> bool:
        if ledger is not None:
            with held():
                ledger.begin(run)
        return ledger is not None

    so = "the run is written when it ends, or kept in a file"
    return bool(guard.call("writing the start of the run", write, so=so))


def keep(ledger: Ledger | None, run: Run, guard: Guard, *, known: bool) -> None:
    """Write the end of a run to the ledger, else to a file that a ledger can take in; say which."""
    try:
        if ledger is None:
            raise LedgerError("there is no ledger")
        with held():
            ledger.finish(run)
    except (Exception, SystemExit) as error:
        if guard.strict and known:
            raise
        saved = error.saved if isinstance(error, LedgerError) else None
        reason = why(error if saved is None else error.__cause__ or error)
        if saved is None:
            where = guard.call("naming the ledger", lambda: ledger.where if ledger is not None else None)
            saved = guard.call("saving the run in a file", lambda: rescue(run, where))
        text = f"the run could not be written to the ledger ({reason})"
        if saved is None:
            say(f"{text}, nor to any file: it is lost")
        else:
            say(f"{text}: it is kept in a file")
            say(f"take it in by `foretoll ledger import {saved}`", longest=LONGEST_COMMAND)


class GuardedWatcher(Watcher):
    """A watcher whose faults stop nothing."""

    def __init__(self, watcher: Watcher | None, guard: Guard) -> None:
        self._watcher, self._guard = watcher or Watcher(), guard

    def stage(self, text: str) -> None:
        """Hand on."""
        self._guard.call("showing progress", lambda: self._watcher.stage(text))

    def note(self, text: str) -> None:
        """Hand on."""
        self._guard.call("showing progress", lambda: self._watcher.note(text))

    def renewed(self, forecast: LiveForecast) -> None:
        """Hand on."""
        self._guard.call("showing progress", lambda: self._watcher.renewed(forecast))

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        """Hand on."""
        self._guard.call("showing progress", lambda: self._watcher.evaluated(point, settings))


def guarded(runtime: Runtime) -> Runtime:
    """The same for one run: its faults are its own, and its watcher's stop nothing."""
    if isinstance(runtime.watcher, GuardedWatcher):
        return runtime
    guard = Guard(strict=runtime.guard.strict)
    return replace(runtime, guard=guard, watcher=GuardedWatcher(runtime.watcher, guard))
