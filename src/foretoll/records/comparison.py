"""All ways to reuse models for a target, side by side."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from foretoll.records.base import NonNegative, PresentedRecord, Record, Share
from foretoll.records.data import DataCard
from foretoll.records.estimate import SelfCost
from foretoll.records.forecast import Forecast, Interval, Money
from foretoll.records.hardware import HardwareForecast
from foretoll.records.measured import EnergyBasis, GridIntensity, Hardware, InferenceCost
from foretoll.records.model import ModelCard
from foretoll.records.pilot import PilotRecord
from foretoll.records.run import Run
from foretoll.records.settings import TrainingSettings


class Candidate(Record):
    """One way to serve the target: a model and an option, with what it is forecast to cost and to reach."""

    model: str  # as it was named: a checkpoint folder, an architecture; a key of the comparison's models
    option: str
    option_settings: dict[str, str] = {}  # what it does in particular
    why_not: str = ""  # a sentence where the option cannot be used with this model and target
    forecast: Forecast = Forecast()
    quality: Interval | None = None  # on the test data, after the update
    reach_probability: Share | None = None
    trainable_parameters: int | None = None
    training_state_bytes: int | None = None
    changes_weights: bool | None = None
    lr: float | None = None  # the learning rate that it trains with; None where it takes no step
    rate: str = ""  # how that came about
    inference: InferenceCost | None = None
    energy_with_serving_kwh: Interval | None = None  # retraining and the requests asked for
    elsewhere: tuple[
        HardwareForecast, ...
    ] = ()  # on the hardware that was named; `forecast` is for the first
    money: Money | None = None  # by the comparison's price
    money_spent: NonNegative | None = None  # what it took, where it was carried out
    over_budget: str = ""  # which limit it is forecast to break
    on_front: bool = False  # no other candidate reaches more for less
    pilot: PilotRecord | None = None  # how far its pilot went on, where the pilots shared what may be spent
    warnings: tuple[str, ...] = ()
    run: Run | None = None  # what happened, where it was carried out
    failure: str = ""  # why it could not be carried out, or not to its end


class Recommendation(Record):
    """One candidate (its position in the comparison), why, and what would change the choice."""

    candidate: int | None  # None: none serves
    reason: str
    would_change: tuple[str, ...] = ()
    confidence: Share  # probability of reaching the target that was asked for


class Comparison(PresentedRecord):
    """All ways to reuse the models for a target, side by side."""

    schema_: Literal["foretoll.comparison/1"] = Field("foretoll.comparison/1", alias="schema")
    id: str
    created_at: datetime
    source: DataCard | None  # None: of models that came without the data that they were trained on
    sources: dict[str, DataCard | None] = {}  # by model, where each has its own; `source` is the first one's
    target: DataCard
    shift: Literal["none", "distribution", "task"]
    models: dict[str, ModelCard] = {}  # by the name that the candidates have
    until: float  # in the metric's unit
    settings: TrainingSettings
    budget: str | None = None
    price: str = ""  # money for energy or hours, as it was named
    requests: int = 0  # samples to be served after the update
    candidates: tuple[Candidate, ...]
    recommendation: Recommendation
    measured_best: int | None = None  # the cheapest candidate that reached the target, of those carried out
    regret: NonNegative | None = None  # cost of the recommended one over that of the cheapest that reached
    energy: EnergyBasis | None = None
    grid: GridIntensity | None = None
    hardware: Hardware | None = None
    self_cost: SelfCost
    warnings: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
