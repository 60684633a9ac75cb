"""Forecasts of whole cases: what is known by looking, what is learned, from whom, and what is said about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.forecast import Case, Forecaster, case_of_run
from foretoll.forecast.case import decided
from foretoll.forecast.direct import reach_by_looking, test_quality
from foretoll.forecast.forecaster import HARD
from foretoll.forecast.learned import FEWEST_ALONE, CostModels, known_features
from foretoll.forecast.reference import reference_runs
from foretoll.options.table import traits_of
from foretoll.records import Outcome, Run

# pytest takes the name for a test
test_quality.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Every third of the runs that ship."""
    return list(reference_runs())[::3]


@pytest.fixture(scope="module")
def forecaster(runs: list[Run]) -> Forecaster:
    return Forecaster(runs)


def open_case(runs: list[Run]) -> Case:
    """A fine-tuning that needed steps."""
    for run in runs:
        case = case_of_run(run)
        if case is not None and run.option == "finetune" and not run.task_shift and not decided(case):
            return case
    raise AssertionError("the reference has such runs")


def test_a_target_that_is_met_already_costs_one_evaluation(runs: list[Run], forecaster: Forecaster) -> None:
    case = open_case(runs).model_copy(update={"start_quality": 0.95, "until": 0.9})
    told = forecaster.foretell(case)
    assert told.already_met and told.reach_probability == 1.0
    assert told.forecast.epochs is not None and told.forecast.epochs.high == 0.0
    assert told.forecast.gradient_norm is None  # no step, no gradient
    assert told.quality is not None and told.quality.low < 0.95 < told.quality.high  # type: ignore[operator]


def test_it_was_so_for_every_run_of_the_reference() -> None:
    """Whether a run needs a step is known beforehand: the rule is never wrong."""
    seen = 0
    for run in reference_runs():
        case = case_of_run(run)
        if case is None or case.start_quality is None or not traits_of(run.option).takes_steps:
            continue
        if case.until <= 0:  # a target no better than guessing, of which the run warns: progress ends there
            continue
        assert decided(case) == (run.steps == 0)
        seen += decided(case)
    assert seen > 20


def test_keep_is_known_and_recalibrate_nearly(runs: list[Run], forecaster: Forecaster) -> None:
    case = open_case(runs)
    kept = forecaster.foretell(case.model_copy(update={"option": "keep"}))
    assert kept.reach_probability == 0.0 and kept.forecast.epochs is not None
    signals = {**case.signals, "renormalised_quality": case.until + 0.01}
    again = forecaster.foretell(
        case.model_copy(update={"option": "recalibrate", "signals": signals, "looked_at": 1000})
    )
    assert again.reach_probability is not None and 0.5 < again.reach_probability < 1
    blind = forecaster.foretell(case.model_copy(update={"option": "recalibrate", "signals": {}}))
    assert blind.forecast.epochs is None and "could not be predicted" in blind.warnings[0]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(10, 5000))
def test_recalibrate_is_likelier_to_reach_what_it_was_seen_to_reach(
    lower: float, higher: float, validation: int
) -> None:
    lower, higher = sorted((lower, higher))
    reach = [
        reach_by_looking(
            Case.model_construct(
                option="recalibrate",
                until=0.7,
                looked_at=1000,
                validation_samples=validation,
                start_quality=None,
                signals={"renormalised_quality": quality},
            )
        )
        for quality in (lower, higher)
    ]
    assert 0 <= reach[0] <= 1 and reach[0] <= reach[1] + 0.02  # type: ignore[operator]  # the spread differs


@given(st.floats(0, 1), st.integers(1, 10**6), st.integers(1, 10**6))
def test_an_expected_quality_is_a_share_and_firmer_with_more_samples(
    q: float, seen: int, tested: int
) -> None:
    some = test_quality(q, seen, tested, 0.9)
    more = test_quality(q, 4 * seen, 4 * tested, 0.9)
    assert some.low is not None and some.high is not None and more.low is not None and more.high is not None
    assert 0 <= some.low <= q <= some.high <= 1
    assert more.high - more.low <= some.high - some.low + 1e-12


def test_an_open_case_is_learned_and_its_parts_are_in_order(runs: list[Run], forecaster: Forecaster) -> None:
    case = open_case(runs)
    told = forecaster.foretell(case)
    epochs = told.forecast.epochs
    assert (
        epochs is not None
        and epochs.low is not None
        and epochs.median is not None
        and epochs.high is not None
    )
    assert 1 / case.evals_per_epoch <= epochs.low <= epochs.median <= epochs.high <= case.max_epochs
    assert told.quality is not None and 0 <= told.quality.low <= told.quality.high <= 1  # type: ignore[operator]
    assert not told.already_met and told.nearest and all(near.option == "finetune" for near in told.nearest)


def test_an_option_with_enough_runs_is_learned_from_them_alone(runs: list[Run]) -> None:
    learned = CostModels(runs)
    positions = learned.in_pool(learned.pool("finetune"))
    assert len(positions) >= FEWEST_ALONE
    assert {learned.lessons[i].option for i in positions} == {"finetune"}
    assert not any(learned.lessons[i].decided for i in positions)
    few = learned.in_pool(learned.pool("reprogram"))
    assert {learned.lessons[i].option for i in few} > {"reprogram", "finetune"}


def test_an_option_without_runs_rests_on_others_and_says_so(runs: list[Run]) -> None:
    known = [run for run in runs if run.option == "finetune"]
    forecaster, case = Forecaster(known), open_case(runs)
    own = forecaster.foretell(case)
    other = forecaster.foretell(case.model_copy(update={"option": "lora"}))
    assert any("0 runs of lora" in warning for warning in other.warnings)
    assert not any("runs of finetune" in warning for warning in own.warnings)
    a, b = own.forecast.gradient_norm, other.forecast.gradient_norm
    assert a is not None and b is not None
    assert b.high / b.low > a.high / a.low  # type: ignore[operator]


def test_without_runs_nothing_is_claimed(runs: list[Run]) -> None:
    told = Forecaster([]).foretell(open_case(runs))
    assert told.forecast.epochs is None and told.quality is None and told.reach_probability is None
    assert "a forecast needs 3" in told.warnings[0]


def test_failed_runs_teach_nothing(runs: list[Run]) -> None:
    failed = [run.model_copy(update={"outcome": Outcome.FAILED}) for run in runs]
    assert len(Forecaster(failed).lessons) == 0


def test_a_family_without_runs_has_wider_intervals_of_gradients_and_changes(
    runs: list[Run], forecaster: Forecaster
) -> None:
    case = open_case(runs)
    known, new = (forecaster.foretell(c) for c in (case, case.model_copy(update={"family": "another"})))
    for cost in ("gradient_norm", "parameter_change"):
        a, b = getattr(known.forecast, cost), getattr(new.forecast, cost)
        assert a.median == pytest.approx(b.median, rel=0.05)
        assert b.high / b.low > 1.1 * a.high / a.low
    assert new.forecast.epochs == known.forecast.epochs


def test_what_is_forecast_badly_is_said_to_be(runs: list[Run], forecaster: Forecaster) -> None:
    every = [c for run in runs if run.option == "finetune" and (c := case_of_run(run)) and not decided(c)]
    known = known_features(open_case(runs))
    cases = [case for case in every if known_features(case) == known]  # one model is fitted
    told = [forecaster.foretell(case, time_only=True) for case in cases]
    said = [any("forecast less well" in warning for warning in one.warnings) for one in told]
    assert said == [(one.hardness or 0) > HARD for one in told]
    assert 0 < sum(said) < 0.25 * len(said)
