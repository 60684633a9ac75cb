"""`foretoll life`: watch a deployed model, take labels as they come, and say whether to update it now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from foretoll.commands.bundles import Bundle, unfolded
from foretoll.commands.checks import check_call
from foretoll.commands.continual_flags import ContinualFlags
from foretoll.commands.flags import (
    JsonOption,
    LedgerOption,
    LoadingFlags,
    MeasuringFlags,
    ModelOption,
    OptionsOption,
    OutputFlags,
    TrustOption,
    model_flag,
    output_flag,
)
from foretoll.commands.look_flags import LookFlags
from foretoll.commands.output import as_data, console_watcher, print_json, say, say_lines, show
from foretoll.commands.settings_flags import SettingsFlags
from foretoll.commands.waiting import WaitingFlags
from foretoll.errors import shown
from foretoll.options.table import DEFAULT, get_option

life_app = typer.Typer(
    help="The life of a deployed model: watch what it serves, and update it when that is worth its cost.",
    no_args_is_help=True,
)
UPDATE_DUE = 3  # exit code of `life watch --exit-code` where an update is due
NameArgument = Annotated[str, typer.Argument(help="name of the life")]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        help="rent, foresight, cara, upf, keep, every, periodic:4, floor:0.85, drop:0.05, ks:0.2, psi:0.2, adwin, "
        "confidence:0.05",
    ),
]
WindowOption = Annotated[
    int,
    typer.Option(
        "--window", min=1, help="labelled batches that an update is trained on, and must pay back within"
    ),
]


@life_app.command("start")
@unfolded
def life_start(
    name: NameArgument,
    model: ModelOption,
    source: Annotated[str, model_flag("--source", "-s", help_="data URI that the model was trained on")],
    loading: LoadingFlags,
    settings: SettingsFlags,
    measuring: MeasuringFlags,
    output: OutputFlags,
    continual: ContinualFlags,
    looking: LookFlags,
    worth: Annotated[
        str | None,
        typer.Option(
            "--worth",
            help="what one more right answer is worth: 0.2J, 5s, 1mg; of an error, what one unit less of it on one "
            "sample is worth",
        ),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(
            "--floor",
            help="instead of a worth: the least quality that may be served, in the metric's unit; of an error the "
            "largest",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="what updates may cost, and for how long: 2kWh/90d, 50g/52 (batches)"),
    ] = None,
    option: OptionsOption = None,
    policy: PolicyOption = "rent",
    window: WindowOption = 8,
    folder: Annotated[
        Path | None, output_flag("--folder", help_="folder of the life; without it foretoll-life-NAME")
    ] = None,
) -> None:
    """Begin the life of a deployed model.

    Example: `foretoll life start shop --model source --source npz:old.npz --worth 0.2J --budget 2kWh/90d`
    """
    from foretoll.decide.policies import get_policy

    recipe, _ = settings.read()
    going_on, looks = continual.read(), looking.read()
    get_policy(policy, None)
    check_call(data=[source], settings=recipe, options=option or (), measuring=measuring)
    from foretoll.models.spec import parse_spec
    from foretoll.workflows.life import Life

    with console_watcher(output.silent) as watcher:
        life = Life.start(
            name,
            model,
            source,
            worth=worth,
            floor=floor,
            budget=budget,
            options=tuple(option or (DEFAULT,)),
            policy=policy,
            window=window,
            look=looks,
            settings=recipe,
            continual=going_on,
            folder=folder,
            weights=loading.weights,
            embedding_layer=loading.embedding_layer,
            head=loading.head,
            trust_code=loading.trust_code,
            ledger=output.ledger,
            accounting=measuring.accounting(),
            device=measuring.device,
            watcher=watcher,
        )
    if output.as_json:
        print_json(as_data(life.card))
    else:
        of = life.card.served
        say(
            f"life     {shown(name, 60)}, begun with {'a quality of' if of.metric.share else of.metric.title} "
            f"{of.text(life.card.start_quality or 0.0)} on its source"
        )
        say(f"served   {life.folder.served}")
        if going_on.remember:
            say(
                f"keeps    {going_on.remember:,} labelled samples at the most, to measure what updates forget; "
                "--remember 0 keeps none"
            )
        built = [
            life.card.model.arch,
            *(arch for name in life.card.options for arch in get_option(name).architectures()),
        ]
        own = " --trust-code" if any(parse_spec(arch).scheme == "factory" for arch in built) else ""
        say(f"next     foretoll life watch {name} --batch URI{own}")


@dataclass(frozen=True)
class WatchFlags(Bundle):
    """When a batch was served, and what follows from the look at it."""

    at: Annotated[datetime | None, typer.Option("--at", help="when it was served; without it now")] = None
    carry_out: Annotated[
        bool, typer.Option("--carry-out", help="make the update where one is due: train, compare, switch")
    ] = False
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="exit with 3 where an update is due, 0 where not")
    ] = False
    textfile: Annotated[
        Path | None, output_flag("--textfile", help_="also write figures for Prometheus' textfile collector")
    ] = None
    trust_code: TrustOption = False


@life_app.command("watch")
@unfolded
def life_watch(
    name: NameArgument,
    batch: Annotated[str, typer.Option("--batch", "-b", help="data URI of what was served, labelled or not")],
    measuring: MeasuringFlags,
    output: OutputFlags,
    waiting: WaitingFlags,
    then: WatchFlags,
) -> None:
    """Look at a batch that was served, and decide whether an update is due.

    Example: `foretoll life watch shop --batch npz:week41.npz --exit-code`

    Exit code: with --exit-code 3 where an update is due (and was not made), else 0; 1 failed, 2 wrong use.
    """
    from foretoll.ledger import LifeBook

    card = LifeBook(output.ledger).card(name)  # an unknown name is said before anything heavy is loaded
    check_call(data=[batch], settings=card.settings, measuring=measuring)
    waiting.check()
    from foretoll.workflows.life import Life
    from foretoll.workflows.start_time import wait_until

    with console_watcher(output.silent) as watcher:
        life = Life.open(
            name,
            ledger=output.ledger,
            device=measuring.device,
            accounting=measuring.accounting(),
            watcher=watcher,
            trust_code=then.trust_code,
        )
        life.patience = waiting.read(measuring)
        life.recover()
        decision = life.watch(batch, at=then.at)
        run = None
        if then.carry_out and decision.action == "update":
            if decision.start_at is not None:
                wait_until(decision.start_at, watcher)
            run = life.carry_out(decision)
    if then.textfile is not None:
        from foretoll.report.jsonfile import write_text
        from foretoll.report.life import prometheus

        write_text(then.textfile, prometheus(life.card, life.events()))
    if output.as_json:
        print_json({"decision": as_data(decision), "run": None if run is None else as_data(run)})
    else:
        from foretoll.report.life import decision_lines

        look = next((event for event in reversed(life.events()) if event.kind == "look"), None)
        for line in decision_lines(life.card, decision, look):
            say(line)
        if run is not None:
            update = [event for event in life.events() if event.kind == "update"][-1]
            say(f"update   {'served now' if update.promoted else 'not served'}: {update.note} (run {run.id})")
            if update.earlier is not None:
                from foretoll.report.life_earlier import earlier_text

                before = earlier_text(update.earlier, life.card.served)
                say(f"before   {before} on {update.earlier.samples} samples of what came before")
    if then.exit_code and decision.action == "update" and run is None:
        raise typer.Exit(UPDATE_DUE)


@life_app.command("label")
def life_label(
    name: NameArgument,
    labels: Annotated[
        str, typer.Option("--labels", help="data URI of a batch seen earlier: the same samples, with labels")
    ],
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the labels of a batch that was seen earlier.

    Example: `foretoll life label shop --labels npz:week37.npz`
    """
    from foretoll.ledger import LifeBook

    LifeBook(ledger).card(name)
    from foretoll.workflows.life import Life

    life = Life.open(name, ledger=ledger)
    found, of = life.label(labels), life.card.served
    if as_json:
        print_json(as_data(found))
    else:
        lead = "not known yet" if found.lead is None else f"{found.lead:+.3g} ± {found.lead_error or 0:.2g}"
        seen = f"served with {of.text(found.quality or 0.0)} ({found.labelled} labels)"
        say(f"batch {found.number}: {seen}; an update's lead {lead}")


