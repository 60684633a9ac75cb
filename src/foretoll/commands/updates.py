"""`demo`, `train`, `estimate`, `retrain`, `indices`: the commands at the top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretoll.commands.checks import check_call
from foretoll.commands.flags import (
    AnonymousOption,
    BatchOption,
    DecayOption,
    DeviceOption,
    EnergyOption,
    EngineOption,
    EpochsOption,
    FirstRateOption,
    HeadOption,
    IntensityOption,
    JsonOption,
    LayerOption,
    LedgerOption,
    MetricOption,
    ModelOption,
    OptimizerOption,
    OptionOption,
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
    hand_over,
    looked_for,
    open_ledger,
    print_json,
    say_how_it_ended,
    show,
    show_page,
    training_settings,
)
from foretoll.options.table import DEFAULT

commands = typer.Typer()


@commands.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="folder for the results")] = Path("foretoll-demo"),
    seed: SeedOption = 0,
    region: RegionOption = None,
    energy: EnergyOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Forecast a retraining on real data, then really retrain, and show both side by side.

    Example: `foretoll demo --region DE`
    """
    from foretoll.demo import run_demo
    from foretoll.workflows import Accounting

    with console_watcher(quiet or as_json) as watcher:
        shown = run_demo(out, seed=seed, accounting=Accounting(energy=energy, region=region), watcher=watcher)
    if as_json:
        print_json({"estimate": as_data(shown.estimate), "run": as_data(shown.run)})
    else:
        show_page(shown.estimate, shown.run, report=shown.report)
    say_how_it_ended(shown.run)


@commands.command()
def train(
    arch: Annotated[
        str,
        typer.Option("--arch", "-a", help="foretoll:cnn, foretoll:resnet?width=32, torchvision:resnet18, …"),
    ],
    data: Annotated[str, typer.Option("--data", "-d", help="data URI")],
    out: Annotated[Path, typer.Option("--out", help="folder for the checkpoint")] = Path("foretoll-train"),
    until: Annotated[
        float | None, typer.Option("--until", "-u", help="stop at this validation quality")
    ] = None,
    metric: MetricOption = "accuracy",
    max_epochs: EpochsOption = 10.0,
    seed: SeedOption = 0,
    lr: FirstRateOption = 1e-3,
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
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model from scratch, measured, and save it as a checkpoint folder.

    Example: `foretoll train --arch foretoll:cnn --data digits --out source --until 0.95`
    """
    settings = training_settings(metric, max_epochs, seed, lr, batch_size, optimizer, weight_decay)
    check_call(
        data=[data],
        metric=metric,
        device=device,
        energy=energy,
        region=region,
        pue=pue,
        intensity=intensity,
        year=year,
        until=until,
        out=out,
    )
    from foretoll.workflows import Accounting
    from foretoll.workflows import train as train_

    with console_watcher(quiet or as_json) as watcher:
        run = train_(
            arch,
            data,
            out=out,
            until=until,
            settings=settings,
            device=device,
            accounting=Accounting(energy, region, pue, intensity, year),
            ledger=open_ledger(ledger),
            watcher=watcher,
        )
    hand_over(out, run=run, as_json=as_json, anonymous=anonymous)


@commands.command()
def estimate(
    model: ModelOption,
    source: SourceOption,
    target: TargetOption,
    option: OptionOption = DEFAULT,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            help="another option to forecast beside it, with training steps of its own; once for each",
        ),
    ] = None,
    until: UntilOption = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", help="first spend this on short graded retrainings: 6runs, 90s, 5min"),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=2, help="samples of source and target to look at")
    ] = 2000,
    engine: EngineOption = "local",
    hardware: Annotated[
        str | None,
        typer.Option(
            "--hardware", help="forecast time and energy for a device that is not at hand: A100, L4, …"
        ),
    ] = None,
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
    out: Annotated[Path, typer.Option("--out", help="folder for the results")] = Path("foretoll-estimate"),
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Foretell what an update will cost; nothing is retrained.

    Example: `foretoll estimate --model source --source digits --target 'digits?shift=gaussian_noise:0.3'`
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
        options=[option, *(also or ())],
        engine=engine,
        hardware=hardware,
    )
    from foretoll.workflows import Accounting
    from foretoll.workflows import estimate as estimate_

    with console_watcher(quiet or as_json) as watcher:
        found = estimate_(
            model,
            source,
            target,
            option=option,
            until=until,
            task=task,
            settings=settings,
            also=also or (),
            lr=looked_for(lr),
            calibrate_for=calibrate,
            samples=samples,
            engine=engine,
            hardware=hardware,
            weights=weights,
            embedding_layer=embedding_layer,
            head=head,
            trust_code=trust_code,
            device=device,
            accounting=Accounting(energy, region, pue, intensity, year),
            ledger=open_ledger(ledger),
            watcher=watcher,
        )
    hand_over(out, estimate=found, as_json=as_json, anonymous=anonymous)


@commands.command()
def retrain(
    model: ModelOption,
    source: SourceOption,
    target: TargetOption,
    option: OptionOption = DEFAULT,
    until: UntilOption = None,
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
    beside: Annotated[
        Path | None, typer.Option("--estimate", help="estimate.json to show beside the measurement")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="folder for the updated model")] = Path(
        "foretoll-retrain"
    ),
    anonymous: AnonymousOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Carry out one option, measure it, add the run to the ledger and save the updated model.

    Example: `foretoll retrain --model source --source digits --target 'digits?shift=gaussian_noise:0.3'`
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
        options=[option],
    )
    from foretoll.report import read_estimate
    from foretoll.workflows import Accounting
    from foretoll.workflows import retrain as retrain_

    forecast = read_estimate(beside) if beside else None
    with console_watcher(quiet or as_json) as watcher:
        run = retrain_(
            model,
            source,
            target,
            option=option,
            until=until,
            task=task,
            settings=settings,
            lr=looked_for(lr),
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
    hand_over(out, estimate=forecast, run=run, as_json=as_json, anonymous=anonymous)


@commands.command()
def indices(as_json: JsonOption = False) -> None:
    """List the indices: what each needs and where it comes from.

    Example: `foretoll indices`
    """
    from foretoll.indices.table import INDICES

    rows = [entry.as_row() for entry in INDICES.values()]
    if as_json:
        print_json(rows)
    else:
        from foretoll.report import indices_table

        show(indices_table(rows))
