"""What one run teaches a forecaster, without the rest of its record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from foretoll.forecast.case import Case, FeatureValues, decided, log_steps, taught_by
from foretoll.options.table import traits_of
from foretoll.records import Outcome, Run

COSTS = ("epochs", "gradient_norm", "parameter_change", "quality")  # learned; the others are composed


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
    return [_lesson(run, *seen) for run in runs if (seen := taught_by(run)) is not None]


def _lesson(run: Run, case: Case, seen: FeatureValues) -> Lesson:
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
        features={name: value for name, value in seen.items() if value is not None},
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
