"""What all workflows share: the case at hand, how costs are accounted for, and who hears of progress."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import nn

from foretoll.arguments import check_device_name
from foretoll.data import Split, TaskData, open_data
from foretoll.data.fitting import seen_by
from foretoll.decide.money import Price
from foretoll.errors import UsageError, shown
from foretoll.ledger import Ledger
from foretoll.measure import EnergyMeter, MeterLike, grid_intensity, open_meter
from foretoll.models import (
    Loading,
    Model,
    check_fits,
    known_layout,
    recognise_outputs,
    weights_digest,
)
from foretoll.models.on_disk import move_to_disk
from foretoll.options.optimizer import optimizer_named
from foretoll.options.stepper import check_precision
from foretoll.records import EvalPoint, GridIntensity, LiveForecast, TableLayout, TrainingSettings
from foretoll.tasks import check_metric
from foretoll.training.guard import Guard
from foretoll.workflows.classes import settle_classes
from foretoll.workflows.unknown_source import (
    check_target,
    named_source,
    noted_without_source,
    settle_without_source,
    unsaid,
)

Data = Any  # what foretoll.data.open_data takes: a URI, TaskData, a torch Dataset or DataLoader, arrays
CPU = torch.device("cpu")
ModelLike = Any  # what foretoll.models.load_model takes: a spec, a checkpoint folder, an nn.Module, a Model


class Watcher:
    """Hears how the work goes on; this one keeps quiet. The CLI shows a progress line instead."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def note(self, text: str) -> None:
        """Something within the stage under way."""

    def renewed(self, forecast: LiveForecast) -> None:
        """What is left of a training run was forecast anew; the evaluation that it follows comes next."""

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        """A training run was evaluated on its validation split."""


@dataclass(frozen=True)
class Accounting:
    """How energy and emissions are accounted for.

    energy: a meter's name, its class, or one that was not started: see `foretoll.measure.open_meter`
    region, pue, intensity_g_per_kwh, year: see `foretoll.measure.grid_intensity`; None: the environment decides
    price: money for energy or for an hour of a device, "0.30EUR/kWh", "A100=2.5EUR/h": `foretoll.decide.money.Price`
    """

    energy: MeterLike = "auto"
    region: str | None = None
    pue: float | None = None
    intensity_g_per_kwh: float | None = None
    year: int | None = None
    price: str | Sequence[str] | None = None

    def meter(self, device: torch.device | str) -> EnergyMeter:
        """A fresh meter for one measurement."""
        return open_meter(self.energy, device=device)

    def check(self, device: torch.device | str) -> None:
        """Raise before any work what would else be raised after it: no such region, no such counter."""
        self.meter(device).__exit__(None, None, None)  # gives back what a counter took
        _ = self.grid, self.prices

    @cached_property
    def grid(self) -> GridIntensity:
        """The grid intensity that turns kWh into kg CO2e."""
        return grid_intensity(
            self.region, pue=self.pue, intensity_g_per_kwh=self.intensity_g_per_kwh, year=self.year
        )

    @cached_property
    def prices(self) -> tuple[Price, ...]:
        """What energy or hours cost; none where nobody named a price."""
        return Price.several(self.price)


@dataclass(frozen=True)
class Runtime:
    """Where and how a call works, which all that it calls shares.

    device: that models are put on. ledger: one that is open; None: what is carried out is not kept. guard: what
    becomes of faults of foretoll itself beside a training.
    """

    device: torch.device = CPU
    accounting: Accounting = field(default_factory=Accounting)
    ledger: Ledger | None = None
    watcher: Watcher = field(default_factory=Watcher)
    guard: Guard = field(default_factory=Guard)

    @classmethod
    def of(
        cls,
        device: str = "auto",
        accounting: Accounting | None = None,
        ledger: Ledger | str | Path | None = None,
        watcher: Watcher | None = None,
    ) -> Self:
        """Of what a caller gave, opened; no ledger is the user's own. UsageError where there is no such device."""
        return cls(choose_device(device), accounting or Accounting(), Ledger.of(ledger), watcher or Watcher())

    def check(self, settings: TrainingSettings, *, to_write: bool = False) -> None:
        """Refuse, before any work, a region, a counter or settings that nothing could be made with here.

        So is what can be no ledger; one that is away or damaged is no reason not to begin.
        """
        self.accounting.check(self.device)
        check_settings(settings, self.device)
        if self.ledger is not None:
            self.ledger.check(to_write=to_write)

    def meter(self) -> EnergyMeter:
        """A fresh meter for one measurement on the device."""
        return self.accounting.meter(self.device)


