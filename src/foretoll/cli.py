"""The command line: parse, call, print, exit code (0 done, 1 failed, 2 wrong use, 128 + N stopped by signal N)."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from foretoll.commands.compare import compare_command
from foretoll.commands.ledger import ledger_app
from foretoll.commands.study import study_app
from foretoll.commands.updates import commands
from foretoll.errors import ForetollError
from foretoll.stopping import exit_code, guarded, why_ended

app = typer.Typer(
    name="foretoll",
    help="Foretell what an update of a model will cost, before any retraining; measure it; remember it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(commands)
app.add_typer(compare_command)
app.add_typer(ledger_app, name="ledger")
app.add_typer(study_app, name="study")


def _version(wanted: bool) -> None:
    if wanted:
        from foretoll import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version and exit", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Say what an update will cost."""


def main() -> None:
    """Entry point: errors become one sentence on the standard error and an exit code.

    SIGTERM and SIGHUP stop the work as Ctrl-C does; the exit code is then 128 and the signal's number.
    """
    with guarded(hand_on=False):
        _main()


def _main() -> None:
    try:
        code = app(prog_name="foretoll", standalone_mode=False)
    except ForetollError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail(why_ended(), 1)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _fail(f"the system refused{where}: {error.strerror or error}; check the disk and its permissions", 1)
    except MemoryError:
        _fail(OUT_OF_MEMORY, 1)
    except Exception as error:  # noqa: BLE001  (the boundary: nobody above could say it better)
        _fail_unexpectedly(error)
    if code == 130:  # what the command line library makes of Ctrl-C
        _fail(why_ended(), 1)
    raise SystemExit(code if isinstance(code, int) else 0)


OUT_OF_MEMORY = "out of memory: try a smaller --batch-size, fewer --samples or limit=, or another --device"


def _fail_unexpectedly(error: Exception) -> None:
    """What the command line library raises for wrong use, running out of a GPU's memory, and the unforeseen."""
    if type(error).__name__ == "Abort":
        _fail(why_ended(), 1)
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, not imported for its name
        _fail(OUT_OF_MEMORY, 1)
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(context.get_help() if context is not None else "")
        raise SystemExit(2)
    if hasattr(error, "format_message"):
        text = " ".join(str(error.format_message()).split()).rstrip(".")
        command = context.command_path if context is not None else "foretoll"
        text = text.replace(". Did you mean", ": did you mean")
        _fail(f"{text[:1].lower()}{text[1:]}{'' if text.endswith('?') else ';'} see {command} --help", 2)
    if os.environ.get("FORETOLL_DEBUG"):
        raise error
    text = " ".join(str(error).split())
    _fail(
        f"this should not have happened ({type(error).__name__}: {text}); "
        "set FORETOLL_DEBUG=1 to see where, and please report it",
        1,
    )


def _fail(message: str, code: int) -> NoReturn:
    print(f"foretoll: {message}", file=sys.stderr)  # noqa: T201  (nothing else may fail here)
    raise SystemExit(exit_code(code))


if __name__ == "__main__":
    main()
