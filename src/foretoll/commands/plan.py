"""`plan`: how often to update within a year, by which option, what that costs and what quality it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from foretoll.commands.bundles import Bundle, unfolded
from foretoll.commands.checks import check_call, check_costs
from foretoll.commands.flags import (
    DataFlags,
    LoadingFlags,
    MeasuringFlags,
    ModelOption,
    OptionsOption,
    OutputFlags,
    PriceOption,
    SamplesOption,
    measuring_flag,
    output_flag,
)
from foretoll.commands.output import as_data, console_watcher, nameless, open_ledger, print_json, say, show
from foretoll.commands.settings_flags import SettingsFlags
from foretoll.decide.money import Price
from foretoll.decide.plan import Aims

plan_command = typer.Typer()


@dataclass(frozen=True)
class PlanFlags(Bundle):
    """What a plan must keep to."""

    option: OptionsOption = None
    updates: Annotated[
        int,
        measuring_flag(
            "--updates", help_="the most updates: one for each period that drifts as source to target"
        ),
    ] = 12
    budget: Annotated[
        str | None,
        measuring_flag("--budget", help_="what all updates may cost: 2kWh, 3h, 50g (of CO2e), 5EUR"),
    ] = None
    price: PriceOption = None
    floor: Annotated[float | None, measuring_flag("--floor", help_="least quality that may be served")] = None
    samples: SamplesOption = 2000
    out: Annotated[Path | None, output_flag("--out", help_="also write the plan there, as JSON")] = None


@plan_command.command()
@unfolded
def plan(
    model: ModelOption,
    data: DataFlags,
    loading: LoadingFlags,
    settings: SettingsFlags,
    measuring: MeasuringFlags,
    output: OutputFlags,
    wanted: PlanFlags,
) -> None:
    """Plan a year of updates from one case: how often, by which option, at which cost, holding which quality.

    Example: `foretoll plan --model source --source npz:may.npz --target npz:june.npz --updates 12 --budget 2kWh`
    """
    recipe, lr = settings.read()
    check_costs(energy=measuring.energy, price=wanted.price, amounts={"budget": wanted.budget})
    check_call(
        data=data.named,
        models=[model],
        weights=loading.weights,
        settings=recipe,
        options=wanted.option or (),
        measuring=measuring,
    )
    Aims.of(wanted.updates, wanted.budget, wanted.floor, Price.several(wanted.price))
    from foretoll.workflows.plan import plan as plan_

    with console_watcher(output.silent) as watcher:
        found = plan_(
            model,
            updates=wanted.updates,
            budget=wanted.budget,
            floor=wanted.floor,
            options=wanted.option,
            settings=recipe,
            lr=lr,
            samples=wanted.samples,
            device=measuring.device,
            accounting=measuring.accounting(wanted.price),
            ledger=open_ledger(output.ledger),
            watcher=watcher,
            **data.values(),
            **loading.values(),
        )
    found = (nameless(found) if output.anonymous else None) or found
    if wanted.out is not None:
        from foretoll.report import write_json

        write_json(wanted.out, found)
    if output.as_json:
        print_json(as_data(found))
    else:
        from foretoll.report import plan_table

        show(plan_table(found))
        if wanted.out is not None:
            say(f"plan     {wanted.out}")
