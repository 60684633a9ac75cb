"""What is forecast before an update, and what the forecast rests on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from foretoll.errors import one_line
from foretoll.records.base import NonNegative, PresentedRecord, Record, Share
from foretoll.records.curve import BudgetForecast, ForecastCurve, SamplesForecast, TargetForecast
from foretoll.records.data import DataCard
from foretoll.records.forecast import Forecast, Interval, MadeForecast, Money
from foretoll.records.hardware import HardwareForecast
from foretoll.records.measured import EnergyBasis, GridIntensity, Hardware
from foretoll.records.model import ModelCard
from foretoll.records.payback import Payback
from foretoll.records.pilot import PilotRecord
from foretoll.records.run import Outcome
from foretoll.records.settings import TrainingSettings

_ASIDE = ("seed", "give_up")
_UNLIKE = {
    "max_epochs": "a budget of {} epochs, not {}",
    "until": "a target quality of {}, not {}",
    "scale": "another scale of the metric",
}
"""How a setting of another update is said; the others by their names."""


class IndexValue(Record):
    """One index with its uncertainty; `floor` is the same statistic where nothing has shifted."""

    name: str
    value: float | None
    low: float | None = None  # bootstrap interval, 90 %
    high: float | None = None
    floor: float | None = None
    samples: int | None = None
    detail: dict[str, float | None] = {}  # per class or per layer
    missing_classes: tuple[str, ...] = ()
    note: str = ""


class NearRun(Record):
    """A run of the ledger that is like the case at hand."""

    run_id: str
    distance: NonNegative
    option: str
    what: str
    outcome: Outcome
    epochs: float | None


class StepProbe(Record):
    """A few real training steps on this machine: seconds and joules per step, with their spread."""

    steps: int
    repeats: int
    seconds_per_step: NonNegative
    seconds_per_step_low: NonNegative
    seconds_per_step_high: NonNegative
    joules_per_step: NonNegative | None
    seconds_per_evaluation: NonNegative
    joules_per_evaluation: NonNegative | None
    gradient_norm_mean: NonNegative | None = None
    seconds_of_preparation: NonNegative = 0.0  # passes over the whole target before the first step
    joules_of_preparation: NonNegative | None = None


class Coverage(Record):
    """How often intervals like these held, out of sample; None where it could not be measured.

    runs, method: the runs that it was measured on, and how; 0 runs where nothing had to be
    learned from runs, because it was seen.
    """

    level: Share
    empirical: Share | None
    runs: int
    method: str


class Basis(Record):
    """What a forecast rests on."""

    runs: int
    own_runs: int
    calibration_runs: int
    nearest: tuple[NearRun, ...] = ()
    method: str = ""
    energy: EnergyBasis | None = None
    grid: GridIntensity | None = None
    hardware: Hardware | None = None
    elsewhere: str | None = None  # the device that time and energy are for, where it is not this machine's
    probe: StepProbe | None = None


class SelfCost(Record):
    """What finding out did cost itself."""

    duration_s: NonNegative
    energy_kwh: NonNegative | None
    calibration_duration_s: NonNegative = 0.0
    calibration_energy_kwh: NonNegative | None = None
    pilot_duration_s: NonNegative = 0.0  # of the pilot that went on as the beginning of the run
    pilot_energy_kwh: NonNegative | None = None


class Projection(Record):
    """A 2-D linear projection of source and target representations, for the picture only."""

    source: tuple[tuple[float, float], ...]
    source_labels: tuple[int, ...]
    target: tuple[tuple[float, float], ...]
    target_labels: tuple[int, ...]
    explained: Share


class Estimate(PresentedRecord):
    """Everything that is known before any retraining; written as estimate.json."""

    schema_: Literal["foretoll.estimate/1"] = Field("foretoll.estimate/1", alias="schema")
    id: str
    created_at: datetime
    model: ModelCard
    source: DataCard | None  # None: a model that came without the data that it was trained on
    target: DataCard
    shift: Literal["none", "distribution", "task"]
    option: str
    option_settings: dict[str, str] = {}  # what it does in particular: program, student, part, …
    until: float | None  # in the metric's unit
    settings: TrainingSettings
    rate: str = ""  # how the learning rate came about
    indices: dict[str, IndexValue]
    signals: dict[str, float | None]
    forecast: Forecast
    reach_probability: Share | None  # on the validation data, which stop the run
    served_probability: Share | None = (
        None  # that the served model meets the target on data that it never saw
    )
    expected_quality: Interval | None = None  # on the test data, after the update
    alternatives: dict[str, Forecast] = {}  # the same for other options, training from scratch among them
    alternatives_reach: dict[str, Share | None] = {}
    alternatives_why_not: dict[
        str, str
    ] = {}  # a sentence where one of them cannot serve this model and target
    curves: dict[str, ForecastCurve] = {}  # of the options that were named, where they take steps
    targets: tuple[TargetForecast, ...] = ()  # where several were asked for: `until` is the first of them
    budgets: tuple[BudgetForecast, ...] = ()
    samples_curve: tuple[
        SamplesForecast, ...
    ] = ()  # by number of training samples, rising; where it was asked for
    elsewhere: tuple[
        HardwareForecast, ...
    ] = ()  # on the hardware that was named; `forecast` is for the first
    price: str = ""  # as it was named
    money: Money | None = None  # by that price
    payback: Payback | None = None  # where it was said what one more right answer is worth
    pilot: PilotRecord | None = None  # where one was asked to go on
    coverage: Coverage
    basis: Basis
    self_cost: SelfCost
    projection: Projection | None = None
    warnings: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @property
    def made_forecast(self) -> MadeForecast:
        """What a run keeps of it."""
        return MadeForecast(
            made_at=self.created_at,
            estimate_id=self.id,
            forecast=self.forecast,
            reach_probability=self.reach_probability,
            quality=self.expected_quality,
        )

    def is_for(self, option: str, arch: str, target_uri: str, settings: TrainingSettings) -> bool:
        """Whether it was made for such an update: option, architecture, target data and settings.

        But for the seed, and for when a run is given up: a forecast is that of the whole run. `option`: with the
        settings of its own that were named (`reprogram?program=pad`).
        """
        return not self.unlike(option, arch, target_uri, settings)

    def unlike(self, option: str, arch: str, target_uri: str, settings: TrainingSettings) -> tuple[str, ...]:
        """In what it was made for another update, in a few words each; arguments as in `is_for`."""
        name, _, asked = option.partition("?")
        named = dict(item.partition("=")[::2] for item in asked.split("&") if item)
        own = {
            key: (self.option_settings.get(key, ""), value)
            for key, value in named.items()
            if not _same(self.option_settings.get(key, ""), value)
        }
        pairs: dict[str, tuple[object, object]] = {
            "option": (self.option, name),
            **(own if self.option == name else {}),
            "model": (self.model.arch, arch),
            "target": (self.target.uri, target_uri),
            **{
                key: (getattr(self.settings, key), getattr(settings, key))
                for key in type(settings).model_fields
                if key not in _ASIDE
            },
        }
        return tuple(
            _UNLIKE.get(key, key + " {}, not {}").format(_word(ours), _word(theirs))
            for key, (ours, theirs) in pairs.items()
            if ours != theirs
        )


def _word(value: object) -> str:
    """A setting's value as it stands in a sentence."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return "none" if value is None else one_line(str(value), 80)


def _same(stored: str, named: str) -> bool:
    """Whether a stored setting of an option is the one that is named, where an "&" is written %26."""
    try:
        return float(stored) == float(named)
    except ValueError:
        return stored == named.replace("%26", "&")
