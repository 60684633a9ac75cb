"""Which candidates a round of successive halving drops: never more than half, and none that may be as cheap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretoll.decide.halving import CostNow, clearly_dearer

AMOUNTS = st.floats(0, 100, allow_nan=False)
COSTS = st.lists(
    st.tuples(AMOUNTS, AMOUNTS).map(lambda pair: CostNow(median=max(pair), low=min(pair))),
    min_size=1,
    max_size=9,
)


@given(COSTS)
def test_at_most_half_are_dropped_and_each_is_clearly_dearer(costs: list[CostNow]) -> None:
    dropped = clearly_dearer(costs)
    least = min(cost.median for cost in costs)
    assert len(dropped) <= len(costs) // 2
    assert all(costs[i].low > least for i in dropped)
    kept = [cost.median for i, cost in enumerate(costs) if i not in dropped]
    assert least in kept
    assert all(costs[i].median >= sorted(cost.median for cost in costs)[len(costs) // 2] for i in dropped)


@given(COSTS, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(costs: list[CostNow], random: object) -> None:
    medians = [cost.median for cost in costs]
    if len(set(medians)) < len(medians):  # of equal ones either may be in the dearer half
        return
    order = list(range(len(costs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    dropped = clearly_dearer([costs[i] for i in order])
    assert sorted(order[i] for i in dropped) == clearly_dearer(costs)


def test_of_two_the_clearly_dearer_one_is_dropped_and_one_alone_never() -> None:
    assert clearly_dearer([CostNow(5.0, 4.0), CostNow(1.0, 0.5)]) == [0]
    assert clearly_dearer([CostNow(5.0, 0.9), CostNow(1.0, 0.5)]) == []
    assert clearly_dearer([CostNow(5.0, 4.0)]) == []
