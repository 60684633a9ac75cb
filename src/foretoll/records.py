"""What foretoll writes down: frozen, validated records, JSON in and out. Units are in the field's name.

A missing measurement is None, never 0 and never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Presented(Record):
    """A record that a terminal or a notebook shows as a table, once `foretoll.report` has said how."""

    _presenters: ClassVar[dict[type, Callable[[Any], Any]]] = {}

    @classmethod
    def present_with(cls, presenter: Callable[[Any], Any]) -> None:
        """Show records of this kind by what `presenter` makes of them (a Rich renderable)."""
        Presented._presenters[cls] = presenter

    def __rich__(self) -> Any:
        presenter = self._presenters.get(type(self))
        return presenter(self) if presenter else repr(self)

    def _repr_mimebundle_(self, include: Sequence[str], exclude: Sequence[str], **_: Any) -> dict[str, str]:
        shown = self.__rich__()
        bundle: dict[str, str] = (
            {"text/plain": shown}
            if isinstance(shown, str)
            else shown._repr_mimebundle_(include=include, exclude=exclude)
        )
        return bundle


class Outcome(StrEnum):
    """How a run ended. Only `reached` means that the quality target was met."""

    REACHED = "reached"
    CENSORED = "censored"  # the epoch budget was spent before the target was met
    FAILED = "failed"  # the run could not go on: diverged, out of memory, …
    INTERRUPTED = "interrupted"  # stopped from outside: Ctrl-C, a killed process
    RUNNING = "running"  # begun and not yet ended, by a process that is alive


# --- what was used -------------------------------------------------------------------------------


class Shift(Record):
    """A synthetic shift of a data set: its kind and level (the unit depends on the kind)."""

    kind: str
    level: float


class TableColumn(Record):
    """One column of a table as a model reads it: what its values are, and the inputs that it becomes."""

    name: str
    kind: Literal["number", "truth value", "category", "list"]
    levels: tuple[str, ...] = ()  # of a category: one input each, in this order
    width: int = Field(1, ge=1)  # inputs that it becomes


class TableLayout(Record):
    """The columns that become a model's inputs, in the order of the inputs, and the name of the label column."""

    columns: tuple[TableColumn, ...] = ()
    label: str | None = None


class DataCard(Record):
    """What a data set is, as far as a cost depends on it."""

    uri: str
    name: str
    kind: Literal["image", "vector", "series", "text"]
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    shift: tuple[Shift, ...] = ()
    labelled: bool = True
    reading: str = ""  # what was taken for granted when the data were read, in one line
    notes: tuple[str, ...] = ()  # what the reading has to warn of: left over, merged, left out
    layout: TableLayout | None = None  # of a table, by which other tables are matched by name


class Preprocessing(Record):
    """How a stored sample becomes a model input; travels with the weights.

    Images: uint8 (C, H, W) are scaled to [0, 1], given `channels` channels, resized as `fit` says, cropped about the
    centre to `size` (height, width) and normalised per channel. Vectors and series: normalised per column or channel.
    Text: tokenised by `tokenizer` (a local folder) to at most `max_length` tokens.

    waveform: for networks that take sound, whether each wave is brought to mean 0 and variance 1
    fit: "stretch" to `resize` whatever the aspect; "cover" it (the shorter edge fits, the aspect stays), "contain" in
        it (the longer edge fits), or "none": not resized. Where the result is smaller than `size`, a border is added
    resize: (height, width) that `fit` aims at; None: `size`
    crop_start: how half a pixel of an odd margin is rounded, which libraries do differently
    """

    kind: Literal["image", "vector", "series", "text"]
    channels: int | None = None
    size: tuple[int, ...] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    tokenizer: str | None = None
    max_length: int | None = None
    fit: Literal["stretch", "cover", "contain", "none"] = "stretch"
    resize: tuple[int, int] | None = None
    crop_start: Literal["floor", "round"] = "floor"
    interpolation: Literal["bilinear", "bicubic", "nearest-exact"] = "bilinear"
    bgr: bool = False  # the network takes blue first
    waveform: Literal["", "as it is", "standardised"] = ""  # series (B, 1, L) given as (B, L)
    origin: str = ""  # where the processing was taken from: a file of the model's folder, or its library


