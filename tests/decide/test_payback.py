"""After how many answers an update has paid: by hand, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide.payback import answers_to_repay, gain_of
from foretoll.records import Interval, QualityScale
from foretoll.records.served_metric import ANSWERS, served_metric

COST = Interval(median=6e-5, low=2e-5, high=1.2e-4)  # kWh
AFTER = Interval(median=0.9, low=0.86, high=0.93)
WORTH = 0.2 / 3.6e6  # of a right answer, 0.2 J


def gain(median: float, low: float, high: float) -> Interval:
    return Interval(median=median, low=low, high=high)


def test_by_hand() -> None:
    paid = answers_to_repay(COST, WORTH, gain(0.1, 0.05, 0.2))
    assert paid.median == pytest.approx(216 / 0.02)  # 216 J, and 0.02 J an answer
    assert paid.low == pytest.approx(72 / 0.04) and paid.high == pytest.approx(432 / 0.01)


def test_what_wins_nothing_never_pays() -> None:
    assert answers_to_repay(COST, WORTH, gain(0.1, 0.0, 0.2)).high is None
    hardly = answers_to_repay(COST, WORTH, gain(-0.1, -0.2, 0.2))
    assert hardly.median is hardly.high is None and hardly.low == pytest.approx(1800)
    never = answers_to_repay(COST, WORTH, gain(0.0, 0.0, 0.0))
    assert never.low is never.median is never.high is None
    assert answers_to_repay(COST, 5e-324, gain(0.1, 1e-9, 0.2)).median is None  # more than any number


def test_the_gain_has_both_errors() -> None:
    found = gain_of(AFTER, 0.8, 0.0, ANSWERS)
    assert found is not None
    assert (found.low, found.median, found.high) == pytest.approx((0.06, 0.1, 0.13))
    wider = gain_of(AFTER, 0.8, 0.03 / 1.6448536, ANSWERS)  # 0.03 at 90 %
    assert wider is not None
    assert (wider.low, wider.median, wider.high) == pytest.approx((0.05, 0.1, 0.1 + 0.03 * 2**0.5))
    assert gain_of(Interval(median=0.9, low=None, high=1.0), 0.8, 0.0, ANSWERS) is None


def test_of_an_error_less_is_more_and_in_its_unit() -> None:
    rmse = served_metric("rmse", "regression", QualityScale(trivial=20.0, best=0.0))
    found = gain_of(Interval(median=9.0, low=7.0, high=13.0), 12.0, 0.0, rmse)
    assert found is not None and (found.low, found.median, found.high) == pytest.approx((-1.0, 3.0, 5.0))


SIZES = st.floats(1e-9, 1e3)
GAINS = st.floats(-1, 1)


@given(SIZES, SIZES, SIZES, SIZES, GAINS, GAINS)
def test_dearer_is_later_and_more_worth_or_gain_is_sooner(
    cost: float, dearer: float, worth: float, more: float, won: float, better: float
) -> None:
    def paid(cost: float, worth: float, won: float) -> list[float]:
        found = answers_to_repay(Interval(median=cost, low=cost / 2, high=2 * cost), worth,
                                 gain(won, won - 0.1, won + 0.1))  # fmt: skip
        return [float("inf") if end is None else end for end in (found.low, found.median, found.high)]

    cost, dearer = sorted((cost, dearer))
    worth, more = sorted((worth, more))
    won, better = sorted((won, better))
    plain = paid(cost, worth, won)
    assert plain == sorted(plain)
    for ours, later, sooner, best in zip(
        plain, paid(dearer, worth, won), paid(cost, more, won), paid(cost, worth, better), strict=True
    ):
        assert later >= ours >= max(sooner, best) * (1 - 1e-12)
