"""`demo`, `train`, `estimate`, `retrain`, `indices`: the commands at the top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretoll.commands.bundles import unfolded
from foretoll.commands.checks import check_call, check_costs
from foretoll.commands.flags import (
    DataFlags,
    EnergyOption,
    EngineOption,
    FreshFlags,
    HardwareOption,
    JsonOption,
    LoadingFlags,
    MeasuringFlags,
    MlflowOption,
    ModelOption,
    OptionOption,
    OutputFlags,
    PilotFlags,
    PriceOption,
    QuietOption,
    RegionOption,
    measuring_flag,
    model_flag,
    output_flag,
)
from foretoll.commands.options_flags import OptionFlags
from foretoll.commands.output import (
    as_data,
    console_watcher,
    hand_over,
    log_elsewhere,
    loggers_of,
    open_ledger,
    print_json,
    say_how_it_ended,
    show,
    show_page,
)
from foretoll.commands.settings_flags import EstimateFlags, SettingsFlags, TrainFlags
from foretoll.options.table import DEFAULT

commands = typer.Typer()


@commands.command()
def demo(
    out: Annotated[Path, output_flag("--out", help_="folder for the results")] = Path("foretoll-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1)] = 0,
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
@unfolded
def train(
    fresh: FreshFlags,
    settings: TrainFlags,
    measuring: MeasuringFlags,
    output: OutputFlags,
    mlflow: MlflowOption = False,
    out: Annotated[Path, output_flag("--out", help_="folder for the checkpoint")] = Path("foretoll-train"),
) -> None:
    """Train a model from scratch, measured, and save it as a checkpoint folder.

    Example: `foretoll train --arch foretoll:cnn --data digits --out source --until 0.95`
    """
    recipe, _ = settings.read()
    check_call(data=[fresh.data], models=[fresh.arch], settings=recipe, out=out, measuring=measuring)
    from foretoll.workflows import train as train_

    loggers = loggers_of(mlflow)
    with console_watcher(output.silent) as watcher:
        run = train_(
            **fresh.values(),
            out=out,
            settings=recipe,
            device=measuring.device,
            accounting=measuring.accounting(),
            ledger=open_ledger(output.ledger),
            watcher=watcher,
        )
    log_elsewhere(loggers, run)
    hand_over(out, run=run, as_json=output.as_json, anonymous=output.anonymous)


@commands.command()
@unfolded
def estimate(
    model: ModelOption,
    data: DataFlags,
    own: OptionFlags,
    loading: LoadingFlags,
    settings: EstimateFlags,
    measuring: MeasuringFlags,
    longer: PilotFlags,
    output: OutputFlags,
    option: OptionOption = DEFAULT,
    also: Annotated[
        list[str] | None,
        model_flag(
            "--also",
            help_="another option to forecast beside it, with training steps of its own; once for each",
        ),
    ] = None,
    budgets: Annotated[
        list[str] | None,
        measuring_flag(
            "--for",
            help_="what quality a budget buys: 2kWh, 30min, 50g or 5epochs; several by commas, or once for each",
        ),
    ] = None,
    worth: Annotated[
        str | None,
        measuring_flag(
            "--worth",
            help_="is it worth it: what one more right answer is worth, such as 0.2J, 5s or 1mg, and after how many "
            "answers the update has paid",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        measuring_flag("--calibrate", help_="first spend this on short graded retrainings: 6runs, 90s, 5min"),
    ] = None,
    samples: Annotated[
        int | None,
        measuring_flag(
            "--samples",
            min=2,
            help_="samples of source and target to use; without it 2,000, or fewer where the look would take much of "
            "what the retraining does",
        ),
    ] = None,
    samples_curve: Annotated[
        bool,
        measuring_flag(
            "--samples-curve",
            help_="how many labelled samples are needed: also forecast 1/8, 1/4 and 1/2 of the target's training data",
        ),
    ] = False,
    engine: EngineOption = "local",
    hardware: HardwareOption = None,
    price: PriceOption = None,
    out: Annotated[Path, output_flag("--out", help_="folder for the results")] = Path("foretoll-estimate"),
) -> None:
    """Predict what an update will cost; nothing is retrained.

    Example: `foretoll estimate --model source --source digits --target 'digits?shift=gaussian_noise:0.3'`
    """
    recipe, lr = settings.read()
    option, *also = own.applied([option, *(also or ())])
    pilot = longer.budget()
    check_costs(
        energy=measuring.energy,
        engine=engine,
        hardware=hardware or (),
        price=price,
        calibrate=calibrate,
        allowances=budgets or (),
        amounts={"worth": worth},
    )
    check_call(
        data=data.named,
        models=[model],
        weights=loading.weights,
        settings=recipe,
        out=out,
        options=[option, *also],
        measuring=measuring,
    )
    from foretoll.workflows import estimate as estimate_

    with console_watcher(output.silent) as watcher:
        found = estimate_(
            model,
            option=option,
            settings=recipe,
            until=settings.targets or None,
            budgets=budgets or (),
            worth=worth,
            also=also,
            lr=lr,
            calibrate_for=calibrate,
            pilot=pilot,
            samples=samples,
            samples_curve=samples_curve,
            engine=engine,
            hardware=hardware,
            device=measuring.device,
            accounting=measuring.accounting(price),
            ledger=open_ledger(output.ledger),
            watcher=watcher,
            **data.values(),
            **loading.values(),
        )
    hand_over(out, estimate=found, as_json=output.as_json, anonymous=output.anonymous)


@commands.command()
@unfolded
def retrain(
    model: ModelOption,
    data: DataFlags,
    own: OptionFlags,
    loading: LoadingFlags,
    settings: SettingsFlags,
    measuring: MeasuringFlags,
    output: OutputFlags,
    option: OptionOption = DEFAULT,
    beside: Annotated[
        Path | None,
        output_flag(
            "--estimate",
            help_="estimate.json of this update: shown beside the measurement, kept with the run",
        ),
    ] = None,
    from_pilot: Annotated[
        Path | None,
        measuring_flag(
            "--from-pilot", help_="go on from the pilot that estimate --keep-pilot kept in this folder"
        ),
    ] = None,
    mlflow: MlflowOption = False,
    out: Annotated[Path, output_flag("--out", help_="folder for the updated model")] = Path(
        "foretoll-retrain"
    ),
) -> None:
    """Run one option, measure it, add the run to the ledger and save the updated model.

    Example: `foretoll retrain --model source --source digits --target 'digits?shift=gaussian_noise:0.3'`
    """
    recipe, lr = settings.read()
    [option] = own.applied([option])
    check_call(
        data=data.named,
        models=[model],
        weights=loading.weights,
        settings=recipe,
        out=out,
        options=[option],
        measuring=measuring,
    )
    from foretoll.report import read_estimate
    from foretoll.workflows import retrain as retrain_

    forecast = read_estimate(beside) if beside else None
    loggers = loggers_of(mlflow)
    with console_watcher(output.silent) as watcher:
        run = retrain_(
            model,
            option=option,
            settings=recipe,
            lr=lr,
            device=measuring.device,
            accounting=measuring.accounting(),
            ledger=open_ledger(output.ledger),
            estimate=forecast,
            from_pilot=from_pilot,
            out=out,
            watcher=watcher,
            **data.values(),
            **loading.values(),
        )
    log_elsewhere(loggers, run, forecast)
    hand_over(out, estimate=forecast, run=run, as_json=output.as_json, anonymous=output.anonymous)


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
