"""Where a tracked run is kept, and what is shown of it. A ledger that is gone costs a record its place, not the run."""

from __future__ import annotations

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger, rescue
from foretoll.printing import show
from foretoll.records import Estimate, Run
from foretoll.tracking.plan import RunLogger
from foretoll.training.guard import Guard, say, why

LONGEST_COMMAND = 10_000  # characters: a path that lost its middle names no file


def begin(ledger: Ledger | None, run: Run, guard: Guard) -> bool:
    """Write the start of a run; whether the ledger has it."""

    def write() -> bool:
        if ledger is not None:
            ledger.begin(run)
        return ledger is not None

    so = "the run is written when it ends, or kept in a file"
    return bool(guard.call("writing the start of the run", write, so=so))


def keep(ledger: Ledger | None, run: Run, guard: Guard, *, known: bool) -> None:
    """Write the end of a run to the ledger, else to a file that a ledger can take in; say which."""
    try:
        if ledger is None:
            raise LedgerError("there is no ledger")
        ledger.finish(run)
    except (Exception, SystemExit) as error:
        if guard.strict and known:
            raise
        saved = error.saved if isinstance(error, LedgerError) else None
        reason = why(error if saved is None else error.__cause__ or error)
        if saved is None:
            where = ledger.where if ledger is not None else None
            saved = guard.call("saving the run in a file", lambda: rescue(run, where))
        text = f"the run could not be written to the ledger ({reason})"
        if saved is None:
            say(f"{text}, nor to any file: it is lost")
        else:
            say(f"{text}: it is kept in a file")
            say(f"take it in by `foretoll ledger import {saved}`", longest=LONGEST_COMMAND)


def log_run(logger: RunLogger, run: Run, estimate: Estimate | None, guard: Guard) -> None:
    """Hand the run to a tracker of the user's choice."""
    guard.call("logging the run elsewhere", lambda: logger.log_run(run, estimate))


def show_forecast(estimate: Estimate, guard: Guard) -> None:
    """Print the forecast."""
    from foretoll.report import estimate_table

    guard.call("showing the forecast", lambda: show(estimate_table(estimate)))


def show_end(estimate: Estimate | None, run: Run, guard: Guard) -> None:
    """Print what was measured, beside the forecast where there is one."""
    from foretoll.report import estimate_table, run_table

    guard.call(
        "showing the run", lambda: show(run_table(run) if estimate is None else estimate_table(estimate, run))
    )
