"""A pilot that goes on as the beginning of the run: its laws, and what becomes of the forecast where it fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import foretoll
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.errors import UsageError
from foretoll.forecast import Forecaster
from foretoll.forecast.case import log_steps
from foretoll.forecast.early import EarlyCase
from foretoll.forecast.reference import reference_forecaster
from foretoll.options import OPTIONS
from foretoll.records import Interval, StepProbe, TrainingSettings
from foretoll.report import document_of
from foretoll.report.markdown import markdown
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows.anytime import GrowingPilot, Grown
from foretoll.workflows.carry_out import carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.planned import case_of_update, start_quality
from foretoll.workflows.retrain import take_signals
from foretoll.workflows.whole_curve import NamedOption
from options.making import blobs, mlp

HARD = TrainingSettings(batch_size=8, max_epochs=4, lr=3e-4, until=0.75)  # some 100 steps an epoch
PROBE = StepProbe(
    steps=24, repeats=3, seconds_per_step=1e-3, seconds_per_step_low=1e-3, seconds_per_step_high=1e-3,
    joules_per_step=1e-2, seconds_per_evaluation=1e-3, joules_per_evaluation=1e-2,
)  # fmt: skip
NO_METER = Accounting("none", region="DE")


@dataclass(frozen=True)
class Job:
    """An update that was forecast from its short pilot."""

    update: Update
    known: NamedOption
    forecaster: Forecaster

    def grown(self, spend: float, within: float | None = None, watcher: Watcher | None = None) -> Grown:
        budget, runtime = (
            PilotBudget(within, spend),
            Runtime(accounting=NO_METER, watcher=watcher or Watcher()),
        )
        return GrowingPilot(
            self.update, "finetune", HARD, self.known, budget, self.forecaster, runtime
        ).grow()


@pytest.fixture(scope="module")
def job(cache_folder: Path) -> Job:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETOLL_CACHE", str(cache_folder))
        source, target = blobs(400, distance=1.5, seed=1), blobs(1400, distance=1.5)
        update = Update(mlp(source), source, target, False, torch.device("cpu"))
        forecaster = reference_forecaster()
        case = case_of_update(
            update, "finetune", HARD, take_signals(update, HARD), pilot_signals(update, "finetune", HARD),
            start_quality(update, HARD),
        )  # fmt: skip
        made = forecaster.foretell(case)
        assert made.time is not None, "the case is open"
        return Job(update, NamedOption(case, made, PROBE), forecaster)


def test_a_bigger_spend_never_gives_fewer_steps_and_its_stages_begin_alike(job: Job) -> None:
    found = [job.grown(spend).record for spend in (0.0, 0.03, 0.2, 0.6)]
    steps = [record.steps for record in found]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] > 100
    for shorter, longer in pairwise(found):
        assert longer.stages[: len(shorter.stages)] == shorter.stages
    for record, spend in zip(found, (0.0, 0.03, 0.2, 0.6), strict=True):
        assert all(stage.share <= spend for stage in record.stages)
        assert f"more than {100 * spend:g}%" in record.ended


def test_nothing_is_spent_where_nothing_may_be(job: Job) -> None:
    grown = job.grown(0.0)
    assert grown.made == job.known.made and not grown.warnings and len(grown.record.stages) == 1


def test_its_looks_are_those_of_the_run_and_powers_of_two_before(job: Job) -> None:
    per_epoch = job.known.case.steps_per_epoch
    own = [-(-number * per_epoch // 4) for number in range(1, 17)]
    looks = [stage.step for stage in job.grown(1.0).record.stages[1:]]
    before = [step for step in looks if step < own[0]]
    assert before == [24] and looks[1:] == own[: len(looks) - 1]


def test_early_evaluations_of_the_run_are_looks(job: Job) -> None:
    known = replace(job.known, case=EarlyCase(**dict(job.known.case), first_evaluation=32))
    settings = HARD.model_copy(update={"evals_per_epoch": 1, "first_evaluation": 32})
    known = replace(known, case=known.case.model_copy(update={"evals_per_epoch": 1}))
    grown = GrowingPilot(
        job.update,
        "finetune",
        settings,
        known,
        PilotBudget(None, 0.6),
        job.forecaster,
        Runtime(accounting=NO_METER),
    ).grow()
    looks = [stage.step for stage in grown.record.stages[1:]]
    per_epoch = known.case.steps_per_epoch
    assert looks[:4] == [24, 32, 64, per_epoch][: len(looks)] and len(looks) > 2
    assert all(stage.epochs == stage.step / per_epoch for stage in grown.record.stages)
    last = grown.record.stages[-1].forecast_epochs
    assert last.low is not None and last.low > grown.record.stages[-1].epochs


def test_what_it_sees_is_what_the_run_sees(job: Job) -> None:
    update = job.update
    run = carry_out(OPTIONS["finetune"], update, HARD, Runtime(accounting=NO_METER)).run
    seen = {point.step: point.quality for point in run.curve}
    stages = [stage for stage in job.grown(0.6).record.stages if stage.step in seen and stage.step]
    assert len(stages) > 2
    assert all(seen[stage.step] == stage.quality for stage in stages)


def test_it_ends_where_the_interval_is_narrow(job: Job) -> None:
    wide = job.grown(1.0).record
    widths = [(stage.forecast_epochs.high or 0) / (stage.forecast_epochs.low or 1) for stage in wide.stages]
    factor = (sorted(widths[1:])[len(widths) // 2] * 1.0001) ** 0.5
    narrow = job.grown(1.0, within=factor).record
    assert 0 < narrow.steps < wide.steps
    last = narrow.stages[-1].forecast_epochs
    assert last.high is not None and last.low is not None and last.high <= factor**2 * last.low
    assert "the interval is within" in narrow.ended


def test_the_forecast_is_that_of_the_last_stage(job: Job) -> None:
    grown = job.grown(0.6)
    last = grown.record.stages[-1]
    assert grown.made.forecast.epochs == last.forecast_epochs
    assert grown.made.reach_probability == last.reach_probability
    low = last.forecast_epochs.low
    assert low is not None and low > last.epochs, "an evaluation more, at the least"
    time, case = grown.made.time, job.known.case
    assert time is not None
    levels = [level / 20 for level in range(1, 20)]
    found = [time.quantile(level) for level in levels]
    kept = [(level, value) for level, value in zip(levels, found, strict=True) if value is not None]
    assert [value for _, value in kept] == sorted(value for _, value in kept)
    limit = log_steps(case.max_epochs, case.steps_per_epoch)
    assert time.cdf(limit) == pytest.approx(last.reach_probability)
    assert time.cdf(log_steps(last.epochs, case.steps_per_epoch)) == 0.0


class Breaks(Watcher):
    """Fails at an evaluation, as anything may."""

    def __init__(self, error: BaseException, after: int) -> None:
        self.error, self.after = error, after

    def evaluated(self, point: Any, settings: TrainingSettings) -> None:
        if point.step >= self.after:
            raise self.error


@pytest.mark.parametrize(
    "error", [ValueError("a fault"), KeyboardInterrupt(), MemoryError()], ids=lambda e: type(e).__name__
)
def test_what_stops_it_leaves_the_forecast_before(job: Job, error: BaseException) -> None:
    whole = job.grown(0.6).record
    stopped = job.grown(0.6, watcher=Breaks(error, whole.stages[4].step))
    assert stopped.record.stages == whole.stages[:4]
    assert stopped.made.forecast.epochs == whole.stages[3].forecast_epochs
    (warning,) = stopped.warnings
    assert warning.startswith("the pilot ended after") and warning.endswith("the forecast is the one before")


def test_a_training_that_diverges_is_said(job: Job) -> None:
    wild = HARD.model_copy(update={"lr": 1e30, "optimizer": "sgd"})
    pilot = GrowingPilot(
        job.update,
        "finetune",
        wild,
        job.known,
        PilotBudget(spend=1.0),
        job.forecaster,
        Runtime(accounting=NO_METER),
    )
    grown = pilot.grow()
    assert "the loss" in grown.warnings[0] and "smaller --lr" in grown.warnings[0]


def test_the_answer_shows_how_the_interval_shrank_and_what_it_cost() -> None:
    source, target = blobs(400, distance=1.5, seed=1), blobs(700, distance=1.5)
    plain, none, longer = (
        foretoll.estimate(
            mlp(source),
            source,
            target,
            settings=HARD,
            accounting=Accounting("watts:20", region="DE"),
            pilot=pilot,
        )
        for pilot in (None, PilotBudget(spend=0.0), PilotBudget(spend=1.0))
    )
    assert plain.pilot is None and none.pilot is not None and none.pilot.steps == 0
    for told in ("reach_probability", "served_probability", "expected_quality", "warnings", "coverage"):
        assert getattr(none, told) == getattr(plain, told)
    assert none.forecast.epochs == plain.forecast.epochs
    assert longer.pilot is not None and longer.pilot.steps > 24
    assert longer.forecast.epochs == longer.pilot.stages[-1].forecast_epochs
    assert (longer.self_cost.pilot_energy_kwh or 0) > 0
    assert none.self_cost.pilot_duration_s < longer.self_cost.pilot_duration_s
    curve = longer.curves["finetune"]
    row = curve.targets.index(0.75)
    assert curve.epochs[row][0] == longer.forecast.epochs.low and curve.reach[row] == longer.reach_probability
    text = markdown(document_of(estimate=longer))
    assert "validation accuracy" in text and f"{longer.pilot.steps:,} further steps of the pilot took" in text
    assert "the pilot took no further steps: the next look" in markdown(document_of(estimate=none))


@pytest.mark.parametrize(
    ("within", "spend", "said"),
    [("1", None, "is no factor"), ("x", None, "cannot be read"), (None, "101%", "is no share"),
     (None, "-1%", "is no share"), (None, "3 %x", "cannot be read"), ("inf", None, "cannot be read")],
)  # fmt: skip
def test_what_is_no_budget_is_refused(within: str | None, spend: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PilotBudget.parse(within, spend)


def test_budgets_are_read_from_texts_and_numbers() -> None:
    assert PilotBudget.parse(None, None) is None
    assert PilotBudget.parse("1.5", None) == PilotBudget(1.5, 0.03)
    assert PilotBudget.parse(None, "10%") == PilotBudget(None, 0.1) == PilotBudget.parse(None, 0.1)
    two = Interval(median=2.0, low=1.0, high=2.25)
    assert PilotBudget(1.5).narrow(two) and not PilotBudget(1.49).narrow(two)
    assert not PilotBudget(1.5).narrow(Interval(median=0.0, low=0.0, high=0.0))
