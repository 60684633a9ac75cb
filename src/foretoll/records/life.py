"""What the life of a model is written down as: looks at batches, decisions, and what they rest on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from foretoll.records.base import NonNegative, Record, Share
from foretoll.records.data import DataCard
from foretoll.records.measured import Toll
from foretoll.records.model import ModelCard
from foretoll.records.served_metric import ServedMetric, served_metric
from foretoll.records.settings import TrainingSettings
from foretoll.tasks import get_task


class Decision(Record):
    """What a policy says at one time: keep the served model, or update it by an option.

    `figures` are what it rests on, in the unit of the worth where they are costs; `would_change`: what would
    turn it.
    """

    policy: str
    action: Literal["keep", "update"]
    option: str | None = None  # of an update
    reason: str
    would_change: str = ""
    figures: dict[str, float | None] = {}
    start_at: datetime | None = None  # when to make the update, where a later start emits less; None: at once
    start_why: str = ""
    after: int  # the number of the last batch that it knew; −1: none


class ServedBatch(Record):
    """One batch that was served, as far as it is known: without labels there is no quality and no lead.

    quality: the life's metric on the samples with labels, in its unit. lead: by how much the shadow is better than the
    served model (`foretoll.indices.shadow`), in that unit, with its standard error. ks, psi: how far the batch's
    outputs are from those of the reference, by two tests of drift. last_label: the quality of naming for each sample
    the label of the one before, where the batch's order is one of time. looked: how many of its samples the model was
    run on, where that are fewer; 0: the batch was left out, and nothing is known of it but its samples.
    """

    name: str  # a digest of the batch
    number: int  # its place in the life, from 0
    samples: int
    labelled: int = 0
    quality: float | None = None
    lead: float | None = None
    lead_error: NonNegative | None = None
    confidence: Share | None = None
    ks: NonNegative | None = None
    psi: NonNegative | None = None
    last_label: float | None = None
    looked: int | None = Field(None, ge=0)


class Offer(Record):
    """An update that could be made now: its forecast cost in the unit of the worth, and what it would win.

    share: how much of the lead it is expected to win; a forecast's interval has its upper end in `cost_high`.
    energy_kwh, duration_s: what the cost is made of, where these are known.
    """

    option: str
    cost: NonNegative
    cost_high: NonNegative
    share: Share = 1.0
    energy_kwh: NonNegative | None = None
    duration_s: NonNegative | None = None


class Continual(Record):
    """How updates of a life go on from what was learned before.

    update_from: the model that an update trains: the one served last, or the one that the life began with. rehearse:
    the share of the samples it trains on that are of earlier batches. remember: how many labelled samples the life
    keeps of all that it began with and served, to rehearse and to measure what an update forgot.
    """

    update_from: Literal["last", "first"] = "last"
    rehearse: float = Field(0.0, ge=0, le=0.9)
    remember: int = Field(500, ge=0, le=100_000)

    @model_validator(mode="after")
    def _something_to_rehearse(self) -> Self:
        if self.rehearse and not self.remember:
            raise ValueError("what is not kept cannot be rehearsed: keep some samples, such as 500")
        return self


class Looking(Record):
    """How much a life looks at what is served.

    most: samples of a batch that the model is run on at the most, spread over its time; 0: all. With 1,000 the standard
    error of a lead is at most a point where answers differ on a tenth of the samples. share: of what updates take, what
    looks, labels and estimates may take together (`foretoll.decide.looking`); 0: any amount. skip: whether batches are
    left out where a look at few samples would still be more.
    """

    most: int = Field(1000, ge=0)
    share: Share = 0.05
    skip: bool = False


class LifeCard(Record):
    """What a life is watched by: the model and its source, what an answer is worth, and how updates are made.

    worth: what one more right answer is worth, in the unit of `cost`, and of a metric with a unit what it is worth that
    one sample is served better by one of it; or instead `floor`: the least quality that may be served, in that unit.
    budget: what all updates may cost within `budget_days`, or within `budget_batches`.
    """

    schema_: Literal["foretoll.life/1"] = Field("foretoll.life/1", alias="schema")
    name: str
    started_at: datetime
    model: ModelCard
    source: DataCard
    cost: Literal["energy_kwh", "emissions_kg", "duration_s"] = "energy_kwh"
    worth: NonNegative | None = None
    floor: float | None = None
    budget: NonNegative | None = None
    budget_days: float | None = None
    budget_batches: int | None = None
    options: tuple[str, ...]
    policy: str = "rent"
    window: int = Field(8, ge=1)
    look: int = Field(0, ge=0)  # samples of a batch that are looked at, at the most; 0: all
    watch_share: Share = 0.0  # of what updates take, what watching may take; 0: any amount
    skip_looks: bool = False  # whether batches are left out for that
    settings: TrainingSettings = TrainingSettings()
    continual: Continual = Continual(remember=0)  # of lives that began before there was any
    start_quality: float | None = None
    folder: str  # where sums, outputs that wait for labels, and models are kept

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @property
    def served(self) -> ServedMetric:
        """By what this life counts what it served."""
        return self.served_by(self.model, self.settings)

    @staticmethod
    def served_by(model: ModelCard, settings: TrainingSettings) -> ServedMetric:
        """The same of a life of this model with these settings."""
        task = get_task(model.task)
        metric = task.sample_metric(settings.metric) or task.metrics[0]
        return served_metric(metric.name, task.name, settings.scale)


class EarlierQuality(Record):
    """Quality on samples of what came before an update's window: of the served model, and of the updated one."""

    samples: int = Field(ge=1)
    before: float
    after: float


class LifeEvent(Record):
    """One thing that happened in a life; nothing is ever changed, and the order of the numbers is that of time.

    served: of a look, without what labels tell; of labels, with it. update: what came out of a decision that was
    carried out. spent: what this cost, where it cost something.
    """

    number: int = Field(ge=0)
    kind: Literal["look", "labels", "offers", "decision", "claim", "update"]
    key: str  # what it is about: a batch, or a decision
    at: datetime
    model: str = ""  # which of the life's models served: "start", or the decision that made it
    served: ServedBatch | None = None
    uri: str | None = None  # of the batch, where it can be opened again
    offers: tuple[Offer, ...] = ()
    decision: Decision | None = None
    promoted: bool | None = None
    earlier: EarlierQuality | None = None  # of an update; None where nothing earlier was kept
    run_id: str | None = None
    note: str = ""
    spent: Toll | None = None
