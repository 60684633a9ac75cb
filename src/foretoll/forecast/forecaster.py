"""Forecasts the costs of a case: from what is known by looking, and from what was learned from runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from foretoll.forecast.agreement import Agreement
from foretoll.forecast.case import CLASSIFICATION, Case, decided
from foretoll.forecast.direct import (
    binomial_deviation,
    looked_up_quality,
    reach_by_looking,
    served_by_looking,
    test_quality,
)
from foretoll.forecast.early import epochs_told, features_of, limit_of
from foretoll.forecast.kept import ArrayStore
from foretoll.forecast.learned import FEWEST_RUNS, CostModels, HeldOut
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.predictive import PredictiveDistribution, TimeDistribution
from foretoll.forecast.regressor import CostModel, new_among
from foretoll.options.table import traits_of
from foretoll.records import Coverage, Forecast, Interval, NearRun, Run

FEW_OF_TASK = 150  # with fewer runs of its task a forecast rests on those of others,
OTHER_TASKS = 2.0  # and its intervals are widened so much
UNLIKE = 1.25  # times the outermost 5 % of the runs: from here on a case is called unlike them
HARD = 1.4  # times the usual error on held-out runs: from here on a warning says that such runs were forecast badly
WIDEST = 4.0
FEW_OF_OPTION = 10  # with fewer runs of an option its forecast rests on others,
SLACK = (
    2.0  # standard deviations by which a test quality may lie below a validation quality without a meaning
)
OTHER_OPTIONS = 2.0  # and its intervals are widened so much


@dataclass(frozen=True)
class Prediction:
    """The learned part of a forecast, and what it rests on."""

    forecast: Forecast
    quality: Interval | None  # on the test data, after the update
    reach_probability: float | None  # on the validation data, which stop the run
    served_probability: float | None  # that the served model meets the target on data that it never saw
    coverage: Coverage
    nearest: tuple[NearRun, ...]
    runs: int
    own_runs: int
    already_met: bool  # the first evaluation ends the run: nothing is prepared and no step taken
    unlike: float | None  # 1: as the outermost 5 % of the runs; above: unlike all of them
    hardness: float | None  # the error of held-out runs like this one over the usual one
    warnings: tuple[str, ...]
    time: TimeDistribution | None = None  # log of the steps; None where it was not learned
    widen: float = 1.0  # by which the interval of the time was widened
    afterwards: Agreement | None = (
        None  # quality less the target, on the test data; None where it was not learned
    )


class Forecaster:
    """From the signals of a case to epochs (time to event), gradient norm, parameter change and quality."""

    def __init__(
        self,
        runs: Iterable[Run] = (),
        *,
        level: float = 0.9,
        seed: int = 0,
        held_out: HeldOut | None = None,
        before: Sequence[Lesson] = (),
        store: ArrayStore | None = None,
        of_model: Callable[[Case], Lessons] | None = None,
    ) -> None:
        """`before`, `held_out`, `store`, `of_model`: as `CostModels` takes them."""
        self.learned = CostModels(
            runs, seed=seed, held_out=held_out, before=before, store=store, of_model=of_model
        )
        self.level = level

    @property
    def lessons(self) -> Sequence[Lesson]:
        """What the runs that can be learned from teach."""
        return self.learned.lessons

    def foretell(self, case: Case, *, time_only: bool = False) -> Prediction:
        """Forecast the learned costs of a case. With too few runs everything is None, and a warning says so.

        `time_only`: epochs and the probability of reaching the target, but neither gradient norm, parameter change nor
        quality, each of which takes a model of its own.
        """
        if decided(case):
            return self._already_met(case)
        if not traits_of(case.option).takes_steps:
            return self._by_looking(case)
        if len(self.lessons) < FEWEST_RUNS:
            return self._nothing(
                case,
                f"the ledger holds {len(self.lessons)} usable runs, a forecast needs {FEWEST_RUNS}: "
                "add --calibrate 6runs, or run a retraining first",
            )
        time = self.learned.model("epochs", case)
        if time is None:
            return self._nothing(case, "no run of the ledger has a time to learn from: add --calibrate 6runs")
        row = features_of(case)
        near, unlike = self.learned.neighbourhood(time).of(row)
        warnings = []
        widen = min(max(unlike, 1.0), WIDEST)
        if unlike > UNLIKE:
            warnings.append(
                f"this case is unlike the runs that the forecast rests on ({unlike:.1f} times the outermost "
                "5 %): the intervals are widened; add --calibrate for firmer ones"
            )
        hardness = time.hardness(row)
        if hardness > HARD:
            warnings.append(
                f"runs like this one are forecast less well than others (errors {hardness:.1f} times the usual, which "
                "the intervals allow for); add --calibrate for a firmer forecast"
            )
        of_task = self.learned.of_task(case.task)
        if case.task != CLASSIFICATION and of_task < FEW_OF_TASK:
            widen = min(widen * OTHER_TASKS, WIDEST)
            warnings.append(
                f"the ledger holds {of_task} runs of {case.task}: the forecast rests on other tasks, by progress from "
                "a trivial prediction to the best, and the intervals are widened; add --calibrate for firmer ones"
            )
        own, pool = len(self.learned.in_pool(case.option)), self.learned.pool(case.option, case.task)
        if own < FEW_OF_OPTION < len(self.learned.in_pool(pool)):
            widen = min(widen * OTHER_OPTIONS, WIDEST)
            warnings.append(
                f"the ledger holds {own} runs of {case.option}: its forecast rests on other options, and the "
                "intervals are widened; add --calibrate for firmer ones"
            )
        limit = limit_of(case)
        predictive = _predictive(time, case, widen, limit=limit)
        reach = min(max(predictive.cdf(limit), 0.0), 1.0)  # sums of masses may leave [0, 1] by rounding
        epochs = self._interval(predictive, lambda v: epochs_told(v, case), case.max_epochs)
        if time.shape is None:
            warnings.append(
                f"only {len(time.table)} runs to rest on: the interval is a rough one (Student's t) and its "
                "coverage could not be measured"
            )
        _, kept = self.learned.table("epochs", pool, frozenset())
        afterwards = None if time_only else self._afterwards(case, widen, reach)
        quality, served = self._quality(case, afterwards)
        return Prediction(
            forecast=Forecast(
                epochs=epochs,
                gradient_norm=None if time_only else self._positive("gradient_norm", case, widen),
                parameter_change=None if time_only else self._positive("parameter_change", case, widen),
            ),
            quality=quality,
            reach_probability=reach,
            served_probability=served,
            coverage=Coverage(
                level=self.level,
                empirical=time.coverage(self.level, group=case.source_name, task_shift=case.task_shift),
                runs=len(time.table),
                method="held out by source data set; censored runs counted as censored",
            ),
            nearest=tuple(self._near(kept[i], distance) for i, distance in near),
            runs=self._rests_on(case),
            own_runs=self._own_runs(case),
            already_met=False,
            unlike=unlike,
            hardness=hardness,
            warnings=tuple(warnings),
            time=predictive,
            widen=widen,
            afterwards=afterwards,
        )

    def renewed(self, case: Case, made: Prediction, time: TimeDistribution, coverage: Coverage) -> Prediction:
        """A forecast with another distribution of the log steps, known since: epochs, probabilities and quality."""
        reach = min(max(time.cdf(limit_of(case)), 0.0), 1.0)
        epochs = self._interval(time, lambda v: epochs_told(v, case), case.max_epochs)
        afterwards = self._afterwards(case, made.widen, reach)
        quality, served = self._quality(case, afterwards)
        return replace(
            made,
            forecast=made.forecast.model_copy(update={"epochs": epochs}),
            quality=quality,
            reach_probability=reach,
            served_probability=served,
            coverage=coverage,
            time=time,
            afterwards=afterwards,
        )

    # --- what needs no learning --------------------------------------------------------------------

    def _by_looking(self, case: Case) -> Prediction:
        """An option that takes no step: its quality was seen, its cost is what its passes cost."""
        seen = looked_up_quality(case)
        if seen is None:
            return self._nothing(
                case, f"what {case.option} would reach could not be predicted here: run it instead"
            )
        return self._known(
            case,
            Forecast(epochs=self._exactly(0.0)),
            test_quality(*seen, case.test_samples, self.level),
            reach_by_looking(case),
            served_by_looking(case, *seen),
            "one pass over the data; the interval is that of the sample",
        )

    def _already_met(self, case: Case) -> Prediction:
        """The first evaluation meets the target: the run ends there."""
        start = case.start_quality or 0.0
        return self._known(
            case,
            Forecast(epochs=self._exactly(0.0), parameter_change=self._exactly(0.0)),
            test_quality(start, case.validation_samples, case.test_samples, self.level),
            1.0,
            served_by_looking(case, start, case.validation_samples),
            "the first evaluation already meets the target, which ends the run",
        )

    def _known(
        self,
        case: Case,
        forecast: Forecast,
        quality: Interval,
        reach: float | None,
        served: float | None,
        method: str,
    ) -> Prediction:
        return Prediction(
            forecast=forecast,
            quality=quality,
            reach_probability=reach,
            served_probability=served,
            coverage=Coverage(level=self.level, empirical=None, runs=0, method=method),
            nearest=(),
            runs=self._rests_on(case),
            own_runs=self._own_runs(case),
            already_met=decided(case),
            unlike=None,
            hardness=None,
            warnings=(),
        )

    # --- pieces ------------------------------------------------------------------------------------

    def _rests_on(self, case: Case) -> int:
        """Runs that a forecast of this case is learned from: classification from its own, other tasks from all."""
        return self.learned.of_task(case.task) if case.task == CLASSIFICATION else len(self.lessons)

    def _own_runs(self, case: Case) -> int:
        return self.learned.count_own(case)

    def _exactly(self, value: float) -> Interval:
        return Interval(median=value, low=value, high=value, level=self.level)

    def _positive(self, cost: str, case: Case, widen: float) -> Interval | None:
        model = self.learned.model(cost, case)
        if model is None:
            return None
        predictive = _predictive(model, case, widen)
        return self._interval(predictive, lambda v: math.exp(min(v, 700.0)), None)

    def _afterwards(self, case: Case, widen: float, reach: float) -> Agreement | None:
        """The quality on the test data less the target, in agreement with the probability of reaching that."""
        model = self.learned.model("quality", case)
        if model is None:
            return None
        slack = SLACK * binomial_deviation(case.until, case.validation_samples, case.test_samples)
        return Agreement(_predictive(model, case, widen), reach, slack)

    def _quality(self, case: Case, afterwards: Agreement | None) -> tuple[Interval | None, float | None]:
        """The quality on the test data, and the probability that it is that of the target."""
        if afterwards is None:
            return None, None
        interval = self._interval(afterwards, lambda v: min(max(case.until + v, 0.0), 1.0), 1.0)
        return interval, afterwards.at_least(-case.margin)

    def _interval(
        self,
        predictive: TimeDistribution | Agreement,
        scale: Callable[[float], float],
        beyond: float | None,
    ) -> Interval:
        def at(level: float) -> float | None:
            value = predictive.quantile(level)
            return beyond if value is None else scale(value)

        return Interval(
            median=at(0.5), low=at((1 - self.level) / 2), high=at((1 + self.level) / 2), level=self.level
        )

    def _near(self, index: int, distance: float) -> NearRun:
        lesson = self.lessons[index]
        what = f"{lesson.family}, {lesson.source_name} → {lesson.target_name}"
        return NearRun(
            run_id=lesson.run_id,
            distance=distance,
            option=lesson.option,
            what=f"{what}, {lesson.shift}" if lesson.shift else what,
            outcome=lesson.outcome,
            epochs=lesson.epochs,
        )

    def _nothing(self, case: Case, warning: str) -> Prediction:
        return Prediction(
            forecast=Forecast(),
            quality=None,
            reach_probability=None,
            served_probability=None,
            coverage=Coverage(
                level=self.level, empirical=None, runs=len(self.lessons), method="too few runs"
            ),
            nearest=(),
            runs=self._rests_on(case),
            own_runs=self._own_runs(case),
            already_met=False,
            unlike=None,
            hardness=None,
            warnings=(warning,),
        )


def _predictive(
    model: CostModel, case: Case, widen: float, *, limit: float | None = None
) -> PredictiveDistribution:
    return model.predict(
        features_of(case),
        owner=case.owner,
        group=case.source_name,
        task_shift=case.task_shift,
        widen=widen * new_among(model.table.families, case.family),
        limit=limit,
        option=case.option,
    )
