"""The spread between runs of one setting, and the censored model of time, on what others measured.

Zeus (NSDI 2023): the epoch at which each target was first met, four tasks by batch size, 4 to 10 seeds. MLPerf Training
4.0: runs that one submitter made of one benchmark on one system. The ledger that ships has the same two figures for its
own seeds. Each figure is of pairs: a run, and the one before it of the same setting.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from foretoll.forecast.case import decided
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.survival import IntervalRidge
from foretoll.research.leave_out import rows_of
from outside_curves import Array

TASKS = {
    "cifar100": "ShuffleNetV2, CIFAR-100",
    "librispeech": "DeepSpeech2, LibriSpeech",
    "movielens-1m": "NCF, MovieLens",
    "squad": "BERT-base, SQuAD",
}
RIDGE = 1.0
LEVELS = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Pairs:
    """Two runs of one setting at a time: a value of each, infinite where the target was not met."""

    values: list[tuple[float, float]]
    settings: int

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]]) -> Pairs:
        """Every run and the one before it of its group; the first has the last before it."""
        kept = [group for group in groups if len(group) > 1]
        return cls([(group[k - 1], group[k]) for group in kept for k in range(len(group))], len(kept))

    @property
    def met(self) -> list[tuple[float, float]]:
        """Pairs of which both met the target."""
        return [pair for pair in self.values if all(map(math.isfinite, pair))]

    def factor(self, level: float, offset: float = 0.0) -> float:
        """The factor that so many of the pairs that both met the target lie within."""
        apart = [abs(math.log((one + offset) / (other + offset))) for one, other in self.met]
        return math.exp(float(np.quantile(apart, level)))

    @property
    def one_missed(self) -> float:
        """Of the pairs of which one at least met the target, the share in which the other did not."""
        some = [pair for pair in self.values if any(map(math.isfinite, pair))]
        return 1 - len(self.met) / max(len(some), 1)

    def held(self, factor: float, step: float = 0.0) -> float:
        """The share of pairs whose second lies within a factor of the first; ends are drawn out to whole steps."""

        def holds(one: float, other: float) -> bool:
            low, high = one / factor, one * factor
            if step:
                low, high = math.floor(low / step) * step, math.ceil(high / step) * step
            return low - 1e-9 <= other <= high + 1e-9

        return sum(holds(*pair) for pair in self.met) / len(self.met)


def read_zeus(folder: Path) -> pd.DataFrame:
    """One row a run and target; the epoch is infinite where the target was not met."""
    rows = pd.read_csv(folder / "zeus_nsdi23" / "summary_train.csv")
    rows["epoch"] = rows.target_epoch.fillna(math.inf)
    share = rows.target_metric / np.where(rows.target_metric > 1, 100, 1)
    rows["progress"] = np.where(
        rows.dataset == "librispeech", 1 - share, share
    )  # its metric is a word error rate
    return rows


def hardest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the highest target that half of a task's runs met."""
    met = rows.groupby("progress").epoch.apply(lambda epochs: np.isfinite(epochs).mean())
    return rows[rows.progress == met[met >= 0.5].index.max()]


def zeus_pairs(rows: pd.DataFrame) -> Pairs:
    """Seeds of the same task, batch size and target, by epochs."""
    return Pairs.of(list(group.epoch) for _, group in rows.groupby(["dataset", "batch_size", "progress"]))


def ledger_pairs(cost: str) -> Pairs:
    """Seeds of the very same setting in the ledger that ships: runs that were open; where one missed, infinite."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in sorted(rows_of(reference_runs()), key=lambda row: (row.run.settings.seed, row.run.id)):
        value = getattr(row.run.toll, cost)
        if not decided(row.case) and value:
            groups[row.setting].append(math.inf if row.censored else value)
    return Pairs.of(groups.values())


def ledger_paces() -> Pairs:
    """Seconds of training by epoch, of the same runs."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows_of(reference_runs()):
        toll = row.run.toll
        if not decided(row.case) and toll.epochs and toll.duration_s:
            groups[row.setting].append(toll.duration_s / toll.epochs)
    return Pairs.of(groups.values())


@dataclass(frozen=True)
class Submitted:
    """Pairs of runs of one submission: samples or epochs until the target, seconds, seconds for one of them, kWh."""

    amount: Pairs
    seconds: Pairs
    pace: Pairs
    energy: Pairs | None


def read_mlperf(folder: Path) -> dict[str, Submitted]:
    """By benchmark, the runs that met its target, in the order of their submission."""
    part = folder / "mlperf_training_v4.0"
    runs, evals = pd.read_parquet(part / "runs.parquet"), pd.read_parquet(part / "evals.parquet")
    power = pd.read_csv(part / "power.csv")
    return submissions(runs[runs.status == "success"], evals, power[power.coverage > 0.9])


