"""Scores of forecasts: closed forms of the measures, and the table on real runs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from foretoll.forecast.case import decided
from foretoll.forecast.reference import reference_runs
from foretoll.report.score_tables import score_blocks
from foretoll.research import metrics
from foretoll.research.leave_out import PRETRAINED, Fold, Row, rows_of, splits_of
from foretoll.research.metrics import Outcomes
from foretoll.research.open_runs import interval_measures, open_measures, tell_left_out
from foretoll.research.peers import FORETOLL, GAP, METHODS, PEERS
from foretoll.research.repeats import repeat_scores
from foretoll.research.score import LEVELS, against, forecast_left_out, score_all, scores


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A part of the settings of the reference, with both of their seeds."""
    every = rows_of(reference_runs(), option="finetune", task="classification")
    kept = set(sorted({row.setting for row in every})[::6])
    return [row for row in every if row.setting in kept]


def outcomes(epochs: list[float], limit: float = 10.0) -> Outcomes:
    values = np.array(epochs)
    return Outcomes(np.minimum(values, limit), np.full(len(values), limit), values > limit)


def test_a_forecast_of_the_truth_is_perfect() -> None:
    seen = outcomes([0.25, 1.0, 3.0, 20.0])
    told = np.array([0.25, 1.0, 3.0, 12.0])
    assert metrics.spearman(told, seen) == pytest.approx(1)
    assert metrics.harrell(told, seen) == 1
    assert metrics.median_factor(told, seen) == 1


def test_the_factor_is_that_of_epochs_with_an_eighth_added() -> None:
    seen = outcomes([0.875, 0.875, 0.875])
    assert metrics.median_factor(np.array([1.875, 1.875, 1.875]), seen) == pytest.approx(2)


def test_pairs_are_compared_within_groups_alone() -> None:
    seen = outcomes([1.0, 2.0, 1.0, 2.0])
    told = np.array([5.0, 6.0, 2.0, 1.0])
    assert metrics.grouped_harrell(told, seen, ["a", "a", "b", "b"]) == 0.5
    assert metrics.grouped_harrell(told, seen, ["a", "a", "", ""]) == 1
    assert metrics.grouped_harrell(told, seen, ["a", "b", "c", "d"]) is None


def test_coverage_counts_a_censored_run_inside_where_the_interval_reaches_its_limit() -> None:
    seen = outcomes([1.0, 20.0, 20.0])
    low, high = np.array([0.5, 1.0, 1.0]), np.array([2.0, np.inf, 5.0])
    assert metrics.coverage(low, high, seen) == pytest.approx(2 / 3)


