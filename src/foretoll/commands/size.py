"""`size`: what training a model takes, from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from foretoll.commands.bundles import Bundle, unfolded
from foretoll.commands.flags import (
    HardwareOption,
    JsonOption,
    OptionOption,
    PriceOption,
    RegionOption,
    model_flag,
)
from foretoll.commands.output import as_data, print_json, show
from foretoll.errors import UsageError, shown
from foretoll.options.table import DEFAULT, get_option

size_command = typer.Typer()


@dataclass(frozen=True)
class SampleFlags(Bundle):
    """What a model is trained on, and how."""

    classes: Annotated[int, model_flag("--classes", help_="outputs of the model")] = 2
    tokens: Annotated[int, model_flag("--tokens", help_="tokens of a text")] = 128
    shape: Annotated[
        str | None,
        model_flag("--input", help_="shape of one sample: 3x224x224, 1x500, 12; by the model without"),
    ] = None
    task: Annotated[str, model_flag("--kind", help_="classification, or language for next tokens")] = (
        "classification"
    )
    samples: Annotated[int, model_flag("--train-samples", help_="samples of an epoch")] = 10_000
    epochs: Annotated[float, model_flag("--epochs", help_="how long the training is: no forecast")] = 3.0


@dataclass(frozen=True)
class StepFlags(Bundle):
    """What a step is."""

    batch_size: Annotated[
        int, model_flag("--batch-size", min=1, max=1_000_000, help_="samples of a batch")
    ] = 16
    precision: Annotated[str, model_flag("--precision", help_="fp32, bf16 or fp16")] = "fp32"
    optimizer: Annotated[str, model_flag("--optimizer", help_="adam, adamw, sgd, …")] = "adamw"


@dataclass(frozen=True)
class WhereFlags(Bundle):
    """On what, and at which price."""

    hardware: HardwareOption = None
    price: PriceOption = None
    region: RegionOption = None


@size_command.command()
@unfolded
def size(
    model: Annotated[
        str,
        typer.Argument(help="hf:PATH, timm:NAME, torchvision:NAME, foretoll:NAME, or a checkpoint folder"),
    ],
    sample: SampleFlags,
    step: StepFlags,
    where: WhereFlags,
    option: OptionOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Say what memory, time and energy training a model takes, from its configuration alone; nothing is loaded.

    Example: `foretoll size hf:PATH --option lora --hardware A100,L4 --precision bf16 --tokens 512`
    """
    get_option(option)
    given = sample.values()
    given["shape"] = _shape(sample.shape)
    if step.precision not in ("fp32", "bf16", "fp16"):
        raise UsageError(f"--precision {shown(step.precision, 40)} is none: fp32, bf16 or fp16")
    from foretoll.measure.machines import machines

    machines(where.hardware)
    from foretoll.decide.money import Price

    Price.several(where.price)
    from foretoll.records import TrainingSettings
    from foretoll.workflows import Accounting
    from foretoll.workflows.size import size as size_

    found = size_(
        model,
        option,
        settings=TrainingSettings.model_validate(step.values()),
        hardware=where.hardware,
        accounting=Accounting(region=where.region, price=where.price),
        **given,
    )
    if as_json:
        print_json(as_data(found))
        return
    from foretoll.report import size_table

    show(size_table(found))


def _shape(text: str | None) -> tuple[int, ...]:
    """`3x224x224` as numbers; UsageError otherwise."""
    if text is None:
        return ()
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.isascii() and part.isdecimal() and 0 < len(part) < 8 for part in parts) or len(parts) > 3:
        raise UsageError(
            f"--input {shown(text, 40)} is no shape of a sample: give one such as 3x224x224, 1x500 or 12"
        )
    return tuple(map(int, parts))
