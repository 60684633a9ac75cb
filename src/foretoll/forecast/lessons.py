"""What one run teaches a forecaster, without the rest of its record; and many of them as plain columns of a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import Case, FeatureValues, case_of_run, decided, features, log_steps, usable
from foretoll.options.table import traits_of
from foretoll.records import Outcome, Run

COSTS = ("epochs", "gradient_norm", "parameter_change", "quality")  # learned; the others are composed
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One run: what was known before it (`features`), what it cost (`responses`, by cost), and whose it was."""

    run_id: str
    option: str
    family: str
    source_name: str
    target_name: str
    shift: str  # kinds and levels, to be read
    outcome: Outcome
    epochs: float | None  # that the run took
    decided: bool  # its first evaluation met the target, or it takes no step: known beforehand
    limit: float  # log of the budget in steps
    lower: float  # log of the steps at the evaluation before the target was met
    model_id: str
    weights_digest: str
    responses: Mapping[str, float | None]
    features: FeatureValues  # those that are known
    task: str = "classification"

    @property
    def owner(self) -> str:
        """The source model by the surest of its names; empty where it has none."""
        return self.weights_digest or self.model_id

    @property
    def group(self) -> str:
        """What it is held out together with: the runs of one source data set, without one those of one target."""
        return self.source_name or f"no source: {self.target_name}"

    def same_model(self, case: Case) -> bool:
        """Whether a case starts from the same weights: by their digests, or the run that made them."""
        if self.weights_digest and case.weights_digest:
            return self.weights_digest == case.weights_digest
        return bool(self.model_id) and self.model_id == case.model_id


def lessons_of(runs: Iterable[Run]) -> list[Lesson]:
    """What the usable ones of these runs teach, in their order."""
    return [_lesson(run, case) for run in runs if usable(run) and (case := case_of_run(run)) is not None]


def _lesson(run: Run, case: Case) -> Lesson:
    return Lesson(
        run_id=run.id,
        option=run.option,
        family=case.family,
        source_name=case.source_name,
        target_name=case.target_name,
        shift=", ".join(f"{s.kind} {s.level:g}" for s in run.target.shift),
        outcome=run.outcome,
        epochs=run.toll.epochs,
        decided=decided(case) or not traits_of(run.option).takes_steps,
        limit=log_steps(case.max_epochs, case.steps_per_epoch),
        lower=missed_until(epochs_to_target(run) or 0.0, case),
        model_id=case.model_id,
        weights_digest=case.weights_digest,
        responses={cost: _response(cost, run, case) for cost in COSTS},
        features={name: value for name, value in features(case).items() if value is not None},
        task=case.task,
    )


def _response(cost: str, run: Run, case: Case) -> float | None:
    """The response that is learned: log steps, log norm, log change, or the quality above the target."""
    if cost == "quality":
        after = run.quality.after if run.quality else None
        return None if after is None else run.settings.progress(after) - case.until
    value: float | None = epochs_to_target(run) if cost == "epochs" else getattr(run.toll, cost)
    if value is None:
        return None
    if cost == "epochs":
        return log_steps(value, case.steps_per_epoch)
    return math.log(value) if value > 0 else None  # a run without a step has neither norm nor change


def epochs_to_target(run: Run) -> float | None:
    """Epochs until the target was first met: all of a run that stops there, fewer of a loop that went on."""
    if run.outcome is Outcome.REACHED and run.settings.until is not None:
        for point in run.curve:
            if point.epochs is not None and run.settings.meets(point.quality):
                return point.epochs
    return run.toll.epochs


def missed_until(epochs: float, case: Case) -> float:
    """Log of the steps at the evaluation before the one, after `epochs`, that met the target."""
    return log_steps(max(epochs - 1 / case.evals_per_epoch, 0.0), case.steps_per_epoch)


def with_digests(lessons: Sequence[Lesson]) -> list[Lesson]:
    """Runs from before weights had digests get that of a later run from the same model."""
    known = {x.model_id: x.weights_digest for x in lessons if x.model_id and x.weights_digest}
    return [
        x if x.weights_digest or x.model_id not in known else replace(x, weights_digest=known[x.model_id])
        for x in lessons
    ]


_TEXTS = ("run_id", "option", "family", "source_name", "target_name", "shift", "outcome", "model_id",
          "weights_digest")  # fmt: skip


def columns_of(lessons: Sequence[Lesson]) -> Columns:
    """The lessons as columns: texts, numbers (NaN: None) and a table of features by name."""
    names = sorted({name for lesson in lessons for name in lesson.features})
    columns: Columns = {
        name: np.array([str(getattr(lesson, name)) for lesson in lessons], dtype=np.str_) for name in _TEXTS
    }
    columns["epochs"] = _numbers(lesson.epochs for lesson in lessons)
    columns["limit"] = _numbers(lesson.limit for lesson in lessons)
    columns["lower"] = _numbers(lesson.lower for lesson in lessons)
    columns["decided"] = np.array([lesson.decided for lesson in lessons], dtype=np.bool_)
    for cost in COSTS:
        columns[f"response {cost}"] = _numbers(lesson.responses[cost] for lesson in lessons)
    columns["task"] = np.array([lesson.task for lesson in lessons], dtype=np.str_)
    columns["names"] = np.array(names, dtype=np.str_)
    columns["features"] = np.array(
        [_numbers(lesson.features.get(name) for name in names) for lesson in lessons]
    ).reshape(len(lessons), len(names))
    return columns


def lessons_in(columns: Mapping[str, NDArray[Any]]) -> list[Lesson]:
    """The inverse of `columns_of`. Raises KeyError or ValueError where they are no lessons."""
    names: list[str] = columns["names"].tolist()
    texts = {name: columns[name].tolist() for name in _TEXTS}
    texts["outcome"] = [Outcome(text) for text in texts["outcome"]]
    flat = zip(*texts.values(), strict=True)
    costs = zip(*(_optional(columns[f"response {cost}"]) for cost in COSTS), strict=True)
    rest = zip(
        _optional(columns["epochs"]),
        columns["decided"].tolist(),
        columns["limit"].tolist(),
        columns["lower"].tolist(),
        strict=True,
    )
    rows = map(_optional, columns["features"])
    count = len(texts["run_id"])
    tasks = columns["task"].tolist() if "task" in columns else ["classification"] * count  # files of before
    return [
        Lesson(
            **dict(zip(_TEXTS, text, strict=True)),
            epochs=epochs,
            decided=known,
            limit=limit,
            lower=lower,
            responses=dict(zip(COSTS, cost, strict=True)),
            features={name: value for name, value in zip(names, row, strict=True) if value is not None},
            task=task,
        )
        for text, (epochs, known, limit, lower), cost, row, task in zip(
            flat, rest, costs, rows, tasks, strict=True
        )
    ]


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _optional(values: NDArray[Any]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  (NaN)