@dataclass(frozen=True)
class Update:
    """A model, what it was trained on and what it must now serve."""

    model: Model
    source: TaskData | None  # None: a model that comes without the data that it was trained on
    target: TaskData
    task_shift: bool
    device: torch.device
    clean: TaskData | None = None  # the target before its synthetic shift, sample by sample

    @property
    def shift(self) -> Literal["none", "distribution", "task"]:
        """The kind of shift between source and target."""
        if self.task_shift:
            return "task"
        return "none" if self.same_data else "distribution"

    @property
    def same_data(self) -> bool:
        """Whether the target is the source itself: one URI, or one object where Python handed the data over."""
        source, target = self.source, self.target
        if source is None:
            return False
        if source.card.uri.startswith("python:"):
            return source.train is target.train
        return (source.card.uri, source.card.shift) == (target.card.uri, target.card.shift)

    @property
    def known_source(self) -> TaskData | None:
        """The source where it has labels, by which a quality on it and its classes can be known."""
        return self.source if self.source is not None and self.source.train.labels is not None else None

    def source_for(self, what: str) -> TaskData:
        """The labelled source, without which there is no `what` (UsageError)."""
        found = self.known_source
        if found is None:
            raise UsageError(
                f"{what} needs labelled data that the model was trained on: give them as --source"
            )
        return found


def open_update(
    model: ModelLike,
    source: Data,
    target: Data,
    *,
    task: bool | None = None,
    loading: Loading = Loading(),  # noqa: B008  (it is frozen)
    device: str | torch.device = "auto",
    seed: int = 0,
) -> Update:
    """Open data and model and check that they fit each other. Without a source (None or "none") nothing tells of it.

    `task` says whether the target is a new task (other classes); None: decided by the class names.

    Raises UsageError, DataError or ModelError where something is unknown, unusable or does not fit.
    """
    place, source = choose_device(device), named_source(source)
    check_target(target)
    layout = known_layout(model, loading.weights)
    source_data = None if source is None else open_data(source, seed=seed, layout=layout)
    beside = open_data(target, seed=seed, layout=layout) if source_data is None else source_data
    data = unsaid(beside) if source_data is None else source_data
    loaded = loading.load(model, data=data, seed=seed).to(place)
    if source_data is None:
        loaded.card = noted_without_source(loaded.card)
    check_fits(loaded, beside)
    layout = _wanted_layout(loaded.card.layout, beside.card.layout)
    target_data = beside if source_data is None else open_data(target, seed=seed, layout=layout)
    check_fits(loaded, target_data)
    plan, done = loaded.card.preprocessing, dict[int, Split]()
    unshifted = _unshifted(target, seed, layout)
    target_data = seen_by(plan, target_data, done)
    clean = None if unshifted is None else seen_by(plan, unshifted, done)
    source_data = None if source_data is None else seen_by(plan, source_data, done)
    if source_data is None or source_data.train.labels is None:
        target_data, clean, task_shift = settle_without_source(loaded, target_data, clean, task)
    else:
        source_data, target_data, clean, task_shift = settle_classes(
            loaded, source_data, target_data, clean, task
        )
    recognise_outputs(loaded, (source_data or target_data).train)
    # recognised by its content: runs of the same weights count as its own whatever door they came through
    loaded.card = loaded.card.model_copy(update={"weights_digest": weights_digest(loaded.network)})
    if not isinstance(
        model, nn.Module
    ):  # a training is of a copy, which is then all the memory that they take
        move_to_disk(loaded.network)
    return Update(loaded, source_data, target_data, task_shift, place, clean=clean)


def _wanted_layout(model: TableLayout | None, source: TableLayout | None) -> TableLayout | None:
    """The model's columns (of one that knows none, its source's), and the source's label column."""
    columns = next((layout.columns for layout in (model, source) if layout and layout.columns), ())
    label = next((layout.label for layout in (source, model) if layout and layout.label), None)
    task = next((layout.task for layout in (source, model) if layout and layout.label == label), None)
    return TableLayout(columns=columns, label=label, task=task) if columns or label else None


def _unshifted(target: Data, seed: int, layout: TableLayout | None) -> TaskData | None:
    """The target before the synthetic shift that its URI names; None where it names none."""
    if not isinstance(target, str) or "shift=" not in target:
        return None
    return open_data(unshifted_uri(target), seed=seed, layout=layout)


def unshifted_uri(uri: str) -> str:
    """The same data URI without its shifts."""
    base, _, query = uri.partition("?")
    kept = "&".join(part for part in query.split("&") if not part.startswith("shift="))
    return f"{base}?{kept}" if kept else base


def choose_device(name: str | torch.device) -> torch.device:
    """`auto` takes CUDA where there is one, else the CPU; anything else is taken at its word.

    Raises UsageError for an unknown name, where that device does not exist on this machine, and for Apple's
    MPS, which has no float64: the sums behind the indices need it.
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device_name(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {shown(name)} cannot be used on this machine: try --device cpu, or auto to have one chosen"
        ) from error
    return device


def check_settings(settings: TrainingSettings, device: torch.device) -> None:
    """Refuse, before anything is opened, settings that no training here could be made with (UsageError)."""
    check_metric(settings.metric)
    optimizer_named(settings.optimizer)
    check_precision(settings.precision, device)


def new_run_id() -> str:
    """A run id that sorts by time and does not clash between processes."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a block and give the global random state back afterwards."""
    devices: Sequence[torch.device] = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
