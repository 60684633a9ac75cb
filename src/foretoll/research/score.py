"""Out-of-sample scoring of forecasts: whole levels, kinds, data sets, families and task pairs left out in turn.

Every method goes through the same calibrator (`foretoll.forecast.regressor`), with the same settings known.
The repeat line says how well another seed of the very same setting predicts a run: the ceiling for single runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.engine import check_workers
from foretoll.forecast.case import CLASSIFICATION, RISING, Case, FeatureValues, decided, epochs_of, log_steps
from foretoll.forecast.lessons import missed_until
from foretoll.forecast.point import PointModel, Table
from foretoll.forecast.predictive import PredictiveDistribution
from foretoll.forecast.regressor import CostModel
from foretoll.options.table import DEFAULT
from foretoll.records import Run
from foretoll.research import metrics
from foretoll.research.leave_out import Fold, Row, outcomes, rows_of, splits_of
from foretoll.research.open_runs import (
    interval_measures,
    open_measures,
    served_measures,
    tell_left_out,
    warning_measures,
)
from foretoll.research.peers import FORETOLL, METHODS, Method
from foretoll.research.repeats import open_repeat, repeat_scores

LEVELS = (0.5, 0.8, 0.9)
BOOTSTRAP = 400
# whose intervals of all costs are scored: what a user may bring that the ledger has nothing like
COST_SPLITS = ("data sets", "architecture families", "task pairs", "sizes", "kinds of data")
FEWEST_ROWS = 20  # to learn from, before a fold is forecast


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of one method for the tested rows of one split."""

    rows: list[int]
    order: NDArray[np.float64]  # forecast epochs before they are cut at the budget: what ranks are taken of
    median: NDArray[np.float64]  # infinite where more than half of the probability lies beyond the budget
    reach: NDArray[np.float64] | None
    intervals: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]]
    # (n, 2): forecast probabilities of less than what happened, and of at most that
    around: NDArray[np.float64] | None = None


def forecast_left_out(rows: Sequence[Row], split: Fold, method: Method, *, seed: int = 0) -> Forecasts:
    """Leave each fold of the split out, learn from the rest, forecast the fold.

    A row whose first evaluation meets the target is forecast by that, whatever the method: nothing is learned of it.
    """
    made = [method.make(r.run, r.case) for r in rows]
    folds = [split.fold(r) for r in rows]
    told: dict[int, _CalibratedForecast] = {}
    for fold in sorted({f for f in folds if f is not None}):
        test = [i for i, f in enumerate(folds) if f == fold]
        learn = [i for i, f in enumerate(folds) if f != fold and not split.also_out(rows[i], fold)]
        learn = [i for i in learn if not decided(rows[i].case)]
        if len(learn) < FEWEST_ROWS:
            continue
        told |= {
            i: _CalibratedForecast(0.0, 0.0, 1.0, dict.fromkeys(LEVELS, (0.0, 0.0)))
            for i in test
            if decided(rows[i].case)
        }
        for known, part in _by_known(made, [i for i in test if i not in told]):
            table = _table(rows, made, learn, known)
            if method.calibrated:
                model = CostModel(table, seed=seed)
                told |= zip(
                    part, _calibrated(model, [made[i] for i in part], [rows[i] for i in part]), strict=True
                )
            else:
                located = PointModel(table, seed).predict([made[i] for i in part], [""] * len(part))
                for i, value in zip(part, located, strict=True):
                    epochs = _epochs(value, rows[i].case)
                    told[i] = _CalibratedForecast(epochs, epochs)
    tested = sorted(told)
    found = [told[i] for i in tested]
    reach = [t.reach for t in found if t.reach is not None] if method.calibrated else []
    return Forecasts(
        tested,
        np.array([t.order for t in found]),
        np.array([t.median for t in found]),
        np.array(reach) if reach else None,
        {
            level: (
                np.array([t.ends[level][0] for t in found]),
                np.array([t.ends[level][1] for t in found]),
            )
            for level in (LEVELS if method.calibrated and found else ())
        },
        np.array([t.around for t in found]) if method.calibrated and found else None,
    )


@dataclass(frozen=True)
class _CalibratedForecast:
    order: float
    median: float
    reach: float | None = None
    ends: dict[float, tuple[float, float]] = field(default_factory=dict)
    around: tuple[float, float] = (0.0, 1.0)


def _calibrated(
    model: CostModel, features: Sequence[FeatureValues], rows: Sequence[Row]
) -> list[_CalibratedForecast]:
    limits = [_limit(row.case) for row in rows]
    found = model.predict_all(
        features,
        [""] * len(rows),
        [row.case.source_name for row in rows],
        [row.case.task_shift for row in rows],
        limits=limits,
        options=[row.case.option for row in rows],
    )
    return [_told_of(one, row) for one, row in zip(found, rows, strict=True)]


