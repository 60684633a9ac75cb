"""The shadow: a head from sums, laws of the sums, and the lead."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from foretoll.errors import DataError, UsageError
from foretoll.indices._ridge import LAMBDAS, Sums, fit_head
from foretoll.indices.shadow import WIDEST, Shadow, lead
from foretoll.tasks import get_task


def _batch(n: int, d: int, k: int, seed: int, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.integers(k, size=n)
    centres = np.random.default_rng(99).normal(size=(k, d))
    x = draw.normal(size=(n, d)) + 2 * np.roll(centres, round(turn), axis=0)[y]
    return x, y


def _add(shadow: Shadow, name: str, x: np.ndarray, y: np.ndarray, k: int) -> None:
    """Class numbers, −1 where there is none, as one-hot targets."""
    shadow.add(name, np.asarray(x)[y >= 0], np.eye(k)[y[y >= 0]])


def _said(shadow: Shadow, x: np.ndarray) -> np.ndarray:
    return shadow.fitted(x).argmax(1)


def _shadow(parts: list[tuple[np.ndarray, np.ndarray]], k: int, window: int | None = None) -> Shadow:
    shadow = Shadow(window=window)
    for number, (x, y) in enumerate(parts):
        _add(shadow, f"batch {number}", x, y, k)
    return shadow


def test_the_head_is_ridge_regression_on_centred_labels() -> None:
    x, y = _batch(60, 7, 3, 0)
    head = fit_head(Sums.of(x, np.eye(3)[y]))
    unit = float(x.var(0).mean())
    again = Ridge(alpha=head.ridge * unit).fit(x, np.eye(3)[y])
    np.testing.assert_allclose(head.scores(x), again.predict(x), atol=1e-9)


def test_lambda_minimises_the_generalised_cross_validation_error() -> None:
    x, y = _batch(40, 9, 2, 1)
    target = np.eye(2)[y]
    z, t = x - x.mean(0), target - target.mean(0)
    z = z / np.sqrt((z**2).mean())

    def score(strength: float) -> float:
        hat = z @ np.linalg.solve(z.T @ z + strength * np.eye(9), z.T)
        return 40 * ((t - hat @ t) ** 2).sum() / (40 - 1 - np.trace(hat)) ** 2

    best = min((share * 40 for share in LAMBDAS), key=score)
    assert fit_head(Sums.of(x, target)).ridge == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.lists(st.integers(1, 59), max_size=4), st.integers(0, 5), st.booleans())
def test_any_split_and_order_of_the_data_give_one_head(
    n: int, cuts: list[int], seed: int, backwards: bool
) -> None:
    x, y = _batch(n, 5, 3, seed)
    edges = sorted({0, n, *(c for c in cuts if c < n)})
    parts = [(x[a:b], y[a:b]) for a, b in itertools.pairwise(edges)]
    whole, split = _shadow([(x, y)], 3), _shadow(parts[::-1] if backwards else parts, 3)
    np.testing.assert_allclose(
        whole.head().scores(x), split.head().scores(x), atol=1e-7 * max(1, abs(whole.head().scores(x)).max())
    )


def test_shadows_that_are_merged_equal_one_that_saw_all() -> None:
    parts = [_batch(20, 5, 3, seed) for seed in range(4)]
    for window in (None, 8):
        whole = _shadow(parts, 3, window)
        one, other = Shadow(window=window), Shadow(window=window)
        for number, (x, y) in enumerate(parts):
            _add(one if number < 2 else other, f"batch {number}", x, y, 3)
        one.merge(other)
        np.testing.assert_allclose(
            one.head().scores(parts[0][0]), whole.head().scores(parts[0][0]), atol=1e-9
        )
    with pytest.raises(UsageError, match="with a window and one without"):
        Shadow().merge(Shadow(window=2))


def test_a_window_forgets_the_oldest_batches() -> None:
    parts = [_batch(30, 5, 3, seed) for seed in range(5)]
    recent = _shadow(parts[2:], 3, None)
    windowed = _shadow(parts, 3, 3)
    assert windowed.batches == ("batch 2", "batch 3", "batch 4") and windowed.samples == 90
    np.testing.assert_allclose(
        windowed.head().scores(parts[0][0]), recent.head().scores(parts[0][0]), atol=1e-9
    )


def test_the_same_batch_twice_adds_nothing_even_after_it_fell_out() -> None:
    parts = [_batch(30, 5, 3, seed) for seed in range(4)]
    shadow = _shadow(parts, 3, 2)
    _add(shadow, "batch 0", *parts[0], 3)
    _add(shadow, "batch 3", *parts[3], 3)
    assert shadow.batches == ("batch 2", "batch 3")


def test_a_new_class_widens_the_head() -> None:
    old, new = _batch(40, 6, 2, 0), _batch(40, 6, 4, 1)
    shadow = Shadow()
    _add(shadow, "old", *old, 2)
    _add(shadow, "new", *new, 4)
    apart = Shadow()
    _add(apart, "all", np.concatenate([old[0], new[0]]), np.concatenate([old[1], new[1]]), 4)
    np.testing.assert_allclose(shadow.head().scores(new[0]), apart.head().scores(new[0]), atol=1e-9)
    assert set(_said(shadow, new[0])) > {0, 1}


@pytest.mark.parametrize("window", [None, 2])
def test_its_state_is_plain_arrays_and_comes_back_the_same(window: int | None, tmp_path) -> None:  # type: ignore[no-untyped-def]
    shadow = _shadow([_batch(30, 5, 3, seed) for seed in range(3)], 3, window)
    np.savez(tmp_path / "s.npz", **shadow.state())
    with np.load(tmp_path / "s.npz", allow_pickle=False) as stored:
        again = Shadow.from_state(dict(stored))
    x, y = _batch(10, 5, 3, 9)
    np.testing.assert_array_equal(again.head().scores(x), shadow.head().scores(x))
    _add(again, "batch 1", x, y, 3)  # known: nothing is added
    assert again.samples == shadow.samples
    for key in shadow.state():
        broken = {k: v for k, v in shadow.state().items() if k != key}
        with pytest.raises(DataError, match="no state of a shadow"):
            Shadow.from_state(broken)


def test_the_lead_is_what_a_head_on_the_new_data_wins() -> None:
    shadow, served = Shadow(), Shadow()
    _add(served, "then", *_batch(400, 6, 3, 0), 3)
    for seed in range(1, 4):
        _add(shadow, f"now {seed}", *_batch(200, 6, 3, seed, turn=1), 3)
    x, y = _batch(500, 6, 3, 9, turn=1)
    found = lead(_said(shadow, x) == y, _said(served, x) == y)
    assert found.samples == 500
    assert (
        found.value == pytest.approx(found.shadow - found.served) and found.value > 5 * found.standard_error
    )
    still = lead(_said(shadow, x) == y, _said(shadow, x) == y)
    assert still.value == 0 and 0 < still.standard_error < 0.01


def test_samples_without_a_label_count_nowhere() -> None:
    x, y = _batch(50, 5, 3, 0)
    half = np.where(np.arange(50) < 25, y, -1)
    shadow, apart = _shadow([(x, half)], 3), _shadow([(x[:25], y[:25])], 3)
    np.testing.assert_allclose(shadow.head().scores(x), apart.head().scores(x), atol=1e-12)


def test_no_label_yet_no_head() -> None:
    assert not Shadow().ready
    with pytest.raises(DataError, match="seen no labelled batch"):
        Shadow().head()


def test_the_paired_standard_error_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        a, b = draw.random(200) < 0.8, draw.random(200) < 0.7
        found = lead(a, b)
        held += abs(found.value - 0.1) < 1.645 * found.standard_error
    assert 0.86 < held / 400 < 0.94


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_of_errors_with_a_unit_the_lead_is_in_it_and_its_error_covers(name: str) -> None:
    """RMSE is the root of the mean of the scores; its error is linearised."""
    metric = get_task("regression").metric(name)
    assert metric is not None
    draw = np.random.default_rng(0)
    truth = {"rmse": 3.0 - 2.0, "mae": (3.0 - 2.0) * np.sqrt(2 / np.pi)}[name]
    held = 0
    for _ in range(400):
        errors = draw.normal(size=(200, 2)) @ np.array([[2.0, 1.5], [0.0, np.sqrt(9 - 1.5**2)]])
        a, b = (errors**2).T if metric.root else np.abs(errors).T
        found = lead(a, b, metric)
        assert found.value == pytest.approx(found.served - found.shadow)
        held += abs(found.value - truth) < 1.645 * found.standard_error
    assert 0.86 < held / 400 < 0.94
    scaled = lead(a * (100 if metric.root else 10), b * (100 if metric.root else 10), metric)
    assert scaled.value == pytest.approx(10 * found.value)
    assert scaled.standard_error == pytest.approx(10 * found.standard_error)
    assert 0 < lead(b, b, metric).standard_error < found.standard_error


def test_wide_representations_are_projected_and_still_tell_the_classes() -> None:
    x, y = _batch(300, WIDEST + 100, 3, 0)
    shadow = _shadow([(x[:200], y[:200])], 3)
    assert shadow.head().weights.shape == (WIDEST, 3)
    assert (_said(shadow, x[200:]) == y[200:]).mean() > 0.95


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.ones((3, 2, 2)), np.ones((3, 1)), "shape"),
        (np.ones((3, 2)), np.ones((2, 1)), "one row for each"),
        (np.ones((3, 2)), np.ones(3), "one row for each"),
        (np.full((3, 2), np.nan), np.ones((3, 1)), "NaN or infinity"),
        (np.ones((3, 2)), np.full((3, 1), np.nan), "target is not finite"),
    ],
)
def test_bad_batches_are_refused_and_change_nothing(x: np.ndarray, y: np.ndarray, says: str) -> None:
    shadow = Shadow()
    with pytest.raises(DataError, match=says):
        shadow.add("bad", x, y)
    assert shadow.samples == 0 and not shadow.ready


def test_another_width_is_another_model() -> None:
    shadow = _shadow([_batch(10, 5, 3, 0)], 3)
    with pytest.raises(DataError, match="6 channels after 5"):
        _said(shadow, np.ones((2, 6)))


def test_constant_and_few_samples_give_a_dull_head() -> None:
    shadow = Shadow()
    _add(shadow, "flat", np.ones((6, 4)), np.array([0, 0, 0, 0, 1, 1]), 2)
    assert (_said(shadow, np.random.default_rng(0).normal(size=(5, 4))) == 0).all()
    one = Shadow()
    _add(one, "one", np.ones((1, 4)), np.array([0]), 2)
    assert not one.ready
