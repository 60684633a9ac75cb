"""`foretoll study`: run, table, plot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from foretoll.commands.bundles import unfolded
from foretoll.commands.flags import (
    AnonymousOption,
    JsonOption,
    MlflowOption,
    QuietOption,
    StudyFlags,
)
from foretoll.commands.output import (
    count_text,
    log_elsewhere,
    loggers_of,
    open_ledger,
    print_json,
    say,
    say_lines,
    show,
)
from foretoll.options.table import DEFAULT
from foretoll.study.places import check_place, find_study

study_app = typer.Typer(help="Grids of runs from a file: run, resume, tabulate.", no_args_is_help=True)


@study_app.command("run")
@unfolded
def study_run(
    study: StudyFlags,
    mlflow: MlflowOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a study; start it again to resume where it was stopped.

    Example: `FORETOLL_DATA=data foretoll study run smoke --engine processes:2`
    """
    find_study(study.file)  # said before anything heavy is loaded
    from foretoll.commands.study_running import carry_out_study

    loggers, began = loggers_of(mlflow), datetime.now(UTC)
    found = carry_out_study(study, quiet=quiet or as_json)
    if loggers:
        for run in open_ledger(found["ledger"]).runs(newest_first=False):
            if run.started_at >= began:
                log_elsewhere(loggers, run)
    if as_json:
        print_json(found)
    if found.get("failures"):
        raise typer.Exit(1)


@study_app.command("table")
def study_table(
    where: Annotated[
        str, typer.Argument(help="folder of a study, a ledger (.db, URL) or an export (.jsonl.gz)")
    ],
    cost: Annotated[
        str, typer.Option("--cost", help="epochs, gradient_norm, parameter_change, energy_kwh, or all")
    ] = "epochs",
    option: Annotated[
        str, typer.Option("--option", "-o", help="way of reuse whose runs are related")
    ] = DEFAULT,
    by_kind: Annotated[
        bool, typer.Option("--by-kind", help="also each index against all costs, by kind of shift")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="all signals, not only the main ones")] = False,
    trained: Annotated[
        bool, typer.Option("--trained", help="leave out runs that met their target before the first step")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown")] = False,
    as_json: JsonOption = False,
) -> None:
    """Relate every index with every cost: pooled, within a model, within a kind of shift.

    Example: `foretoll study table study-smoke --cost all`
    """
    check_place(where)
    from foretoll.commands.study_tables import tables_of, tables_text

    found = tables_of(where, option=option, cost=cost, everything=everything, trained=trained)
    if as_json:
        print_json(found.as_data())
    elif markdown:
        say_lines(tables_text(found, cost, by_kind=by_kind, markdown=True))
    else:
        show(tables_text(found, cost, by_kind=by_kind))


@study_app.command("plot")
def study_plot(
    where: Annotated[
        str, typer.Argument(help="folder of a study, a ledger (.db, URL) or an export (.jsonl.gz)")
    ],
    out: Annotated[Path, typer.Option("--out", help="the page to write")] = Path("study.html"),
    option: Annotated[
        str, typer.Option("--option", "-o", help="way of reuse whose runs are drawn")
    ] = DEFAULT,
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one page of pictures: cost against index and level, the seeds, and a table of correlations.

    Example: `foretoll study plot study-smoke --out study.html`
    """
    check_place(where)
    from foretoll.commands.study_tables import write_page

    page = write_page(where, out, option=option, anonymous=anonymous)
    if as_json:
        print_json({"page": str(page)})
    else:
        say(f"page   {page}")


@study_app.command("score")
def study_score(
    where: Annotated[
        str, typer.Argument(help="reference, a study's folder, a ledger, or an export (.jsonl.gz)")
    ] = "reference",
    option: Annotated[
        str, typer.Option("--option", "-o", help="way of reuse whose runs are scored")
    ] = DEFAULT,
    jobs: Annotated[int, typer.Option("--jobs", help="processes")] = 2,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score forecasts out of sample: levels, kinds, data sets, families and task pairs left out in turn.

    Example: `foretoll study score reference --json`
    """
    check_place(where)
    from foretoll.commands.study_scores import score_text, scored

    found = scored(where, option=option, jobs=jobs)
    if as_json:
        print_json(found)
    elif markdown:
        say_lines(score_text(found, markdown=True))
    else:
        show(score_text(found))


@study_app.command("pack")
def study_pack(
    where: Annotated[str, typer.Argument(help="a study's folder, a ledger, or an export (.jsonl.gz)")],
    into: Annotated[
        Path | None, typer.Option("--into", help="folder; the package's own if not named")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the runs of a study the reference that forecasts rest on.

    Example: `foretoll study pack study-reference`
    """
    check_place(where)
    from foretoll.commands.study_scores import packed

    runs, size = packed(where, into)
    if as_json:
        print_json({"runs": runs, "bytes": size})
    else:
        say(f"{count_text(runs)} packed, {size / 1e6:.2f} MB")
