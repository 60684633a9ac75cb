"""`compare`: every way to reuse one or more models, side by side, and the one to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretoll.commands.bundles import unfolded
from foretoll.commands.checks import check_call, check_costs
from foretoll.commands.flags import (
    ComparedDataFlags,
    HardwareOption,
    LoadingFlags,
    MeasuringFlags,
    MlflowOption,
    ModelsOption,
    OptionsOption,
    OutputFlags,
    PilotFlags,
    PriceOption,
    SamplesOption,
    measuring_flag,
    output_flag,
)
from foretoll.commands.options_flags import OptionFlags
from foretoll.commands.output import (
    as_data,
    console_watcher,
    log_elsewhere,
    loggers_of,
    nameless,
    open_ledger,
    print_json,
    say,
    show,
)
from foretoll.commands.settings_flags import SettingsFlags
from foretoll.errors import ForetollError
from foretoll.interruption import why_ended

if TYPE_CHECKING:
    from foretoll.records import Comparison

compare_command = typer.Typer()

NONE_RECOMMENDED = 3  # exit code, apart from 1: the command failed


@compare_command.command()
@unfolded
def compare(
    model: ModelsOption,
    data: ComparedDataFlags,
    own: OptionFlags,
    loading: LoadingFlags,
    settings: SettingsFlags,
    measuring: MeasuringFlags,
    shared: PilotFlags,
    output: OutputFlags,
    option: OptionsOption = None,
    budget: Annotated[
        str | None,
        measuring_flag(
            "--budget", help_="what the update may cost at most: 0.1kWh, 20min, 50g (of CO2e), 5EUR"
        ),
    ] = None,
    price: PriceOption = None,
    hardware: HardwareOption = None,
    requests: Annotated[
        int,
        measuring_flag("--requests", min=0, help_="samples to be served afterwards, their energy is added"),
    ] = 0,
    confidence: Annotated[
        float, measuring_flag("--confidence", help_="probability of reaching the target to rely on")
    ] = 0.8,
    measure: Annotated[
        bool,
        measuring_flag(
            "--measure", help_="run and measure all of them as well, and save each model in a folder of DIR"
        ),
    ] = False,
    samples: SamplesOption = 2000,
    mlflow: MlflowOption = False,
    out: Annotated[Path, output_flag("--out", help_="folder DIR for the results")] = Path("foretoll-compare"),
) -> None:
    """Compare all ways to reuse one or more models, and say which is the cheapest that reaches the quality.

    Example: `foretoll compare --model source --source digits --target 'digits?shift=gaussian_noise:0.3' --budget 50g`

    Exit code: 0 where a candidate is recommended, 3 where none is, 1 where the command failed, 2 for wrong use.
    """
    recipe, lr = settings.read()
    options = own.applied(option)
    pilot = shared.budget()
    check_costs(energy=measuring.energy, amounts={"budget": budget}, price=price, hardware=hardware or ())
    check_call(
        data=data.named,
        models=model,
        weights=loading.weights,
        settings=recipe,
        out=out,
        options=options,
        measuring=measuring,
    )
    from foretoll.workflows import compare as compare_

    loggers = loggers_of(mlflow)
    with console_watcher(output.silent) as watcher:
        found = compare_(
            model,
            options=options,
            settings=recipe,
            lr=lr,
            budget=budget,
            pilot=pilot,
            hardware=hardware,
            requests=requests,
            confidence=confidence,
            measure=measure,
            samples=samples,
            device=measuring.device,
            accounting=measuring.accounting(price),
            ledger=open_ledger(output.ledger),
            out=out,
            watcher=watcher,
            **data.values(),
            **loading.values(),
        )
    for run in [candidate.run for candidate in found.candidates if candidate.run is not None]:
        log_elsewhere(loggers, run)
    _hand_over(out, found, as_json=output.as_json, anonymous=output.anonymous)


def _hand_over(out: Path, found: Comparison, *, as_json: bool, anonymous: bool) -> None:
    """Write and show what was found; what cannot be written is shown all the same."""
    from foretoll.report import comparison_table, write_json, write_reports
    from foretoll.workflows import was_stopped

    found = (nameless(found) if anonymous else None) or found
    problem, report = None, None
    try:
        write_json(out / "comparison.json", found)
        report = write_reports(out, comparison=found)
    except ForetollError as error:
        problem = error
    if as_json:
        print_json(as_data(found))
    else:
        show(comparison_table(found))
        if report is not None:
            say(f"report   {report}")
    if problem is not None:
        raise problem
    if was_stopped(found.candidates):
        raise ForetollError(f"{why_ended()}; what was measured is kept: foretoll ledger list --tag compare")
    if found.recommendation.candidate is None:
        raise typer.Exit(NONE_RECOMMENDED)
