"""`foretoll ledger`: list, show, page, export, import, flush, doctor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretoll import streams
from foretoll.commands.flags import (
    AnonymousOption,
    JsonOption,
    LedgerOption,
)
from foretoll.commands.output import (
    as_data,
    count_text,
    open_ledger,
    outcome_named,
    print_json,
    say,
    show,
    warn,
)

if TYPE_CHECKING:
    from foretoll.exchange.reading import UnreadRecord

ledger_app = typer.Typer(help="The runs that were measured.", no_args_is_help=True)


@ledger_app.command("list")
def ledger_list(
    option: Annotated[str | None, typer.Option("--option", "-o", help="only runs of this option")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="reached, censored, given_up, failed, interrupted, running")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="only runs with this tag, such as calibration")] = None,
    limit: Annotated[int, typer.Option(min=0, help="the newest so many")] = 30,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first.

    Example: `foretoll ledger list --outcome censored`
    """
    found = open_ledger(ledger).select(
        option=option, outcome=outcome_named(outcome), tag=tag, limit=limit, newest_first=True
    )
    runs = found.runs
    warn([found.warning])
    if as_json:
        print_json([as_data(run) for run in runs])
    else:
        from foretoll.report import ledger_table

        show(ledger_table(runs))


@ledger_app.command("show")
def ledger_show(
    run: Annotated[str, typer.Argument(help="run id, or its beginning")],
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run.

    Example: `foretoll ledger show 20260102-1503`
    """
    found = open_ledger(ledger).get(run)
    if as_json:
        print_json(as_data(found))
    else:
        from foretoll.report import run_table

        show(run_table(found))


@ledger_app.command("page")
def ledger_page(
    out: Annotated[Path, typer.Option("--out", help="the page to write")] = Path("ledger.html"),
    price: Annotated[
        str | None, typer.Option("--price", help="money for energy, beside every kWh: 0.30/kWh, 0.30EUR/kWh")
    ] = None,
    ledger: LedgerOption = None,
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a page of all runs: by month, by model and data, forecasts beside measurements; it needs no server.

    Example: `foretoll ledger page --price 0.30EUR/kWh`
    """
    from foretoll.decide.money import Price
    from foretoll.records import Run
    from foretoll.report.html import write_page
    from foretoll.report.ledger_document import ledger_document
    from foretoll.sharing import anonymous as nameless
    from foretoll.sharing import short_text

    money = Price.for_energy(price) if price is not None else None
    known = open_ledger(ledger)
    unread: list[str] = []

    def runs() -> Iterator[Run]:
        for found in known.stream():
            if isinstance(found, Run):
                yield nameless(found) if anonymous else found
            else:
                unread.append(str(found))

    where = "" if anonymous else f"ledger {short_text(known.where)}"
    path = write_page(out, ledger_document(runs(), price=money, where=where, unread=unread))
    if as_json:
        print_json({"page": str(path)} | ({"unread": unread} if unread else {}))
    else:
        say(f"page   {path}")


@ledger_app.command("export")
def ledger_export(
    file: Annotated[Path, typer.Argument(help="JSON lines; .gz compresses, - is the standard output")],
    ledger: LedgerOption = None,
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write all runs to a file.

    Example: `foretoll ledger export runs.jsonl.gz`
    """
    from foretoll.exchange.files import is_stream
    from foretoll.exchange.reading import unread_text

    runs, unread = open_ledger(ledger).export_readable(file, anonymous=anonymous)
    warn([unread_text(unread)])
    if is_stream(file):  # what is printed there is the export
        streams.complain(f"{count_text(runs)} written")
    elif as_json:
        print_json({"file": str(file), "runs": runs} | _unread(unread))
    else:
        say(f"{count_text(runs)} written to {file}")


@ledger_app.command("import")
def ledger_import(
    file: Annotated[Path, typer.Argument(help="a file written by export")],
    skip: Annotated[
        bool, typer.Option("--skip", help="pass over lines that are no run, instead of importing nothing")
    ] = False,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the runs of a file; runs that are there already are left as they are.

    Example: `foretoll ledger import runs.jsonl.gz`
    """
    from foretoll.exchange.reading import unread_text

    runs, unread = open_ledger(ledger).import_readable(file, skip=skip)
    warn([unread_text(unread)])
    if as_json:
        print_json({"file": str(file), "runs": runs} | _unread(unread))
    else:
        say(f"{count_text(runs)} added from {file}")


@ledger_app.command("flush")
def ledger_flush(ledger: LedgerOption = None, as_json: JsonOption = False) -> None:
    """Add the runs that were kept in files while the ledger could not be written; every command does so first.

    Example: `foretoll ledger flush`
    """
    from foretoll.ledger import Ledger

    added = Ledger.open(ledger).flush()
    if as_json:
        print_json({"runs": added})
    else:
        say(f"{count_text(added)} added")


def _unread(unread: Sequence[UnreadRecord]) -> dict[str, list[str]]:
    return {"unread": [str(record) for record in unread]} if unread else {}


@ledger_app.command("doctor")
def ledger_doctor(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="close the runs of dead processes as interrupted, move aside records that cannot be read",
        ),
    ] = False,
    aside: Annotated[
        Path | None,
        typer.Option("--aside", help="file for what is moved aside; without it one beside the ledger"),
    ] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the ledger; exit code 1 where something is wrong.

    Example: `foretoll ledger doctor --repair`
    """
    findings = open_ledger(ledger).doctor(repair=repair, aside=aside)
    if as_json:
        print_json({"findings": findings})
    else:
        for finding in findings or ["nothing to report"]:
            say(finding)
    if findings and not repair:
        raise typer.Exit(1)
