"""A study file (TOML) and the cells that follow from it.

A cell is one run that is wanted: everything that decides it, and nothing else, so that its content hash tells
whether it was carried out already. The design is a seeded fraction of the full grid: training settings are
drawn per setting, and the same for all seeds of it, so that repeats differ in the seed alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from foretoll.data import SHIFTS
from foretoll.errors import shown
from foretoll.models import Trust, parse_spec
from foretoll.options.table import DEFAULT, SCRATCH, traits_of
from foretoll.records import Record, Shift, TrainingSettings
from foretoll.study.check import content_mistakes
from foretoll.study.vary import Vary

Row = TypeVar("Row")
Levels = Literal["default"] | tuple[float, ...]
Fraction = Annotated[float, Field(gt=0, le=1)]
HELD_OUT = 800  # small training sets are still judged on enough samples


class SourceSpec(Record):
    """A data set that models are trained on, and disjoint data of it that are shifted to be the target."""

    name: str
    source: str
    target: str | None = None
    models: tuple[str, ...] = ()  # names from the study's models; all of them if empty
    limit: int | None = None  # caps the choices of train_samples


class TaskSpec(Record):
    """A pair of data sets: another task, or a natural shift of the same one."""

    name: str
    source: str  # name of a source
    target: str  # name of a source (its target data), or a URI
    task: bool
    models: tuple[str, ...] = ()
    until: tuple[float, ...] = ()  # quality targets, as progress; else a share of what the reference reaches


class Design(Record):
    """Which part of the full grid is carried out."""

    seeds: tuple[int, ...] = (0, 1)
    options: tuple[str, ...] = (DEFAULT,)
    options_drawn: Annotated[int, Field(ge=1)] | None = None  # of the options, for each setting; all if None
    unsuited: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # by model: options it cannot have
    fraction: Fraction = 1.0  # of the shift settings
    task_fraction: Fraction = 1.0
    scratch_fraction: Annotated[float, Field(ge=0, le=1)] = (
        0.0  # of the settings that also train from scratch
    )
    contests: Annotated[int, Field(ge=1)] | None = (
        None  # draws for each target of the tasks, shared by all its sources; each setting has its own if None
    )
    seed: int = 0


class StudyFile(Record):
    """A study as written down."""

    schema_: Literal["foretoll.study/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    models: dict[str, str]
    weights: dict[str, str] = Field(
        default_factory=dict
    )  # of pretrained models, by name; none is trained for them
    sources: tuple[SourceSpec, ...]
    shifts: dict[str, Levels] = Field(default_factory=dict)
    tasks: tuple[TaskSpec, ...] = ()
    settings: TrainingSettings = TrainingSettings()
    source_training: TrainingSettings = TrainingSettings(max_epochs=8)
    vary: Vary = Vary()
    design: Design = Design()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _whole(self) -> StudyFile:
        problems = [f"{place}: {text}" for place, text in content_mistakes(self.model_dump(by_alias=True))]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Cell(Record):
    """One wanted run."""

    study: str
    source_name: str
    source: str  # URI the model was trained on
    target: str  # URI before the shift
    target_name: str
    arch: str
    shift: Shift | None
    task: bool
    option: str
    until_share: float
    reference: str  # URI whose model sets the quality target: the source itself, or the target's own
    train_samples: int | None
    settings: TrainingSettings
    source_training: TrainingSettings
    held_out: int = HELD_OUT
    weights: str | None = None  # of a pretrained source model
    until: float | None = None  # the quality target, as progress, where no reference sets it

    @property
    def key(self) -> str:
        """Content hash: equal for equal cells of any study of that name."""
        return _hash(self._hashed())

    @property
    def setting(self) -> str:
        """Content hash without the seed: repeats share it."""
        return self.keys_of([0])[0]

    def keys_of(self, seeds: Sequence[int]) -> list[str]:
        """The hashes of this cell with each of these seeds: of many repeats at once."""
        hashed, keys = self._hashed(), []
        for seed in seeds:
            hashed["settings"]["seed"] = seed
            keys.append(_hash(hashed))
        return keys

    def repeats(self, other: Cell) -> bool:
        """Whether the other cell is this one with another seed, or the same."""
        mine, theirs = vars(self) | {"settings": None}, vars(other) | {"settings": None}
        if mine != theirs:
            return False
        return vars(self.settings) | {"seed": 0} == vars(other.settings) | {"seed": 0}

    def _hashed(self) -> dict[str, Any]:
        # studies that do not vary these keep the hashes that they had
        usual = {"held_out": HELD_OUT, "weights": None, "until": None}
        left_out = {name for name, value in usual.items() if getattr(self, name) == value}
        return self.model_dump(mode="json", exclude=left_out)

    @property
    def contest(self) -> str:
        """Content hash without seed and source: settings that share it differ in their source models alone."""
        of_source = {"source_name": "", "source": "", "target_name": "", "weights": None, "task": False}
        return self.model_copy(update=of_source).setting


class SourceModel(Record):
    """A source model that cells start from; trained once, kept in the study's folder."""

    arch: str
    data: str
    settings: TrainingSettings
    weights: str | None = None  # a pretrained one: it is taken as it is, and only a fresh head is trained

    @property
    def key(self) -> str:
        """Content hash."""
        left_out = {"weights"} if self.weights is None else None
        text = json.dumps(self.model_dump(mode="json", exclude=left_out), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_code(study: StudyFile, trust: Trust) -> None:
    """Raise ModelError where a model of the study is a function to import, which `trust` does not allow."""
    for name, arch in study.models.items():
        trust.check(parse_spec(arch), f"model {shown(name, 40)} of the study {shown(study.name, 40)}", way="")


def cells_of(study: StudyFile) -> list[Cell]:
    """All cells of a study, in the order of their settings' hashes: any first part of it is a fair sample.

    With contests, those of one contest follow each other, and it has only options that all its sources can have.
    """
    rng = random.Random(study.design.seed)
    contests = study.design.contests is not None
    unsuited = {study.models[name]: options for name, options in study.design.unsuited.items()}
    settings = [*_shift_settings(study, rng), *_task_settings(study, rng)]
    anew = {cell.contest for cell in settings if cell.task} if contests else set()
    cells = []
    for cell in settings:
        if contests:
            rng = random.Random(cell.contest)
        new_task = cell.task or cell.contest in anew
        options = [o for o in study.design.options if traits_of(o).serves_new_task or not new_task]
        drawn = study.design.options_drawn
        if drawn is not None and drawn < len(options):
            options = rng.sample(options, drawn)
        if SCRATCH not in options and rng.random() < study.design.scratch_fraction:
            options.append(SCRATCH)
        options = [option for option in options if option not in unsuited.get(cell.arch, ())]
        for option, seed in itertools.product(options, study.design.seeds):
            update = {"option": option, "settings": cell.settings.model_copy(update={"seed": seed})}
            cells.append(cell.model_copy(update=update))
    if contests:  # two draws of one target may be the same
        cells = list(dict(zip(keys_of(cells), cells, strict=True)).values())
    placed: list[tuple[str, str, Cell]] = []
    for repeats in _repeats(cells):
        contest, setting = repeats[0].contest if contests else "", repeats[0].setting
        placed += [(contest, setting, cell) for cell in repeats]
    placed.sort(key=lambda one: (*one[:2], one[2].option, one[2].settings.seed))
    return [cell for _, _, cell in placed]


def keys_of(cells: Sequence[Cell]) -> list[str]:
    """The hashes of cells, in their order; those of repeats that follow each other cost little."""
    found: list[str] = []
    for repeats in _repeats(cells):
        found += repeats[0].keys_of([cell.settings.seed for cell in repeats])
    return found


def _repeats(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that follow each other and differ by their seeds alone."""
    found: list[list[Cell]] = []
    for cell in cells:
        if found and found[-1][0].repeats(cell):
            found[-1].append(cell)
        else:
            found.append([cell])
    return found


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def most_cells(study: StudyFile) -> int:
    """How many cells a study has at the most, without making them."""
    models = len(study.models)
    levels = sum(4 if levels == "default" else len(levels) for levels in study.shifts.values())
    settings = sum(len(source.models) or models for source in study.sources) * levels * study.design.fraction
    draws = study.design.contests or 1
    settings += sum(len(task.models) or models for task in study.tasks) * study.design.task_fraction * draws
    options = min(len(study.design.options), study.design.options_drawn or len(study.design.options))
    return int(settings * len(study.design.seeds) * (options + 1))


def source_models(cells: Sequence[Cell]) -> list[SourceModel]:
    """The models that the cells need, each once."""
    wanted: dict[str, SourceModel] = {}
    seen: set[tuple[Any, ...]] = set()
    for cell in cells:
        for data in (cell.source, cell.reference) if cell.until is None else (cell.source,):
            needs = (
                cell.arch,
                data,
                cell.weights,
                id(cell.source_training),
            )  # cells of a study share the last
            if needs not in seen:
                seen.add(needs)
                model = source_model(cell, data)
                wanted[model.key] = model
    return list(wanted.values())


def source_model(cell: Cell, data: str) -> SourceModel:
    """The model of a cell's architecture on some data."""
    return SourceModel(arch=cell.arch, data=data, settings=cell.source_training, weights=cell.weights)


def _shift_settings(study: StudyFile, rng: random.Random) -> list[Cell]:
    grid = [
        (source, model, Shift(kind=kind, level=level))
        for source in study.sources
        if source.target
        for model in (source.models or tuple(study.models))
        for kind, levels in study.shifts.items()
        for level in (SHIFTS[kind].default_levels if levels == "default" else levels)
    ]
    chosen = _balanced(grid, study.design.fraction, rng, key=lambda row: (row[0].name, row[1], row[2].kind))
    return [
        _cell(study, rng, source, source.target or "", source.name, model, shift)
        for source, model, shift in chosen
    ]


def _task_settings(study: StudyFile, rng: random.Random) -> list[Cell]:
    by_name = {source.name: source for source in study.sources}
    grid = [(task, model) for task in study.tasks for model in (task.models or tuple(study.models))]
    chosen = _balanced(grid, study.design.task_fraction, rng, key=lambda row: row[0].name)
    cells = []
    for task, model in chosen:
        known = by_name.get(task.target)
        target = (known.target or known.source) if known else task.target
        reference = known.source if known else task.target
        name = known.name if known else task.name
        for draw in _draws(study, rng, target, model):
            cell = _cell(study, draw, by_name[task.source], target, name, model, None)
            until = draw.choice(task.until) if task.until else None
            cells.append(cell.model_copy(update={"until": until, "task": task.task, "reference": reference}))
    return cells


def _draws(study: StudyFile, rng: random.Random, target: str, model: str) -> list[random.Random]:
    """What settings are drawn by: the study's own numbers, or for each contest those that its sources share."""
    design = study.design
    if design.contests is None:
        return [rng]
    return [
        random.Random(f"{design.seed} {target} {study.models[model]} {number}")
        for number in range(design.contests)
    ]


def _cell(
    study: StudyFile,
    rng: random.Random,
    source: SourceSpec,
    target: str,
    target_name: str,
    model: str,
    shift: Shift | None,
) -> Cell:
    """One setting, drawn, of the source's own task."""
    vary = study.vary
    settings = vary.draw(study.settings, rng)
    sizes = [n for n in vary.train_samples if source.limit is None or n <= source.limit]
    return Cell(
        study=study.name,
        source_name=source.name,
        source=source.source,
        target=target,
        target_name=target_name,
        arch=study.models[model],
        shift=shift,
        task=False,
        option=DEFAULT,
        until_share=rng.choice(vary.until_share),
        reference=source.source,
        train_samples=rng.choice(sizes) if sizes else None,
        settings=settings,
        source_training=study.source_training,
        weights=study.weights.get(model),
        held_out=rng.choice(vary.held_out) if vary.held_out else HELD_OUT,
    )


def _balanced(
    grid: list[Row], fraction: float, rng: random.Random, *, key: Callable[[Row], object]
) -> list[Row]:
    """A seeded fraction of the grid that takes the same share of every group."""
    if fraction >= 1:
        return grid
    groups: dict[object, list[Row]] = {}
    for row in grid:
        groups.setdefault(key(row), []).append(row)
    chosen, carried = [], rng.random()
    for rows in groups.values():
        carried += len(rows) * fraction
        count, carried = int(carried), carried - int(carried)
        chosen += rng.sample(rows, min(count, len(rows)))
    return chosen
