"""Forecasts held against runs that others made: learning curves, the spread between seeds, the censored model of time.

    OMP_NUM_THREADS=1 python benchmarks/outside.py ../shared/traces

1. Curves (`outside_curves.py`) of fine-tunings from model cards. From the first 10, 20 and 40 % of the epochs: the best
   quality by the end, and the epochs until 95 % of it; by foretoll's live forecast, as it ships, and by peers
   (`outside_peers.py`). Every family (base model and data set) counts the same. Whatever is fitted, to a spread or to
   coefficients, is fitted to curves of other base models and other data sets.
2. The spread between runs of one setting (`outside_seeds.py`) in Zeus (NSDI 2023), in MLPerf Training 4.0 and in the
   ledger that ships, and times at batch sizes that were left out by the interval regression that foretoll learns times
   with.

Writes benchmarks/results/outside.json and the blocks of docs/outside.md. Without the traces it says so, and no more.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from foretoll.forecast.case import EPOCH_OFFSET
from foretoll.forecast.live import shipped
from foretoll.forecast.step_costs import BETWEEN_RUNS
from foretoll.measure import describe_hardware
from outside_curves import CUTS, OF_FINAL, Array, Curve, View, family_weights, read_cards, views
from outside_peers import (
    GOALS,
    MIDDLE,
    POINTS,
    CurvePosterior,
    Point,
    Told,
    learned_from,
    live,
    weighted_quantiles,
    with_spread,
)
from outside_seeds import (
    TASKS,
    Pairs,
    hardest,
    ledger_paces,
    ledger_pairs,
    read_mlperf,
    read_zeus,
    time_models,
    zeus_pairs,
)
from pages import RESULTS, ROOT, markdown_table, replace_block, replace_ledger_block

PAGE = ROOT / "docs" / "outside.md"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/outside.py ../shared/traces"
OURS = "foretoll"
RELEARNED = "foretoll's form, learned from these"
RESPREAD = "foretoll, spread of its errors here"
BAYES = "Bayes, LC-PFN's prior"
LAST, POWER = "last value", "power law"
FOLDS = 5
LOW, HIGH = 4, 94  # places of the ends of a 90 % interval among the levels
BOOTSTRAP = 1000
BINS = (0.0, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.98, 1.0)
EQUAL = 1e-6


@dataclass(frozen=True)
class Answer:
    """What a method told of a view, its own time to 95 % of its own final quality included."""

    told: Told
    own_time: float


Answers = dict[str, list[Answer]]


# --- telling -------------------------------------------------------------------------------------


def tell(seen: Sequence[View]) -> tuple[Answers, float]:
    """Every method's answers, view by view, and the share of posteriors that had to be flattened."""
    targets = [OF_FINAL * view.curve.final for view in seen]
    came = [_came(view, target) for view, target in zip(seen, targets, strict=True)]
    found: Answers = {}
    ours = live(shipped().alone)
    found[OURS] = [_answer(ours, view, target) for view, target in zip(seen, targets, strict=True)]
    found[RELEARNED] = _relearned(seen, targets)
    posterior = CurvePosterior()
    found[BAYES] = [_answer(posterior, view, target) for view, target in zip(seen, targets, strict=True)]
    flattened = float(np.mean(posterior.flattened))
    middles = [
        Point(float(a.told.final[MIDDLE]), view.left if a.told.left is None else float(a.told.left[MIDDLE]))
        for view, a in zip(seen, found[OURS], strict=True)
    ]
    spread = with_spread(middles, seen, targets, came)
    found[RESPREAD] = [Answer(t, a.own_time) for t, a in zip(spread, found[OURS], strict=True)]
    for name, method in POINTS.items():
        points = [method(view, target) for view, target in zip(seen, targets, strict=True)]
        spread = with_spread(points, seen, targets, came)
        own = [
            _when(
                view, OF_FINAL * point.final, lambda goal, view=view, method=method: method(view, goal).left
            )  # type: ignore[misc]
            for view, point in zip(seen, points, strict=True)
        ]
        found[name] = [Answer(*pair) for pair in zip(spread, own, strict=True)]
    return found, flattened


def _came(view: View, target: float) -> float | None:
    """Epochs to come until a target that the curve meets; None where it was met before."""
    if target <= view.best:
        return None
    met = view.curve.time_to(target)
    assert met is not None
    return met - view.now


def _answer(method: Callable[[View, float], Told], view: View, target: float) -> Answer:
    told = method(view, target)

    def left(goal: float) -> float:
        times = method(view, goal).left
        assert times is not None
        return float(times[MIDDLE])

    return Answer(told, _when(view, OF_FINAL * float(told.final[MIDDLE]), left))