def submissions(runs: pd.DataFrame, evals: pd.DataFrame, power: pd.DataFrame) -> dict[str, Submitted]:
    """Pairs by benchmark of tables of runs that met their target, their evaluations, and metered runs."""
    last = evals.assign(amount=evals.epoch.fillna(evals.samples)).groupby("run").amount.max()
    runs = runs.assign(amount=runs.run.map(last)).dropna(subset=["amount"])
    key = ["submitter", "system"]

    def pairs(rows: pd.DataFrame, values: pd.Series) -> Pairs:
        return Pairs.of(list(group) for _, group in values.groupby([rows[name] for name in key]))

    found = {}
    for benchmark, rows in runs.groupby("benchmark"):
        metered = power[power.benchmark == benchmark]
        found[str(benchmark)] = Submitted(
            pairs(rows, rows.amount),
            pairs(rows, rows.seconds),
            pairs(rows, rows.seconds / rows.amount),
            pairs(metered, metered.energy_kwh) if len(metered) else None,
        )
    return found


# --- the censored model of time ------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    """What a method told of runs at a batch size that it had not seen: median factor, share held, width."""

    runs: int
    factor: float
    held: float | None
    width: float | None
    too_short: float  # of the runs that did not meet the target: the share foretold to have met it by then


def time_models(rows: pd.DataFrame) -> dict[str, Timed]:
    """Epochs to each target of one task, each batch size forecast from the others."""
    told: dict[str, list[Array]] = defaultdict(list)
    came, least = [], []
    last = rows[np.isfinite(rows.epoch)].groupby(["batch_size", "run"]).epoch.max()
    known = [last.get((row.batch_size, row.run), 1.0) for row in rows.itertuples()]
    rows = rows.assign(spent=known)
    for batch in sorted(rows.batch_size.unique()):
        rest, out = rows[rows.batch_size != batch], rows[rows.batch_size == batch]
        met = np.isfinite(out.epoch.to_numpy())
        came.append(out.epoch.to_numpy())
        least.append(np.where(met, 0.0, out.spent.to_numpy()))
        told["the censored model"].append(_aft(rest, out))
        told["the same, without runs that missed"].append(_aft(rest[np.isfinite(rest.epoch)], out))
        told["the nearest batch size"].append(_nearest(rest, out))
    every, spent = np.concatenate(came), np.concatenate(least)
    return {name: _timed(np.concatenate(parts), every, spent) for name, parts in told.items()}


def _features(rows: pd.DataFrame) -> Array:
    batch = np.log2(rows.batch_size.to_numpy(float))
    missing = -np.log(1 - rows.progress.to_numpy(float))
    return np.column_stack([batch, batch**2, missing, missing**2])


def _aft(rest: pd.DataFrame, out: pd.DataFrame) -> Array:
    """Quantiles (n, 3) of the epochs by the interval regression that foretoll learns times with."""
    x, epochs = _features(rest), rest.epoch.to_numpy()
    mean, scale = x.mean(0), x.std(0)
    met = np.isfinite(epochs)
    with np.errstate(divide="ignore"):
        lower = np.log(np.where(met, np.where(met, epochs, 1.0) - 1, rest.spent.to_numpy()))
    fit = IntervalRidge.fit((x - mean) / scale, lower, np.log(epochs), np.ones(len(rest)), ridge=RIDGE)
    located = fit.predict((_features(out) - mean) / scale)
    return np.exp(located[:, None] + fit.sigma * logit(np.array(LEVELS)))


def _nearest(rest: pd.DataFrame, out: pd.DataFrame) -> Array:
    """Least, median and most of the seeds at the nearest batch size, for the same target."""
    found = []
    for row in out.itertuples():
        same = rest[rest.progress == row.progress]
        apart = np.abs(np.log(same.batch_size / row.batch_size))
        found.append(np.quantile(same.epoch[apart == apart.min()], [0, 0.5, 1], method="higher"))
    return np.array(found)


def _timed(told: Array, came: Array, spent: Array) -> Timed:
    met = np.isfinite(came)
    low, middle, high = np.ceil(told).T
    both = met & np.isfinite(middle)
    holds = np.where(met, (low <= came) & (came <= high), high >= spent)
    ends = np.isfinite(high) & met
    return Timed(
        len(came),
        math.exp(float(np.median(np.abs(np.log(middle[both] / came[both]))))),
        float(holds.mean()),
        float(np.median(high[ends] / np.maximum(low[ends], 1.0))),
        float((middle[~met] <= spent[~met]).mean()) if (~met).any() else 0.0,
    )
