"""The model of a cost: recovers what is there, covers what it claims, says when it knows nothing."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from foretoll.forecast.neighbourhood import Neighbourhood
from foretoll.forecast.point import Table
from foretoll.forecast.regressor import CostModel, new_among
from foretoll.forecast.spread import GroupSpread


def make_table(n: int, seed: int, *, limit: float = np.inf, groups: int = 12, noise: float = 0.4) -> Table:
    rng = np.random.default_rng(seed)
    gap, loss = rng.uniform(-0.3, 0.3, n), rng.uniform(0, 3, n)
    group = rng.integers(0, groups, n)
    y = 1 + 6 * gap + 0.3 * loss + noise * rng.normal(size=n) + 0.3 * np.sin(group)
    return Table(
        rows=[{"gap": float(a), "loss": float(b)} for a, b in zip(gap, loss, strict=True)],
        y=np.minimum(y, limit),
        censored=y > limit,
        weights=np.ones(n),
        groups=[str(g) for g in group],
        owners=["" for _ in range(n)],
    )


@pytest.mark.parametrize("limit", [np.inf, 2.5])
def test_intervals_cover_new_data(limit: float) -> None:
    model = CostModel(make_table(300, 0, limit=limit))
    fresh = make_table(600, 1)  # uncensored truth
    inside = reached_right = 0.0
    for row, y in zip(fresh.rows, fresh.y, strict=True):
        predictive = model.predict(row)
        low, high = predictive.quantile(0.05), predictive.quantile(0.95)
        assert low is not None
        inside += low <= y and (high is None or y <= high)
        reached_right += (predictive.cdf(2.5) > 0.5) == (y <= 2.5)
    assert 0.84 <= inside / 600 <= 0.96
    assert reached_right / 600 > 0.8


def test_reported_coverage_is_near_its_level() -> None:
    coverage = CostModel(make_table(300, 2, limit=2.5)).coverage(0.9)
    assert coverage is not None
    assert 0.84 <= coverage <= 0.96


def test_few_runs_claim_no_coverage_and_give_wide_intervals() -> None:
    model = CostModel(make_table(6, 3))
    assert model.coverage(0.9) is None
    few = model.predict({"gap": 0.0, "loss": 1.0})
    many = CostModel(make_table(300, 3)).predict({"gap": 0.0, "loss": 1.0})
    width_few = few.quantile(0.95) - few.quantile(0.05)  # type: ignore[operator]  # Student's t has both
    width_many = many.quantile(0.95) - many.quantile(0.05)  # type: ignore[operator]
    assert width_few > width_many


def test_own_runs_move_the_forecast() -> None:
    table = make_table(200, 4, noise=0.2)
    own = [i < 6 for i in range(200)]
    moved = Table(
        table.rows,
        table.y + np.where(own, 2.0, 0.0),
        table.censored,
        table.weights,
        table.groups,
        ["mine" if o else "" for o in own],
    )
    model = CostModel(moved)
    row = {"gap": 0.0, "loss": 1.0}
    shift = model.predict(row, owner="mine").location - model.predict(row, owner="other").location
    assert 0.8 < shift < 2.2


def test_the_neighbourhood_knows_what_is_far() -> None:
    model = CostModel(make_table(200, 5))
    near = Neighbourhood(model)
    rows, unlike = near.of({"gap": 0.0, "loss": 1.0})
    assert len(rows) == 8
    assert unlike < 1
    assert near.of({"gap": 5.0, "loss": 40.0})[1] > 5


def test_seeded() -> None:
    row = {"gap": 0.1, "loss": 0.5}
    first, second = (CostModel(make_table(120, 6)).predict(row) for _ in range(2))
    assert [first.quantile(q) for q in (0.1, 0.5, 0.9)] == [second.quantile(q) for q in (0.1, 0.5, 0.9)]


def test_rows_are_forecast_alike_one_by_one_and_together() -> None:
    table = make_table(300, 6, limit=2.5)
    model = CostModel(table)
    rows, groups = table.rows[:20], [*table.groups[:19], "another"]
    together = model.predict_all(rows, [""] * 20, groups, [False] * 20)
    for row, group, told in zip(rows, groups, together, strict=True):
        alone = model.predict(row, group=group)
        assert alone.location == pytest.approx(told.location, rel=1e-12)
        assert alone.scale == pytest.approx(told.scale, rel=1e-12)


def test_intervals_are_narrower_for_a_known_group_and_wider_for_a_new_one() -> None:
    table = make_table(300, 7)
    table = replace(table, y=table.y + np.array([2.0 * np.cos(3 * int(g)) for g in table.groups]))
    model = CostModel(table)
    known, any_, new = (
        model.predict(table.rows[0], group=group).scale for group in (table.groups[0], None, "another")
    )
    assert known < 0.7 * any_  # most of the spread lies between these groups
    assert any_ < new
    # a task shift brings data that the ledger does not know
    assert model.predict(table.rows[0], group=table.groups[0], task_shift=True).scale == pytest.approx(any_)


def test_the_spread_is_that_of_random_effects() -> None:
    rng = np.random.default_rng(0)
    groups = [str(g) for g in np.repeat(np.arange(2000), 5)]
    values = np.repeat(rng.normal(0, 2, 2000), 5) + rng.normal(0, 1, 10000)
    spread = GroupSpread.of(values, groups)
    assert spread.within == pytest.approx(1, abs=0.05)
    assert spread.between == pytest.approx(4, abs=0.3)
    # the variance that a new run of a group has, given the mean of those that were seen: none, some, very many
    assert spread.left_after(0) == 1
    assert GroupSpread(1, 4).left_after(1) == pytest.approx(np.sqrt((1 + 4 / 5) / 5))
    assert GroupSpread(1, 4).left_after(10**9) == pytest.approx(np.sqrt(1 / 5))
    assert GroupSpread.of(values, [str(i) for i in rng.integers(0, 100, 10000)]).between < 0.05
    assert (
        GroupSpread.of(values[:4], ["a", "b", "a", "b"]).between == 0
    )  # two groups say nothing of their spread


def test_the_coverage_that_is_told_is_that_of_intervals_as_wide() -> None:
    table = make_table(300, 7)
    table = replace(table, y=table.y + np.array([2.0 * np.cos(3 * int(g)) for g in table.groups]))
    model = CostModel(table)
    known, any_, new = (model.coverage(0.9, group=group) for group in (table.groups[0], None, "another"))
    assert known is not None and any_ is not None and new is not None
    assert known < any_ <= new
    assert model.coverage(0.9, group=table.groups[0], task_shift=True) == any_


@pytest.mark.parametrize("groups", [4, 7, 12])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_an_interval_of_one_group_more_holds_what_it_says(groups: int, level: float) -> None:
    # exchangeable groups: a normal interval of the spread that was seen holds too few, widened by `new_among` enough
    rng, draws = np.random.default_rng(groups), 40_000
    seen, new = rng.normal(0, 1, (draws, groups)), rng.normal(0, 1, draws)
    spread = seen.std(axis=1, ddof=1) * np.sqrt(1 + 1 / groups)
    units = np.abs(new - seen.mean(axis=1)) / spread
    names = [str(k) for k in range(groups)]
    end = NormalDist().inv_cdf((1 + level) / 2)
    plain, widened = (float((units <= end * w).mean()) for w in (1.0, new_among(names, "another")))
    assert plain < level - 0.005
    # exact at 0.9; nearer the middle a normal errs less than in its tails
    assert abs(widened - level) < (0.005 if level == 0.9 else 0.04)


def test_nothing_is_widened_for_a_group_that_was_seen_or_where_two_say_nothing_of_their_spread() -> None:
    assert (
        new_among(["a", "b", "c"], "a") == new_among(["a", "b", "c"], None) == new_among(["a", "b"], "c") == 1
    )
    wider = [new_among([str(k) for k in range(n)], "another") for n in (3, 5, 9, 50)]
    assert wider == sorted(wider, reverse=True) and wider[-1] > 1


def test_what_is_learned_relative_to_a_feature_follows_it_beyond_what_was_seen() -> None:
    table = make_table(300, 8, noise=0.1)
    rng = np.random.default_rng(8)
    base = rng.normal(0, 1, 300)
    rows = [row | {"base": float(b)} for row, b in zip(table.rows, base, strict=True)]
    plain = replace(table, rows=rows, y=table.y + base)
    model, without = CostModel(replace(plain, base="base")), CostModel(plain)
    there = {"gap": 0.0, "loss": 1.5, "base": 8.0}
    near, far = (model.predict(there | {"base": b}).location for b in (0.0, 8.0))
    assert far - near == pytest.approx(8, abs=0.5)
    assert without.predict(there).location < far - 3  # no line is drawn on that far
    for row, y in zip(rows[:20], plain.y, strict=False):  # with everything else as before
        assert model.predict(row).location == pytest.approx(float(y), abs=0.6)


def test_runs_like_those_that_were_forecast_badly_are_known_to_be_hard() -> None:
    table = make_table(400, 9, noise=0.1)
    rng = np.random.default_rng(9)
    loud = np.array([(row["gap"] or 0) > 0.15 for row in table.rows])
    model = CostModel(replace(table, y=table.y + np.where(loud, rng.normal(0, 2, 400), 0.0)))
    easy, hard = (model.hardness({"gap": gap, "loss": 1.5}) for gap in (-0.1, 0.28))
    assert easy < 1.2 and hard > 2 * easy
    assert CostModel(make_table(40, 9)).hardness({"gap": 0.0, "loss": 1.0}) == 1  # too few to tell runs apart


@pytest.mark.parametrize("limit", [None, 1.5])
def test_quantiles_rise_with_their_level(limit: float | None) -> None:
    model = CostModel(make_table(300, 10, limit=2.5))
    for row in model.table.rows[:20]:
        told = model.predict(row, group="another", limit=limit)
        found = [told.quantile(level) for level in np.linspace(0.01, 0.99, 50)]
        ends = [np.inf if value is None else value for value in found]
        assert ends == sorted(ends)
