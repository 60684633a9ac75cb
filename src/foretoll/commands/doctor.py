"""`doctor`: what works on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from foretoll.commands.flags import (
    AnonymousOption,
    DeviceOption,
    EnergyOption,
    JsonOption,
    LedgerOption,
    RegionOption,
)
from foretoll.commands.output import as_data, nameless, print_json, show
from foretoll.commands.precedence import SESSION, Behind
from foretoll.errors import UsageError
from foretoll.records.diagnosis import Finding

doctor_command = typer.Typer()


@doctor_command.command()
def doctor(
    context: typer.Context,
    device: DeviceOption = "auto",
    energy: EnergyOption = "auto",
    region: RegionOption = None,
    ledger: LedgerOption = None,
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check what forecasts and measurements rest on here; exit code 1 where something does not work.

    Example: `foretoll doctor --anonymous`, as the first part of a report of a bug.
    """
    from foretoll.ledger import Ledger
    from foretoll.workflows.doctor import examine_machine

    found = examine_machine(device=device, energy=energy, region=region, ledger=Ledger.open(ledger))
    found = found.model_copy(update={"findings": (*found.findings, *_settings(context))})
    found = (nameless(found) if anonymous else None) or found
    if as_json:
        print_json(as_data(found))
    else:
        from foretoll.report import blocks_shown
        from foretoll.report.doctor import doctor_blocks

        show(blocks_shown(lambda: doctor_blocks(found)))
    if found.faults:
        raise typer.Exit(1)


def _settings(context: typer.Context) -> Iterator[Finding]:
    """Which values are in force, and where each comes from; what is at its default is not listed."""
    typed = [
        f"{name} {value}"
        for name, value in context.params.items()
        if name in SESSION and str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    ]
    if typed:
        yield Finding(subject="settings", state="ok", note=f"typed: {', '.join(typed)}")
    try:
        yield from Behind.here().findings()
    except UsageError as error:
        yield Finding(subject="settings", state="fault", note=str(error))
