"""What is learned from the ledger's runs: one model per cost, pool of runs and set of known features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from foretoll.forecast.case import RISING, Case, case_of_run, decided, features, log_steps, usable
from foretoll.forecast.regressor import CostModel, Neighbourhood, Table
from foretoll.records import Outcome, Run

COSTS = ("epochs", "gradient_norm", "parameter_change", "quality")  # learned; the others are composed
FEWEST_RUNS = 3
FEWEST_ALONE = 200  # runs of one option before it is learned from alone
OWN_WEIGHT = 4.0  # a run of the user's own model counts as this many of others
HeldOutTable = Mapping[str, Mapping[str, Mapping[str, float]]]  # cost → pool and features → run id → residual


class CostModels:
    """The models of all costs, fitted when they are first asked for.

    Runs whose first evaluation met the target cost that evaluation and nothing more; whether a case is one of them
    is known (`case.decided`), so they are not learned from. Each run is held out together with all runs
    of the same source data when intervals are calibrated, so that they hold for data the ledger has not seen.
    """

    def __init__(self, runs: Iterable[Run], *, seed: int = 0, held_out: HeldOutTable | None = None) -> None:
        pairs = [(run, case) for run in runs if usable(run) and (case := case_of_run(run)) is not None]
        self.runs: list[Run] = [run for run, _ in pairs]
        self.cases: list[Case] = _with_digests([case for _, case in pairs])
        self.seed, self._held_out = seed, held_out or {}
        self._near: dict[int, Neighbourhood] = {}  # of fitted models, which are kept
        self._fitted: dict[tuple[str, str, str, frozenset[str]], CostModel | None] = {}

    def pool(self, option: str) -> str:
        """What an option is learned from: its own runs where there are enough, else those of all options ("").

        The options are told apart among all of them, as features, and each has its own chance of reaching its target.
        """
        return option if len(self.in_pool(option)) >= FEWEST_ALONE else ""

    def in_pool(self, pool: str) -> list[int]:
        """Positions of a pool's runs that were not known to need no step; a pool is an option, or "" for all."""
        return [i for i, case in enumerate(self.cases) if pool in ("", case.option) and not decided(case)]

    def model(self, cost: str, case: Case) -> CostModel | None:
        """The model of one cost; None where there are too few runs.

        The runs of the case's own source model weigh more. A feature that the case does not know is left out, not
        made up.
        """
        known, pool = known_features(case), self.pool(case.option)
        own = self.own_runs(case)
        key = (cost, pool, case.owner if own else "", known)
        if key not in self._fitted:
            table, _ = self.table(cost, pool, known, own, case.owner)
            self._fitted[key] = CostModel(table, seed=self.seed) if len(table) >= FEWEST_RUNS else None
        return self._fitted[key]

    def neighbourhood(self, model: CostModel) -> Neighbourhood:
        """How near cases are to a model's runs; computed once for each model."""
        if id(model) not in self._near:
            self._near[id(model)] = Neighbourhood(model)
        return self._near[id(model)]

    def own_runs(self, case: Case) -> frozenset[int]:
        """Positions of the runs of the case's own source model, in whatever way it was loaded then."""
        return frozenset(i for i, other in enumerate(self.cases) if case.same_model(other))

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
        found = [
            (i, value)
            for i in self.in_pool(pool)
            if (value := _value(cost, self.runs[i], self.cases[i])) is not None
        ]
        keep = [i for i, _ in found]
        cases = [self.cases[i] for i in keep]
        before = self._held_out.get(cost, {}).get(table_key(pool, known))
        residuals = None
        if before is not None:
            residuals = np.array([before.get(self.runs[i].id, math.nan) for i in keep])
        table = Table(
            rows=[{name: v for name, v in features(c).items() if name in known} for c in cases],
            y=np.array([value for _, value in found], dtype=float),
            censored=np.array(
                [cost == "epochs" and self.runs[i].outcome is Outcome.CENSORED for i in keep], dtype=bool
            ),
            weights=np.array([OWN_WEIGHT if i in own else 1.0 for i in keep]),
            groups=[c.source_name for c in cases],
            owners=[owner if i in own else c.owner for i, c in zip(keep, cases, strict=True)],
            rising=RISING if cost == "epochs" else frozenset(),
            held_out=residuals,
            limits=np.array([log_steps(c.max_epochs, c.steps_per_epoch) for c in cases])
            if cost == "epochs"
            else None,
            options=[c.option for c in cases] if cost == "epochs" else (),
        )
        return table, keep


def _with_digests(cases: list[Case]) -> list[Case]:
    """Runs from before weights had digests get that of a later run from the same model."""
    known = {c.model_id: c.weights_digest for c in cases if c.model_id and c.weights_digest}
    return [
        c
        if c.weights_digest or c.model_id not in known
        else c.model_copy(update={"weights_digest": known[c.model_id]})
        for c in cases
    ]


def _value(cost: str, run: Run, case: Case) -> float | None:
    """The response that is learned: log steps, log norm, log change, or the quality above the target."""
    if cost == "quality":
        after = run.quality.after if run.quality else None
        return None if after is None else after - case.until
    value: float | None = getattr(run.toll, cost)
    if value is None:
        return None
    if cost == "epochs":
        return log_steps(value, case.steps_per_epoch)
    return math.log(value) if value > 0 else None  # a run without a step has neither norm nor change


def known_features(case: Case) -> frozenset[str]:
    """Names of the features that a case knows."""
    return frozenset(name for name, value in features(case).items() if value is not None)


def table_key(pool: str, features_known: frozenset[str]) -> str:
    """What is learned from a pool of runs by these features, as text."""
    return f"{pool}:{','.join(sorted(features_known))}"