def _when(view: View, goal: float, left: Callable[[float], float]) -> float:
    """Epochs in all until a goal: read off the curve where it was met already."""
    if goal <= view.best:
        met = view.curve.time_to(goal)
        assert met is not None
        return met
    return view.now + view.evaluated(left(goal))


def _relearned(seen: Sequence[View], targets: Sequence[float]) -> list[Answer]:
    """By the live forecast's form with coefficients of curves of other base models and other data sets."""
    curves = {view.curve.run: view.curve for view in seen}
    bases = sorted({curve.base for curve in curves.values()})
    models = {}
    for k in range(FOLDS):
        out = [curve for curve in curves.values() if bases.index(curve.base) % FOLDS == k]
        rest = [curve for curve in curves.values() if not any(curve.related(other) for other in out)]
        models.update(dict.fromkeys(bases[k::FOLDS], live(learned_from(rest))))
    return [
        _answer(models[view.curve.base], view, target) for view, target in zip(seen, targets, strict=True)
    ]


# --- scoring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """One method on views (n,): errors and ends of intervals, each with the weight of its view.

    gain (n,): forecast less what came, of the final quality. held, width of its interval. For views whose target was
    still to come (NaN of the others): late, the log of epochs told over those that came; its interval's held and log of
    high over low. own: log of the time told to 95 % of the method's own final quality over the true time.
    """

    weights: Array
    gain: Array
    held: Array
    width: Array
    late: Array
    time_held: Array
    time_width: Array
    own: Array

    @classmethod
    def of(cls, seen: Sequence[View], answers: Sequence[Answer]) -> Scores:
        """Answers held against what came."""
        rows = [_scored(view, answer) for view, answer in zip(seen, answers, strict=True)]
        return cls(family_weights([view.curve for view in seen]), *np.array(rows, dtype=float).T)

    def take(self, places: Sequence[int]) -> Scores:
        """Those of some views."""
        return Scores(*(getattr(self, name)[list(places)] for name in self.__dataclass_fields__))

    def quantile(self, values: Array, level: float) -> float:
        """Of the absolute values that are known."""
        known = np.isfinite(values)
        return float(weighted_quantiles(np.abs(values[known]), self.weights[known], np.array([level]))[0])

    def mean(self, values: Array) -> float:
        """Of the values that are known."""
        known = np.isfinite(values)
        return float(np.average(values[known], weights=self.weights[known]))


def _scored(view: View, answer: Answer) -> list[float]:
    final, came = view.curve.final, _came(view, OF_FINAL * view.curve.final)
    told = answer.told
    low, middle, high = (float(told.final[k]) for k in (LOW, MIDDLE, HIGH))
    truth = view.curve.time_to(OF_FINAL * final)
    assert truth is not None
    row = [middle - final, low - EQUAL <= final <= high + EQUAL, high - low]
    if came is None or told.left is None:
        row += [math.nan] * 3
    else:
        least, usual, most = (view.evaluated(float(told.left[k])) for k in (LOW, MIDDLE, HIGH))
        row += [math.log(usual / came), least - EQUAL <= came <= most + EQUAL, math.log(most / least)]
    return [*row, math.log(answer.own_time / truth)]


def brier(seen: Sequence[View], answers: Sequence[Answer]) -> tuple[float, list[tuple[float, bool, float]]]:
    """Brier score of the chances of GOALS that are above the best so far, and (chance, came, weight) of each."""
    weights = family_weights([view.curve for view in seen])
    found = []
    for view, answer, weight in zip(seen, answers, weights, strict=True):
        above = [goal for goal in GOALS if goal > view.best]
        for goal in above:
            chance = float((answer.told.final >= goal - EQUAL).mean())
            found.append((chance, view.curve.final >= goal - EQUAL, weight / len(above)))
    chances, came, weight = map(np.array, zip(*found, strict=True))
    return float(np.average((chances - came) ** 2, weights=weight)), found


# --- tables --------------------------------------------------------------------------------------

METHODS = (OURS, RESPREAD, RELEARNED, BAYES, *POINTS)


def quality_table(scores: dict[str, Scores], places: dict[float, list[int]]) -> str:
    """Errors and intervals of the final quality, by share and method."""
    rows = []
    for share, kept in places.items():
        for name in METHODS:
            part = scores[name].take(kept)
            error = (f"{part.quantile(part.gain, level):.3f}" for level in (0.5, 0.9))
            rows.append(
                [
                    f"{share:.0%}", name, *error, f"{part.mean(part.gain):+.3f}",
                    f"{part.mean(part.held):.0%}", f"{part.mean(part.width):.2f}",
                ]
            )  # fmt: skip
    head = [
        "seen",
        "by",
        "median error",
        "9 of 10 within",
        "mean, forecast − came",
        "90 % held",
        "mean width",
    ]
    return markdown_table(head, rows, left=2)


def time_table(scores: dict[str, Scores], places: dict[float, list[int]]) -> str:
    """Factors and intervals of the epochs to come until a target that is named, and of the time to an own one."""
    rows = []
    for share, kept in places.items():
        for name in METHODS:
            part = scores[name].take(kept)
            factors = (f"{math.exp(part.quantile(part.late, level)):.2f}" for level in (0.5, 0.9))
            own = (f"{math.exp(part.quantile(part.own, level)):.2f}" for level in (0.5, 0.9))
            rows.append(
                [
                    f"{share:.0%}", name, f"{int(np.isfinite(part.late).sum())}", *factors,
                    f"{part.mean(part.time_held):.0%}", f"{math.exp(part.mean(part.time_width)):.1f} ×", *own,
                ]
            )  # fmt: skip
    head = [
        "seen", "by", "still to come", "epochs left: median factor", "9 of 10 within", "90 % held", "width",
        "target not named: median factor", "9 of 10 within",
    ]  # fmt: skip
    return markdown_table(head, rows, left=2)


def difference_table(scores: dict[str, Scores], seen: Sequence[View], places: dict[float, list[int]]) -> str:
    """Our error less a peer's, with 95 % intervals by a bootstrap over base models."""
    rng = np.random.default_rng(0)
    rows = []
    for share, kept in places.items():
        bases = np.array([seen[k].curve.base for k in kept])
        names = sorted(set(bases))
        by = {name: np.flatnonzero(bases == name) for name in names}
        drawn = [
            np.concatenate([by[names[i]] for i in rng.integers(len(names), size=len(names))])
            for _ in range(BOOTSTRAP)
        ]
        for peer in (LAST, POWER, "exponential", BAYES):
            ours, other = scores[OURS].take(kept), scores[peer].take(kept)
            cells = []
            for value in ("gain", "late"):
                apart = [_apart(ours, other, value, places_) for places_ in (np.arange(len(kept)), *drawn)]
                low, high = np.quantile(apart[1:], [0.025, 0.975])
                cells.append(f"{apart[0]:+.3f} ({low:+.3f} … {high:+.3f})")
            rows.append([f"{share:.0%}", peer, *cells])
    head = ["seen", "foretoll less", "final quality: median error", "epochs left: log of the median factor"]
    return markdown_table(head, rows, left=2)


