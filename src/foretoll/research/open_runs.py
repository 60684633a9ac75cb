"""How good forecasts were of the runs that a user asks about: open ones, that reached their target.

A run that its first evaluation decides is known, and one that misses its budget as forecast has no error: both are
left out here, where the headline figures come from. A run that reached its target though its budget was forecast to
be too small counts with all of its error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import EPOCH_OFFSET, decided
from foretoll.forecast.compose import compose_costs
from foretoll.forecast.early import lessons_of, schedule_of
from foretoll.forecast.forecaster import HARD, UNLIKE, Forecaster, Prediction
from foretoll.forecast.lessons import Lesson
from foretoll.records import Forecast, Interval, StepProbe
from foretoll.research import metrics
from foretoll.research.leave_out import Fold, Row, outcomes
from foretoll.units import JOULES_PER_KWH

COSTS = ("epochs", "gradient_norm", "parameter_change", "quality", "duration_s", "energy_kwh")
BOOTSTRAP = 400
FEWEST_ROWS = 20  # to learn from, before a fold is forecast
Array = NDArray[np.float64]
Told = dict[
    int, tuple[Prediction, Forecast]
]  # row → what was learned, and with the costs that follow from steps


def open_measures(rows: Sequence[Row], tested: Sequence[int], median: Array) -> dict[str, float]:
    """Measures of point forecasts (n,), in epochs, of `tested` rows (n,), over those that are open and reached."""
    kept = [k for k, i in enumerate(tested) if is_open(rows[i]) and not rows[i].censored]
    if not kept:
        return {"runs": 0.0}
    chosen = [rows[tested[k]] for k in kept]
    seen = outcomes(chosen)
    errors = metrics.log_errors(median[kept], seen)
    order = metrics.spearman(np.minimum(median[kept], seen.limit), seen)
    low, high = _resampled(errors, [pair_of(row) for row in chosen])
    return {
        "runs": float(len(kept)),
        "median_factor": math.exp(float(np.median(errors))),
        "median_factor_low": low,
        "median_factor_high": high,
        "factor_0.9": math.exp(float(np.quantile(errors, 0.9))),
        "within_1.5": float((errors <= math.log(1.5)).mean()),
        "within_2": float((errors <= math.log(2)).mean()),
    } | ({} if order is None else {"spearman": order})


def is_open(row: Row) -> bool:
    """Whether the first evaluation does not decide a run."""
    return not decided(row.case)


def pair_of(row: Row) -> str:
    """Source and target data: runs of one pair are resampled together."""
    return f"{row.case.source_name} → {row.case.target_name}"


def _resampled(errors: Array, groups: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the median factor, whole groups drawn with replacement."""
    rng, names = np.random.default_rng(0), sorted(set(groups))
    by = [errors[np.array([g == name for g in groups])] for name in names]
    draws = rng.integers(len(names), size=(BOOTSTRAP, len(names)))
    medians = [np.median(np.concatenate([by[k] for k in draw])) for draw in draws]
    low, high = np.exp(np.quantile(medians, [0.025, 0.975]))
    return float(low), float(high)


def tell_left_out(rows: Sequence[Row], split: Fold) -> Told:
    """What a user would see forecast of each open row whose fold is left out, by the forecaster that ships.

    Runs have no owners here: a user's model is not in the ledger. Durations and energies rest on the time of a step
    in another seed of the setting, as they would on a probe.
    """
    lessons: list[Lesson] = lessons_of([row.run for row in rows])
    nobody = [_nobodys(lesson) for lesson in lessons]
    probes = _probes(rows)
    folds = [split.fold(row) for row in rows]
    told: Told = {}
    for fold in sorted({name for name in folds if name is not None}):
        learn = [k for k, name in enumerate(folds) if name != fold and not split.also_out(rows[k], fold)]
        if sum(is_open(rows[k]) for k in learn) < FEWEST_ROWS:
            continue
        forecaster = Forecaster(before=[nobody[k] for k in learn])
        for k, name in enumerate(folds):
            if name == fold and is_open(rows[k]):
                case = rows[k].case.model_copy(update={"model_id": "", "weights_digest": ""})
                made = forecaster.foretell(case)
                if (epochs := made.forecast.epochs) is not None:
                    told[k] = made, _composed(made, epochs, rows[k], probes.get(k))
    return told


def _nobodys(lesson: Lesson) -> Lesson:
    return replace(lesson, model_id="", weights_digest="")


def _composed(made: Prediction, epochs: Interval, row: Row, probe: StepProbe | None) -> Forecast:
    return compose_costs(
        epochs,
        schedule=schedule_of(row.case),
        probe=probe,
        grid=None,
        learned=made.forecast,
    )


