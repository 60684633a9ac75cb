"""The command line: parse, call, print, exit code (0 done, 1 failed, 2 wrong use, 128 + N stopped by signal N)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer
from typer.main import get_command

from foretoll import streams
from foretoll.commands.checks import check_texts
from foretoll.commands.compare import compare_command
from foretoll.commands.doctor import doctor_command
from foretoll.commands.hardware import hardware_app
from foretoll.commands.ledger import ledger_app
from foretoll.commands.life import life_app
from foretoll.commands.plan import plan_command
from foretoll.commands.precedence import Behind, defaults_by_command
from foretoll.commands.size import size_command
from foretoll.commands.study import study_app
from foretoll.commands.updates import commands
from foretoll.errors import ForetollError, UsageError, is_out_of_memory, one_line, shown
from foretoll.interruption import exit_code, guarded, why_ended

STRICT = "FORETOLL_STRICT"

app = typer.Typer(
    name="foretoll",
    help="Predict what an update of a model will cost, before any retraining; measure it; remember it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(commands)
app.add_typer(compare_command)
app.add_typer(plan_command)
app.add_typer(doctor_command)
app.add_typer(size_command)
app.add_typer(hardware_app, name="hardware")
app.add_typer(ledger_app, name="ledger")
app.add_typer(life_app, name="life")
app.add_typer(study_app, name="study")


def _version(wanted: bool) -> None:
    if wanted:
        from foretoll.version import __version__

        streams.write(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version and exit", is_eager=True, callback=_version),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="faults of foretoll itself (its ledger, its meter) end the command: for CI"
        ),
    ] = False,
) -> None:
    """Say what an update will cost."""
    if strict:
        os.environ[STRICT] = "1"  # also for the workers that this process starts
    try:
        values = Behind.here().defaults()
    except UsageError:
        if context.invoked_subcommand != "doctor":  # which says it among the rest
            raise
        values = {}
    if values:
        context.default_map = defaults_by_command(context.command, values)


def main() -> None:
    """Entry point: errors become one sentence on the standard error and an exit code.

    SIGTERM and SIGHUP stop the work as Ctrl-C does; the exit code is then 128 and the signal's number.
    """
    before = os.environ.get(STRICT)
    with guarded(hand_on=False), streams.ours():
        code, message = _called()
        os.environ.pop(STRICT, None)
        if before is not None:
            os.environ[STRICT] = before
        if message:
            streams.complain(message)
        unwritten = streams.finish()
        if unwritten and not message:
            streams.complain(unwritten)
            code = code or 1
        code = exit_code(code) if message else code
    raise SystemExit(code)


OUT_OF_MEMORY = "out of memory: try a smaller --batch-size, fewer --samples or limit=, or another --device"


@cache
def _command() -> Callable[..., object]:
    """The command line, put together once however often a process calls it."""
    return get_command(app)


def _called() -> tuple[int, str]:
    """Call the command that was typed: exit code, and what is to be said of a failure."""
    try:
        check_texts(sys.argv[1:])
        code = _command()(prog_name="foretoll", standalone_mode=False)
    except ForetollError as error:
        return error.exit_code, str(error)
    except KeyboardInterrupt:
        return 1, why_ended()
    except BrokenPipeError:  # as with `| head`: whoever read has seen enough
        streams.abandon()
        return 1, ""
    except OSError as error:
        return (
            1,
            f"the system refused{_where(error)}: {error.strerror or error}; check the disk and its permissions",
        )
    except Exception as error:  # noqa: BLE001  (the boundary: nobody above could say it better)
        return _unexpected(error)
    if code == 130:  # what the command line library makes of Ctrl-C
        return 1, why_ended()
    return (code if isinstance(code, int) else 0), ""


def _where(error: OSError) -> str:
    return f" {shown(error.filename)}" if error.filename else ""


def _unexpected(error: Exception) -> tuple[int, str]:
    """What the command line library raises for wrong use, running out of memory, and the unforeseen."""
    if type(error).__name__ == "Abort":
        return 1, why_ended()
    if is_out_of_memory(error):
        return 1, OUT_OF_MEMORY
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return 2, ""  # the help is printed already
    if hasattr(error, "format_message"):
        return 2, _wrong_use(str(error.format_message()), context.command_path if context else "foretoll")
    if streams.debugging():
        raise error
    return 1, (
        f"this should not have happened ({type(error).__name__}: {one_line(str(error), 150)}); "
        "set FORETOLL_DEBUG=1 to see where, and please report it"
    )


def _wrong_use(text: str, command: str) -> str:
    """The command line library's own sentence, as ours are written."""
    text = one_line(text, 220).rstrip(".").replace(". Did you mean", ": did you mean")
    return f"{text[:1].lower()}{text[1:]}{'' if text.endswith('?') else ';'} see {command} --help"


if __name__ == "__main__":
    main()
