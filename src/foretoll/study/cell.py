"""Carries out one cell of a study in a worker; knows the domain, nothing of where it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from foretoll.data import TaskData, open_data
from foretoll.engine import WorkerCache, worker_cache
from foretoll.errors import ForetollError
from foretoll.indices.survey import survey
from foretoll.ledger import Ledger
from foretoll.models import Model, Trust, build_model, load_model, save_checkpoint
from foretoll.options.table import DEFAULT
from foretoll.quality import evaluate
from foretoll.records import Outcome, Run, TrainingSettings
from foretoll.study.plan import Cell, SourceModel, source_model
from foretoll.study.reading import DONE
from foretoll.training.guard import Guard
from foretoll.workflows.calibrate import part_of
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Accounting, Runtime, Update
from foretoll.workflows.goal import on_data
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.retrain import retrain_update
from foretoll.workflows.train import train_model

SAMPLES = 1000
HEAD = "head"
IN_ITS_FOLDER = "own"  # weights that stand beside a model's configuration, without a head
KEPT = 64  # data sets of a study are small; models and signals are smaller


@dataclass(frozen=True)
class Place:
    """Where a study keeps its things, and how it measures."""

    folder: Path
    ledger: str
    energy: str = "auto"
    region: str | None = None
    device: str = "cpu"
    trust_code: bool = False  # whether the study's files may name code to import

    def model_folder(self, model: SourceModel) -> Path:
        """Checkpoint folder of a source model."""
        return self.folder / "models" / model.key

    def has_model(self, model: SourceModel) -> bool:
        """Whether a source model is there, whole, with the run that made it: a kill may have come in between."""
        if not (self.model_folder(model) / "model.json").exists():
            return False
        runs = Ledger.open(self.ledger).summaries(tag=f"source:{model.key}")
        return model.weights is not None or any(run.outcome in DONE for run in runs)

    @property
    def trust(self) -> Trust:
        """What code may be imported: all that the study's files name, or none."""
        return Trust(everything=self.trust_code)

    @property
    def accounting(self) -> Accounting:
        """How runs are accounted for."""
        return Accounting(energy=self.energy, region=self.region)

    @property
    def runtime(self) -> Runtime:
        """Where and how its runs are carried out; the ledger is opened, without which there is no study."""
        return replace(Runtime.of(self.device, self.accounting, self.ledger), guard=Guard(strict=True))


def train_source(task: tuple[SourceModel, Place]) -> str:
    """Train a source model unless it is there already; return its folder."""
    model, place = task
    folder = place.model_folder(model)
    if place.has_model(model):
        return str(folder)
    if model.weights is not None:
        _take_pretrained(model, model.weights, place)
    else:
        done = train_model(
            partial(build_model, model.arch, trust=place.trust),
            model.data,
            model.settings,
            place.runtime,
            out=folder,
            tags=("source", f"source:{model.key}"),
        )
        _check(done.run)
    return str(folder)


def _take_pretrained(wanted: SourceModel, weights: str, place: Place) -> None:
    """Keep a pretrained model as it is; where it has no head of its own yet, one is trained on the data."""
    data, device = _data(wanted.data), torch.device(place.device)
    own = None if weights == IN_ITS_FOLDER else weights
    model = load_model(wanted.arch, data=data, weights=own, trust_code=place.trust_code).to(device)
    folder = place.model_folder(wanted)
    if own is not None:
        save_checkpoint(model, folder)
        return
    done = retrain_update(
        Update(model, data, data, False, device),
        HEAD,
        on_data(wanted.settings, data),
        place.runtime,
        RunMetadata(signals={}, tags=("source", f"source:{wanted.key}")),
        out=folder,
    )
    _check(done.run)


