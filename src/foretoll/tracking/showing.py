"""What is shown of a tracked run, and where it goes besides the ledger."""

from __future__ import annotations

from foretoll.printing import show
from foretoll.records import Estimate, Run
from foretoll.tracking.plan import RunLogger
from foretoll.training.guard import Guard


def log_run(logger: RunLogger, run: Run, estimate: Estimate | None, guard: Guard) -> None:
    """Hand the run to a tracker of the user's choice."""
    guard.call("logging the run elsewhere", lambda: logger.log_run(run, estimate))


def show_forecast(estimate: Estimate, guard: Guard) -> None:
    """Print the forecast."""

    def print_it() -> None:
        from foretoll.report import estimate_table

        show(estimate_table(estimate))

    guard.call("showing the forecast", print_it)


def show_end(estimate: Estimate | None, run: Run, guard: Guard) -> None:
    """Print what was measured, beside the forecast where one was shown."""

    def print_it() -> None:
        from foretoll.report import measured_table, run_table

        show(run_table(run) if estimate is None else measured_table(estimate, run))

    guard.call("showing the run", print_it)
