"""An anytime forecast: the pilot goes on as the beginning of the run itself, and each look at it renews the forecast.

Its steps are those of the run to the bit: seed, order of the samples, recipe and evaluations. Until the run's first
evaluation after a step it is looked at after 24, 48, 96, … steps as well, of which the run knows nothing. It goes on to
the end of its budget, or to one look at a time (`workflows.halving`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foretoll.decide.halving import CostNow
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.errors import ForetollError, one_line
from foretoll.forecast import Forecaster, Prediction
from foretoll.forecast.early import schedule_of
from foretoll.forecast.live import Course, Seen
from foretoll.forecast.renewed import renewed_time
from foretoll.forecast.step_costs import StepCosts
from foretoll.options import get_option, train_to_target
from foretoll.options.part import Part, TrainingState
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
    """What a pilot that went on has shown: the forecast now, its record, warnings, and where it stands."""

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
        stages = self.begin()
        if stages is None:
            return self.unbegun()
        warning = self.train(stages) if not stages.over else None
        found = self.told(stages, warning)
        if self.budget.keep is None:
            return found
        kept, of_keeping = self.keep(stages, self.budget.keep)
        warning = warning or of_keeping
        record = found.record.model_copy(update={"kept": kept})
        return Grown(found.made, record, () if warning is None else (warning,))

    def unbegun(self) -> Grown:
        """What is said where no pilot can go on."""
        why = "nothing is left to forecast, or no cost of a step is known"
        return Grown(
            self.known.made, PilotRecord(within=self.budget.within, spend=self.budget.spend, ended=why)
        )

    def told(self, stages: Stages, warning: str | None = None) -> Grown:
        """What the stages so far have shown."""
        record = PilotRecord(
            within=self.budget.within, spend=self.budget.spend, ended=stages.ended, stages=tuple(stages.found)
        )
        return Grown(stages.made, record, () if warning is None else (warning,))

    def keep(self, stages: Stages, folder: str | Path) -> tuple[str | None, str | None]:
        """Where the pilot was kept, and why it was not."""
        state = stages.state
        if state is None:
            why = f"{self.spelled} cannot be continued" if stages.paused is not None else stages.ended
            return None, f"no pilot is kept ({why}): retrain begins anew"
        try:
            path = keep_pilot(folder, self.update, self.spelled, self.settings, state)
        except ForetollError as error:
            return None, str(error)
        return str(path), None

    def begin(self, *, by_looks: bool = False) -> Stages | None:
        """The pilot before its first step; None where nothing is left to forecast. `by_looks`: it rests after each."""
        case, made, probe = self.known.case, self.known.made, self.known.probe
        epochs, reach = made.forecast.epochs, made.reach_probability
        if probe is None or made.time is None or epochs is None or reach is None:
            return None
        steps = probe, schedule_of(case)
        told = MadeForecast(forecast=made.forecast, reach_probability=reach)
        course = Course.of(self.settings, case.steps_per_epoch, case.validation_samples, told)
        if course is None:
            return None
        cost = StepCosts.of_energy(*steps) or StepCosts.of_seconds(*steps)
        return Stages(self, cost, course, made, by_looks=by_looks)

    def train(self, stages: Stages) -> str | None:
        """Take the steps up to where the stages end or rest; a sentence where they ended otherwise."""
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
        if not stages.ended and result.outcome is not Outcome.RUNNING:
            stages.ended = "the retraining was over"
        return None


class Stages(Part):
    """The looks at a pilot: each renews the forecast and decides whether the next one is affordable.

    ended: why it goes no farther. can_go_on: whether it can rest and go on; else a later part begins anew, which is
    paid for, and each is twice as long as the one before.
    """

    def __init__(
        self, pilot: GrowingPilot, cost: StepCosts, course: Course, made: Prediction, *, by_looks: bool
    ) -> None:
        super().__init__()
        self.pilot, self.cost, self.course, self.made = pilot, cost, course, made
        self.case, self.settings = pilot.known.case, pilot.settings
        self.steps, self.evaluations = 0, 1
        self._schedule = schedule_of(self.case)
        self._planned = planned_steps(self.settings, self.case.steps_per_epoch)
        self.ended = ""
        self.can_go_on = False
        self.curve: list[Seen] = []
        self.found = [self._stage(0, None, 0.0)]
        self._by_looks, self._rests = by_looks, 0
        self._thrown_away = 0.0  # what parts that could not be continued took
        self._next, self._share = 0, 0.0
        self._decide()

    @property
    def over(self) -> bool:
        """Whether the pilot has ended, or rests."""
        return bool(self.ended) or (self._by_looks and 0 < self._rests <= self.steps)

    @property
    def state(self) -> TrainingState | None:
        """Where the run itself can go on from; None: from its beginning."""
        return self.paused if self.can_go_on else None

    @property
    def median(self) -> float:
        """What the run is forecast to take in all (kWh, or s); its whole budget where it may well miss its target."""
        return self._whole(self.made.forecast.epochs)

    @property
    def cost_interval(self) -> CostNow:
        """The same with the lower end of the interval."""
        epochs = self.made.forecast.epochs
        return CostNow(self.median, self.cost.of((epochs.low if epochs is not None else None) or 0.0))

    @property
    def price(self) -> float:
        """What the next look costs."""
        return self._spent_at(self._next) - self.spent

    @property
    def spent(self) -> float:
        """What its steps and evaluations have cost so far."""
        return self._thrown_away + (self._spent(self.steps, self.evaluations) if self.steps else 0.0)

    def go_on(self) -> None:
        """Make ready for the next look: from where it rests, or anew."""
        if self._anew:
            self._thrown_away, self.evaluations = self.spent, 1
            self.begun = None
        else:
            self.begun = self.paused
        self.paused, self._rests = None, self._next

    def due(self, step: int) -> bool:
        """Whether the next look is after this step; one of the run's own is made in any case."""
        return step == self._next

    def looked(self, step: int, quality: float) -> None:
        """A look of which the run knows nothing: it cannot end it."""
        self._renew(step, quality, met=False)

    def evaluated(self, point: EvalPoint) -> None:
        """The run's own evaluation, by which it may be over."""
        self.pilot.runtime.watcher.evaluated(point, self.settings)
        if point.step > self.steps:
            self._renew(point.step, point.quality, met=self.settings.meets(point.quality))
        elif point.step:  # seen before, in a part that was thrown away
            self.evaluations += 1
        elif not self.curve:
            self.curve.append(self.course.seen(0.0, self.settings.progress(point.quality)))

    def _renew(self, step: int, quality: float, *, met: bool) -> None:
        self.steps, self.evaluations = step, self.evaluations + 1
        epochs = step / self.case.steps_per_epoch
        self.curve.append(self.course.seen(epochs, self.settings.progress(quality)))
        if epochs < self.case.max_epochs - 1e-9 or met:
            found = renewed_time(self.course, self.curve, met=met)
            self.made = self.pilot.forecaster.renewed(self.case, self.pilot.known.made, *found)
        self.found.append(self._stage(step, quality, self._share))
        if met:
            self.ended = "the pilot met the target"
        elif step < self._rests:  # one more before it rests
            self._next = self._after(step)
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
        while self._anew and self._next < min(2 * self.steps, self._planned):
            self._next = self._after(self._next)
        self._share = self._spent_at(self._next) / self._whole(epochs)
        if self._share > budget.spend:
            self.ended = DEAR.format(share=100 * budget.spend)

    def _after(self, step: int) -> int:
        """The step of the next look: the run's next evaluation, or before its first one a power of two times 24."""
        own, more = min(self._schedule.after(step), self._planned), FIRST
        while more <= step:
            more *= 2
        return more if more < self._schedule.after(0) else own

    @property
    def _anew(self) -> bool:
        """Whether its next part begins anew."""
        return self._by_looks and self.steps > 0 and not self.can_go_on

    def _spent_at(self, step: int) -> float:
        """What will have been spent at a later look."""
        if self._anew:
            return self.spent + self._spent(step, 1 + self._schedule.made(step))
        return self._thrown_away + self._spent(step, self.evaluations + 1)

    def _spent(self, steps: int, evaluations: int) -> float:
        cost = self.cost
        return cost.preparation + steps * cost.per_step + evaluations * cost.per_evaluation

    def _whole(self, epochs: Interval | None) -> float:
        median = epochs.median if epochs is not None else None
        return max(self.cost.of(self.case.max_epochs if median is None else median), 1e-30)
