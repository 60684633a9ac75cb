"""What decides a training besides model and data: the one record that flags, files and documentation follow.

A new setting is a field here, with its help, and the place where it takes effect. Its flag (`--` and its name), its
name in a settings file (TOML) and in a study, its line in docs/settings.md and its place in what a ledger remembers
follow from the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from foretoll.errors import UsageError, unknown_name
from foretoll.records.base import FALLING, SHARES, QualityScale, Record
from foretoll.records.evaluations import EvaluationSchedule
from foretoll.records.setting_texts import by_name, chance, is_amount, listed, numbered
from foretoll.tasks import Metric, known_metric, metric_names

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "adafactor"]
Schedule = Literal["constant", "linear", "cosine"]
Precision = Literal["fp32", "bf16", "fp16"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
BALANCED = "balanced"
# by name; the amount that a number after a colon says, as an example; empty where there is none
AUGMENTATIONS = {
    "flip": "", "vflip": "", "crop": "crop:4", "rotate": "rotate:15", "jitter": "jitter:0.2", "erase": "erase:0.5",
    "trivial": "", "auto": "",
}  # fmt: skip
# of a learning rate and its factors, of a weight: far above what any training bears, and far below overflow
MOST = 1e6
OWN = "python:"  # before the name of what only the user's own code can make, where it is written down


def _setting(
    default: Any,
    help_: str,
    *,
    short: str = "",
    flag: dict[str, int] | None = None,
    shapes: bool = True,
    text: bool = False,
    **limits: Any,
) -> Any:
    """A field with its help. `short`: a short flag beside the long one; `flag`: limits that the flag has alone.

    `shapes`: whether it shapes how the loss falls in a way that a forecast sees by the pilot's steps alone; of what a
    forecast has as a number of its own, and of what changes the time of a step alone, it is false. `text`: the flag
    takes a text, which is read here.
    """
    extra: dict[str, Any] = {"short": short, "flag": dict(flag or {}), "shapes": shapes, "text": text}
    return Field(default, description=help_, json_schema_extra=extra, **limits)


MOST_EPOCHS = 1_000_000  # that a command or a study may ask for: a loop of more never ends


class TrainingSettings(Record):
    """What decides a training run besides model and data; docs/settings.md has a line on each.

    Texts are read where values are wanted, as flags give them: `lr_multipliers="head=10,layer1=0.1"`,
    `augment="flip,crop:4"`, `class_weights="cat=2"`, `betas="0.9,0.95"`.
    """

    until: float | None = _setting(
        None, "quality to reach on the validation split, in the metric's unit; without it 95 % of that on the "
        "source (same task only)",
        short="-u", shapes=False,
    )  # fmt: skip
    metric: str = _setting("accuracy", f"quality: {', '.join(metric_names())}", shapes=False)
    max_epochs: float = _setting(20.0, "budget of epochs; schedules are planned for it", gt=0, shapes=False)
    evals_per_epoch: int = _setting(4, "evaluations in an epoch", ge=1, shapes=False)
    first_evaluation: int | None = _setting(
        None, "step of the first evaluation, with more after twice, four times, … as many until those of an epoch; "
        "0: none before them; without it 0, but where those are 1,000 steps apart the step up to which training takes "
        "as long as an evaluation", ge=0, shapes=False,
    )  # fmt: skip
    batch_size: int = _setting(64, "samples in a batch", ge=1, shapes=False)
    lr: float = _setting(
        1e-3, "learning rate, or auto to search for one in a few steps each; without it the option's own, "
        "which is lower where pretrained weights are kept", gt=0, le=MOST, shapes=False, text=True,
    )  # fmt: skip
    optimizer: str = _setting("adam", f"{', '.join(OPTIMIZERS[:-1])} or {OPTIMIZERS[-1]}")
    momentum: float = _setting(0.9, "momentum of sgd", ge=0, lt=1, shapes=False)
    weight_decay: float = _setting(
        0.0, "weight decay: of adamw apart from the gradient, else added to it", ge=0, le=MOST
    )
    seed: int = _setting(
        0,
        "seed of the order of samples and of all fresh weights",
        flag={"min": 0, "max": 2**32 - 1},
        shapes=False,
    )
    max_steps: int | None = _setting(
        None, "budget of optimisation steps, within that of epochs", ge=1, shapes=False
    )
    patience: int | None = _setting(
        None, "stop after so many evaluations in a row without a better one", ge=1
    )
    sure: float | None = _setting(
        None, "probability, such as 0.9, with which a run that reaches its target meets it on unseen data too: on the "
        "validation data it then has to show so much more as their number leaves open", ge=0.5, lt=1, shapes=False,
    )  # fmt: skip
    give_up: float | None = _setting(
        None, "end a run, as given up, once its chance of reaching its target has fallen under this, such as 5%; the "
        "chance is forecast anew at every evaluation", shapes=False, text=True,
    )  # fmt: skip
    nesterov: bool = _setting(False, "Nesterov's momentum, with sgd")
    betas: tuple[float, float] = _setting((0.9, 0.999), "decay rates of the moments of adam, adamw and nadam")
    schedule: Schedule = _setting(
        "constant", "learning rate over the budget of epochs or steps: constant, linear to 0, or cosine to 0"
    )
    warmup: float = _setting(
        0.0, "steps in which the learning rate rises to its full size; below 1 a share of the budget", ge=0
    )
    accumulate: int = _setting(1, "batches whose gradients are summed up for one step", ge=1)
    clip_norm: float | None = _setting(
        None, "largest global norm of a gradient; a larger one is scaled down to it", gt=0
    )
    label_smoothing: float = _setting(0.0, "share of a label that is spread over all classes", ge=0, lt=1)
    class_weights: Literal["balanced"] | dict[str, float] | None = _setting(
        None, "weights in the loss: balanced (by the training labels), or by class: cat=2,dog=0.5 (others 1)"
    )
    lr_multipliers: dict[str, float] = _setting(
        {},
        "factors of the learning rate by the beginning of a weight's name, or head and backbone: head=10,layer1=0.1",
    )
    decay_norms: bool = _setting(True, "weight decay on biases and normalisation too")
    freeze: tuple[str, ...] = _setting(
        (), "weights not to train, by the beginning of their names, or head and backbone: conv1,layer1"
    )
    precision: Precision = _setting("fp32", "of forward and backward passes: fp32, bf16, or fp16 (on a GPU)")
    augment: tuple[str | Callable[..., Any], ...] = _setting(
        (),
        "changes made to each training sample: flip, vflip, crop:4, rotate:15, jitter:0.2, erase, trivial, auto",
    )
    workers: int = _setting(0, "threads that read batches ahead", ge=0, le=256, shapes=False)
    compile: bool = _setting(False, "compile the network (torch.compile)", shapes=False)
    # of the metric on the target; set where the data are known, and no flag
    scale: QualityScale | None = None
    # what was asked for, where `sure` has raised `until` above it; set where the data are known, and no flag
    aim: float | None = None

    @field_validator("metric", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return value.name if isinstance(value, Metric) else value

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, value: str) -> str:
        if value not in OPTIMIZERS and not (value.startswith(OWN) and 0 < len(value) - len(OWN) <= 80):
            raise ValueError(unknown_name("optimizer", value, OPTIMIZERS))
        return value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights_by_class(cls, value: Any) -> Any:
        return (
            value
            if value in (None, BALANCED)
            else _above_zero(by_name(value), "give each class a weight above 0")
        )

    @field_validator("lr_multipliers", mode="before")
    @classmethod
    def _multipliers_by_name(cls, value: Any) -> Any:
        return _above_zero(by_name(value), "give factors above 0; freeze what shall not be trained")

    @field_validator("freeze", "augment", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("augment")
    @classmethod
    def _known(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        for name in value:
            if isinstance(name, str) and not name.startswith(OWN):
                kind, _, amount = name.partition(":")
                if kind not in AUGMENTATIONS:
                    raise ValueError(unknown_name("augmentation", kind, AUGMENTATIONS))
                if amount and not (AUGMENTATIONS[kind] and is_amount(amount)):
                    raise ValueError(f"{name[:40]!r} is no augmentation: write {AUGMENTATIONS[kind] or kind}")
        return value

    @field_validator("give_up", mode="before")
    @classmethod
    def _chance(cls, value: Any) -> Any:
        return None if value is None else chance(value)

    @field_validator("betas", mode="before")
    @classmethod
    def _two_numbers(cls, value: Any) -> Any:
        return numbered(value)

    @field_validator("betas")
    @classmethod
    def _rates(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("each lies from 0 to below 1")
        return value

    @field_validator("warmup")
    @classmethod
    def _whole_steps(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError("give a whole number of steps, or a share below 1")
        return value

    @model_validator(mode="after")
    def _until_of_the_metric(self) -> TrainingSettings:
        metric = known_metric(self.metric)
        if self.until is not None and metric is not None:
            try:
                metric.check_until(self.until)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> TrainingSettings:
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov needs the optimizer sgd with a momentum above 0")
        return self

    @field_serializer("augment")
    def _named(self, value: tuple[Any, ...]) -> list[str]:
        """A transform of the user's own is written down by its name: nothing is imported when a ledger is read."""
        return [name if isinstance(name, str) else f"{OWN}{_name_of(name)}" for name in value]

    @model_serializer(mode="wrap")
    def _short(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that came later are left out at their defaults: records and hashes stay as they were."""
        data: dict[str, Any] = serialise(self)
        for name, field in type(self).model_fields.items():
            if name not in FIRST and name in data and getattr(self, name) == field.default:
                del data[name]
        return data

    def progress(self, quality: float) -> float:
        """A quality on the common scale from 0 (trivial) to 1 (perfect); of a share it is the share itself."""
        return self.known_scale.progress(quality)

    @property
    def wanted(self) -> float | None:
        """The quality that is wanted on unseen data: `until`, or what it was before `sure` raised it."""
        return self.until if self.aim is None else self.aim

    def meets(self, quality: float) -> bool:
        """Whether a quality is as good as the target; True where there is none."""
        return self.until is None or self.known_scale.meets(quality, self.until)

    @property
    def known_scale(self) -> QualityScale:
        """The scale of the metric; where it was not measured, one of the metric's direction."""
        metric = known_metric(self.metric)
        falling = metric is not None and metric.direction == "lower"
        return self.scale or (FALLING if falling else SHARES)

    @property
    def samples_per_step(self) -> int:
        """Samples behind one optimisation step."""
        return self.batch_size * self.accumulate

    def steps_per_epoch(self, samples: int) -> int:
        """Optimisation steps in one epoch of so many samples; a last batch of one sample is left out."""
        full, rest = divmod(samples, self.batch_size)
        batches = max(full + (rest > 1), 1)
        return -(-batches // self.accumulate)

    def evaluations(self, steps_per_epoch: int) -> EvaluationSchedule:
        """Which steps of a run with so many in an epoch an evaluation follows."""
        return EvaluationSchedule(steps_per_epoch, self.evals_per_epoch, self.first_evaluation or 0)

    def epoch_budget(self, steps_per_epoch: int) -> float:
        """Epochs that may be trained at the most: `max_epochs`, or fewer by `max_steps`."""
        return (
            self.max_epochs
            if self.max_steps is None
            else min(self.max_epochs, self.max_steps / steps_per_epoch)
        )

    def changed(self) -> dict[str, Any]:
        """The settings beyond the usual ones that differ from their defaults, as they are written down."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if name not in {*FIRST, "scale", "aim"}
        }


FIRST = frozenset(
    {
        "until", "metric", "max_epochs", "evals_per_epoch", "batch_size", "lr", "optimizer", "momentum",
        "weight_decay", "seed",
    }
)  # fmt: skip


def setting_fields() -> dict[str, FieldInfo]:
    """The fields that a user sets, by name: what flags, files and the documentation are made from."""
    return {name: field for name, field in TrainingSettings.model_fields.items() if field.json_schema_extra}


def _name_of(transform: Any) -> str:
    return str(getattr(transform, "__qualname__", "") or type(transform).__qualname__)[:80]


def _above_zero(value: Any, way_out: str) -> Any:
    if isinstance(value, dict) and not all(
        isinstance(number, int | float) and 0 < number <= MOST for number in value.values()
    ):
        raise ValueError(way_out)
    return value
