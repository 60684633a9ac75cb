"""What was measured: energy and what it rests on, norms, qualities, the toll."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from foretoll.records.base import NonNegative, Record, Share
from foretoll.tasks import known_metric


class Hardware(Record):
    """The machine and device of a measurement."""

    device: str
    device_name: str
    cpu: str
    cores: int
    memory_gb: float
    platform: str
    torch: str
    threads: int


class EnergyComponent(Record):
    """One part of the machine (cpu, gpu, ram) and how its energy is known."""

    name: str
    method: Literal["counter", "load × TDP", "constant", "set by the user", "replay"]
    energy_kwh: NonNegative | None
    watts: NonNegative | None = None  # assumed power, for a power model
    recognised: bool | None = None  # whether the part was found in the tool's table of powers
    detail: str = ""


class EnergyBasis(Record):
    """What an energy figure rests on; stands beside every kWh."""

    method: str  # one line for people: "power model, 0 % by counter"
    tool: str
    components: tuple[EnergyComponent, ...] = ()
    counter_share: Share | None = None
    scope: Literal["process", "machine", "device", "none"] = "none"
    relative_low: NonNegative | None = None  # plausible range of a modelled figure, as factors of it
    relative_high: NonNegative | None = None
    idle_w: NonNegative | None = None
    left_out: tuple[str, ...] = ()


class GridIntensity(Record):
    """Grams turned kilograms of CO2e per kWh, with where the number comes from."""

    intensity_kg_per_kwh: NonNegative
    region: str
    level: Literal["country", "subregion", "world", "user"]
    source: str
    year: int | None
    pue: float = Field(1.0, ge=1)
    is_default: bool = False  # nobody named a region: the page must say so


class PhaseCost(Record):
    """Duration and energy of one part of a run (preparation, training steps, evaluations)."""

    duration_s: NonNegative
    energy_kwh: NonNegative | None = None


class GradientNorm(Record):
    """Global L2 norm of the mini-batch gradient over a run.

    `epoch_last` is the released research code's convention: the last batch of each epoch, averaged.
    """

    mean: NonNegative
    std: NonNegative
    first: NonNegative
    last: NonNegative
    epoch_last: NonNegative | None = None


class Quality(Record):
    """The test metric before and after, on data that neither stopping nor selection saw."""

    metric: str
    before: float | None = None  # in the metric's unit
    after: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    error: float | None = None  # standard error of `after`, where the samples themselves say it

    @model_validator(mode="after")
    def _within_the_metric(self) -> Self:
        metric = known_metric(self.metric)
        for value in (self.before, self.after):
            if metric is not None and value is not None and not metric.low <= value <= metric.high:
                raise ValueError(f"{self.metric} {value:g} lies outside of {metric.low:g} to {metric.high:g}")
        return self


class EvalPoint(Record):
    """One evaluation on the validation split."""

    step: int
    epochs: NonNegative | None  # None where nobody knows how long an epoch is
    quality: float  # in the metric's unit
    loss: float | None = None
    train_loss: float | None = None  # mean over the steps since the evaluation before
    duration_s: NonNegative | None = None


class InferenceCost(Record):
    """What serving a model costs per 1,000 samples, in batches of `batch_size`; the ends are the repeats' spread."""

    batch_size: int = Field(ge=1)
    samples: int = Field(ge=1)  # timed, over all repeats
    repeats: int = Field(ge=1)
    seconds_per_1000: NonNegative
    seconds_per_1000_low: NonNegative
    seconds_per_1000_high: NonNegative
    energy_kwh_per_1000: NonNegative | None


class Toll(Record):
    """The six costs of a run. A cost that was not or cannot be measured is None."""

    epochs: NonNegative | None = None
    gradient_norm: NonNegative | None = None
    parameter_change: NonNegative | None = None
    energy_kwh: NonNegative | None = None
    emissions_kg: NonNegative | None = None
    duration_s: NonNegative | None = None


TOLL_COSTS: tuple[str, ...] = tuple(Toll.model_fields)
