"""Which of several source models is the cheapest for a target, at equal settings: a block of docs/forecasts.md.

    FORETOLL_DATA=FOLDER PYTHONPATH=FOLDER/models foretoll study run source_models --trust-code --out study-sources
    OMP_NUM_THREADS=1 python benchmarks/source_models.py [study-sources]

The runs of the study `source_models` (without a folder: those that lie beside the results), in contests: the same
target data and samples, quality target, architecture, way of reuse and training settings, from four or five source
models. Of a pair one is the dearer unless both missed the target or took equally long. Forecasts are those of a user to
whose target and sources no run of the ledger that ships belongs: these, and all data sets of their kind, are left out
of the forecast before the run and of what renews it. Halving drives the code of `foretoll compare --spend` with the
recorded curves; a step counts 1, and an evaluation what its samples take at a third of a step's. Intervals: bootstrap
over the target's data sets. Writes benchmarks/results/source_models.json and the block; of a folder also its runs,
beside the results. Last line: one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from foretoll.decide.pilot_budget import PilotBudget
from foretoll.exchange.files import write_runs
from foretoll.forecast import Forecaster
from foretoll.forecast.case import Case
from foretoll.forecast.early import schedule_of
from foretoll.forecast.forecaster import Prediction
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.live import OF_CURVE, OF_FORECAST, LiveModels
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.step_costs import StepCosts
from foretoll.forecast.trimming import trimmed
from foretoll.options.table import traits_of
from foretoll.records import Interval, Run, StepProbe
from foretoll.research.leave_out import Row, rows_of
from foretoll.sharing import anonymous
from foretoll.study.reading import study_runs
from foretoll.workflows import Accounting
from foretoll.workflows.anytime import GrowingPilot, Stages
from foretoll.workflows.context import Runtime
from foretoll.workflows.halving import Contender, share_out
from foretoll.workflows.whole_curve import NamedOption
from live import fitted, forecasts_before, histories
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"
RUNS = RESULTS / "source_models.jsonl.gz"
TAG = "study:source_models"
SPENDS = (0.01, 0.03, 0.1, 0.3)
LEAST = 4  # source models in a contest
FEWEST_SHOWN = 10  # contests of a part that the page has a table of; the results have all
DRAWS = 2000
FORWARD = 1 / 3  # of what a sample of a training step takes
SIGNALS = {
    "most accurate on the target before": ("initial_quality", -1),
    "recoverability gap": ("recoverability_gap", 1),
    "LogME": ("logme", -1),
    "LEEP": ("leep", -1),
    "H-score": ("h_score", -1),
    "quality of a linear probe": ("probe_accuracy", -1),
    "nearest neighbours": ("knn_accuracy", -1),
    "RESQUE": ("resque", 1),
    "RESQUE without labels": ("resque_transport", 1),
    "Fréchet distance": ("frechet", 1),
    "quality after 24 steps of each": ("pilot24_quality", -1),
}
PILOT_STEPS = 24
GREY = {"mnist", "usps", "digits", "fashion_mnist", "kmnist_test10k_split"}
GROUPS = (
    GREY,
    {*GREY, "cifar10", "gtsrb_32px_8880"},
    {"adult", "elec2", "neweather", "ucr_ecg5000", "ucr_electricdevices"},
    {"sst2", "movie_reviews_mr", "ag_news_7600", "trec6"},
)
Key = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Contest:
    """Runs that differ in their source models alone."""

    rows: tuple[Row, ...]

    @property
    def target(self) -> str:
        """The target's data set, which intervals are drawn over."""
        return self.rows[0].case.target_name

    @property
    def data(self) -> frozenset[str]:
        """The data sets whose runs teach no forecast of it: all that it touches, and all of the kinds of these.

        Grey pictures are one such group; where colour ones are among them, all pictures; tables and series; texts.
        """
        names = {name for row in self.rows for name in (row.case.source_name, row.case.target_name)}
        return frozenset(next(group for group in GROUPS if names <= group))

    @property
    def costs(self) -> list[float]:
        """What each run took, in steps; of one that missed its target, its whole budget."""
        return [step_costs(row).of(row.epochs) for row in self.rows]

    @property
    def telling(self) -> list[tuple[int, int]]:
        """Pairs of which one is the dearer, the cheaper first."""
        found = []
        for pair in combinations(range(len(self.rows)), 2):
            ends = [(self.rows[i].censored, self.rows[i].epochs) for i in pair]
            if ends[0] != ends[1] and not all(censored for censored, _ in ends):
                found.append(pair if ends[0] < ends[1] else pair[::-1])
        return found


