"""Out-of-sample scoring of forecasts: whole levels, kinds, data sets, families and task pairs left out in turn.

Every method goes through the same calibrator (`foretoll.forecast.regressor`), with the same settings known.
The repeat line says how well another seed of the very same setting predicts a run: the ceiling for single runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import Case, case_of_run, epochs_of, log_steps, usable
from foretoll.forecast.regressor import CostModel, Point, Table
from foretoll.records import Outcome, Run
from foretoll.study import metrics
from foretoll.study.metrics import Outcomes
from foretoll.study.peers import FORETOLL, METHODS, Method

LEVELS = (0.5, 0.8, 0.9)
BOOTSTRAP = 400
FEWEST_ROWS = 20  # to learn from, before a fold is forecast


@dataclass(frozen=True)
class Row:
    """A run with its case and what it repeats."""

    run: Run
    case: Case
    setting: str

    @property
    def censored(self) -> bool:
        """Whether the budget was spent before the target was met."""
        return self.run.outcome is Outcome.CENSORED

    @property
    def epochs(self) -> float:
        """Epochs, at the limit where censored."""
        return self.run.toll.epochs or 0.0


@dataclass(frozen=True)
class Split:
    """One way to leave runs out: the fold a row is tested in (None: it is only learned from)."""

    name: str
    fold: Callable[[Row], str | None]
    also_out: Callable[[Row, str], bool] = lambda row, fold: False  # learned from neither


def _level(row: Row) -> str | None:
    shifts = row.run.target.shift
    return f"{shifts[0].kind}:{shifts[0].level:g}" if len(shifts) == 1 else None


def level_grades(rows: Iterable[Row]) -> dict[str, str]:
    """Grade of each kind's levels in a ledger, mildest first: "grade 1", "grade 2", …"""
    levels: dict[str, set[float]] = defaultdict(set)
    for row in rows:
        for shift in row.run.target.shift:
            levels[shift.kind].add(shift.level)
    return {
        f"{kind}:{level:g}": f"grade {rank + 1}"
        for kind, values in levels.items()
        for rank, level in enumerate(sorted(values))
    }


def splits_of(rows: Sequence[Row]) -> list[Split]:
    """The ways to leave out that these rows allow."""
    grades = level_grades(rows)
    return [
        Split("levels", lambda r: grades.get(_level(r) or "")),
        Split("kinds of shift", lambda r: r.case.shift_kind or None),
        Split(
            "data sets",
            lambda r: r.case.source_name,
            also_out=lambda r, fold: fold in (r.case.source_name, r.case.target_name),
        ),
        Split("architecture families", lambda r: r.case.family),
        Split(
            "task pairs",
            lambda r: f"{r.case.source_name} → {r.case.target_name}" if _is_pair(r) else None,
        ),
    ]


def _is_pair(row: Row) -> bool:
    return row.case.task_shift or row.case.source_name != row.case.target_name


def rows_of(runs: Iterable[Run], *, option: str | None = None) -> list[Row]:
    """Usable runs as rows; `option` keeps one way of reuse."""
    rows = []
    for run in runs:
        case = case_of_run(run)
        if case is None or not usable(run) or (option and run.option != option):
            continue
        setting = next((t for t in run.tags if t.startswith("setting:")), run.id)
        rows.append(Row(run, case, f"{setting}:{run.option}"))
    return rows


