"""Expected quality and the probability of reaching the target never contradict each other."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from foretoll.forecast import Case
from foretoll.forecast.agreement import Agreement
from foretoll.forecast.case import OF_STUDIES, case_of_run, decided, usable
from foretoll.forecast.direct import binomial_deviation
from foretoll.forecast.forecaster import SLACK
from foretoll.forecast.learned import known_features
from foretoll.forecast.predictive import PredictiveDistribution
from foretoll.forecast.reference import reference_forecaster, reference_runs
from foretoll.forecast.survival import Distribution


def normal(location: float, scale: float) -> PredictiveDistribution:
    return PredictiveDistribution(location, scale, None, 1e6)


@pytest.mark.parametrize("reach", [0.0, 0.02, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("location", [-0.5, -0.21, -0.02, 0.0, 0.05, 0.4])
def test_so_much_of_the_quality_lies_at_the_target_as_runs_reach_it(location: float, reach: float) -> None:
    agreed = Agreement(normal(location, 0.05), reach, slack=0.03)
    levels = np.linspace(0.005, 0.995, 199)
    values = np.array([agreed.quantile(float(level)) for level in levels])
    assert np.all(np.diff(values) >= -1e-12), "a quantile function rises"
    assert np.isfinite(values).all()
    assert np.mean(values >= -0.03) == pytest.approx(reach, abs=0.01)


@pytest.mark.parametrize("reach", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("location", [-0.3, 0.0, 0.4])
def test_the_chance_of_at_least_a_value_is_what_the_quantiles_say(location: float, reach: float) -> None:
    agreed = Agreement(normal(location, 0.05), reach, slack=0.03)
    values = np.array([agreed.quantile(float(level)) for level in np.linspace(0.0005, 0.9995, 1000)])
    for value in (-0.2, -0.031, -0.03, -0.01, 0.0, 0.01, 0.5):
        assert agreed.at_least(value) == pytest.approx(np.mean(values >= value), abs=0.03)
    assert agreed.at_least(-0.03) == pytest.approx(reach, abs=1e-3)


def test_where_both_agree_the_learned_quality_stays() -> None:
    learned = normal(0.01, 0.05)
    agreed = Agreement(learned, 1 - learned.cdf(-0.03), slack=0.03)
    for level in (0.05, 0.25, 0.5, 0.95):
        assert agreed.quantile(level) == pytest.approx(learned.quantile(level), abs=1e-6)


def test_a_side_that_nothing_is_learned_of_lies_next_to_the_target() -> None:
    lump = PredictiveDistribution(-0.21, 1.0, Distribution(np.array([0.0]), np.array([1.0])), math.inf)
    agreed = Agreement(lump, 0.9, slack=0.03)
    assert -0.03 <= agreed.quantile(0.5) <= 0.03, "0.9 to reach 0.5 is not 0.29 expected"
    assert agreed.quantile(0.05) == pytest.approx(-0.21), "what was learned is where it ends when it misses"
    above = PredictiveDistribution(0.2, 1.0, Distribution(np.array([0.0]), np.array([1.0])), math.inf)
    assert -0.09 <= Agreement(above, 0.1, slack=0.03).quantile(0.5) < -0.03


def cases() -> list[Case]:
    """Open cases of the shipped ledger as a user's, with the commonest features: two pools, two kinds of shift."""
    found: list[Case] = []
    for option in ("finetune", "lora"):
        every = (case_of_run(run) for run in reference_runs() if run.option == option and usable(run))
        open_ones = [c for c in every if c is not None and not decided(c)]
        ((most, _),) = Counter(known_features(c) for c in open_ones).most_common(1)
        some = [c for c in open_ones if known_features(c) == most]
        found += [of_a_user(c) for c in some[:: max(len(some) // 16, 1)]]
    return found


def of_a_user(case: Case) -> Case:
    """Of nobody's model, without what only studies look at."""
    signals = {name: value for name, value in case.signals.items() if f"log_{name}" not in OF_STUDIES}
    return case.model_copy(update={"signals": signals, "model_id": "", "weights_digest": ""})


def test_the_law_over_the_shipped_ledger() -> None:
    forecaster = reference_forecaster()  # with the fits that ship
    judged = 0
    for case in cases():
        told = forecaster.foretell(case)
        reach, quality = told.reach_probability, told.quality
        if reach is None or quality is None or quality.median is None:
            continue
        assert quality.low is not None and quality.high is not None
        slack = SLACK * binomial_deviation(case.until, case.validation_samples, case.test_samples) + 1e-9
        assert quality.low <= quality.median <= quality.high
        where = (case.option, case.source_name, case.target_name, case.until, reach, quality)
        if reach > 0.5:
            assert quality.median >= case.until - slack, where
        if reach < 0.5 and not told.already_met:
            assert quality.median <= case.until - slack + 2e-9, where
        if reach >= 0.06:
            assert quality.high >= case.until - slack, where
        judged += 1
    assert judged >= 28