def _probes(rows: Sequence[Row]) -> dict[int, StepProbe]:
    """The time and energy of a step and of an evaluation, of another seed of each row's setting."""
    measured = {k: probe for k, row in enumerate(rows) if (probe := _measured(row)) is not None}
    first: dict[str, list[int]] = {}
    for k in measured:
        first.setdefault(rows[k].setting, []).append(k)
    others = {k: [j for j in first.get(row.setting, ()) if j != k] for k, row in enumerate(rows)}
    return {k: measured[found[0]] for k, found in others.items() if found}


def _measured(row: Row) -> StepProbe | None:
    run = row.run
    parts = run.training, run.evaluation
    if not run.steps or not run.evaluations or parts[0] is None or parts[1] is None:
        return None
    seconds, joules = parts[0].duration_s / run.steps, parts[0].energy_kwh
    looked = parts[1].energy_kwh
    return StepProbe(
        steps=run.steps,
        repeats=1,
        seconds_per_step=seconds,
        seconds_per_step_low=seconds,
        seconds_per_step_high=seconds,
        joules_per_step=None if joules is None else joules * JOULES_PER_KWH / run.steps,
        seconds_per_evaluation=parts[1].duration_s / run.evaluations,
        joules_per_evaluation=None if looked is None else looked * JOULES_PER_KWH / run.evaluations,
    )


def interval_measures(told: Told, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Per cost: open runs with an interval, the share that it holds, and its median width.

    A width is the ratio of the ends; of the quality it is their difference. Epochs of runs that missed their target
    count as held where the interval reaches the budget, as everywhere.
    """
    found = {}
    for cost in COSTS:
        held, width = [], []
        for k, (made, forecast) in told.items():
            interval = made.quality if cost == "quality" else getattr(forecast, cost)
            value = _came(cost, rows[k])
            if interval is None or value is None or interval.low is None:
                continue
            held.append(_holds(interval, value, rows[k], cost))
            width.append(_width(cost, interval, rows[k]))
        if held:
            found[cost] = {
                "runs": float(len(held)),
                "held": float(np.mean(held)),
                "width": float(np.median(width)),
            }
    return found


def _came(cost: str, row: Row) -> float | None:
    if cost == "quality":
        after = row.run.quality.after if row.run.quality else None
        return None if after is None else row.run.settings.progress(after)
    value: float | None = row.epochs if cost == "epochs" else getattr(row.run.toll, cost)
    return value or None


def _holds(interval: Interval, value: float, row: Row, cost: str) -> bool:
    low, high = interval.low or 0.0, math.inf if interval.high is None else interval.high
    if cost == "epochs" and row.censored:
        return high >= row.case.max_epochs - 1e-9
    return low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)


def _width(cost: str, interval: Interval, row: Row) -> float:
    low, high = interval.low or 0.0, interval.high if interval.high is not None else math.inf
    if cost == "quality":
        return high - low
    if cost == "epochs":
        return (min(high, row.case.max_epochs) + EPOCH_OFFSET) / (low + EPOCH_OFFSET)
    return high / low if low > 0 else math.inf


def served_measures(told: Told, rows: Sequence[Row]) -> dict[str, float]:
    """The probability that the test quality meets the target: its mean, how often it was so, and its Brier score."""
    pairs = [
        (made.served_probability, after >= rows[k].case.until)
        for k, (made, _) in told.items()
        if made.served_probability is not None and (after := _came("quality", rows[k])) is not None
    ]
    if not pairs:
        return {}
    chance, met = np.array(pairs, dtype=float).T
    return {
        "forecast": float(chance.mean()),
        "met": float(met.mean()),
        "brier": float(((chance - met) ** 2).mean()),
    }


def warning_measures(told: Told, rows: Sequence[Row]) -> dict[str, Any]:
    """Share of open runs that come with a warning, and the median factor where warned and where not.

    Warned: said to be unlike all runs, or like runs that are forecast badly.
    """
    errors: dict[bool, list[float]] = {True: [], False: []}
    warned = []
    for k, (made, _) in told.items():
        told_so = (made.unlike or 0.0) > UNLIKE or (made.hardness or 0.0) > HARD
        warned.append(told_so)
        epochs = made.forecast.epochs
        if not rows[k].censored and epochs is not None and epochs.median is not None:
            error = metrics.log_errors(np.array([epochs.median]), outcomes([rows[k]]))
            errors[told_so].append(float(error[0]))
    factors = {name: math.exp(float(np.median(e))) if e else None for name, e in errors.items()}
    return {
        "warned": float(np.mean(warned)) if warned else None,
        "median_factor_warned": factors[True],
        "median_factor_not": factors[False],
    }
