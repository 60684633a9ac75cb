"""The flags that commands share, each with its help; those that belong together as one bundle."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretoll.commands.bundles import Bundle
from foretoll.options.table import OPTIONS
from foretoll.registry import names_for_help

if TYPE_CHECKING:
    from foretoll.decide.pilot_budget import PilotBudget
    from foretoll.workflows import Accounting

MODEL_AND_DATA, MEASURING, OUTPUT = "Model and data", "Measuring", "Output"


def model_flag(*names: str, help_: str, **limits: Any) -> Any:
    """A flag of the panel of model and data."""
    return typer.Option(*names, help=help_, rich_help_panel=MODEL_AND_DATA, **limits)


def measuring_flag(*names: str, help_: str, **limits: Any) -> Any:
    """A flag of the panel of forecasting and measuring."""
    return typer.Option(*names, help=help_, rich_help_panel=MEASURING, **limits)


def output_flag(*names: str, help_: str, **limits: Any) -> Any:
    """A flag of the panel of what is written and shown."""
    return typer.Option(*names, help=help_, rich_help_panel=OUTPUT, **limits)


ModelOption = Annotated[
    str,
    model_flag(
        "--model",
        "-m",
        help_="checkpoint folder, timm:NAME, torchvision:NAME, hf:PATH, foretoll:NAME or package.module:factory",
    ),
]
ModelsOption = Annotated[
    list[str],
    model_flag("--model", "-m", help_="as in estimate; once for each model"),
]
OptionOption = Annotated[
    str, model_flag("--option", "-o", help_=f"way to reuse the model: {names_for_help(OPTIONS)}")
]
OptionsOption = Annotated[
    list[str] | None,
    model_flag("--option", "-o", help_="once for each way to reuse a model; without it all of them"),
]
SamplesOption = Annotated[
    int, measuring_flag("--samples", min=2, help_="samples of source and target to use")
]
DeviceOption = Annotated[str, measuring_flag("--device", help_="auto, cpu, cuda, cuda:1, …")]
EnergyOption = Annotated[
    str, measuring_flag("--energy", help_="energy meter: auto, nvml, rapl, codecarbon, watts:65, none")
]
RegionOption = Annotated[
    str | None,
    measuring_flag("--region", help_="country or subregion of the grid: DE, FRA, US-CA (FORETOLL_REGION)"),
]
HardwareOption = Annotated[
    list[str] | None,
    measuring_flag(
        "--hardware",
        help_="time, energy and memory on hardware that is not at hand: A100, 4xA100, my-box.json; several by commas",
    ),
]
PriceOption = Annotated[
    list[str] | None,
    measuring_flag(
        "--price",
        help_="money for energy, or for an hour of a device: 0.30EUR/kWh, 2.5/h, A100=2.5EUR/h; several add up",
    ),
]
EngineOption = Annotated[
    str,
    measuring_flag(
        "--engine", help_="where indices are computed: local, processes:4, ray, ray:4, ray://host:port"
    ),
]
LedgerOption = Annotated[
    str | None, output_flag("--ledger", help_="ledger file or database URL (FORETOLL_LEDGER)")
]
TrustOption = Annotated[
    bool,
    model_flag(
        "--trust-code",
        help_="import and run the functions (package.module:function) that a checkpoint or a study file names",
    ),
]
JsonOption = Annotated[bool, output_flag("--json", help_="print one JSON object and nothing else")]
AnonymousOption = Annotated[
    bool,
    output_flag("--anonymous", help_="leave user, host, folders and system out of what is written and shown"),
]
MlflowOption = Annotated[
    bool,
    output_flag("--mlflow", help_="log what is measured to MLflow as well (MLFLOW_TRACKING_URI says where)"),
]
QuietOption = Annotated[bool, output_flag("--quiet", "-q", help_="no progress")]


EmbeddingOption = Annotated[
    str | None, model_flag("--embedding-layer", help_="layer that represents a sample, found if not named")
]
HeadOption = Annotated[
    str | None,
    model_flag("--head", help_="layer that classifies, or one of several outputs; found if not named"),
]


TargetOption = Annotated[str, model_flag("--target", "-t", help_="data URI that it must now serve")]
TaskOption = Annotated[
    bool | None,
    model_flag("--task/--same-task", help_="the target is a new task; without it decided by the class names"),
]


@dataclass(frozen=True)
class FreshFlags(Bundle):
    """A network with fresh weights, and the data that it is trained on."""

    arch: Annotated[
        str,
        model_flag("--arch", "-a", help_="foretoll:cnn, foretoll:resnet?width=32, torchvision:resnet18, …"),
    ]
    data: Annotated[str, model_flag("--data", "-d", help_="data URI")]
    embedding_layer: EmbeddingOption = None
    head: HeadOption = None


@dataclass(frozen=True)
class DataFlags(Bundle):
    """What a model was trained on, and what it must now serve."""

    target: TargetOption
    source: Annotated[
        str | None,
        model_flag(
            "--source",
            "-s",
            help_="data URI that the model was trained on; left out or none: nobody has them",
        ),
    ] = None
    task: TaskOption = None

    @property
    def named(self) -> list[str]:
        """The data URIs that were typed."""
        return _uris(self.source, self.target)


@dataclass(frozen=True)
class ComparedDataFlags(Bundle):
    """What each of several models was trained on, and what they must now serve."""

    target: TargetOption
    source: Annotated[
        list[str] | None,
        model_flag(
            "--source",
            "-s",
            help_="data URI that the models were trained on, or one for each model in their order; left out or none: "
            "nobody has them",
        ),
    ] = None
    task: TaskOption = None

    @property
    def named(self) -> list[str]:
        """The data URIs that were typed."""
        return _uris(*(self.source or ()), self.target)

    def values(self) -> dict[str, Any]:
        """The values by name: one source for all models, or one for each."""
        given = self.source or []
        several = len(given) > 1
        return {
            "target": self.target,
            "source": given[0] if given and not several else None,
            "sources": given if several else None,
            "task": self.task,
        }


def _uris(*given: str | None) -> list[str]:
    return [uri for uri in given if uri is not None and uri.strip().lower() != "none"]


@dataclass(frozen=True)
class LoadingFlags(Bundle):
    """How a model is loaded."""

    weights: Annotated[
        Path | None, model_flag("--weights", "-w", help_="weights: .safetensors, or .pt holding a state dict")
    ] = None
    embedding_layer: EmbeddingOption = None
    head: HeadOption = None
    trust_code: TrustOption = False


@dataclass(frozen=True)
class MeasuringFlags(Bundle):
    """Where and how costs are measured."""

    device: DeviceOption = "auto"
    energy: EnergyOption = "auto"
    region: RegionOption = None
    pue: Annotated[float | None, measuring_flag("--pue", help_="power usage effectiveness, at least 1")] = (
        None
    )
    intensity: Annotated[
        float | None, measuring_flag("--intensity", help_="your own grid intensity in gCO2e/kWh")
    ] = None
    year: Annotated[
        int | None,
        measuring_flag("--year", help_="year of the grid intensity; the latest known if not named"),
    ] = None

    memory: Annotated[
        str | None,
        measuring_flag(
            "--memory",
            help_="how much of data on disk may be held in memory, such as 4GB (FORETOLL_MEMORY); a quarter of what is "
            "free if not named",
        ),
    ] = None

    def around(self) -> AbstractContextManager[None]:
        """The bound for data on disk."""
        from foretoll.data.limits import memory_for_data

        return memory_for_data(self.memory)

    def accounting(self, price: list[str] | None = None) -> Accounting:
        """How energy and emissions are accounted for, and at which price."""
        from foretoll.workflows import Accounting

        return Accounting(self.energy, self.region, self.pue, self.intensity, self.year, price)


@dataclass(frozen=True)
class StudyFlags(Bundle):
    """A study, and how much of it is run where."""

    file: Annotated[str, typer.Argument(help="study file (TOML), or the name of one that ships")]
    out: Annotated[Path | None, typer.Option("--out", help="folder of models and ledger; study-NAME")] = None
    engine: Annotated[str, typer.Option("--engine", help="local, processes:4, ray, ray://host:port")] = (
        "local"
    )
    limit: Annotated[int | None, typer.Option("--limit", help="do at most so many runs now")] = None
    device: DeviceOption = "cpu"
    energy: EnergyOption = "auto"
    region: RegionOption = None
    plan_only: Annotated[bool, typer.Option("--plan", help="say what would be done and what it costs")] = (
        False
    )
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="do failed runs again")] = False
    trust_code: TrustOption = False


@dataclass(frozen=True)
class PilotFlags(Bundle):
    """How far the pilot of an estimate, or the pilots of a comparison, go on."""

    within: Annotated[
        str | None,
        measuring_flag(
            "--within",
            help_="go on with the pilot, as the beginning of the run, until the interval of epochs is within this "
            "factor, such as 1.5, or --spend is spent",
        ),
    ] = None
    spend: Annotated[
        str | None,
        measuring_flag(
            "--spend",
            help_="go on with the pilot until this share of the forecast energy is spent, such as 3%, which it is "
            "beside --within; compare shares it out among the pilots of all candidates",
        ),
    ] = None

    keep_pilot: Annotated[
        Path | None,
        measuring_flag(
            "--keep-pilot",
            help_="folder for that pilot (in compare the recommended one's), which retrain --from-pilot goes on from",
        ),
    ] = None

    def budget(self) -> PilotBudget | None:
        """The budget that they name; None: the pilot ends after its first steps."""
        from foretoll.decide.pilot_budget import PilotBudget

        return PilotBudget.parse(self.within, self.spend, self.keep_pilot)


@dataclass(frozen=True)
class OutputFlags(Bundle):
    """Where results are remembered, and how they are shown."""

    ledger: LedgerOption = None
    anonymous: AnonymousOption = False
    as_json: JsonOption = False
    quiet: QuietOption = False

    @property
    def silent(self) -> bool:
        """Whether no progress is shown."""
        return self.quiet or self.as_json
