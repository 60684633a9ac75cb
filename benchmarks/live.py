"""What is learned, and how well it does, of the forecast of runs that go on, from the ledger that ships.

    python benchmarks/live.py [--ship] [--out benchmarks/live.md]

Every evaluation of every run with a curve is a state; from those of all other data sets the forecast is learned, and
what it then says is held against what came. Forecasts before the run are those of runs that were held out with their
source data. `--ship` writes the live forecast that comes with foretoll. About two minutes of one core.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import Case, case_of_run, decided, epochs_of, usable
from foretoll.forecast.learned import CostModels, known_features, table_key
from foretoll.forecast.live import (
    OF_CURVE,
    OF_FORECAST,
    Course,
    LiveModel,
    LiveModels,
    Seen,
    live_features,
    odds_before,
)
from foretoll.forecast.reference import reference_held_out, reference_lessons, reference_runs
from foretoll.records import Interval, Outcome, Run

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent / "src" / "foretoll" / "forecast" / "live.json"
SHARES = (0.01, 0.05, 0.1, 0.2)
BINS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
LEVEL = 0.9
WHOLE = 6  # points: a censored run of the earlier studies has no more, those of its first epoch and its last
OFFSET = 0.125  # epochs, as everywhere that factors of epochs are taken
INTRODUCTION = """\
Written by `python benchmarks/live.py`. Every run is forecast at each of its evaluations by what was learned
without any run from or to its source data; its forecast before the run is that of a forecaster that saw none
from these data. {runs:,} runs took steps and are open after their first evaluation; {reached:,} reached their
target; {states:,} evaluations. Of {whole:,} runs the whole curve is known. Of the others the ledger keeps the
first epoch: here they can be given up there alone, so that less is saved, and fewer targets are lost, than
would be. The lines of whole curves are the ones to go by.

## Giving up