def test_concordance_of_samples_with_replacement_is_that_of_the_repeated_runs() -> None:
    rng = np.random.default_rng(3)
    seen = outcomes(list(np.round(rng.uniform(0, 14, 40), 0)))  # with ties and censored runs
    told = np.round(rng.uniform(0, 14, 40), 0)
    draws = rng.multinomial(40, np.full(40, 1 / 40), size=10)
    expected = []
    for counts in draws:
        picked = np.repeat(np.arange(40), counts)
        expected.append(metrics.harrell(told[picked], seen.take(picked)))
    np.testing.assert_allclose(metrics.resampled_harrell(told, seen, draws), expected, rtol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_coverage_with_ties_split_is_the_level_for_a_right_forecast(level: float) -> None:
    # a coin of three sides, told exactly: every closed interval holds more than it says, with ties split none does
    mass = np.array([0.5, 0.3, 0.2])
    at = np.cumsum(mass)
    seen = np.repeat([0, 1, 2], [50, 30, 20])
    assert metrics.coverage_split((at - mass)[seen], at[seen], level) == pytest.approx(level)
    # told far too high, no outcome is in the central part; without ties it is the plain share
    assert metrics.coverage_split(np.zeros(4), np.full(4, 1e-3), level) == 0
    levels = np.linspace(0.005, 0.995, 100)
    assert metrics.coverage_split(levels, levels, level) == pytest.approx(level, abs=0.011)


@pytest.mark.parametrize("number", range(5))
def test_no_fold_is_learned_from(rows: list[Row], number: int) -> None:
    split = splits_of(rows)[number]
    folds = [split.fold(row) for row in rows]
    assert len({fold for fold in folds if fold is not None}) > 1, split.name
    for fold in {fold for fold in folds if fold is not None}:
        left = [row for row, f in zip(rows, folds, strict=True) if f == fold]
        rest = [r for r, f in zip(rows, folds, strict=True) if f != fold and not split.also_out(r, fold)]
        assert not {row.setting for row in left} & {row.setting for row in rest}
        if split.name == "data sets":
            assert all(fold not in (row.case.source_name, row.case.target_name) for row in rest)


def test_pretrained_models_are_forecast_by_those_that_began_from_nothing(rows: list[Row]) -> None:
    def row_of(row: Row, **of_model: str | None) -> Row:
        model = row.run.model.model_copy(update=of_model)
        return replace(row, run=row.run.model_copy(update={"model": model}))

    foreign = row_of(rows[0], arch="zoo.cifar_resnet:resnet20", parent_run_id=None)
    headed = row_of(rows[1], arch="hf:encoder?max_length=32")  # a run trained its head
    mixed = [foreign, headed, *rows[2:10]]
    split = next(split for split in splits_of(mixed) if split.name == PRETRAINED)
    assert [split.fold(row) for row in mixed] == [PRETRAINED] * 2 + [None] * 8
    assert not any(split.also_out(row, PRETRAINED) for row in mixed)
    none = splits_of(rows[2:10])
    assert all(split.fold(row) is None for split in none if split.name == PRETRAINED for row in rows[2:10])


def test_decided_rows_are_forecast_alike_by_every_method(rows: list[Row]) -> None:
    split = splits_of(rows)[1]
    found = forecast_left_out(rows, split, GAP)
    for i, median in zip(found.rows, found.median, strict=True):
        assert (median == 0) == decided(rows[i].case)


def test_our_forecast_is_scored_with_its_intervals_and_beside_its_repeats(rows: list[Row]) -> None:
    split = splits_of(rows)[1]
    ours, static = (forecast_left_out(rows, split, method) for method in (FORETOLL, PEERS[0]))
    measured = scores(ours, rows)
    assert measured["open_runs"] == sum(not decided(rows[i].case) for i in ours.rows)
    widths = [measured[f"width_{level:g}"] for level in LEVELS]
    assert all(a is not None and b is not None and a <= b for a, b in itertools.pairwise(widths))
    for level in LEVELS:  # ties lie inside of closed intervals
        split_ties, closed = measured[f"coverage_split_{level:g}"], measured[f"coverage_{level:g}"]
        assert split_ties is not None and closed is not None
        assert level - 0.15 < split_ties < min(level + 0.15, closed)
    assert measured["auc"] is not None and measured["brier"] is not None and measured["brier"] < 0.25
    difference, low, high = against(ours, static, rows)["spearman"]
    assert low <= difference <= high and difference > 0  # looking at the data beats not looking
    repeat = repeat_scores(rows, ours.rows)
    assert repeat["runs"] and (repeat["spearman"] or 0) > (measured["spearman"] or 0) - 0.05
    assert repeat["auc"] is not None and repeat["auc"] > 0.5


def test_the_table_names_the_best_peer_that_does_not_train_first() -> None:
    chosen = [m for m in METHODS if m.name in {"foretoll", "initial loss", "pilot epoch, extrapolated"}]
    every = rows_of(reference_runs(), option="finetune", task="classification")
    few = [row for row in every if row.case.shift_kind in {"gaussian_noise", "inversion", "occlusion"}]
    few = [row for row in few if row.case.source_name in {"mnist", "fashion_mnist", "cifar10"}]
    few = [row for row in few if row.case.family in {"mlp", "cnn"}]  # each group left out is fitted anew
    table = score_all([row.run for row in few], methods=chosen, jobs=1, costs=False)
    assert set(table["splits"]) <= {split.name for split in splits_of(few)}
    judged = 0
    for block in table["splits"].values():
        assert block["best_peer"] == "initial loss"
        assert block["methods"]["pilot epoch, extrapolated"]["trained_first"] == 1
        own = block["open"]["foretoll"]
        if own["runs"]:
            judged += 1
            assert own["runs"] <= block["methods"]["foretoll"]["open_runs"]
            assert 1 <= own["median_factor_low"] <= own["median_factor"] <= own["median_factor_high"]
            assert own["median_factor"] <= own["factor_0.9"] and own["within_1.5"] <= own["within_2"]
    assert judged >= 3
    said = str(score_blocks(table))
    assert said.index("Open runs that reached their target") < said.index("Left out: ")


def test_open_measures_leave_out_what_is_known_and_count_a_miss_in_full(rows: list[Row]) -> None:
    tested = list(range(len(rows)))
    open_reached = [row for row in rows if not decided(row.case) and not row.censored]
    truth = np.array([row.epochs for row in rows])
    perfect = open_measures(rows, tested, truth)
    assert perfect["runs"] == len(open_reached) and perfect["factor_0.9"] == perfect["within_1.5"] == 1
    never = open_measures(rows, tested, np.full(len(rows), np.inf))  # foretold to miss, yet they reached
    most = [(row.case.max_epochs + 0.125) / (row.epochs + 0.125) for row in open_reached]
    # whole steps: a budget's end lies between two of them
    assert never["median_factor"] == pytest.approx(np.median(most), rel=1e-4)


def test_intervals_of_all_costs_are_those_that_a_user_is_told(rows: list[Row]) -> None:
    few = [row for row in rows if not row.case.task_shift]
    half = Fold("half", lambda row: "left" if row.case.family in ("mlp", "cnn") else None)
    told = tell_left_out(few, half)
    assert set(told) == {k for k, row in enumerate(few) if half.fold(row) and not decided(row.case)}
    found = interval_measures(told, few)
    assert set(found) == {
        "epochs",
        "gradient_norm",
        "parameter_change",
        "quality",
        "duration_s",
        "energy_kwh",
    }
    for cost, measures in found.items():
        assert 0.6 <= measures["held"] <= 1, cost
        assert measures["width"] > (0 if cost == "quality" else 1)
    for made, forecast in told.values():
        assert made.forecast.epochs == forecast.epochs and made.own_runs == 0
