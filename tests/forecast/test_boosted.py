"""Boosted trees of our own: they learn what is there, rise where they must, and are the same as arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.forecast.boosted import Boosting, boosted_trees, squared_score
from foretoll.forecast.survival import interval_score
from foretoll.forecast.trees import Trees

FREE = np.zeros(3, dtype=bool)


def test_a_step_and_an_interaction_are_found() -> None:
    rng = np.random.default_rng(0)
    x, new = rng.uniform(-1, 1, (600, 3)), rng.uniform(-1, 1, (300, 3))

    def truth(z: np.ndarray) -> np.ndarray:
        return 2.0 * (z[:, 0] > 0.2) + 1.5 * (z[:, 1] > 0) * (z[:, 0] < -0.3)

    y = truth(x) + 0.1 * rng.normal(size=600)
    trees = boosted_trees(
        x, squared_score(y), start=float(y.mean()), rising=FREE, seed=0, how=Boosting(trees=150)
    )
    left = np.sqrt(np.mean((trees.predict(new) - truth(new)) ** 2))
    assert left < 0.3 * truth(new).std()


def test_censored_times_are_not_taken_at_their_limit() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (800, 3))
    y = 2 * x[:, 0] + 0.3 * rng.logistic(size=800)
    censored = y > 0.5
    lower, upper = np.where(censored, 0.5, y), np.where(censored, np.inf, y)
    ones = np.ones(800)

    def learned(high: np.ndarray) -> np.ndarray:
        trees = boosted_trees(
            x, lambda at: interval_score(at, lower, high, 0.3, ones), start=0.0, rising=FREE, seed=0
        )
        return trees.predict(x[x[:, 0] > 0.6])

    truth = 2 * x[x[:, 0] > 0.6, 0]
    assert abs(learned(upper) - truth).mean() < 0.5 * abs(learned(lower) - truth).mean()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(25, 120))
def test_it_rises_where_it_must_and_arrays_hold_all_of_it(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).round(1)
    y = np.sin(3 * x[:, 0]) - x[:, 1] + rng.normal(size=rows)
    rising = np.array([True, False, False])
    trees = boosted_trees(
        x, squared_score(y), start=0.0, rising=rising, seed=seed, how=Boosting(trees=15, fewest=3)
    )
    at = np.repeat(rng.normal(size=(5, 3)), 30, axis=0).reshape(5, 30, 3)
    at[:, :, 0] = np.linspace(-3, 3, 30)
    for line in at:
        assert (np.diff(trees.predict(line)) >= -1e-9).all()
    again = Trees.from_arrays(trees.arrays())
    assert np.array_equal(trees.predict(x), again.predict(x))