@life_app.command("show")
def life_show(
    name: Annotated[str | None, typer.Argument(help="name of the life; without it all of them")] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model served, what was decided, and the bill.

    Example: `foretoll life show shop`
    """
    from foretoll.ledger import LifeBook

    book = LifeBook(ledger)
    if name is None:
        names = book.names()
        if as_json:
            print_json(names)
        else:
            say(
                "\n".join(shown(each, 60)[1:-1] for each in names)
                or "no life was begun yet: foretoll life start"
            )
        return
    card, events = book.card(name), book.events(name)
    if as_json:
        print_json({"life": as_data(card), "events": [as_data(event) for event in events]})
    else:
        from foretoll.report import life_table

        show(life_table(card, events))


@life_app.command("report")
def life_report(
    name: NameArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="the page to write, Markdown where it ends in .md; without it NAME.html"),
    ] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the page of a life: quality over time, updates, what the next one would cost and win, the bill.

    Example: `foretoll life report shop --out shop.html`
    """
    from foretoll.ledger import LifeBook

    book = LifeBook(ledger)
    card, events = book.card(name), book.events(name)
    from foretoll.report import write_life

    path = write_life(out or Path(f"{name}.html"), card, events)
    if as_json:
        print_json({"page": str(path)})
    else:
        say(f"page   {path}")


@life_app.command("bill")
def life_bill(name: NameArgument, ledger: LedgerOption = None, as_json: JsonOption = False) -> None:
    """Show what a life cost, by what was paid for and by year.

    Example: `foretoll life bill shop`
    """
    from foretoll.ledger import LifeBook

    book = LifeBook(ledger)
    card, events = book.card(name), book.events(name)
    if as_json:
        from foretoll.report.life_bill import bill_data

        print_json(bill_data(card, events))
    else:
        from foretoll.report import life_bill_table

        show(life_bill_table(card, events))


@life_app.command("export")
def life_export(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="JSON lines; without it the standard output")
    ] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a life as JSON lines: its card, then all that happened, oldest first.

    Example: `foretoll life export shop --out shop.jsonl`
    """
    from foretoll.ledger import LifeBook
    from foretoll.report.life_bill import export_lines

    book = LifeBook(ledger)
    lines = export_lines(book.card(name), book.events(name))
    if out is None:
        for line in lines:
            say_lines(line)
        return
    from foretoll.report.jsonfile import write_text

    path = write_text(out, "".join(f"{line}\n" for line in lines))
    if as_json:
        print_json({"file": str(path), "lines": len(lines)})
    else:
        say(f"export {path}")


@life_app.command("replay")
@unfolded
def life_replay(
    model: ModelOption,
    source: Annotated[str, model_flag("--source", "-s", help_="data URI that the model was trained on")],
    stream: Annotated[
        str, model_flag("--stream", help_="labelled data in time order: parquet:elec2.parquet?every=336")
    ],
    loading: LoadingFlags,
    settings: SettingsFlags,
    measuring: MeasuringFlags,
    output: OutputFlags,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="once for each policy to replay, or all; see life start"),
    ] = None,
    option: OptionsOption = None,
    price: Annotated[
        float,
        typer.Option(
            "--price", help="what an update costs, in points of accuracy on one batch, or of progress"
        ),
    ] = 30.0,
    delay: Annotated[int, typer.Option("--delay", min=0, help="batches until labels arrive")] = 0,
    window: WindowOption = 8,
    floor: Annotated[
        float | None, typer.Option("--floor", help="count batches served worse than this quality")
    ] = None,
    folder: Annotated[
        Path | None,
        output_flag("--folder", help_="keep each update there; a second call goes on where it was stopped"),
    ] = None,
) -> None:
    """Live a life over: train every update that could have been made once, and see what each policy would have done.

    Example: `foretoll life replay --model m --source npz:old.npz --stream 'parquet:elec2.parquet?every=336' --delay 4`
    """
    recipe, _ = settings.read()
    check_call(
        data=[source, stream.replace("every=", "limit=")],
        settings=recipe,
        options=option or (),
        measuring=measuring,
    )
    from foretoll.workflows.life_replay import replay_policies

    with console_watcher(output.silent) as watcher:
        found = replay_policies(
            model,
            source,
            stream,
            policies=tuple(policy or ("rent",)),
            options=tuple(option or (DEFAULT,)),
            price=price,
            delay=delay,
            window=window,
            settings=recipe,
            folder=folder,
            weights=loading.weights,
            accounting=measuring.accounting(),
            device=measuring.device,
            watcher=watcher,
            trust_code=loading.trust_code,
        )
    from foretoll.report.life import replay_rows
    from foretoll.report.life_words import points_are

    rows = replay_rows(found.replays, found.best, floor)
    if output.as_json:
        print_json(
            {"price": price, "delay": delay, "worth": found.worth, "best": found.best, "policies": rows}
        )
    else:
        from foretoll.report import indices_table

        show(indices_table(rows))
        say(
            f"points are {points_are(found.life.metric)}; the best schedule in hindsight loses {found.best:.2f} of them"
        )
