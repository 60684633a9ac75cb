"""Any target, any budget: the curve of each option that was named, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from foretoll.decide.allowance import Allowance, checked_number
from foretoll.decide.money import Price
from foretoll.forecast import Case, Forecaster, Prediction, compose_costs
from foretoll.forecast.case import at_target
from foretoll.forecast.early import schedule_of
from foretoll.forecast.quality_curve import QualityCurve, forecast_curve
from foretoll.forecast.step_costs import StepCosts
from foretoll.options.table import traits_of
from foretoll.records import (
    SHARES,
    BudgetForecast,
    CurveKnee,
    Forecast,
    ForecastCurve,
    GridIntensity,
    StepProbe,
    TargetForecast,
    TrainingSettings,
)
from foretoll.records.curve import BudgetCost
from foretoll.tasks import check_until
from foretoll.workflows.context import Update
from foretoll.workflows.goal import in_unit, with_target

NOUNS: dict[BudgetCost, str] = {
    "epochs": "time", "duration_s": "duration", "energy_kwh": "energy", "emissions_kg": "emissions",
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is asked beside the one target: all targets, where there are several, and budgets."""

    targets: tuple[float, ...] = ()  # in the metric's unit
    budgets: tuple[Allowance, ...] = ()

    @classmethod
    def of(
        cls,
        until: float | Sequence[float] | None,
        budgets: str | Sequence[str],
        settings: TrainingSettings,
        *,
        prices: Sequence[Price] = (),
        devices: int = 1,
    ) -> Question:
        """The question of a call; UsageError for what is no target or no budget, or too many.

        prices, devices: what a budget of money buys.
        """
        given = () if until is None else (until,) if isinstance(until, int | float) else until
        targets = checked_number(given)
        for target in targets:
            check_until(target, settings.metric)
        return cls(targets, Allowance.several(budgets, prices, devices))

    @property
    def first(self) -> float | None:
        """The target that a forecast is made for."""
        return self.targets[0] if self.targets else None

    def on(self, update: Update, settings: TrainingSettings) -> Question:
        """With the targets that the validation data have to show, as `with_target` says of the first."""
        if len(self.targets) < 2:
            return replace(self, targets=())
        plain = settings.model_copy(update={"aim": None})
        raised = [with_target(update, plain, target).until for target in self.targets]
        return replace(self, targets=tuple(target for target in raised if target is not None))


@dataclass(frozen=True)
class NamedOption:
    """An option that was named: what may be known of it, its forecast, and what its steps cost."""

    case: Case
    made: Prediction
    probe: StepProbe | None


@dataclass(frozen=True)
class Answers:
    """The curves by option, and what they say of targets and budgets."""

    curves: dict[str, ForecastCurve]
    targets: tuple[TargetForecast, ...]
    budgets: tuple[BudgetForecast, ...]


def answered(
    question: Question,
    options: Mapping[str, NamedOption],
    forecaster: Forecaster,
    settings: TrainingSettings,
    grid: GridIntensity | None,
) -> Answers:
    """The curve of each option that takes steps, from the one look and pilot that it has had; nothing is trained."""
    found = {
        name: _Curves(name, option, forecaster, question, settings, grid) for name, option in options.items()
    }
    return Answers(
        {name: record for name, curves in found.items() if (record := curves.record()) is not None},
        tuple(
            answer
            for target in question.targets
            for curves in found.values()
            if (answer := curves.to_target(target)) is not None
        ),
        tuple(curves.for_budget(budget) for budget in question.budgets for curves in found.values()),
    )