def _apart(ours: Scores, other: Scores, value: str, places: Array) -> float:
    one, two = ours.take(places), other.take(places)  # type: ignore[arg-type]
    return one.quantile(getattr(one, value), 0.5) - two.quantile(getattr(two, value), 0.5)


def group_table(
    scores: dict[str, Scores], seen: Sequence[View], groups: dict[str, list[int]], head: str
) -> str:
    """Ours beside the power law, the last value and Bayes, by group of views."""
    rows = []
    for name, kept in groups.items():
        if not kept:
            continue
        parts = [scores[method].take(kept) for method in (OURS, LAST, POWER, BAYES)]
        ours = parts[0]
        families = len({seen[k].curve.family for k in kept})
        late = [
            math.exp(part.quantile(part.late, 0.5)) if np.isfinite(part.late).any() else math.nan
            for part in parts
        ]
        rows.append(
            [
                name, f"{len(kept)}", f"{families}",
                *(f"{part.quantile(part.gain, 0.5):.3f}" for part in parts),
                f"{ours.mean(ours.held):.0%}", f"{parts[3].mean(parts[3].held):.0%}",
                *(f"{factor:.2f}" for factor in late),
                f"{ours.mean(ours.time_held):.0%}" if np.isfinite(ours.late).any() else "–",
            ]
        )  # fmt: skip
    columns = [
        head, "views", "families", "quality: foretoll", "last value", "power law", "Bayes", "held: foretoll", "Bayes",
        "time: foretoll", "last value", "power law", "Bayes", "held: foretoll",
    ]  # fmt: skip
    return markdown_table(columns, rows)


