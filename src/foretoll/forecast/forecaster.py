"""Learns from runs, foretells the toll of a case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from foretoll.forecast.case import Case, Features, case_of_run, epochs_of, features, log_steps, usable
from foretoll.forecast.regressor import CostModel, Neighbourhood, Predictive, Table
from foretoll.records import Coverage, Forecast, Interval, NearRun, Outcome, Run

COSTS = ("epochs", "gradient_norm", "parameter_change")  # learned; the others are composed
FEWEST_RUNS = 3
OWN_WEIGHT = 4.0  # a run of the user's own model counts as this many of others


@dataclass(frozen=True)
class Foretold:
    """The learned part of a forecast, and what it rests on."""

    forecast: Forecast
    reach_probability: float | None
    coverage: Coverage
    nearest: tuple[NearRun, ...]
    runs: int
    own_runs: int
    unlike: float | None  # 1: as the outermost 5 % of the runs; above: unlike all of them
    warnings: tuple[str, ...]


class Forecaster:
    """From the signals of a case to epochs (time to event), gradient norm and parameter change.

    Each run is held out together with the runs of the same data set and kind of shift when intervals are
    calibrated, so that they hold for shifts the ledger has not seen.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        *,
        level: float = 0.9,
        seed: int = 0,
        held_out: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    ) -> None:
        pairs = [(run, case) for run in runs if usable(run) and (case := case_of_run(run)) is not None]
        self.runs: list[Run] = [run for run, _ in pairs]
        self.cases: list[Case] = [case for _, case in pairs]
        self.level, self.seed = level, seed
        self._held_out = held_out or {}
        self._fitted: dict[tuple[str, str, frozenset[str]], CostModel | None] = {}

    def foretell(self, case: Case) -> Foretold:
        """Forecast the learned costs of a case. With too few runs everything is None, and a warning says so."""
        if len(self.runs) < FEWEST_RUNS:
            return self._nothing(
                f"the ledger holds {len(self.runs)} usable runs, a forecast needs {FEWEST_RUNS}: "
                "add --calibrate 6runs, or carry out a retraining first"
            )
        row = features(case)
        time = self._model("epochs", case.model_id, row)
        if time is None:
            return self._nothing("no run of the ledger has a time to learn from: add --calibrate 6runs")
        near, unlike = Neighbourhood(time).of(row)
        warnings = []
        if unlike > 1.25:
            warnings.append(
                f"this case is unlike the runs that the forecast rests on ({unlike:.1f} times the outermost "
                "5 %): the intervals are widened; add --calibrate for firmer ones"
            )
        widen = min(max(unlike, 1.0), 4.0)
        predictive = time.predict(row, owner=case.model_id, widen=widen)
        reach = predictive.cdf(log_steps(case.max_epochs, case.steps_per_epoch))
        epochs = self._interval(
            predictive, lambda v: min(epochs_of(v, case.steps_per_epoch), case.max_epochs), case.max_epochs
        )
        if time.shape is None:
            warnings.append(
                f"only {len(time.table)} runs to rest on: the interval is a rough one (Student's t) and its "
                "coverage could not be measured"
            )
        return Foretold(
            forecast=Forecast(
                epochs=epochs,
                gradient_norm=self._positive("gradient_norm", row, case, widen),
                parameter_change=self._positive("parameter_change", row, case, widen),
            ),
            reach_probability=min(max(reach, 0.0), 1.0),
            coverage=Coverage(
                level=self.level,
                empirical=time.coverage(self.level),
                runs=len(time.table),
                method="held out by data set and kind of shift; censored runs counted as censored",
            ),
            nearest=tuple(self._near(i, distance) for i, distance in near),
            runs=len(self.runs),
            own_runs=sum(c.model_id == case.model_id and bool(c.model_id) for c in self.cases),
            unlike=unlike,
            warnings=tuple(warnings),
        )

    # --- models ------------------------------------------------------------------------------------

    def _model(self, cost: str, model_id: str, row: Features) -> CostModel | None:
        """The model of one cost, fitted once per source model and set of known features.

        The runs of this source model weigh more. A feature that the case does not know is left out, not made up.
        """
        known = _known(row)
        key = (cost, model_id, known)
        if key not in self._fitted:
            table, _ = self.table(cost, model_id, known)
            self._fitted[key] = CostModel(table, seed=self.seed) if len(table) >= FEWEST_RUNS else None
        return self._fitted[key]

    def table(self, cost: str, model_id: str, known: frozenset[str]) -> tuple[Table, list[str]]:
        """What a cost is learned from when only `known` features are known, and the ids of its runs."""
        values = [self._value(cost, run, case) for run, case in zip(self.runs, self.cases, strict=True)]
        keep = [i for i, value in enumerate(values) if value is not None]
        cases, ids = [self.cases[i] for i in keep], [self.runs[i].id for i in keep]
        before = self._held_out.get(cost, {}).get(feature_key(known))
        table = Table(
            rows=[{name: v for name, v in features(c).items() if name in known} for c in cases],
            y=np.array([values[i] for i in keep], dtype=float),
            censored=np.array(
                [cost == "epochs" and self.runs[i].outcome is Outcome.CENSORED for i in keep], dtype=bool
            ),
            weights=np.array([OWN_WEIGHT if model_id and c.model_id == model_id else 1.0 for c in cases]),
            groups=[f"{c.source_name}|{c.target_name}|{c.shift_kind}" for c in cases],
            owners=[c.model_id for c in cases],
            held_out=None if before is None else np.array([before.get(run_id, math.nan) for run_id in ids]),
        )
        return table, ids

    @staticmethod
    def _value(cost: str, run: Run, case: Case) -> float | None:
        value: float | None = getattr(run.toll, cost)
        if value is None:
            return None
        if cost == "epochs":
            return log_steps(value, case.steps_per_epoch)
        return math.log(value) if value > 0 else None  # a run without a step has neither norm nor change

    # --- pieces ------------------------------------------------------------------------------------

    def _positive(self, cost: str, row: Features, case: Case, widen: float) -> Interval | None:
        model = self._model(cost, case.model_id, row)
        if model is None:
            return None
        predictive = model.predict(row, owner=case.model_id, widen=widen)
        return self._interval(predictive, lambda v: math.exp(min(v, 700.0)), None)

    def _interval(
        self, predictive: Predictive, scale: Callable[[float], float], beyond: float | None
    ) -> Interval:
        def at(level: float) -> float | None:
            value = predictive.quantile(level)
            return beyond if value is None else scale(value)

        return Interval(
            median=at(0.5), low=at((1 - self.level) / 2), high=at((1 + self.level) / 2), level=self.level
        )

    def _near(self, index: int, distance: float) -> NearRun:
        run, case = self.runs[index], self.cases[index]
        what = f"{case.family}, {case.source_name} → {case.target_name}"
        shift = ", ".join(f"{s.kind} {s.level:g}" for s in run.target.shift)
        return NearRun(
            run_id=run.id,
            distance=distance,
            option=run.option,
            what=f"{what}, {shift}" if shift else what,
            outcome=run.outcome,
            epochs=run.toll.epochs,
        )

    def _nothing(self, warning: str) -> Foretold:
        return Foretold(
            forecast=Forecast(),
            reach_probability=None,
            coverage=Coverage(level=self.level, empirical=None, runs=len(self.runs), method="too few runs"),
            nearest=(),
            runs=len(self.runs),
            own_runs=0,
            unlike=None,
            warnings=(warning,),
        )


def known_features(case: Case) -> frozenset[str]:
    """Names of the features that a case knows."""
    return _known(features(case))


def feature_key(known: frozenset[str]) -> str:
    """A set of feature names as text."""
    return ",".join(sorted(known))


def _known(row: Features) -> frozenset[str]:
    return frozenset(name for name, value in row.items() if value is not None)
