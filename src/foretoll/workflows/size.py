"""`foretoll size`: memory, time and energy of training a model, from its configuration alone; nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from foretoll.data import open_data
from foretoll.errors import DataError, ModelError, UsageError, shown
from foretoll.measure import Work, count_work, machines
from foretoll.models.anatomy import call_network
from foretoll.models.outlines import Outline, outline
from foretoll.options import Option, get_option
from foretoll.options.base import Training
from foretoll.options.memory import optimizer_bytes, training_state_bytes
from foretoll.options.optimizer import make_optimizer, optimizer_named
from foretoll.options.table import DEFAULT
from foretoll.records import Forecast, HardwareForecast, Interval, ModelSize, TrainingSettings
from foretoll.workflows.context import Accounting
from foretoll.workflows.elsewhere import check_shares, fits, forecast_there
from foretoll.workflows.probe import OptionWork

META = torch.device("meta")


@dataclass(frozen=True)
class SizedTraining:
    """What is trained on, and how long; that is no forecast here (`foretoll.estimate`).

    classes: outputs of the model. shape, tokens: of one sample, where the architecture leaves it open. task:
    "classification", or "language" for next tokens. Raises UsageError for what is out of range.
    """

    classes: int = 2
    shape: Sequence[int] = ()
    tokens: int = 128
    task: str = "classification"
    samples: int = 10_000
    epochs: float = 3.0

    def __post_init__(self) -> None:
        limits = {
            "--train-samples": (self.samples, 1e12),
            "--epochs": (self.epochs, 1e6),
            "--tokens": (self.tokens, 1e6),
            "--classes": (self.classes, 1e7),
        }
        for flag, (value, most) in limits.items():
            if not 0 < value <= most:
                raise UsageError(
                    f"{flag} {value:g} is out of range: give more than 0 and at most {most:,.0f}"
                )
        if self.task not in ("classification", "language"):
            raise UsageError(
                f"--kind {shown(self.task, 40)} cannot be sized: it is classification or language"
            )


def size(
    model: str,
    option: str | Option = DEFAULT,
    *,
    settings: TrainingSettings | None = None,
    hardware: str | Sequence[str] | None = None,
    accounting: Accounting | None = None,
    **trained_on: Any,
) -> ModelSize:
    """Memory, time and energy of training `model` by `option`, from its configuration alone; no weights are loaded.

    The network is built without numbers and one step is counted without computing it.

    >>> found = foretoll.size("hf:path/to/model", "lora", hardware="A100,L4", tokens=512)  # doctest: +SKIP

    Args:
        model: "hf:PATH", "timm:NAME", "torchvision:NAME", "foretoll:NAME", or a checkpoint folder of foretoll.
        option: the way to train it, by name or as an object.
        settings: the training settings; None: those of docs/settings.md. With a precision below fp32 the activations
            take between half of the memory that is given and all of it.
        hardware: devices to predict time, energy and memory for: "A100", "4xA100", …; several by commas.
        accounting: the grid and the price; None: the world average, and no price.
        trained_on: what is trained on, and for how long: `classes` (outputs), `shape` and `tokens` (of one sample),
            `task` ("classification" or "language"), `samples` and `epochs`.

    Returns:
        The size: parameters, memory in bytes by part, operations of a step, and a row for each kind of hardware.

    Raises:
        UsageError: an argument is out of range, or the option needs weights and data.
        ModelError: a configuration that cannot be read.
    """
    settings, accounting = settings or TrainingSettings(), accounting or Accounting()
    wanted = SizedTraining(**trained_on)
    optimizer_named(settings.optimizer)
    samples, epochs = wanted.samples, wanted.epochs
    there = machines(hardware)
    check_shares(there, settings)
    chosen, prices = get_option(option), accounting.prices
    found = outline(model, classes=wanted.classes, shape=wanted.shape, tokens=wanted.tokens, task=wanted.task)
    training = _training(chosen, found, settings)
    work, activations = _work(chosen, training, found, settings, samples)
    low_share = 1.0 if settings.precision == "fp32" else 0.5
    exactly = Forecast(epochs=Interval(median=epochs, low=epochs, high=epochs))
    rows = [
        forecast_there(machine, work, exactly, settings, samples=samples, accounting=accounting)
        for machine in there
    ]
    trained = list(training.trainable.values())
    optimizer = optimizer_bytes(trained, settings) if chosen.takes_steps else 0
    network = training.held()
    return ModelSize(
        model=model,
        option=chosen.name,
        about=_about(found, settings, samples, epochs),
        parameters=found.model.card.parameters,
        trainable_parameters=work.trainable_parameters,
        stored_bytes=found.stored_bytes,
        stored_dtype=found.stored_dtype,
        weights_bytes=sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers())),
        gradients_bytes=work.trainable_bytes,
        optimizer_bytes=optimizer,
        activations_low_bytes=low_share * activations,
        activations_high_bytes=activations,
        step_operations=work.step.operations,
        samples=samples,
        epochs=epochs,
        price=", ".join(map(str, prices)),
        elsewhere=tuple(_lower(row, (1 - low_share) * activations) for row in rows),
    )


def _training(option: Option, found: Outline, settings: TrainingSettings) -> Training:
    """The option at work on the outline, as on a target of the same task."""
    numbers = np.zeros((40, 2), dtype=np.float32)
    numbers[::2] = 1.0
    stand_in = open_data((numbers, np.arange(40) % 2))
    card = stand_in.card.model_copy(update={"task": found.model.card.task})
    target = type(stand_in)(card, stand_in.train, stand_in.validation, stand_in.test)
    try:
        return option.start(found.model, target, settings, task_shift=False, device=META)
    except (NotImplementedError, RuntimeError, ModelError, DataError) as error:
        raise _not_without_weights(option) from error


def _work(
    option: Option, training: Training, found: Outline, settings: TrainingSettings, samples: int
) -> tuple[OptionWork, float]:
    """What the training consists of, and the bytes of activations beside the gradients."""
    model, batch = training.model, found.batch(settings.batch_size)
    trained = list(training.trainable.values())
    network, output = model.network, model.card.output

    def forward() -> Tensor:
        return call_network(network, batch, output)

    def look() -> None:
        with torch.no_grad():
            forward()

    try:
        network.eval()
        looked = count_work(look)
        step, prepared = Work(0.0, 0.0), Work(0.0, 0.0)
        if option.takes_steps:
            take = _step(training, option, settings, forward)
            cached = training.prepares and _is_head(training)
            if cached:  # what the backbone says is computed once, and the head is trained on that
                prepared = looked.times(samples / settings.batch_size)
                take = _step(training, option, settings, _of_head(training, batch))
            take()
            step = count_work(take)
    except (NotImplementedError, RuntimeError, ModelError, DataError) as error:
        raise _not_without_weights(option) from error
    gradients = sum(p.numel() * p.element_size() for p in trained) if option.takes_steps else 0
    work = OptionWork(
        step,
        looked.times(max(samples // 10, 1) / settings.batch_size),
        prepared,
        training_state_bytes(option, training, settings),
        sum(p.numel() for p in trained) if option.takes_steps else 0,
        gradients,
    )
    return work, max(max(step.peak_bytes, looked.peak_bytes) - gradients, 0.0)


def _step(
    training: Training, option: Option, settings: TrainingSettings, forward: Callable[[], Tensor]
) -> Callable[[], None]:
    optimizer = make_optimizer(training, option, settings)
    language = training.model.card.task == "language"

    def take() -> None:
        training.into_training()
        optimizer.zero_grad(set_to_none=True)
        outputs = forward()
        if outputs.ndim > 2:  # a class at each place: tokens of next-token models
            outputs = outputs.flatten(0, -2) if language else outputs.flatten(2).mean(2)
        labels = torch.zeros(len(outputs), dtype=torch.long, device=META)
        functional.cross_entropy(outputs.float(), labels).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()

    return take


def _is_head(training: Training) -> bool:
    heads = training.model.head_names()
    return all(any(name == h or name.startswith(f"{h}.") for h in heads) for name in training.trainable)


def _of_head(training: Training, batch: Tensor | dict[str, Tensor]) -> Callable[[], Tensor]:
    """The head on what the backbone gives it."""
    model = training.model
    head = model.layer(model.head_name)
    given: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _m, args: given.append(args[0].detach()))
    with torch.no_grad():
        call_network(model.network, batch, model.card.output)
    handle.remove()
    return lambda: head(given[-1])


def _not_without_weights(option: Option) -> UsageError:
    return UsageError(
        f"{option.name} of this model cannot be sized without weights and data: name another --option, or use foretoll "
        "estimate"
    )


def _lower(row: HardwareForecast, less: float) -> HardwareForecast:
    """With the memory that is needed at least where a lower precision halves the activations."""
    if not less or row.memory_low_bytes is None or row.memory_high_bytes is None:
        return row
    low = max(row.memory_low_bytes - less / row.devices, 0.0)
    return row.model_copy(
        update={"memory_low_bytes": low, "fits": fits(low, row.memory_high_bytes, row.memory_bytes)}
    )


def _about(found: Outline, settings: TrainingSettings, samples: int, epochs: float) -> str:
    sample = f"{found.shape[0]} tokens" if found.kind == "text" else " × ".join(map(str, found.shape))
    return (
        f"batches of {settings.batch_size} samples of {sample}, {settings.precision}, {settings.optimizer}; "
        f"{samples:,} samples, {epochs:g} epochs"
    )