class ModelCard(Record):
    """What a model is: enough to build it again, to feed it, and to trace where it comes from."""

    schema_: Literal["foretoll.model/1"] = Field("foretoll.model/1", alias="schema")
    arch: str
    arch_options: dict[str, int | float | str | bool] = {}
    family: str
    num_classes: int = Field(ge=1)
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    embedding_layer: str | None = None  # None: the input of the head
    head: str
    other_heads: tuple[
        str, ...
    ] = ()  # heads beside it, where the output is made of several (distilled networks)
    parameters: int = Field(ge=0)
    has_batch_norm: bool
    trained_on: str | None = None  # data URI
    run_id: str | None = None  # the run that made these weights
    parent_run_id: str | None = None  # the run that made the weights it started from
    weights_digest: str | None = None  # of these weights' content: the same through whatever door they come
    parent_weights_digest: str | None = None  # of the weights that it started from
    outputs: Literal["logits", "probabilities", "sigmoids"] = "logits"  # what the network itself gives
    program: ProgramCard | None = None  # what stands before and behind a reprogrammed source
    reading: str = ""  # what was taken from the model's folder or library when it was loaded, in one line
    notes: tuple[str, ...] = ()  # what the loading has to warn of
    layout: TableLayout | None = (
        None  # of the table that it was trained on; other tables are matched to it by name
    )

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class ProgramCard(Record):
    """An input program and an output mapping, by name and options, around a source with its own card.

    The source's preprocessing says how the program's output is normalised.
    """

    program: str
    program_options: dict[str, bool | int | float | str | tuple[float, ...] | None] = {}
    mapping: str
    mapping_options: dict[str, bool | int | float | str | tuple[float, ...] | None] = {}
    source: ModelCard


ModelCard.model_rebuild()


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


class TrainingSettings(Record):
    """What decides a training run besides model and data."""

    until: Share | None = None  # quality target on the validation split; None: train for max_epochs
    metric: str = "accuracy"
    max_epochs: float = Field(20.0, gt=0)
    evals_per_epoch: int = Field(4, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0, le=1e6)  # far above what any training bears, and far below overflow
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd only
    weight_decay: float = Field(0.0, ge=0, le=1e6)
    seed: int = 0


# --- what was measured ---------------------------------------------------------------------------


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
    before: Share | None = None
    after: Share | None = None
    loss_before: float | None = None
    loss_after: float | None = None


class EvalPoint(Record):
    """One evaluation on the validation split."""

    step: int
    epochs: NonNegative
    quality: Share
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


class Run(Presented):
    """One update that was really carried out and measured."""

    schema_: Literal["foretoll.run/1"] = Field("foretoll.run/1", alias="schema")
    id: str
    option: str
    outcome: Outcome
    reason: str = ""  # why it failed or was interrupted
    started_at: datetime
    finished_at: datetime | None = None
    model: ModelCard
    source: DataCard | None = None  # None for a model trained from nothing
    target: DataCard
    task_shift: bool = False
    settings: TrainingSettings
    toll: Toll = Toll()
    steps: int = 0
    steps_per_epoch: int | None = None
    evaluations: int = 0
    trainable_parameters: int | None = None
    training_state_bytes: int | None = (
        None  # weights, gradients, optimiser state and caches, see docs/options.md
    )
    gradient_norm: GradientNorm | None = None
    parameter_change_by_tensor: dict[str, float] = {}
    preparation: PhaseCost | None = (
        None  # passes without a gradient before the first step, where there were any
    )
    training: PhaseCost | None = None
    evaluation: PhaseCost | None = None
    quality: Quality | None = None
    inference: InferenceCost | None = None  # of the finished model; no part of the toll
    curve: tuple[EvalPoint, ...] = ()
    energy: EnergyBasis | None = None
    grid: GridIntensity | None = None
    hardware: Hardware | None = None
    signals: dict[str, float | None] = {}
    checkpoint: str | None = None
    lineage: tuple[str, ...] = ()  # run ids of the updates before this one, oldest first
    tags: tuple[str, ...] = ()  # "calibration", "demo", study names
    warnings: tuple[str, ...] = ()  # of the data and of the model on them: what a reader must know

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