Saved: of the epochs of runs that failed, each counting alike, and of the energy that they took. Lost: share
of the runs that reached their target which would have been given up before.
"""
Array = NDArray[np.float64]
Before = dict[str, tuple[Interval, float]]  # by run: epochs as forecast without its data, and the chance


@dataclass(frozen=True)
class History:
    """A run that took steps, with its curve."""

    run: Run
    course: Course
    curve: tuple[Seen, ...]

    @property
    def reached(self) -> bool:
        """Whether it met its target."""
        return self.run.outcome is Outcome.REACHED

    @property
    def epochs(self) -> float:
        """Epochs that it took, or spent."""
        return self.run.toll.epochs or 0.0

    @property
    def data(self) -> tuple[str, str]:
        """Source, or without one the target, and target."""
        return (self.run.source.name if self.run.source else self.run.target.name), self.run.target.name

    @property
    def whole(self) -> bool:
        """Whether its curve is known beyond the first epoch, or was over by then."""
        return len(self.curve) > WHOLE or (self.reached and len(self.curve) < WHOLE)

    @property
    def states(self) -> list[int]:
        """Positions in the curve at which it was still open, after a step."""
        return [i for i, seen in enumerate(self.curve) if 0 < seen.epochs < self.epochs - 1e-9]


@dataclass(frozen=True)
class Rows:
    """States of runs: features, ends of the log ratio that came, weights, and the run that each is of."""

    x: Array
    lower: Array
    upper: Array
    weights: Array
    of: NDArray[np.intp]


def forecasts_before() -> Before:
    """What would have been forecast of each run of the ledger that ships, without the runs of its source data."""
    runs = {run.id: run for run in reference_runs()}
    nobodys = [replace(x, model_id="", weights_digest="") for x in reference_lessons()]
    learned = CostModels(before=nobodys, held_out=reference_held_out())
    members: dict[tuple[str, frozenset[str]], dict[str, Case]] = defaultdict(dict)
    for lesson in learned.lessons:
        case = case_of_run(runs[lesson.run_id])
        if case is not None and not lesson.decided:
            # as a user's case: of nobody's own model, and without what studies alone look at
            seen = {name: value for name, value in case.signals.items() if not name.startswith("ntk_")}
            case = case.model_copy(update={"model_id": "", "weights_digest": "", "signals": seen})
            members[learned.pool(case.option, case.task), known_features(case)][lesson.run_id] = case
    kept = reference_held_out().residuals()["epochs"]
    found: Before = {}
    for (pool, known), cases in members.items():
        first = next(iter(cases.values()))
        model = learned.model("epochs", first) if table_key(pool, known) in kept else None
        if model is None or model.held_out is None or model.reach is None:
            continue
        _, positions = learned.table("epochs", pool, known)
        for row, residual in zip(model.held_out.rows, model.held_out.residual, strict=True):
            lesson = learned.lessons[positions[int(row)]]
            case = cases.get(lesson.run_id)
            if case is None or lesson.responses["epochs"] is None:
                continue
            located = lesson.responses["epochs"] - float(residual)
            reach = float(model.reach.of(np.array([lesson.limit - located]), [case.option])[0])
            told = model.predict(lesson.features, limit=lesson.limit, option=case.option)
            found[lesson.run_id] = _interval(replace(told, location=located, reach=reach), case), reach
    return found


def _interval(told: Any, case: Case) -> Interval:
    def at(level: float) -> float:
        value = told.quantile(level)
        least = 1 / case.evals_per_epoch
        epochs = case.max_epochs if value is None else max(epochs_of(value, case.steps_per_epoch), least)
        return min(epochs, case.max_epochs)

    return Interval(median=at(0.5), low=at((1 - LEVEL) / 2), high=at((1 + LEVEL) / 2), level=LEVEL)


def histories(before: Before, runs: Iterable[Run] | None = None) -> list[History]:
    """The runs, by default those that ship, that were open after their first evaluation, and have a curve."""
    found = []
    for run in reference_runs() if runs is None else runs:
        case = case_of_run(run) if usable(run) else None
        if case is None or decided(case) or len(run.curve) < 2:
            continue
        epochs, reach = before.get(run.id, (None, None))
        course = Course(
            case.until, case.max_epochs, case.evals_per_epoch, case.steps_per_epoch, case.validation_samples,
            epochs, reach,
        )  # fmt: skip
        curve = tuple(Seen(p.epochs or 0.0, run.settings.progress(p.quality)) for p in run.curve)
        history = History(run, course, curve)
        if history.states:
            found.append(history)
    return found


def rows_of(found: Sequence[History], names: Sequence[str]) -> Rows:
    """All states of these runs; a run with more of them weighs more, but not in proportion."""
    x, lower, upper, weights, of = [], [], [], [], []
    for k, history in enumerate(found):
        course, states = history.course, history.states
        for i in states:
            now = history.curve[i].epochs
            features = live_features(course, history.curve[: i + 1])
            x.append([features.get(name, 0.0) for name in names])
            if history.reached:
                lower.append((history.epochs - 1 / course.evals_per_epoch - now) / now)
                upper.append((history.epochs - now) / now)
            else:
                lower.append((course.budget - now) / now)
                upper.append(math.inf)
            weights.append(len(states) ** -0.5)
            of.append(k)
    with np.errstate(divide="ignore"):
        ends = [np.log(np.maximum(np.array(end), 0.0)) for end in (lower, upper)]
    ends[0][np.array(lower) < 1e-9] = -math.inf
    return Rows(np.array(x), ends[0], ends[1], np.array(weights), np.array(of))


def fitted(found: Sequence[History], names: Sequence[str], *, without: str | None = None) -> LiveModel:
    """The model of these runs, but for those from or to one data set."""
    kept = [h for h in found if without not in h.data and (names is OF_CURVE or h.course.reach is not None)]
    rows = rows_of(kept, names)
    of = len(kept), len({h.data[0] for h in kept})
    return LiveModel.fit(names, rows.x, (rows.lower, rows.upper), rows.weights, of=of)


@dataclass(frozen=True)
class State:
    """What was said of a run at an evaluation, and what came: share of the state in its run, chances, epochs left."""

    run: int
    epochs: float
    weight: float
    reached: bool
    chances: dict[str, float]
    left: dict[str, float]
    interval: Interval
    came: float


def left_out(found: Sequence[History]) -> list[State]:
    """Every state, forecast by what was learned without its data set."""
    names = (*OF_FORECAST, *OF_CURVE)
    states = []
    for data in sorted({h.data[0] for h in found}):
        model, alone = fitted(found, names, without=data), fitted(found, OF_CURVE, without=data)
        for k, history in enumerate(found):
            if history.data[0] == data and history.course.reach is not None:
                states += list(_states(k, history, model, alone))
    return states


def _states(k: int, history: History, model: LiveModel, alone: LiveModel) -> Iterator[State]:
    course = history.course
    for i in history.states:
        prefix = history.curve[: i + 1]
        now, left = prefix[-1].epochs, course.budget - prefix[-1].epochs
        chance, interval = model(course, prefix)
        other, without = alone(course, prefix)
        yield State(
            run=k,
            epochs=now,
            weight=1 / len(history.states),
            reached=history.reached,
            chances={
                "live": chance,
                "forecast before the run": 1 / (1 + math.exp(-odds_before(course, now))),
                "curve alone": other,
            },
            left={
                "live": interval.median or 0.0,
                "forecast before the run": _remaining(course, now),
                "curve alone": without.median or 0.0,
                "slope of the last two": _sloped(course, prefix),
                "budget left": left,
            },
            interval=interval,
            came=history.epochs - now if history.reached else left,
        )


def _remaining(course: Course, now: float) -> float:
    median = course.before.median if course.before is not None else None
    median = course.budget if median is None else median
    return min(max(median - now, 1 / course.evals_per_epoch), course.budget - now)


def _sloped(course: Course, prefix: Sequence[Seen]) -> float:
    last, before = prefix[-1], prefix[-2] if len(prefix) > 1 else prefix[-1]
    rate = (last.progress - before.progress) / max(last.epochs - before.epochs, 1e-9)
    left = course.budget - last.epochs
    if rate <= 0:
        return left
    return min(max((course.until - last.progress) / rate, 1 / course.evals_per_epoch), left)


def given_up(
    states: Sequence[State], found: Sequence[History], by: str, share: float, runs: set[int]
) -> dict[str, float]:
    """What giving up under a chance of `share` would have saved of the runs that failed, and lost of the others."""
    first: dict[int, float] = {}
    for state in states:
        if state.run in runs and state.chances[by] < share:
            first[state.run] = min(first.get(state.run, math.inf), state.epochs)
    failed = [k for k in runs if not found[k].reached]
    good = [k for k in runs if found[k].reached]
    saved = {k: 1 - first[k] / found[k].epochs if k in first else 0.0 for k in failed}
    metered = {k: found[k].run.toll.energy_kwh or 0.0 for k in failed}
    return {
        "failed": len(failed),
        "stopped": sum(k in first for k in failed) / max(len(failed), 1),
        "saved": float(np.mean(list(saved.values()))) if failed else 0.0,
        "energy": sum(saved[k] * metered[k] for k in failed) / max(sum(metered.values()), 1e-12),
        "reached": len(good),
        "lost": sum(k in first for k in good) / max(len(good), 1),
    }


def chance_scores(states: Sequence[State], by: str) -> tuple[float, float]:
    """Brier score and log loss of the chance; each run counts alike."""
    chance = np.clip([s.chances[by] for s in states], 1e-4, 1 - 1e-4)
    met, weights = np.array([s.reached for s in states]), [s.weight for s in states]
    brier = np.average((chance - met) ** 2, weights=weights)
    return float(brier), float(-np.average(np.log(np.where(met, chance, 1 - chance)), weights=weights))


def factors(states: Sequence[State], by: str) -> tuple[float, float]:
    """Median and 90th percentile of the factor that the epochs left are off by, of runs that reached their target."""
    good = [s for s in states if s.reached]
    errors = np.abs([math.log((s.left[by] + OFFSET) / (s.came + OFFSET)) for s in good])
    order = np.argsort(errors)
    share = np.cumsum(np.array([s.weight for s in good])[order])
    places = [int(np.searchsorted(share, level * share[-1])) for level in (0.5, 0.9)]
    median, most = (math.exp(float(errors[order][place])) for place in places)
    return median, most


def coverage(states: Sequence[State]) -> float:
    """Share of the 90 % intervals that hold what came: of a run that failed, those that end at the budget."""

    def holds(state: State) -> bool:
        low, high = state.interval.low or 0.0, state.interval.high or 0.0
        return (state.reached and low - 1e-9 <= state.came <= high + 1e-9) or (
            not state.reached and high >= state.came - 1e-9
        )

    return float(np.average([holds(s) for s in states], weights=[s.weight for s in states]))


def page(found: Sequence[History], states: Sequence[State]) -> str:
    """The tables, as Markdown."""
    runs = {state.run for state in states}
    whole = {k for k in runs if found[k].whole}
    lines = [
        "# Forecasts of runs that go on",
        "",
        INTRODUCTION.format(
            runs=len(runs),
            reached=sum(found[k].reached for k in runs),
            states=len(states),
            whole=len(whole),
        ),
        "| given up under | by | runs | failed | given up | epochs saved | energy saved | reached | lost |",
        "| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for share in SHARES:
        for by in ("live", "forecast before the run", "curve alone"):
            for name, kept in (("all", runs), ("whole curve", whole)):
                g = given_up(states, found, by, share, kept)
                lines.append(
                    f"| {share:.0%} | {by} | {name} | {g['failed']:.0f} | {g['stopped']:.0%} | {g['saved']:.0%} | "
                    f"{g['energy']:.0%} | {g['reached']:.0f} | {g['lost']:.1%} |"
                )
    lines += ["", "By data set that was left out, at 5 %:", "", *_by_data(found, states)]
    lines += [
        "",
        "## The chance",
        "",
        "| chance | evaluations | mean chance | reached |",
        "| --- | ---: | ---: | ---: |",
    ]
    for low, high in pairwise(BINS):
        kept_states = [
            s for s in states if low <= s.chances["live"] < high or (high == 1.0 and s.chances["live"] == 1.0)
        ]
        if kept_states:
            weights = [s.weight for s in kept_states]
            mean = np.average([s.chances["live"] for s in kept_states], weights=weights)
            met = np.average([s.reached for s in kept_states], weights=weights)
            lines.append(f"| {low:.0%} to {high:.0%} | {len(kept_states):,} | {mean:.1%} | {met:.1%} |")
    lines += [
        "",
        "| forecast | Brier score | log loss | of whole curves: Brier | log loss |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for by in ("live", "forecast before the run", "curve alone"):
        both = (
            *chance_scores(states, by),
            *chance_scores([s for s in states if s.run in whole], by),
        )
        lines.append(f"| {by} | " + " | ".join(f"{value:.3f}" for value in both) + " |")
    lines += [
        "",
        "## Epochs left",
        "",
        "Of runs that reached their target: the factor that the epochs left are off by. The 90 % intervals of all runs",
        f"held {coverage(states):.0%}.",
        "",
        "| forecast | median factor | 9 of 10 within |",
        "| --- | ---: | ---: |",
    ]
    for by in states[0].left:
        median, most = factors(states, by)
        lines.append(f"| {by} | {median:.2f} | {most:.1f} |")
    return "\n".join(lines) + "\n"


def _by_data(found: Sequence[History], states: Sequence[State]) -> list[str]:
    lines = [
        "| left out | failed | epochs saved | reached | lost |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for data in sorted({found[s.run].data[0] for s in states}):
        runs = {s.run for s in states if found[s.run].data[0] == data}
        g = given_up(states, found, "live", 0.05, runs)
        lines.append(
            f"| {data} | {g['failed']:.0f} | {g['saved']:.0%} | {g['reached']:.0f} | {g['lost']:.1%} |"
        )
    return lines


def main() -> None:
    """Learn, hold against what came, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ship", action="store_true", help="write the live forecast that comes with foretoll"
    )
    parser.add_argument("--out", type=Path, default=HERE / "live.md")
    args = parser.parse_args()
    found = histories(forecasts_before())
    states = left_out(found)
    if args.ship:
        model = replace(fitted(found, (*OF_FORECAST, *OF_CURVE)), held=round(coverage(states), 3))
        SHIPPED.write_text(LiveModels(model, fitted(found, OF_CURVE)).text(), encoding="utf-8")
    text = page(found, states)
    args.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