@dataclass(frozen=True)
class Answer:
    """How a method orders a contest: a key for each source model, the least first, and what it spent (in steps)."""

    keys: Sequence[Key]
    spent: float = 0.0


def setting(row: Row) -> Hashable:
    """Everything but the source and the seed."""
    run = row.run
    options = tuple(sorted(run.model.arch_options.items()))
    same = run.settings.model_dump_json(exclude={"seed"})
    shift = str(run.target.shift)
    return run.target.uri, shift, row.case.train_samples, row.case.option, run.model.arch, options, same


def contests(rows: Iterable[Row]) -> list[Contest]:
    """The contests that tell something: some source model reached the target, and not all did so alike."""
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[setting(row)].append(row)
    found = [Contest(tuple(group)) for group in groups.values() if len(group) >= LEAST]
    return [contest for contest in found if contest.telling]


def step_costs(row: Row) -> StepCosts:
    """Costs in steps: an evaluation is one forward pass of the validation samples."""
    return StepCosts.of_seconds(probe(row), schedule_of(row.case))


def probe(row: Row) -> StepProbe:
    """A step takes 1."""
    look = FORWARD * row.case.validation_samples / row.case.batch_size
    return StepProbe(
        steps=PILOT_STEPS, repeats=1, seconds_per_step=1.0, seconds_per_step_low=1.0, seconds_per_step_high=1.0,
        joules_per_step=None, seconds_per_evaluation=look, joules_per_evaluation=None,
    )  # fmt: skip


# --- by what can be seen --------------------------------------------------------------------------


def by_signal(name: str, sign: int) -> Callable[[Contest], Answer]:
    """By an index alone; a source model of which it is not known comes last."""

    def answer(contest: Contest) -> Answer:
        values = [row.run.signals.get(name) for row in contest.rows]
        keys = [(float("inf") if value is None else sign * value,) for value in values]
        steps = PILOT_STEPS * len(keys) if name.startswith("pilot") else 0.0
        return Answer(keys, steps)

    return answer


def at_random(contest: Contest) -> Answer:
    """All alike."""
    return Answer([(0.0,)] * len(contest.rows))


def most_data(contest: Contest) -> Answer:
    """The source model that was trained on most samples first."""
    return Answer([(-float(row.run.source.train if row.run.source else 0),) for row in contest.rows])


# --- by forecasts, with all data sets of the contest left out ---------------------------------------


class TimeOnly(Forecaster):
    """A forecaster of times alone: what it says of the quality is not asked for here, and takes long to learn."""

    def _afterwards(self, case: Case, widen: float, reach: float) -> None:
        return None


@cache
def learned_without(data: frozenset[str]) -> tuple[Forecaster, LiveModels]:
    """What the ledger that ships teaches without these data sets, before a run and during it."""
    runs = [
        run
        for run in reference_runs()
        if data.isdisjoint((run.target.name, run.source.name if run.source else ""))
    ]
    lessons = [replace(x, model_id="", weights_digest="") for x in lessons_of(runs)]
    seen = [h for h in _histories() if data.isdisjoint(h.data)]
    live = LiveModels(fitted(seen, (*OF_FORECAST, *OF_CURVE)), fitted(seen, OF_CURVE))
    return TimeOnly(before=lessons), live


@cache
def _histories() -> list:  # type: ignore[type-arg]
    return histories(forecasts_before())


@cache
def first_forecasts(contest: Contest) -> tuple[Prediction, ...]:
    """What would be told of each source model before any step of the run itself."""
    forecaster, _ = learned_without(contest.data)
    return tuple(forecaster.foretell(case_of(row), time_only=True) for row in contest.rows)