# --- what is foretold ----------------------------------------------------------------------------


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


class Interval(Record):
    """A forecast: median and the ends of an interval at `level`. `high` is None where it has no upper end."""

    median: float | None
    low: float | None
    high: float | None
    level: Share = 0.9


class Forecast(Record):
    """The forecast toll. A cost that cannot be forecast is None."""

    epochs: Interval | None = None
    gradient_norm: Interval | None = None
    parameter_change: Interval | None = None
    energy_kwh: Interval | None = None
    emissions_kg: Interval | None = None
    duration_s: Interval | None = None


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
    """How often intervals like these held, out of sample. None: too few runs to measure it."""

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


class Estimate(Presented):
    """Everything that is known before any retraining; written as estimate.json."""

    schema_: Literal["foretoll.estimate/1"] = Field("foretoll.estimate/1", alias="schema")
    id: str
    created_at: datetime
    model: ModelCard
    source: DataCard
    target: DataCard
    shift: Literal["none", "distribution", "task"]
    option: str
    until: Share | None
    settings: TrainingSettings
    rate: str = ""  # how the learning rate came about
    indices: dict[str, IndexValue]
    signals: dict[str, float | None]
    forecast: Forecast
    reach_probability: Share | None
    expected_quality: Interval | None = None  # on the test data, after the update
    alternatives: dict[str, Forecast] = {}  # the same for other options, "scratch" among them
    alternatives_reach: dict[str, Share | None] = {}
    alternatives_why_not: dict[
        str, str
    ] = {}  # a sentence where one of them cannot serve this model and target
    coverage: Coverage
    basis: Basis
    self_cost: SelfCost
    projection: Projection | None = None
    warnings: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Candidate(Record):
    """One way to serve the target: a model and an option, with what it is forecast to cost and to reach."""

    model: str  # as it was named: a checkpoint folder, an architecture; a key of the comparison's models
    option: str
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
    life_energy_kwh: Interval | None = None  # retraining and the requests asked for
    over_budget: str = ""  # which limit it is forecast to break
    on_front: bool = False  # no other candidate reaches more for less
    warnings: tuple[str, ...] = ()
    run: Run | None = None  # what happened, where it was carried out
    failure: str = ""  # why it could not be carried out, or not to its end


class Recommendation(Record):
    """One candidate (its position in the comparison), why, and what would change the choice."""

    candidate: int | None  # None: none serves
    reason: str
    would_change: tuple[str, ...] = ()
    confidence: Share  # probability of reaching the target that was asked for


class Comparison(Presented):
    """All ways to reuse the models for a target, side by side."""

    schema_: Literal["foretoll.comparison/1"] = Field("foretoll.comparison/1", alias="schema")
    id: str
    created_at: datetime
    source: DataCard
    target: DataCard
    shift: Literal["none", "distribution", "task"]
    models: dict[str, ModelCard] = {}  # by the name that the candidates have
    until: Share
    settings: TrainingSettings
    budget: str | None = None
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


class Projection(Record):
    """A 2-D linear projection of source and target representations, for the picture only."""

    source: tuple[tuple[float, float], ...]
    source_labels: tuple[int, ...]
    target: tuple[tuple[float, float], ...]
    target_labels: tuple[int, ...]
    explained: Share


Estimate.model_rebuild()
Candidate.model_rebuild()