def run_cell(task: tuple[Cell, Place]) -> str:
    """Carry out a cell and write its run to the study's ledger; return the run's id."""
    cell, place = task
    # a worker that died after it wrote the run, but before it said so: the run is there, and is not done again
    for run in Ledger.open(place.ledger).summaries(tag=f"cell:{cell.key}"):
        if run.outcome in DONE:
            return run.id
    device = torch.device(place.device)
    model, source = _model(cell.source, cell, place), _data(cell.source)
    target, clean = target_of(cell, _data(cell.target))
    update = Update(model, source, target, cell.task, device, clean=clean)
    settings = on_data(cell.settings, target, source)
    settings = settings.model_copy(update={"until": _target_quality(cell, place, settings)})
    done = retrain_update(
        update,
        cell.option,
        settings,
        place.runtime,
        RunMetadata(
            signals=_signals(cell, update, settings),
            tags=(f"study:{cell.study}", f"cell:{cell.key}", f"setting:{cell.setting}"),
        ),
    )
    return _check(done.run).id


def _check(run: Run) -> Run:
    """Ctrl-C means the whole study, not this run; a run that failed is reported."""
    if run.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    if run.outcome is Outcome.FAILED:
        raise ForetollError(f"the run failed: {run.reason}")
    return run


def target_of(cell: Cell, whole: TaskData) -> tuple[TaskData, TaskData | None]:
    """A cell's target from its whole data set: its part, shifted; and the same unshifted, where there is a shift."""
    part = whole if cell.train_samples is None else part_of(whole, cell.train_samples, held_out=cell.held_out)
    return (part.shifted(cell.shift, seed=1), part) if cell.shift else (part, None)


def _signals(cell: Cell, update: Update, settings: TrainingSettings) -> dict[str, float | None]:
    """The signals of a setting; its seeds share all of them, its options those of the frozen model."""
    fixed = settings.model_copy(update={"seed": 0})
    shared = cell.model_copy(update={"option": DEFAULT})

    def look() -> dict[str, float | None]:
        seen = survey(
            update.model,
            update.source,
            update.target,
            fixed,
            task_shift=update.task_shift,
            clean=update.clean,
            linearised=True,
            samples=SAMPLES,
        )
        return seen.signals

    frozen = _cache().once(("signals", shared.setting), look)
    pilot = _cache().once(("pilot", cell.setting), lambda: pilot_signals(update, cell.option, fixed))
    return frozen | pilot


def _target_quality(cell: Cell, place: Place, settings: TrainingSettings) -> float:
    """A share of what the same architecture reaches on the reference data when trained on them alone.

    A cell may name its target itself. A share above 1 asks for more than that, and at the most for half of what is
    missing there to the best value.
    """

    def measure() -> float:
        model, data = _model(cell.reference, cell, place), _data(cell.reference)
        device = torch.device(place.device)
        seen = evaluate(model, data.validation, metric=settings.metric, device=device)
        return on_data(settings, data).progress(seen.quality)

    def value(progress: float) -> float:
        return progress if settings.scale is None else settings.scale.value(progress)

    if cell.until is not None:
        return value(cell.until)
    folder = str(place.model_folder(source_model(cell, cell.reference)))
    whole = _cache().once(("quality", folder, settings.metric), measure)
    wanted = cell.until_share * whole
    share = round(wanted if cell.until_share <= 1 else min(wanted, (1 + whole) / 2), 4)
    return value(share)


def _model(data: str, cell: Cell, place: Place) -> Model:
    wanted = source_model(cell, data)
    folder = str(place.model_folder(wanted))

    def load() -> Model:
        if not place.has_model(wanted):
            raise ForetollError(f"its source model, {cell.arch} on {data}, is not there: training it failed")
        return load_model(folder, trust_code=place.trust_code).to(place.device)

    return _cache().once(("model", folder), load)


def _data(uri: str) -> TaskData:
    return _cache().once(("data", uri), lambda: open_data(uri))


def _cache() -> WorkerCache:
    cache = worker_cache()
    cache.max_entries = KEPT
    return cache