def case_of(row: Row) -> Case:
    """The case as a user's: of nobody's own model."""
    seen = {name: value for name, value in row.case.signals.items() if not name.startswith("ntk_")}
    return row.case.model_copy(update={"model_id": "", "weights_digest": "", "signals": seen})


def key_of(row: Row, epochs: Interval | None, reach: float | None) -> Key:
    """By the forecast cost; of equal ones the likelier to reach its target first."""
    median = row.case.max_epochs if epochs is None or epochs.median is None else epochs.median
    return round(step_costs(row).of(median), 6), -(reach or 0.0)


def by_forecast(contest: Contest) -> Answer:
    """By the forecast before the run, which rests on a look and on 24 steps of each on a copy."""
    keys = [
        key_of(row, told.forecast.epochs, told.reach_probability)
        for row, told in zip(contest.rows, first_forecasts(contest), strict=True)
    ]
    return Answer(keys, float(PILOT_STEPS * len(keys)))


@dataclass(frozen=True)
class Replayed(GrowingPilot):
    """A pilot whose steps were taken before: it is told what they told."""

    row: Row | None = None

    def train(self, stages: Stages) -> str | None:
        """Give it the recorded evaluations up to where it rests."""
        assert self.row is not None
        stages.can_go_on = True
        for point in self.row.run.curve:
            if point.step > stages.steps or (point.step == 0 and not stages.curve):
                stages.evaluated(point)
                if stages.over:
                    return None
        stages.ended = stages.ended or "the retraining was over"
        return None


def by_halving(spend: float, *, drops: bool = True) -> Callable[[Contest], Answer]:
    """By pilots that spend this share of what the cheapest is forecast to take, on top of the forecast before."""

    def answer(contest: Contest) -> Answer:
        forecaster, live = learned_without(contest.data)
        runtime = Runtime(accounting=Accounting("none"))
        contenders = []
        for row, told in zip(contest.rows, first_forecasts(contest), strict=True):
            known = NamedOption(case_of(row), told, probe(row))
            pilot = Replayed(
                None, row.case.option, row.run.settings, known, PilotBudget(spend=spend), forecaster, runtime, row  # type: ignore[arg-type]
            )  # fmt: skip
            contenders.append(Contender(row.case.source_name, pilot))
        cheapest = [
            step_costs(row).of(0.0)
            for row, told, one in zip(contest.rows, first_forecasts(contest), contenders, strict=True)
            if one.stages is None and told.already_met
        ]
        with patch("foretoll.forecast.renewed.shipped", lambda: live):
            share_out(contenders, spend, cheapest=min(cheapest, default=None))
        keys = [
            key_of(row, one.told.made.forecast.epochs, one.told.made.reach_probability)
            for row, one in zip(contest.rows, contenders, strict=True)
        ]
        spent = sum(one.stages.spent for one in contenders if one.stages is not None)
        return Answer(keys, PILOT_STEPS * len(keys) + spent)

    return answer


