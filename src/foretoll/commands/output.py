"""What commands share on the way in and out: settings, ledger, progress, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from foretoll import streams
from foretoll.errors import ForetollError, UsageError, one_line

if TYPE_CHECKING:
    from foretoll.integrations.loggers import RunLogger
    from foretoll.ledger import Ledger
    from foretoll.progress import ConsoleWatcher
    from foretoll.records import Estimate, Outcome, Record, Run

Kind = TypeVar("Kind", bound="Record")


def console_watcher(quiet: bool) -> ConsoleWatcher:
    """Shows progress on the standard error, or nothing."""
    from foretoll.progress import ConsoleWatcher

    return ConsoleWatcher(quiet=quiet)


def open_ledger(location: str | None) -> Ledger:
    """The ledger named, or the user's own, with the runs that waited for it."""
    from foretoll.ledger import Ledger

    ledger = Ledger.open(location)
    try:
        added = ledger.flush()
    except ForetollError as error:
        warn([f"runs wait for the ledger: {error}"])
    else:
        warn([f"{count_text(added)} that waited for the ledger: added"] if added else [])
    return ledger


def loggers_of(mlflow: bool) -> list[RunLogger]:
    """The trackers that were asked for; MissingExtraError, before any work, where one is not installed."""
    if not mlflow:
        return []
    from foretoll.integrations.loggers import MlflowLogger

    return [MlflowLogger()]


def log_elsewhere(loggers: Sequence[RunLogger], run: Run, estimate: Estimate | None = None) -> None:
    """Hand a run to trackers; where one fails the run is in the ledger all the same, and a warning says so."""
    for logger in loggers:
        try:
            logger.log_run(run, estimate)
        except Exception as error:  # noqa: BLE001  # another's code, on another's server
            warn([f"the run is not in {logger.name} ({type(error).__name__}: {one_line(str(error), 120)})"])


def outcome_named(name: str | None) -> Outcome | None:
    """An outcome by its name; UsageError with the nearest names otherwise."""
    from foretoll.errors import unknown_name
    from foretoll.records import Outcome

    if name is not None and name not in list(Outcome):
        raise UsageError(unknown_name("outcome", name, [str(known) for known in Outcome]))
    return Outcome(name) if name is not None else None


def hand_over(
    out: Path,
    *,
    estimate: Estimate | None = None,
    run: Run | None = None,
    as_json: bool,
    anonymous: bool = False,
) -> None:
    """Write what was found to `out`, show it, and say what went wrong.

    What cannot be written is shown all the same: nothing that was paid for is lost.
    """
    from foretoll.report import write_json, write_reports

    if anonymous:
        estimate, run = nameless(estimate), nameless(run)
    problem, report = None, None
    try:
        if run is not None:
            write_json(out / "run.json", run)
        elif estimate is not None:
            write_json(out / "estimate.json", estimate)
        report = write_reports(out, estimate=estimate, run=run)
    except ForetollError as error:
        problem = error
    found = run if run is not None else estimate
    if as_json and found is not None:
        print_json(as_data(found))
    else:
        show_page(estimate, run, report=report)
    if problem is not None:
        raise problem
    if run is not None:
        say_how_it_ended(run)


def say_how_it_ended(run: Run) -> None:
    """A run that did not end by itself is a failure of the command, in one sentence."""
    from foretoll.records import Outcome

    if run.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        raise ForetollError(
            f"run {run.id} {run.outcome} ({run.reason}); what was measured is kept: foretoll ledger show {run.id}"
        )


def as_data(record: Record) -> Any:
    """A record as plain JSON data, by alias; paths are named from the current folder or from home."""
    from foretoll.sharing import shortened

    return json.loads(shortened(record).model_dump_json(by_alias=True))


def nameless(record: Kind | None) -> Kind | None:
    """A record that tells nothing of user, host, folders and system; None where there is none."""
    from foretoll.sharing import anonymous

    return None if record is None else anonymous(record)


def print_json(data: Any) -> None:
    """One line of JSON on the standard output."""
    streams.write_json(data)


def say(text: str) -> None:
    """One line of text on the standard output, with whatever names are in them."""
    from foretoll import printing

    printing.say(text)


def say_lines(text: Any) -> None:
    """A text of several lines on the standard output, not wrapped."""
    from foretoll import printing

    printing.say_lines(str(text))


def warn(texts: Iterable[str]) -> None:
    """Print warnings on the standard error, one line each; empty ones are none."""
    for text in filter(None, texts):
        streams.complain(f"warning: {text}")


def show(renderable: Any) -> None:
    """Print a table or a text."""
    from foretoll import printing

    printing.show(renderable)


def show_page(estimate: Estimate | None, run: Run | None, *, report: Path | None) -> None:
    """Print an estimate, a run, or both side by side, and where the page is."""
    from foretoll.report import estimate_table, run_table

    if estimate is not None:
        show(estimate_table(estimate, run))
    elif run is not None:
        show(run_table(run))
    if report is not None:
        say(f"report   {report}")


def count_text(runs: int) -> str:
    """A number of runs in words."""
    return f"{runs} run{'s' if runs != 1 else ''}"