def chance_tables(seen: Sequence[View], answers: Answers, places: dict[float, list[int]]) -> str:
    """Brier scores of the chance of a quality by method and share, and how our chances come true."""
    rows = []
    for name in METHODS:
        cells = []
        for kept in places.values():
            score, _ = brier([seen[k] for k in kept], [answers[name][k] for k in kept])
            cells.append(f"{score:.3f}")
        rows.append([name, *cells])
    table = markdown_table(["Brier score of the chance", *(f"{share:.0%} seen" for share in places)], rows)
    chance, came, weight = map(np.array, zip(*brier(seen, answers[OURS])[1], strict=True))
    lines = []
    for low, high in pairwise(BINS):
        kept_ = (chance >= low) & ((chance < high) | (high == 1.0))
        if kept_.any():
            mean = np.average(chance[kept_], weights=weight[kept_])
            share = np.average(came[kept_], weights=weight[kept_])
            lines.append([f"{low:.0%} to {high:.0%}", f"{kept_.sum():,}", f"{mean:.0%}", f"{share:.0%}"])
    return table + "\n\n" + markdown_table(["foretoll's chance", "goals", "mean chance", "came true"], lines)


def curve_groups(seen: Sequence[View]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Views by metric and by the number of evaluations that were seen."""
    kinds: dict[str, list[int]] = {}
    sizes: dict[str, list[int]] = {
        name: [] for name in ("1", "2", "3 to 4", "5 to 9", "10 to 19", "20 and more")
    }
    for k, view in enumerate(seen):
        kinds.setdefault(view.curve.kind, []).append(k)
        at = sum(view.seen >= least for least in (2, 3, 5, 10, 20))
        sizes[list(sizes)[at]].append(k)
    return {name: kinds[name] for name in sorted(kinds, key=lambda name: -len(kinds[name]))}, sizes


def taken_table(curves: Sequence[Curve], why: Counter[str]) -> str:
    """What was taken, by metric, and why the rest was not."""
    kinds = Counter(curve.kind for curve in curves)
    rows = [
        [
            kind, f"{count}", f"{len({c.family for c in curves if c.kind == kind})}",
            f"{np.median([len(c.epochs) for c in curves if c.kind == kind]):.0f}",
            f"{np.median([c.final for c in curves if c.kind == kind]):.2f}",
        ]
        for kind, count in kinds.most_common()
    ]  # fmt: skip
    rows.append(
        ["all", f"{len(curves)}", f"{len({c.family for c in curves})}",
         f"{np.median([len(c.epochs) for c in curves]):.0f}", f"{np.median([c.final for c in curves]):.2f}"]
    )  # fmt: skip
    head = ["metric", "curves", "families", "median evaluations", "median final quality, as progress"]
    left = markdown_table(["not taken, because", "runs"], [[k, f"{v:,}"] for k, v in why.most_common()])
    return markdown_table(head, rows) + "\n\n" + left


# --- seeds ---------------------------------------------------------------------------------------


def seeds_table(folder: Path) -> str:
    """The spread of epochs between seeds: in the ledger that ships, and in Zeus."""
    ours = ledger_pairs("epochs")
    usual = ours.factor(0.9)
    rows = [
        _spread("the ledger that ships, open runs", ours, ours.held(usual)),
        _spread("… a quarter of an epoch counting less", ours, None, offset=EPOCH_OFFSET),
    ]
    every = read_zeus(folder)
    for name, title in TASKS.items():
        task = every[every.dataset == name]
        last = hardest(task)
        goal = f"{title}: hardest ({last.progress.iloc[0]:.3g})"
        for words, pairs in ((goal, zeus_pairs(last)), (f"{title}: all targets", zeus_pairs(task))):
            rows.append(_spread(words, pairs, pairs.held(usual, step=1.0)))
    head = ["seeds of", "settings", "pairs", "median factor", "9 of 10 within", "one of two missed",
            f"within {usual:.2f} ×"]  # fmt: skip
    return markdown_table(head, rows)


def _spread(name: str, pairs: Pairs, held: float | None, offset: float = 0.0) -> list[str]:
    return [
        name, f"{pairs.settings}", f"{len(pairs.values):,}", f"{pairs.factor(0.5, offset):.2f}",
        f"{pairs.factor(0.9, offset):.2f}", f"{pairs.one_missed:.0%}", "–" if held is None else f"{held:.0%}",
    ]  # fmt: skip


def submissions_table(folder: Path) -> str:
    """The spread between runs of one submission of MLPerf, beside that of the ledger's seeds."""

    def cell(pairs: Pairs | None) -> str:
        return "–" if pairs is None else f"{pairs.factor(0.5):.3f}, {pairs.factor(0.9):.2f}"

    pace = ledger_paces()
    times, energy = ledger_pairs("duration_s"), ledger_pairs("energy_kwh")
    rows = [
        ["the ledger that ships", f"{pace.settings}", f"{len(pace.values):,}", cell(ledger_pairs("epochs")),
         cell(times), cell(pace), cell(energy), f"{pace.held(math.exp(BETWEEN_RUNS)):.0%}"]
    ]  # fmt: skip
    for name, found in read_mlperf(folder).items():
        rows.append(
            [name, f"{found.seconds.settings}", f"{len(found.seconds.values)}", cell(found.amount), cell(found.seconds),
             cell(found.pace), cell(found.energy), f"{found.pace.held(math.exp(BETWEEN_RUNS)):.0%}"]
        )  # fmt: skip
    head = ["runs of", "settings", "pairs", "epochs or samples", "time", "time of an epoch", "energy",
            f"time of an epoch within {math.exp(BETWEEN_RUNS):.2f} ×"]  # fmt: skip
    return markdown_table(head, rows)


def zeus_table(folder: Path) -> str:
    """Times at batch sizes that were left out."""
    every = read_zeus(folder)
    rows = []
    for name, title in TASKS.items():
        for method, found in time_models(every[every.dataset == name]).items():
            rows.append(
                [title, method, f"{found.runs:,}", f"{found.factor:.2f}", f"{found.held:.0%}", f"{found.width:.1f} ×",
                 f"{found.too_short:.0%}"]
            )  # fmt: skip
    head = [
        "task",
        "by",
        "times",
        "median factor",
        "90 % held",
        "median width",
        "missed, but forecast to be met",
    ]
    return markdown_table(head, rows, left=2)


def write(folder: Path) -> None:
    """Tell, score, write."""
    began = time.process_time()
    curves, why = read_cards(folder)
    seen = list(views(curves))
    answers, flattened = tell(seen)
    scores = {name: Scores.of(seen, answers[name]) for name in METHODS}
    places = {share: [k for k, view in enumerate(seen) if view.share == share] for share in CUTS}
    kinds, sizes = curve_groups(seen)
    blocks = {
        "taken": taken_table(curves, why),
        "quality": quality_table(scores, places),
        "time": time_table(scores, places),
        "differences": difference_table(scores, seen, places),
        "chances": chance_tables(seen, answers, places),
        "metrics": group_table(scores, seen, kinds, "metric"),
        "evaluations": group_table(scores, seen, sizes, "evaluations seen"),
        "zeus": zeus_table(folder),
    }
    ledger = {"seeds": seeds_table(folder), "submissions": submissions_table(folder)}
    minutes = (time.process_time() - began) / 60
    hardware = describe_hardware("cpu")
    blocks["made"] = (
        f"`{COMMAND}`: {minutes:.1f} CPU minutes ({date.today()}, {hardware.cpu}, {hardware.cores} cores, Python "
        f"{platform.python_version()}), seed 0. {len(seen):,} views of {len(curves):,} curves; of "
        f"{flattened:.0%} of them the posterior was flattened."
    )
    for name, text in blocks.items():
        replace_block(PAGE, name, text)
    for name, text in ledger.items():
        replace_ledger_block(PAGE, name, text)
    result = {
        "curves": len(curves),
        "not_taken": dict(why),
        "flattened": flattened,
        "methods": _numbers(scores, places),
    }
    (RESULTS / "outside.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _numbers(scores: dict[str, Scores], places: dict[float, list[int]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for share, kept in places.items():
        for name in METHODS:
            part = scores[name].take(kept)
            numbers = {
                "quality_error": part.quantile(part.gain, 0.5),
                "quality_held": part.mean(part.held),
                "quality_width": part.mean(part.width),
                "time_factor": math.exp(part.quantile(part.late, 0.5)),
                "time_held": part.mean(part.time_held),
                "time_width": math.exp(part.mean(part.time_width)),
                "own_time_factor": math.exp(part.quantile(part.own, 0.5)),
            }
            found[f"{share:.0%}, {name}"] = {key: round(value, 4) for key, value in numbers.items()}
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path, help="folder of the traces")
    folder = parser.parse_args().traces
    if not (folder / "cards_curves.parquet").is_file():
        print(f"skipped: {folder} holds no traces (cards_curves.parquet, zeus_nsdi23, mlperf_training_v4.0)")
        return
    write(folder)


if __name__ == "__main__":
    main()