def outcomes(rows: Sequence[Row]) -> Outcomes:
    """What happened to these rows."""
    return Outcomes(
        np.array([r.epochs for r in rows]),
        np.array([r.case.max_epochs for r in rows]),
        np.array([r.censored for r in rows], dtype=bool),
    )


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of one method for the tested rows of one split."""

    rows: list[int]
    median: NDArray[np.float64]
    reach: NDArray[np.float64] | None
    intervals: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]]


def forecast_left_out(rows: Sequence[Row], split: Split, method: Method, *, seed: int = 0) -> Forecasts:
    """Leave each fold of the split out, learn from the rest, forecast the fold."""
    made = [method.make(r.run, r.case) for r in rows]
    folds = [split.fold(r) for r in rows]
    tested: list[int] = []
    median: list[float] = []
    reach: list[float] = []
    ends: dict[float, list[tuple[float, float]]] = {level: [] for level in LEVELS}
    for fold in sorted({f for f in folds if f is not None}):
        test = [i for i, f in enumerate(folds) if f == fold]
        learn = [i for i, f in enumerate(folds) if f != fold and not split.also_out(rows[i], fold)]
        if len(learn) < FEWEST_ROWS:
            continue
        for known, part in _by_known([made[i] for i in test], test):
            table = _table(rows, made, learn, known)
            if method.calibrated:
                model = CostModel(table, seed=seed)
                for i in part:
                    case = rows[i].case
                    told = model.predict(made[i])
                    median.append(_epochs(told.quantile(0.5), case))
                    reach.append(told.cdf(log_steps(case.max_epochs, case.steps_per_epoch)))
                    for level in LEVELS:
                        low, high = told.quantile((1 - level) / 2), told.quantile((1 + level) / 2)
                        ends[level].append((_epochs(low, case), _epochs(high, case)))
            else:
                point = Point(table, seed)
                located = point.predict([made[i] for i in part], [""] * len(part))
                median += [_epochs(v, rows[i].case) for v, i in zip(located, part, strict=True)]
            tested += part
    intervals = {
        level: (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
        for level, pairs in ends.items()
        if pairs
    }
    return Forecasts(tested, np.array(median), np.array(reach) if reach else None, intervals)


def _by_known(
    made: Sequence[dict[str, Any]], positions: Sequence[int]
) -> list[tuple[frozenset[str], list[int]]]:
    """Group cases by which features they know: nothing is made up for a case."""
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for row, position in zip(made, positions, strict=True):
        groups[frozenset(n for n, v in row.items() if v is not None)].append(position)
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
        groups=[f"{r.case.source_name}|{r.case.target_name}|{r.case.shift_kind}" for r in chosen],
        owners=["" for _ in chosen],
    )


def _epochs(value: float | None, case: Case) -> float:
    return math.inf if value is None else epochs_of(value, case.steps_per_epoch)


def scores(found: Forecasts, rows: Sequence[Row]) -> dict[str, float | None]:
    """All measures of one method on one split."""
    seen = outcomes([rows[i] for i in found.rows])
    result: dict[str, float | None] = {
        "runs": float(len(found.rows)),
        "censored": float(seen.censored.mean()),
        "spearman": metrics.spearman(found.median, seen),
        "concordance": metrics.harrell(found.median, seen),
        "median_factor": metrics.median_factor(found.median, seen),
    }
    if found.reach is not None:
        result |= {"brier": metrics.brier(found.reach, seen), "auc": metrics.auc(found.reach, seen)}
    for level, (low, high) in found.intervals.items():
        result[f"coverage_{level:g}"] = metrics.coverage(low, high, seen)
        result[f"width_{level:g}"] = metrics.width_factor(low, high, seen)
    return result


def repeat_scores(rows: Sequence[Row], tested: Sequence[int]) -> dict[str, float | None]:
    """How well another seed of the same setting predicts a run, over the tested rows that have one."""
    by_setting: dict[str, list[int]] = defaultdict(list)
    for i in tested:
        by_setting[rows[i].setting].append(i)
    pairs = [
        (group[k], group[k - 1]) for group in by_setting.values() if len(group) > 1 for k in range(len(group))
    ]
    if not pairs:
        return {"runs": 0.0}
    seen = outcomes([rows[i] for i, _ in pairs])
    other = np.array([math.inf if rows[j].censored else rows[j].epochs for _, j in pairs])
    return {
        "runs": float(len(pairs)),
        "spearman": metrics.spearman(np.minimum(other, seen.limit), seen),
        "concordance": metrics.harrell(other, seen),
        "median_factor": metrics.median_factor(other, seen),
    }


def against(
    ours: Forecasts, theirs: Forecasts, rows: Sequence[Row], *, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Ours minus theirs for Spearman and concordance: (difference, low, high), 95 % bootstrap over settings."""
    mine = dict(zip(ours.rows, ours.median, strict=True))
    other = dict(zip(theirs.rows, theirs.median, strict=True))
    shared = [i for i in ours.rows if i in other]
    by_setting: dict[str, list[int]] = defaultdict(list)
    for i in shared:
        by_setting[rows[i].setting].append(i)
    groups = list(by_setting.values())
    rng = np.random.default_rng(seed)
    found: dict[str, tuple[float, float, float]] = {}
    measures: dict[str, Callable[[Any, Outcomes], float | None]] = {
        "spearman": metrics.spearman,
        "concordance": metrics.harrell,
    }

    def difference(picked: list[int], measure: Callable[[Any, Outcomes], float | None]) -> float:
        seen = outcomes([rows[i] for i in picked])
        a = measure(np.array([mine[i] for i in picked]), seen)
        b = measure(np.array([other[i] for i in picked]), seen)
        return math.nan if a is None or b is None else a - b

    for name, measure in measures.items():
        draws = [
            difference([i for g in rng.integers(len(groups), size=len(groups)) for i in groups[g]], measure)
            for _ in range(BOOTSTRAP)
        ]
        low, high = np.nanquantile(draws, [0.025, 0.975])
        found[name] = (difference(shared, measure), float(low), float(high))
    return found


def score_all(
    runs: Iterable[Run],
    *,
    option: str | None = "finetune",
    methods: Sequence[Method] = METHODS,
    jobs: int = 2,
) -> dict[str, Any]:
    """The whole score table: split → method → measures, the repeat line, and ours against the best peer."""
    from joblib import Parallel, delayed

    rows = rows_of(runs, option=option)
    splits = splits_of(rows)
    done = Parallel(n_jobs=jobs)(delayed(_all_splits)(rows, method) for method in methods)
    table: dict[str, Any] = {}
    for number, split in enumerate(splits):
        found = {method.name: forecasts[number] for method, forecasts in zip(methods, done, strict=True)}
        own = found[FORETOLL.name]
        if not len(own.rows):
            continue
        measured = {name: scores(forecasts, rows) for name, forecasts in found.items()}
        before = [
            m.name for m in methods if m.name in measured and not m.trains_epochs and "foretoll" not in m.name
        ]
        best = max(before, key=lambda name: measured[name]["concordance"] or 0.0)
        table[split.name] = {
            "repeat": repeat_scores(rows, own.rows),
            "methods": measured,
            "best_peer": best,
            "ahead_of_best_peer": against(own, found[best], rows),
        }
    return {"runs": len(rows), "option": option, "splits": table}


def _all_splits(rows: Sequence[Row], method: Method) -> list[Forecasts]:
    return [forecast_left_out(rows, split, method) for split in splits_of(rows)]