class _Curves:
    """The curves of one option by cost, those that are known; in progress."""

    def __init__(
        self,
        name: str,
        option: NamedOption,
        forecaster: Forecaster,
        question: Question,
        settings: TrainingSettings,
        grid: GridIntensity | None,
    ) -> None:
        self.name, self.option, self.settings = name, option, settings
        self.forecaster, self.grid = forecaster, grid
        case = option.case
        self.targets = {target: settings.progress(target) for target in question.targets}
        epochs = forecast_curve(forecaster, case, option.made, list(self.targets.values()))
        self.by_cost: dict[BudgetCost, QualityCurve] = {}
        self.whole: dict[BudgetCost, float] = {"epochs": case.max_epochs}
        if epochs is None:
            return
        self.by_cost["epochs"] = epochs
        if option.probe is None:
            return
        steps = option.probe, schedule_of(case)
        self._add("duration_s", epochs, StepCosts.of_seconds(*steps))
        if (energy := StepCosts.of_energy(*steps)) is None:
            return
        self._add("energy_kwh", epochs, energy)
        if grid is not None:
            of_kwh = self.by_cost["energy_kwh"]
            emitted = of_kwh.costs * grid.pue * grid.intensity_kg_per_kwh
            self.by_cost["emissions_kg"] = replace(of_kwh, costs=emitted)
            self.whole["emissions_kg"] = self.whole["energy_kwh"] * grid.pue * grid.intensity_kg_per_kwh

    def _add(self, name: BudgetCost, epochs: QualityCurve, cost: StepCosts) -> None:
        self.by_cost[name] = epochs.in_cost(cost)
        self.whole[name] = cost.of(self.option.case.max_epochs)

    def record(self) -> ForecastCurve | None:
        if not self.by_cost:
            return None
        epochs, value = self.by_cost["epochs"], (self.settings.scale or SHARES).value
        asked = {self.settings.progress(q): q for q in (*self.targets, self.settings.until) if q is not None}
        knee = epochs.knee()
        return ForecastCurve(
            targets=tuple(asked.get(q, value(q)) for q in map(float, epochs.targets)),
            levels=tuple(map(float, epochs.levels)),
            reach=tuple(map(float, epochs.reach)),
            **{
                cost: tuple(tuple(map(float, row)) for row in curve.costs)
                for cost, curve in self.by_cost.items()
            },
            knee=None
            if knee is None
            else CurveKnee(
                quality=value(knee.quality),
                epochs=knee.cost,
                highest=value(knee.highest),
                highest_epochs=knee.highest_cost,
            ),
        )

    def to_target(self, target: float) -> TargetForecast | None:
        quality = self.targets[target]
        if not self.by_cost:
            return self._known(target, quality)
        costs = {cost: curve.to_target(quality) for cost, curve in self.by_cost.items()}
        return TargetForecast(
            option=self.name,
            until=target,
            reach_probability=self.by_cost["epochs"].reaches(quality),
            forecast=Forecast(**costs),
        )

    def _known(self, target: float, quality: float) -> TargetForecast | None:
        """What is known of a target without a curve, by looking: of options that take no step, of a perfect model."""
        case = at_target(self.option.case, quality)
        made = self.forecaster.foretell(case, time_only=True)
        if made.forecast.epochs is None or made.reach_probability is None:
            return None
        costs = compose_costs(
            made.forecast.epochs,
            schedule=schedule_of(case),
            probe=self.option.probe,
            grid=self.grid,
        )
        return TargetForecast(
            option=self.name, until=target, reach_probability=made.reach_probability, forecast=costs
        )

    def for_budget(self, budget: Allowance) -> BudgetForecast:
        curve = self.by_cost.get(budget.cost)
        found = BudgetForecast(option=self.name, budget=budget.text, cost=budget.cost, most=budget.most)
        if curve is None:
            return found.model_copy(update={"why_not": self._why_not(budget.cost)})
        return found.model_copy(
            update={
                "quality": in_unit(curve.for_budget(budget.most), self.settings),
                "reach_probability": curve.probability(self.option.case.until, budget.most),
                "whole": budget.most >= self.whole[budget.cost],
            }
        )

    def _why_not(self, cost: BudgetCost) -> str:
        if not traits_of(self.option.case.option).takes_steps:
            return "it takes no training step, so that more of a budget changes nothing"
        if "epochs" in self.by_cost:
            return f"the {NOUNS[cost]} of a step was not measured here"
        if self.option.made.already_met:
            return "the model is already as good as can be forecast"
        return "no time to a quality could be forecast here"
