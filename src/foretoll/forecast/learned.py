"""What is learned from the ledger's runs: one model per cost, pool of runs and set of known features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import CLASSIFICATION, RISING, Case
from foretoll.forecast.early import features_of, lessons_of
from foretoll.forecast.kept import OF_MODELS, ArrayStore, key_of
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.model_arrays import arrays_of, digest_of, model_from
from foretoll.forecast.neighbourhood import Neighbourhood
from foretoll.forecast.owner_offset import teach_owner
from foretoll.forecast.point import Table
from foretoll.forecast.regressor import CostModel
from foretoll.forecast.survival import Array
from foretoll.records import Outcome, Run

FEWEST_RUNS = 3
FEWEST_ALONE = 200  # runs of one option before it is learned from alone
ALL_TASKS = "*"  # the pool of all runs
# What a cost is learned relative to, the first that is known: gradients go on from those of the pilot.
BASES = {"gradient_norm": ("log_pilot_gradient_norm", "log_initial_gradient_norm")}
OWN_WEIGHT = 4.0  # a run of the user's own model counts as this many of others
HeldOutTable = Mapping[str, Mapping[str, Mapping[str, float]]]  # cost → pool and features → run id → residual


@dataclass(frozen=True)
class HeldOut:
    """Residuals of runs that were held out beforehand, read when they are needed; `digest` tells them apart."""

    residuals: Callable[[], HeldOutTable] = dict
    digest: str = ""


class CostModels:
    """The models of all costs, fitted when they are first asked for.

    Runs whose first evaluation met the target cost that evaluation and nothing more; whether a case is one of them
    is known (`case.decided`), so they are not learned from. Each run is held out together with all runs
    of the same source data when intervals are calibrated, so that they hold for data the ledger has not seen.
    """

    def __init__(
        self,
        runs: Iterable[Run] = (),
        *,
        seed: int = 0,
        held_out: HeldOut | None = None,
        before: Sequence[Lesson] = (),
        store: ArrayStore | None = None,
        of_model: Callable[[Case], Lessons] | None = None,
    ) -> None:
        """`before`: lessons that stand before those of `runs`. `store`: where fitted models are kept.

        `of_model`: the newest lessons of a case's own model, where the others are a sample: they are no part of a fit,
        which is then one for all models, and teach it afterwards (`foretoll.forecast.owner_offset`).
        """
        self.lessons = (Lessons.of(before) + Lessons.of(lessons_of(runs))).with_digests()
        self.seed, self._held_out = seed, held_out or HeldOut()
        self._store = store or ArrayStore(None)
        self._near: dict[int, Neighbourhood] = {}  # of fitted models, which are kept
        self._fitted: dict[tuple[str, str, str, frozenset[str]], CostModel | None] = {}
        self._of_model = of_model
        self._mine: dict[tuple[str, str], CostModels] = {}  # by model

    def pool(self, option: str, task: str = CLASSIFICATION) -> str:
        """What an option is learned from: its own runs where there are enough, else those of all options ("").

        Both are of classification alone; any other task is learned from the runs of all tasks and options.

        Which option it is is a feature among them, and each has its own chance of reaching its target.
        """
        if task != CLASSIFICATION:
            return ALL_TASKS
        return option if len(self.in_pool(option)) >= FEWEST_ALONE else ""

    def in_pool(self, pool: str) -> list[int]:
        """Positions of a pool's runs that were not known to need no step; a pool is what `pool` says."""
        columns = self.lessons.columns
        inside = ~columns["decided"]
        if pool != ALL_TASKS:
            inside &= columns["task"] == CLASSIFICATION
        if pool not in (ALL_TASKS, ""):
            inside &= columns["option"] == pool
        found: list[int] = np.flatnonzero(inside).tolist()
        return found

    def model(self, cost: str, case: Case) -> CostModel | None:
        """The model of one cost; None where there are too few runs.

        The runs of the case's own source model weigh more. A feature that the case does not know is left out, not
        made up.
        """
        known, pool = known_features(case), self.pool(case.option, case.task)
        own = self.own_runs(case) if self._of_model is None else frozenset()
        key = (cost, pool, case.owner if own else "", known)
        if key not in self._fitted:
            table, kept = self.table(cost, pool, known, own, case.owner)
            fits = len(table) >= FEWEST_RUNS
            self._fitted[key] = self._model(table, kept, cost, table_key(pool, known)) if fits else None
        model, mine = self._fitted[key], self._of_case(case)
        if model is not None and mine is not None:
            every = frozenset(range(len(mine.lessons)))
            teach_owner(model, mine.table(cost, pool, known, every, case.owner)[0], case.owner)
        return model

    def _of_case(self, case: Case) -> CostModels | None:
        """The runs of a case's own model, where they are no part of a fit; None where there are none."""
        if self._of_model is None or not case.owner:
            return None
        key = (case.weights_digest, case.model_id)
        if key not in self._mine:
            self._mine[key] = CostModels(before=self._of_model(case))
        return self._mine[key]

    def count_own(self, case: Case) -> int:
        """How many runs of the case's own source model a forecast rests on."""
        mine = self._of_case(case)
        return len(self.own_runs(case)) if mine is None else len(mine.lessons)

    def _model(self, table: Table, kept: Sequence[int], cost: str, key: str) -> CostModel:
        """The model of a table: the one kept from before, or else a fresh one."""
        name = self._name(table, kept, cost, key)
        found = self._store.get(name)
        if found is not None:
            try:
                return model_from(table, found)
            except (KeyError, IndexError, ValueError):  # damaged: made anew
                pass
        model = self._fit(table, kept, cost, key)
        self._store.put(name, arrays_of(model))
        return model

    def _name(self, table: Table, kept: Sequence[int], cost: str, key: str) -> str:
        """What the model of a table is kept as."""
        ids = ",".join(self.lessons.columns["run_id"][kept].tolist())
        parts = (cost, key, str(self.seed), self._held_out.digest, ids)
        return key_of("model", OF_MODELS, digest_of(table), *(part.encode() for part in parts))

    def _fit(self, table: Table, kept: Sequence[int], cost: str, key: str) -> CostModel:
        model = CostModel(replace(table, held_out=self._residuals(cost, key, kept)), seed=self.seed)
        if cost == "epochs":
            self.neighbourhood(model)  # so that what it takes long to find is kept as well
        return model

    def name_of(self, cost: str, pool: str, known: frozenset[str]) -> str:
        """What a model of nobody's own runs is kept as."""
        return self._name(*self.table(cost, pool, known), cost, table_key(pool, known))

    def fitted(self, cost: str, pool: str, known: frozenset[str]) -> dict[str, NDArray[Any]]:
        """The arrays of such a model, fitted here and now."""
        return arrays_of(self._fit(*self.table(cost, pool, known), cost, table_key(pool, known)))

    def _residuals(self, cost: str, key: str, kept: Sequence[int]) -> Array | None:
        """Residuals that are known beforehand, NaN for runs without one; None where there are none."""
        before = self._held_out.residuals().get(cost, {}).get(key)
        if before is None:
            return None
        ids = self.lessons.columns["run_id"][kept].tolist()
        return np.array([before.get(run, math.nan) for run in ids])

    def neighbourhood(self, model: CostModel) -> Neighbourhood:
        """How near cases are to a model's runs; computed once for each model."""
        if id(model) not in self._near:
            self._near[id(model)] = Neighbourhood(model)
        return self._near[id(model)]

    def of_task(self, task: str) -> int:
        """How many runs there are of a task."""
        return int((self.lessons.columns["task"] == task).sum())

    def own_runs(self, case: Case) -> frozenset[int]:
        """Positions of the runs of the case's own source model, in whatever way it was loaded then."""
        if not case.owner and not case.model_id:
            return frozenset()
        return frozenset(np.flatnonzero(self.lessons.same_model(case)).tolist())

    def table(
        self,
        cost: str,
        pool: str,
        known: frozenset[str],
        own: frozenset[int] = frozenset(),
        owner: str = "",
    ) -> tuple[Table, list[int]]:
        """What a cost is learned from when only `known` features are known, and the positions of its runs.

        `own`: positions of the runs that count as those of `owner`, and weigh more.
        """
        lessons, timed = self.lessons, cost == "epochs"
        at = np.array(self.in_pool(pool), dtype=np.intp)
        at = at[~np.isnan(lessons.columns[f"response {cost}"][at])]
        keep: list[int] = at.tolist()

        def of(name: str) -> NDArray[Any]:
            return lessons.columns[name][at]

        table = Table(
            rows=lessons.rows(at, known),
            y=of(f"response {cost}"),
            censored=timed & np.isin(of("outcome"), [str(outcome) for outcome in Outcome if outcome.short]),
            weights=np.array([OWN_WEIGHT if i in own else 1.0 for i in keep]),
            groups=lessons.groups[at].tolist(),
            owners=[
                owner if i in own else its for i, its in zip(keep, lessons.owners[at].tolist(), strict=True)
            ],
            rising=RISING if timed else frozenset(),
            limits=of("limit") if timed else None,
            options=of("option").tolist() if timed else (),
            lower=of("lower") if timed else None,
            base=next((name for name in BASES.get(cost, ()) if name in known), ""),
            # intervals of times, which come in whole evaluations, hold what they say without
            families=() if timed else of("family").tolist(),
        )
        return table, keep


def known_features(case: Case) -> frozenset[str]:
    """Names of the features that a case knows."""
    return frozenset(name for name, value in features_of(case).items() if value is not None)


def table_key(pool: str, features_known: frozenset[str]) -> str:
    """What is learned from a pool of runs by these features, as text."""
    return f"{pool}:{','.join(sorted(features_known))}"
