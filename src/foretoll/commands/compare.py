"""`compare`: every way to reuse one or more models, side by side, and the one to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretoll.commands.checks import check_call
from foretoll.commands.flags import (
    AnonymousOption,
    BatchOption,
    DecayOption,
    DeviceOption,
    EnergyOption,
    EpochsOption,
    HeadOption,
    IntensityOption,
    JsonOption,
    LayerOption,
    LedgerOption,
    MetricOption,
    ModelsOption,
    OptimizerOption,
    OptionsOption,
    PueOption,
    QuietOption,
    RateOption,
    RegionOption,
    SeedOption,
    SourceOption,
    TargetOption,
    TaskOption,
    TrustOption,
    UntilOption,
    WeightsOption,
    YearOption,
)
from foretoll.commands.output import (
    as_data,
    console_watcher,
    looked_for,
    nameless,
    open_ledger,
    print_json,
    say,
    show,
    training_settings,
)
from foretoll.errors import ForetollError
from foretoll.interruption import why_ended

if TYPE_CHECKING:
    from foretoll.records import Comparison

compare_command = typer.Typer()

NONE_RECOMMENDED = 3  # exit code, apart from 1: the command failed


@compare_command.command()
def compare(
    model: ModelsOption,
    source: SourceOption,
    target: TargetOption,
    until: UntilOption = None,
    option: OptionsOption = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="what the update may cost at most: 0.1kWh, 20min, 50g (of CO2e)"),
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", min=0, help="samples to be served afterwards, their energy is added")
    ] = 0,
    confidence: Annotated[
        float, typer.Option("--confidence", help="probability of reaching the target to rely on")
    ] = 0.8,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="carry all of them out as well, and save each model in a folder of DIR"
        ),
    ] = False,
    samples: Annotated[
        int, typer.Option("--samples", min=2, help="samples of source and target to look at")
    ] = 2000,
    task: TaskOption = None,
    weights: WeightsOption = None,
    embedding_layer: LayerOption = None,
    head: HeadOption = None,
    trust_code: TrustOption = False,
    metric: MetricOption = "accuracy",
    max_epochs: EpochsOption = 20.0,
    seed: SeedOption = 0,
    lr: RateOption = None,
    batch_size: BatchOption = 64,
    optimizer: OptimizerOption = "adam",
    weight_decay: DecayOption = 0.0,
    device: DeviceOption = "auto",
    energy: EnergyOption = "auto",
    region: RegionOption = None,
    pue: PueOption = None,
    intensity: IntensityOption = None,
    year: YearOption = None,
    ledger: LedgerOption = None,
    out: Annotated[Path, typer.Option("--out", help="folder DIR for the results")] = Path("foretoll-compare"),
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare all ways to reuse one or more models, and say which is the cheapest that reaches the quality.

    Example: `foretoll compare --model source --source digits --target 'digits?shift=gaussian_noise:0.3' --budget 50g`

    Exit code: 0 where a candidate is recommended, 3 where none is, 1 where the command failed, 2 for wrong use.
    """
    settings = training_settings(metric, max_epochs, seed, lr, batch_size, optimizer, weight_decay)
    check_call(
        data=[source, target],
        metric=metric,
        device=device,
        energy=energy,
        region=region,
        pue=pue,
        intensity=intensity,
        year=year,
        until=until,
        out=out,
        options=option or (),
        budget=budget,
    )
    from foretoll.workflows import Accounting
    from foretoll.workflows import compare as compare_

    with console_watcher(quiet or as_json) as watcher:
        found = compare_(
            model,
            source,
            target,
            options=option,
            until=until,
            task=task,
            settings=settings,
            lr=looked_for(lr),
            budget=budget,
            requests=requests,
            confidence=confidence,
            measure=measure,
            samples=samples,
            weights=weights,
            embedding_layer=embedding_layer,
            head=head,
            trust_code=trust_code,
            device=device,
            accounting=Accounting(energy, region, pue, intensity, year),
            ledger=open_ledger(ledger),
            out=out,
            watcher=watcher,
        )
    _hand_over(out, found, as_json=as_json, anonymous=anonymous)


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
