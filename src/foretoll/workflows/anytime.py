"""An anytime forecast: the pilot goes on as the beginning of the run itself, and each look at it renews the forecast.

Its steps are those of the run to the bit: seed, order of the samples, recipe and evaluations. Until the run's first
evaluation after a step it is looked at after 24, 48, 96, … steps as well, of which the run knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.decide.pilot_budget import PilotBudget
from foretoll.errors import ForetollError, one_line
from foretoll.forecast import Forecaster, Prediction
from foretoll.forecast.live import Course, Seen
from foretoll.forecast.renewed import renewed_time
from foretoll.forecast.step_costs import StepCosts
from foretoll.options import get_option, train_to_target
from foretoll.options.part import Part
from foretoll.options.schedule import planned_steps
from foretoll.records import (
    EvalPoint,
    Interval,
    MadeForecast,
    Outcome,
    PilotRecord,
    PilotStage,
    TrainingSettings,
)
from foretoll.workflows.context import Runtime, Update, seeded
from foretoll.workflows.kept_pilot import keep_pilot
from foretoll.workflows.pilot import STEPS
from foretoll.workflows.whole_curve import NamedOption

FIRST = max(STEPS)  # steps that the short pilot has taken already
DEAR = "the next look at it would spend more than {share:g}% of what the retraining is forecast to take"


@dataclass(frozen=True)
class Grown:
    """What a pilot that went on has told: the forecast now, its record, warnings, and where it stands."""

    made: Prediction
    record: PilotRecord
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class GrowingPilot:
    """A pilot that may go on; `known` is what was forecast from the short one, of the option as it was `spelled`."""

    update: Update
    spelled: str
    settings: TrainingSettings
    known: NamedOption
    budget: PilotBudget
    forecaster: Forecaster
    runtime: Runtime

    def grow(self) -> Grown:
        """Train until the budget is spent or the interval is narrow enough.

        What goes wrong ends the pilot and is a warning: the forecast is that of the last stage before.
        """
        stages, within, spend = self._stages(), self.budget.within, self.budget.spend
        if stages is None:
            why = "nothing is left to forecast, or no cost of a step is known"
            return Grown(self.known.made, PilotRecord(within=within, spend=spend, ended=why))
        warning = self._train(stages) if not stages.over else None
        kept, of_keeping = self._keep(stages)
        warning = warning or of_keeping
        record = PilotRecord(
            within=within, spend=spend, ended=stages.ended, stages=tuple(stages.found), kept=kept
        )
        return Grown(stages.made, record, () if warning is None else (warning,))

    def _keep(self, stages: Stages) -> tuple[str | None, str | None]:
        """Where the pilot was kept, and why it was not, where it was asked for."""
        if self.budget.keep is None:
            return None, None
        if stages.paused is None or not stages.can_go_on:
            why = f"{self.spelled} cannot be continued" if stages.paused is not None else stages.ended
            return None, f"no pilot is kept ({why}): retrain begins anew"
        try:
            path = keep_pilot(self.budget.keep, self.update, self.spelled, self.settings, stages.paused)
        except ForetollError as error:
            return None, str(error)
        return str(path), None

    def _stages(self) -> Stages | None:
        case, made, probe = self.known.case, self.known.made, self.known.probe
        epochs, reach = made.forecast.epochs, made.reach_probability
        if probe is None or made.time is None or epochs is None or reach is None:
            return None
        steps = probe, case.steps_per_epoch, case.evals_per_epoch
        told = MadeForecast(forecast=made.forecast, reach_probability=reach)
        course = Course.of(self.settings, case.steps_per_epoch, case.validation_samples, told)
        if course is None:
            return None
        cost = StepCosts.of_energy(*steps) or StepCosts.of_seconds(*steps)
        return Stages(self, cost, course, made)

    def _train(self, stages: Stages) -> str | None:
        """Take the steps; a sentence where they ended otherwise than by the budget."""
        update, settings = self.update, self.settings
        option = get_option(self.spelled)
        try:
            with seeded(settings.seed, update.device):
                training = option.start(
                    update.model, update.target, settings, task_shift=update.task_shift, device=update.device
                )
                stages.can_go_on = training.can_go_on
                with self.runtime.meter() as meter:
                    result = train_to_target(
                        option,
                        training,
                        settings,
                        meter=meter,
                        device=update.device,
                        progress=stages.evaluated,
                        part=stages,
                    )
        except Exception as error:  # noqa: BLE001  # the forecast so far is worth more than the fault
            stages.ended = f"{type(error).__name__}: {one_line(str(error), 150)}"
            return f"the pilot ended after {stages.steps:,} steps ({stages.ended}): the forecast is the one before"
        if result.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
            stages.ended = result.reason
            return f"the pilot ended after {result.steps:,} steps ({result.reason}): the forecast is the one before"
        if not stages.ended:
            stages.ended = "the retraining was over"
        return None


class Stages(Part):
    """The looks at a pilot: each renews the forecast and decides whether the next one is affordable."""

    def __init__(self, pilot: GrowingPilot, cost: StepCosts, course: Course, made: Prediction) -> None:
        super().__init__()
        self.pilot, self.cost, self.course, self.made = pilot, cost, course, made
        self.case, self.settings = pilot.known.case, pilot.settings
        self.steps, self.evaluations = 0, 1
        self._planned = planned_steps(self.settings, self.case.steps_per_epoch)
        self.ended = ""
        self.can_go_on = False
        self.curve: list[Seen] = []
        self.found = [self._stage(0, None, 0.0)]
        self._next, self._share = 0, 0.0
        self._decide()

    @property
    def over(self) -> bool:
        """Whether the pilot has ended."""
        return bool(self.ended)

    def due(self, step: int) -> bool:
        """Whether the next look is after this step; one of the run's own is made in any case."""
        return step == self._next

    def looked(self, step: int, quality: float) -> None:
        """A look of which the run knows nothing: it cannot end it."""
        self._renew(step, quality, met=False)

    def evaluated(self, point: EvalPoint) -> None:
        """The run's own evaluation, by which it may be over."""
        self.pilot.runtime.watcher.evaluated(point, self.settings)
        if point.step == 0:
            self.curve.append(Seen(0.0, self.settings.progress(point.quality)))
        else:
            self._renew(point.step, point.quality, met=self.settings.meets(point.quality))

    def _renew(self, step: int, quality: float, *, met: bool) -> None:
        self.steps, self.evaluations = step, self.evaluations + 1
        self.curve.append(Seen(step / self.case.steps_per_epoch, self.settings.progress(quality)))
        if self.curve[-1].epochs < self.case.max_epochs - 1e-9 or met:
            found = renewed_time(self.case, self.course, self.curve, met=met)
            self.made = self.pilot.forecaster.renewed(self.case, self.pilot.known.made, *found)
        self.found.append(self._stage(step, quality, self._share))
        if met:
            self.ended = "the pilot met the target"
        else:
            self._decide()

    def _stage(self, step: int, quality: float | None, share: float) -> PilotStage:
        assert self.made.forecast.epochs is not None  # noqa: S101  # else there are no stages
        return PilotStage(
            step=step,
            epochs=step / self.case.steps_per_epoch,
            share=share,
            quality=quality,
            forecast_epochs=self.made.forecast.epochs,
            reach_probability=self.made.reach_probability or 0.0,
        )

    def _decide(self) -> None:
        """Choose the next look, or end."""
        budget, epochs = self.pilot.budget, self.made.forecast.epochs
        if budget.narrow(epochs):
            self.ended = f"the interval is within {budget.within:g} ×"
            return
        self._next = self._after(self.steps)
        self._share = self._spent(self._next, self.evaluations + 1) / self._whole(epochs)
        if self._share > budget.spend:
            self.ended = DEAR.format(share=100 * budget.spend)

    def _after(self, step: int) -> int:
        """The step of the next look: the run's next evaluation, or before its first one a power of two times 24."""
        per_epoch, checks = self.case.steps_per_epoch, self.case.evals_per_epoch
        epoch, position = divmod(step, per_epoch)
        number = position * checks // per_epoch + 1
        own = min(epoch * per_epoch - (-number * per_epoch // checks), self._planned)
        more = FIRST
        while more <= step:
            more *= 2
        first = -(-per_epoch // checks)
        return more if more < first else own

    def _spent(self, steps: int, evaluations: int) -> float:
        cost = self.cost
        return cost.preparation + steps * cost.per_step + evaluations * cost.per_evaluation

    def _whole(self, epochs: Interval | None) -> float:
        median = epochs.median if epochs is not None else None
        return max(self.cost.of(self.case.max_epochs if median is None else median), 1e-30)
