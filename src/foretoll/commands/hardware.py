"""`hardware`: the devices that are known, and a benchmark of this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretoll.arguments import check_device_name
from foretoll.commands.flags import (
    AnonymousOption,
    DeviceOption,
    EnergyOption,
    JsonOption,
    QuietOption,
    output_flag,
)
from foretoll.commands.output import as_data, console_watcher, nameless, print_json, say, show

hardware_app = typer.Typer(
    help="Hardware that costs can be forecast for: the catalogue, and a benchmark of this machine.",
    no_args_is_help=True,
)


@hardware_app.command("list")
def hardware_list(as_json: JsonOption = False) -> None:
    """List the hardware that `--hardware` knows, each with its data sheet.

    Example: `foretoll hardware list`
    """
    from foretoll.measure.catalogue import CATALOGUE

    if as_json:
        print_json([as_data(device) for device in CATALOGUE.values()])
        return
    from foretoll.report import blocks_shown
    from foretoll.report.elsewhere import catalogue_table

    show(blocks_shown(lambda: [catalogue_table(CATALOGUE.values())]))


@hardware_app.command("measure")
def hardware_measure(
    device: DeviceOption = "auto",
    energy: EnergyOption = "auto",
    name: Annotated[
        str, typer.Option("--name", help="how it is called in tables; its own name without")
    ] = "",
    out: Annotated[Path, output_flag("--out", help_="the file to write, for --hardware FILE")] = Path(
        "hardware.json"
    ),
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what trainings get of this machine, in half a minute, and write a file that can be shared.

    Example: `foretoll hardware measure --out my-box.json`, then `foretoll estimate … --hardware my-box.json`
    """
    check_device_name(device)
    from foretoll.measure.opening import meter_named

    meter_named(energy)
    from foretoll.workflows.hardware import measure_hardware

    with console_watcher(quiet or as_json) as watcher:
        found = measure_hardware(device, energy=energy, name=name, watcher=watcher)
    found = (nameless(found) if anonymous else None) or found
    from foretoll.report import write_json

    path = write_json(out, found)
    if as_json:
        print_json(as_data(found))
        return
    from foretoll.report import blocks_shown
    from foretoll.report.elsewhere import measured_table

    show(blocks_shown(lambda: [measured_table(found)]))
    say(f"file   {path}")