def _told_of(found: PredictiveDistribution, row: Row) -> _CalibratedForecast:
    case = row.case
    ends = {
        level: (
            _epochs(found.quantile((1 - level) / 2), case),
            _epochs(found.quantile((1 + level) / 2), case),
        )
        for level in LEVELS
    }
    return _CalibratedForecast(
        _epochs(found.location, case),
        _epochs(found.quantile(0.5), case),
        found.cdf(_limit(case)),
        ends,
        _around(found, row),
    )


def _limit(case: Case) -> float:
    return log_steps(case.max_epochs, case.steps_per_epoch)


def _around(told: PredictiveDistribution, row: Row) -> tuple[float, float]:
    """Forecast probabilities of less than what happened and of at most that; times come in evaluations."""
    case = row.case

    def at_most(epochs: float) -> float:
        return told.cdf(log_steps(epochs, case.steps_per_epoch) + 1e-9)

    if row.censored:
        return at_most(case.max_epochs), 1.0
    between = 1 / case.evals_per_epoch
    first = row.epochs <= between + 1e-9  # an open run takes a step at least
    return 0.0 if first else at_most(row.epochs - between), at_most(row.epochs)


def _by_known(
    made: Sequence[dict[str, Any]], positions: Sequence[int]
) -> list[tuple[frozenset[str], list[int]]]:
    """Group cases by which features they know: nothing is made up for a case."""
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for i in positions:
        groups[frozenset(n for n, v in made[i].items() if v is not None)].append(i)
    return list(groups.items())


def _table(
    rows: Sequence[Row], made: Sequence[dict[str, Any]], learn: Sequence[int], known: frozenset[str]
) -> Table:
    chosen = [rows[i] for i in learn]
    return Table(
        rows=[{n: v for n, v in made[i].items() if n in known} for i in learn],
        y=np.array([log_steps(r.epochs, r.case.steps_per_epoch) for r in chosen]),
        censored=np.array([r.censored for r in chosen], dtype=bool),
        weights=np.ones(len(chosen)),
        groups=[r.case.source_name for r in chosen],
        owners=["" for _ in chosen],
        rising=RISING,
        limits=np.array([log_steps(r.case.max_epochs, r.case.steps_per_epoch) for r in chosen]),
        options=[r.case.option for r in chosen],
        lower=np.array([missed_until(r.epochs, r.case) for r in chosen]),
    )


def _epochs(value: float | None, case: Case) -> float:
    """Epochs of a log time, at least to the first evaluation after a step."""
    if value is None:
        return math.inf
    return max(epochs_of(value, case.steps_per_epoch), 1 / case.evals_per_epoch)


def scores(found: Forecasts, rows: Sequence[Row]) -> dict[str, float | None]:
    """All measures of one method on one split.

    Those of intervals, the Brier score and those called `open` are of the runs that were not decided by their first
    evaluation: for the others every method is right.
    """
    seen = outcomes([rows[i] for i in found.rows])
    open_ = np.flatnonzero([not decided(rows[i].case) for i in found.rows])
    left = seen.take(open_)
    result: dict[str, float | None] = {
        "runs": float(len(found.rows)),
        "open_runs": float(len(open_)),
        "censored": float(seen.censored.mean()),
        "spearman": metrics.spearman(found.order, seen),
        "concordance": metrics.harrell(found.order, seen),
        "median_factor": metrics.median_factor(found.median, seen),
        "spearman_open": metrics.spearman(found.order[open_], left),
        "median_factor_open": metrics.median_factor(found.median[open_], left),
        "within_target": metrics.grouped_harrell(found.order, seen, [_target(rows[i]) for i in found.rows]),
    }
    if found.reach is not None:
        reach = found.reach[open_]
        result |= {
            "auc": metrics.auc(found.reach, seen),
            "auc_open": metrics.auc(reach, left),
            "brier": metrics.brier(reach, left),
        }
    for level, (low, high) in found.intervals.items():
        result[f"coverage_{level:g}"] = metrics.coverage(low[open_], high[open_], left)
        if found.around is not None:
            below, at = found.around[open_].T
            result[f"coverage_split_{level:g}"] = metrics.coverage_split(below, at, level)
        result[f"width_{level:g}"] = metrics.width_factor(low[open_], high[open_], left)
    return result


def _target(row: Row) -> str:
    """Which source model is the cheapest is asked for one target and one architecture."""
    return f"{row.case.target_name}|{row.case.family}" if row.case.task_shift else ""


