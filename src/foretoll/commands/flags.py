"""The flags that commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretoll.options.table import OPTIONS
from foretoll.registry import names_for_help

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="checkpoint folder, timm:NAME, torchvision:NAME, hf:PATH, foretoll:NAME or package.module:factory",
    ),
]
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        help="as in estimate; once for each model, all trained on the source",
    ),
]
SourceOption = Annotated[str, typer.Option("--source", "-s", help="data URI that the model was trained on")]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="data URI that it must now serve")]
UntilOption = Annotated[
    float | None,
    typer.Option(
        "--until",
        "-u",
        help="quality to reach; without it 95 % of the quality on the source (same task only)",
    ),
]
OptionOption = Annotated[
    str,
    typer.Option(
        "--option",
        "-o",
        help=f"way to reuse the model: {names_for_help(OPTIONS)}",
    ),
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="once for each way to reuse a model; without it all of them"),
]
TaskOption = Annotated[
    bool | None,
    typer.Option(
        "--task/--same-task", help="the target is a new task; without it decided by the class names"
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", "-w", help="weights: .safetensors, or .pt holding a state dict")
]
LayerOption = Annotated[
    str | None, typer.Option("--embedding-layer", help="layer that represents a sample, found if not named")
]
HeadOption = Annotated[str | None, typer.Option("--head", help="layer that classifies, found if not named")]
MetricOption = Annotated[str, typer.Option(help="quality: accuracy, balanced_accuracy or macro_f1")]
EpochsOption = Annotated[float, typer.Option("--max-epochs", help="budget of epochs")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1)]
RateOption = Annotated[
    str | None,
    typer.Option(
        "--lr",
        help="learning rate, or auto to have one looked for by a few steps each; without it the option's own, "
        "which is lower where weights of others are kept",
    ),
]
FirstRateOption = Annotated[float, typer.Option("--lr", help="learning rate")]
BatchOption = Annotated[int, typer.Option("--batch-size", help="samples in a training step")]
OptimizerOption = Annotated[str, typer.Option("--optimizer", help="adam, adamw or sgd")]
DecayOption = Annotated[float, typer.Option("--weight-decay")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")]
EnergyOption = Annotated[
    str, typer.Option("--energy", help="energy meter: auto, nvml, rapl, codecarbon, watts:65, none")
]
RegionOption = Annotated[
    str | None,
    typer.Option("--region", help="country or subregion of the grid: DE, FRA, US-CA (FORETOLL_REGION)"),
]
PueOption = Annotated[float | None, typer.Option("--pue", help="power usage effectiveness, at least 1")]
IntensityOption = Annotated[
    float | None, typer.Option("--intensity", help="your own grid intensity in gCO2e/kWh")
]
YearOption = Annotated[
    int | None, typer.Option("--year", help="year of the grid intensity; the latest known if not named")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", help="where data are looked at: local, processes:4, ray, ray:4, ray://host:port"
    ),
]
LedgerOption = Annotated[
    str | None, typer.Option("--ledger", help="ledger file or database URL (FORETOLL_LEDGER)")
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="import and run the functions (package.module:function) that a checkpoint or a study file names",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
AnonymousOption = Annotated[
    bool,
    typer.Option(
        "--anonymous", help="tell nothing of user, host, folders and system in what is written and shown"
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no progress")]