# --- scores ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """Of one contest: how many of its pairs are told rightly, and the chosen one's cost over the best's.

    missed: the share of the first-placed that missed the target. spent: of the cheapest run's steps.
    """

    target: str
    right: float
    pairs: int
    regret: float
    missed: float
    spent: float


def score(contest: Contest, answer: Answer) -> Score:
    """Ties count a half; of several in the first place the mean is taken, as of one drawn from them."""
    keys, costs = answer.keys, contest.costs
    right = sum(
        0.5 if keys[cheap] == keys[dear] else float(keys[cheap] < keys[dear])
        for cheap, dear in contest.telling
    )
    first = [i for i, key in enumerate(keys) if key == min(keys)]
    best = min(cost for cost, row in zip(costs, contest.rows, strict=True) if not row.censored)
    return Score(
        contest.target,
        right,
        len(contest.telling),
        float(np.mean([costs[i] / best for i in first])),
        float(np.mean([contest.rows[i].censored for i in first])),
        answer.spent / best,
    )


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """Concordance over all pairs, regret, misses and what was spent, with 95 % intervals."""
    targets = sorted({one.target for one in scores})
    by_target = {name: [one for one in scores if one.target == name] for name in targets}
    random = np.random.default_rng(0)
    draws = [
        [one for name in random.choice(targets, len(targets)) for one in by_target[name]]
        for _ in range(DRAWS)
    ]

    def with_interval(name: str, value: Callable[[Sequence[Score]], float]) -> dict[str, float]:
        low, high = np.quantile([value(draw) for draw in draws], (0.025, 0.975))
        return {name: value(scores), f"{name}_low": float(low), f"{name}_high": float(high)}

    return {
        "contests": len(scores),
        "pairs": sum(one.pairs for one in scores),
        **with_interval("concordance", lambda s: sum(x.right for x in s) / sum(x.pairs for x in s)),
        **with_interval("mean_regret", lambda s: float(np.mean([x.regret for x in s]))),
        "median_regret": float(np.median([one.regret for one in scores])),
        "best": float(np.mean([one.regret < 1.05 for one in scores])),
        "missed": float(np.mean([one.missed for one in scores])),
        "spent": float(np.median([one.spent for one in scores])),
    }


METHODS: dict[str, Callable[[Contest], Answer]] = {
    "any of them": at_random,
    "trained on most data": most_data,
    **{name: by_signal(*what) for name, what in SIGNALS.items()},
    "forecast": by_forecast,
    **{f"forecast and --spend {100 * spend:g}%": by_halving(spend) for spend in SPENDS},
}
HEAD = [
    "by", "concordance", "95 %", "mean regret", "95 %", "median regret", "cheapest, or within 5 %", "missed",
    "steps spent",
]  # fmt: skip


def line(name: str, s: dict[str, float]) -> list[str]:
    """A line of a table."""
    return [
        name, f"{s['concordance']:.2f}", f"{s['concordance_low']:.2f} … {s['concordance_high']:.2f}",
        f"{s['mean_regret']:.2f}", f"{s['mean_regret_low']:.2f} … {s['mean_regret_high']:.2f}",
        f"{s['median_regret']:.2f}", f"{s['best']:.0%}", f"{s['missed']:.0%}",
        f"{s['spent']:.0%}" if s["spent"] else "–",
    ]  # fmt: skip


def keep_runs(runs: Sequence[Run]) -> None:
    """Write what is scored here of the runs, with their whole curves, beside the results."""
    write_runs(RUNS, [anonymous(trimmed(run).model_copy(update={"curve": run.curve})) for run in runs])


def main(where: str | None) -> None:
    """Score, write, say."""
    torch.set_num_threads(1)
    runs = [run for run in study_runs(where or str(RUNS)).runs if TAG in run.tags]
    if where:
        keep_runs(runs)
    rows = [row for row in rows_of(runs) if traits_of(row.case.option).reuses_weights]
    found = contests(rows)
    parts = {
        "all": found,
        "the same task as all of the sources": [
            c for c in found if not any(r.case.task_shift for r in c.rows)
        ],
        "a new task for some of them": [c for c in found if any(r.case.task_shift for r in c.rows)],
    }
    scores = {
        name: [score(contest, method(contest)) for contest in found] for name, method in METHODS.items()
    }
    result = {
        part: {
            name: summary([one for one, contest in zip(of, found, strict=True) if contest in some])
            for name, of in scores.items()
        }
        for part, some in parts.items()
    }
    every = result["all"]["any of them"]
    folder = f" {Path(where).name}" if where else ""
    heading = (
        f"`OMP_NUM_THREADS=1 python benchmarks/source_models.py{folder}`, {date.today()}: "
        f"{len(rows)} runs, {len(found)} contests that tell something, of {len({c.target for c in found})} data sets; "
        f"{every['pairs']:.0f} pairs of which one is the dearer."
    )
    blocks = []
    for part, of in result.items():
        whole = of["any of them"]
        if whole["contests"] < FEWEST_SHOWN:
            continue
        title = f"**{part}**: {whole['contests']:.0f} contests, {whole['pairs']:.0f} pairs"
        blocks.append(f"{title}\n\n{markdown_table(HEAD, [line(name, s) for name, s in of.items()])}")
    (RESULTS / "source_models.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    replace_ledger_block(PAGE, "source-models", "\n\n".join([heading, *blocks]))
    print(
        json.dumps(
            {
                name: {key: s[key] for key in ("concordance", "mean_regret")}
                for name, s in result["all"].items()
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