def against(
    ours: Forecasts, theirs: Forecasts, rows: Sequence[Row], *, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Ours minus theirs for Spearman and concordance: (difference, low, high), 95 % bootstrap over settings."""
    mine = dict(zip(ours.rows, ours.order, strict=True))
    other = dict(zip(theirs.rows, theirs.order, strict=True))
    shared = [i for i in ours.rows if i in other]
    seen = outcomes([rows[i] for i in shared])
    a, b = np.array([mine[i] for i in shared]), np.array([other[i] for i in shared])
    draws = _draws([rows[i].setting for i in shared], seed)

    def ranked(counts: NDArray[np.intp]) -> float:
        picked = np.repeat(np.arange(len(shared)), counts)
        part = seen.take(picked)
        first, second = metrics.spearman(a[picked], part), metrics.spearman(b[picked], part)
        return math.nan if first is None or second is None else first - second

    ordered = metrics.resampled_harrell(a, seen, draws) - metrics.resampled_harrell(b, seen, draws)
    found: dict[str, tuple[float, float, float]] = {}
    for name, differences in (("spearman", [ranked(counts) for counts in draws]), ("concordance", ordered)):
        low, high = np.nanquantile(differences[1:], [0.025, 0.975])
        found[name] = (float(differences[0]), float(low), float(high))
    return found


def _draws(settings: Sequence[str], seed: int) -> NDArray[np.intp]:
    """How often each row is drawn (1 + BOOTSTRAP, n): first all of them once, then settings with replacement."""
    names, of = np.unique(settings, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=BOOTSTRAP)
    return np.concatenate([np.ones((1, len(of)), dtype=np.intp), drawn[:, of].astype(np.intp)])


def score_all(
    runs: Iterable[Run],
    *,
    option: str | None = DEFAULT,
    methods: Sequence[Method] = METHODS,
    jobs: int = 2,
    costs: bool = True,
) -> dict[str, Any]:
    """The score table of classification: split → method → measures, the repeat line, and ours against the best peer.

    `costs`: also the intervals of all costs that a user would have seen, of `COST_SPLITS`: four models a fold.
    """
    from joblib import Parallel, delayed

    check_workers(jobs, f"--jobs {jobs}")
    rows = rows_of(runs, option=option, task=CLASSIFICATION)
    names = [split.name for split in splits_of(rows)]
    tasks = [(name, method) for method in methods for name in names]
    done = Parallel(n_jobs=jobs)(delayed(_one)(rows, name, method) for name, method in tasks)
    forecasts = {(name, method.name): found for (name, method), found in zip(tasks, done, strict=True)}
    told_of = [name for name in names if costs and name in COST_SPLITS]
    told = Parallel(n_jobs=jobs)(delayed(cost_measures)(rows, name) for name in told_of)
    intervals = dict(zip(told_of, told, strict=True))
    table: dict[str, Any] = {}
    for split in names:
        own = forecasts[split, FORETOLL.name]
        if not len(own.rows):
            continue
        measured = {
            m.name: scores(forecasts[split, m.name], rows) | {"trained_first": _trained_first(m, rows)}
            for m in methods
        }
        before = [m.name for m in methods if not m.trains_first and m.is_peer]
        best = max(before, key=lambda name: measured[name]["concordance"] or 0.0)
        table[split] = {
            "repeat": repeat_scores(rows, own.rows),
            "methods": measured,
            "best_peer": best,
            "ahead_of_best_peer": against(own, forecasts[split, best], rows),
            "open": {
                m.name: open_measures(rows, forecasts[split, m.name].rows, forecasts[split, m.name].median)
                for m in methods
            },
            "open_repeat": open_repeat(rows, own.rows),
            **intervals.get(split, {}),
        }
    return {"runs": len(rows), "option": option, "splits": table}


def cost_measures(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Intervals of all costs, warnings and the chance that the served model meets the target, of one of `splits_of`."""
    told = tell_left_out(rows, next(s for s in splits_of(rows) if s.name == name))
    return {
        "intervals": interval_measures(told, rows),
        "unlike": warning_measures(told, rows),
        "served": served_measures(told, rows),
    }


def _one(rows: Sequence[Row], split: str, method: Method) -> Forecasts:
    found = next(
        s for s in splits_of(rows) if s.name == split
    )  # a split holds functions, which do not travel
    return forecast_left_out(rows, found, method)


def _trained_first(method: Method, rows: Sequence[Row]) -> float:
    """Epochs of training that a method needs before it forecasts: median over the runs."""
    return float(np.median([method.trained_epochs(row.case) for row in rows]))
