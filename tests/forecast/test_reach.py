"""The probability of reaching a target: calibrated, rising with the margin, and one with the distribution of time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from foretoll.forecast.point import Table
from foretoll.forecast.predictive import PredictiveDistribution
from foretoll.forecast.reach import Reach
from foretoll.forecast.regressor import CostModel
from foretoll.forecast.survival import kaplan_meier


def runs(n: int, seed: int, *, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and outcomes that a logistic law of them decides."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=n)
    return margin, rng.uniform(size=n) < 1 / (1 + np.exp(-2 * margin - lift))


def test_probabilities_are_those_of_the_law_and_rise_with_the_margin() -> None:
    reach = Reach.fit(*runs(2000, 0), ["finetune"] * 2000)
    assert reach is not None
    at = np.linspace(-2, 2, 9)
    told = reach.of(at, ["finetune"] * 9)
    assert np.all(np.diff(told) > 0)
    np.testing.assert_allclose(told, 1 / (1 + np.exp(-2 * at)), atol=0.06)


def test_an_option_that_fails_more_often_is_told_so() -> None:
    easy, hard = runs(300, 1, lift=1.0), runs(300, 2, lift=-3.0)
    reach = Reach.fit(
        np.concatenate([easy[0], hard[0]]),
        np.concatenate([easy[1], hard[1]]),
        ["finetune"] * 300 + ["partial"] * 300,
    )
    assert reach is not None
    finetune, partial, unknown = reach.of(np.zeros(3), ["finetune", "partial", "another"])
    assert partial == pytest.approx(1 / (1 + np.exp(3)), abs=0.06)
    assert partial < unknown < finetune


@pytest.mark.parametrize("reached", [True, False])
def test_nothing_is_learned_where_all_runs_end_alike(reached: bool) -> None:
    assert Reach.fit(np.linspace(-1, 1, 100), np.full(100, reached), ["finetune"] * 100) is None


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-2, 2),
    st.floats(0.1, 3),
    st.floats(-3, 3),
    st.floats(0.01, 0.99),
    st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=3, max_size=30),
)
def test_time_and_reach_are_one_distribution(
    location: float, scale: float, limit: float, reach: float, seen: list[tuple[float, bool]]
) -> None:
    shape = kaplan_meier(np.array([v for v, _ in seen]), np.array([c for _, c in seen]))
    told = PredictiveDistribution(location, scale, shape, 10.0, limit=limit, reach=reach)
    assert told.cdf(limit) == reach
    levels = np.linspace(0.02, 0.98, 25)
    ends = [told.quantile(float(level)) for level in levels]
    for level, end in zip(levels, ends, strict=True):
        assert (end is None) == (level > reach)  # beyond the budget, exactly as often as the target is missed
        if end is not None:
            assert end <= limit
            assert told.cdf(min(end + 1e-9, limit)) >= min(level, reach) - 1e-9
    within = [end for end in ends if end is not None]
    assert within == sorted(within)


def budgeted(n: int, seed: int, groups: int) -> Table:
    """Times in groups that differ, cut at a budget of 2.5."""
    rng = np.random.default_rng(seed)
    gap, group = rng.uniform(-0.3, 0.3, n), rng.integers(0, groups, n)
    y = 1.5 + 6 * gap + 0.3 * rng.normal(size=n) + 0.5 * np.sin(3 * group)
    return Table(
        rows=[{"gap": float(g)} for g in gap],
        y=np.minimum(y, 2.5),
        censored=y > 2.5,
        weights=np.ones(n),
        groups=[str(g) for g in group],
        owners=[""] * n,
        limits=np.full(n, 2.5),
        options=["finetune"] * n,
    )


def test_a_group_that_was_never_seen_has_wider_intervals_and_its_own_coverage() -> None:
    model = CostModel(budgeted(300, 3, groups=6))
    row = {"gap": -0.1}
    known, new = (model.predict(row, group=group, limit=9.0) for group in ("1", "another"))
    assert new.scale > known.scale
    assert new.location == known.location
    for_known, for_new = (model.coverage(0.9, group=group) for group in ("1", "another"))
    assert for_known is not None
    assert for_new is not None
    assert for_new >= for_known
    assert for_new > 0.85


def test_reach_is_calibrated_on_runs_that_were_held_out() -> None:
    model, fresh = CostModel(budgeted(400, 4, groups=6)), budgeted(600, 5, groups=6)
    told = np.array(
        [
            model.predict(row, group=g, limit=2.5, option="finetune").cdf(2.5)
            for row, g in zip(fresh.rows, fresh.groups, strict=True)
        ]
    )
    reached = ~fresh.censored
    assert told.mean() == pytest.approx(reached.mean(), abs=0.06)
    sure = told > 0.9
    assert reached[sure].mean() > 0.88
    assert float(np.mean((told - reached) ** 2)) < 0.6 * float(np.var(reached))


def test_probabilities_are_those_of_scipy_to_the_bit() -> None:
    margin = np.concatenate([np.random.default_rng(0).normal(size=20_000) * 30, [-1e4, 1e4]])
    model = Reach(["finetune"], 1.0, np.array([1.0, 0.25]), 0.5)
    assert (model.of(margin, ["finetune"] * len(margin)) == expit(margin + 0.25 + 0.5)).all()
