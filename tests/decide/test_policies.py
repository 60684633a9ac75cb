"""Policies: the laws of every one that is registered, closed forms of single ones, and bad names."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.decide.policies import POLICIES, Spending, get_policy
from foretoll.decide.policies.foresight import Foresight
from foretoll.decide.policies.quality import risen
from foretoll.decide.policies.rent import avoidable_loss, largest_lower_bound
from foretoll.decide.policies.upf import saved
from foretoll.decide.timeline import Timeline
from foretoll.errors import UsageError
from foretoll.records import ANSWERS, Offer, QualityScale, ServedBatch, ServedMetric
from foretoll.tasks import known_metric

quality = st.floats(0, 1)


@st.composite
def batches(draw: st.DrawFn, least: int = 1, most: int = 14) -> list[ServedBatch]:
    count = draw(st.integers(least, most))
    return [
        ServedBatch(
            name=f"b{number}",
            number=number,
            samples=(samples := draw(st.integers(1, 500))),
            labelled=samples,
            quality=draw(quality),
            lead=draw(st.floats(-0.5, 0.5)),
            lead_error=draw(st.floats(0.001, 0.2)),
            confidence=draw(quality),
            ks=draw(quality),
            psi=draw(st.floats(0, 2)),
        )
        for number in range(count)
    ]


offers = st.lists(
    st.builds(
        lambda option, cost, more, share: Offer(
            option=option, cost=cost, cost_high=cost * (1 + more), share=share
        ),
        st.sampled_from(["head", "finetune", "lora"]),
        st.floats(0.1, 100),
        st.floats(0, 3),
        st.floats(0.1, 1),
    ),
    min_size=1,
    max_size=3,
)
ERRORS = ServedMetric(known_metric("rmse", "regression"), QualityScale(trivial=0.8, best=0.0))  # type: ignore[arg-type]
metrics = st.sampled_from([ANSWERS, ERRORS])
every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
lives = settings(max_examples=40, deadline=None)


@every_policy
@lives
@given(batches(2), batches(2), offers, st.integers(0, 4), st.data(), metrics)
def test_blind_to_the_future(name, past, future, made, delay, data, served) -> None:  # type: ignore[no-untyped-def]
    now = data.draw(st.integers(0, len(past) - 1))
    later = [
        batch.model_copy(update={"name": f"other {i}", "number": now + 1 + i})
        for i, batch in enumerate(future)
    ]
    one = Timeline.delayed(past, delay).view(now, made, worth=1.0, start=0.9, served=served)
    other = Timeline.delayed([*past[: now + 1], *later], delay).view(
        now, made, worth=1.0, start=0.9, served=served
    )
    assert get_policy(name).decide(one) == get_policy(name).decide(other)


@every_policy
@lives
@given(batches(2), offers, st.integers(1, 4), metrics)
def test_labels_count_from_when_they_arrived(name, past, made, delay, served) -> None:  # type: ignore[no-untyped-def]
    now = past[-1].number
    changed = [
        batch.model_copy(update={"quality": 1 - (batch.quality or 0), "lead": -(batch.lead or 0)})
        if batch.number + delay > now
        else batch
        for batch in past
    ]
    views = [
        Timeline.delayed(each, delay).view(now, made, worth=1.0, served=served) for each in (past, changed)
    ]
    assert get_policy(name).decide(views[0]) == get_policy(name).decide(views[1])


@every_policy
@lives
@given(batches(1), offers, st.data(), metrics)
def test_the_same_batch_twice_changes_nothing(name, past, made, data, served) -> None:  # type: ignore[no-untyped-def]
    again = data.draw(st.sampled_from(past))
    twice = [*past, again.model_copy(update={"number": past[-1].number})]
    views = [
        Timeline.delayed(each, 0).view(past[-1].number, made, worth=1.0, served=served)
        for each in (past, twice)
    ]
    assert get_policy(name).decide(views[0]) == get_policy(name).decide(views[1])


@every_policy
@lives
@given(batches(1), offers, st.floats(0, 50), metrics)
def test_the_upper_end_of_the_cost_never_exceeds_what_is_left(name, past, made, left, served) -> None:  # type: ignore[no-untyped-def]
    spending = Spending(budget=100.0, spent=100.0 - left, gone=(past[-1].number + 1) / 20)
    view = Timeline.delayed(past, 0).view(
        past[-1].number, made, worth=10.0, floor=None, spending=spending, served=served
    )
    found = get_policy(name).decide(view)
    if found.action == "update":
        assert any(o.option == found.option and o.cost_high <= spending.left for o in made)


@every_policy
@lives
@given(batches(1), offers, st.sampled_from([0.25, 0.5, 2.0, 1024.0]), st.booleans(), metrics)
def test_worth_costs_and_budget_times_one_number_give_one_decision(
    name, past, made, factor, limited, served
) -> None:  # type: ignore[no-untyped-def]
    scaled = [
        Offer(option=o.option, cost=o.cost * factor, cost_high=o.cost_high * factor, share=o.share)
        for o in made
    ]
    spending = Spending(budget=100.0, spent=60.0, gone=0.2) if limited else None
    dearer = Spending(budget=100.0 * factor, spent=60.0 * factor, gone=0.2) if limited else None
    life = Timeline.delayed(past, 0)
    one = get_policy(name).decide(
        life.view(past[-1].number, made, worth=1.0, spending=spending, served=served)
    )
    other = get_policy(name).decide(
        life.view(past[-1].number, scaled, worth=factor, spending=dearer, served=served)
    )
    assert (one.action, one.option) == (other.action, other.option)


@every_policy
@lives
@given(batches(1), offers, metrics)
def test_what_is_worth_nothing_is_not_updated(name, past, made, served) -> None:  # type: ignore[no-untyped-def]
    found = get_policy(name).decide(
        Timeline.delayed(past, 0).view(past[-1].number, made, worth=0.0, served=served)
    )
    assert found.action == "keep" and found.option is None and "worth nothing" in found.reason


@pytest.mark.parametrize("name", [name for name in sorted(POLICIES) if get_policy(name).weighs])
@lives
@given(st.integers(1, 12), st.floats(0.05, 0.5), st.floats(0.001, 0.01), metrics)
def test_what_costs_nothing_is_done_wherever_the_lead_is_positive(name, count, lead, error, served) -> None:  # type: ignore[no-untyped-def]
    past = [_batch(i, lead=lead, error=error) for i in range(count)]
    free = [Offer(option="finetune", cost=0.0, cost_high=0.0)]
    view = Timeline.delayed(past, 0).view(count - 1, free, worth=1.0, served=served)
    assert get_policy(name).decide(view).action == "update"
    none = [batch.model_copy(update={"lead": -lead}) for batch in past]
    assert (
        get_policy(name)
        .decide(Timeline.delayed(none, 0).view(count - 1, free, worth=1.0, served=served))
        .action
        == "keep"
    )


@every_policy
def test_the_name_of_a_policy_makes_it_again(name: str) -> None:
    policy = get_policy(name)
    assert str(get_policy(str(policy))) == str(policy) and policy.title and policy.name == name


@every_policy
def test_before_the_first_batch_every_policy_keeps(name: str) -> None:
    found = get_policy(name).decide(
        Timeline((), ()).view(0, [Offer(option="head", cost=1, cost_high=1)], worth=1.0)
    )
    assert found.action == "keep" and found.after == -1


@every_policy
def test_after_an_update_only_what_the_new_model_served_counts(name: str) -> None:
    past = [_batch(i, lead=0.4, quality=0.1, ks=0.9, psi=2.0) for i in range(6)]
    view = Timeline.delayed(past, 0).view(
        5, [Offer(option="head", cost=1, cost_high=1)], worth=1.0, updated=(5,)
    )
    assert view.updated == ()  # an update after the last batch is not known before the next one
    later = Timeline.delayed([*past, _batch(6, lead=-0.1, quality=0.95, ks=0.0, psi=0.0)], 0)
    found = get_policy(name).decide(
        later.view(6, [Offer(option="head", cost=1, cost_high=1)], worth=0.001, updated=(5,), start=0.95)
    )
    assert found.action == ("update" if name in ("every",) else "keep")


def _batch(
    number: int, *, lead: float = 0.0, error: float = 0.01, samples: int = 100, **known: float
) -> ServedBatch:
    return ServedBatch(
        name=f"b{number}",
        number=number,
        samples=samples,
        labelled=samples,
        lead=lead,
        lead_error=error,
        **{"quality": 0.8, **known},  # type: ignore[arg-type]
    )


def test_rent_finds_the_best_fixed_period_of_a_lead_that_grows_steadily() -> None:
    """Lead s·i after i batches, n samples a batch: the best period T minimises s·n·T/2 + cost/T."""
    slope, n, cost = 0.01, 100, 20.0
    best = math.sqrt(2 * cost / (slope * n))
    for count in range(1, 40):
        past = [_batch(i, lead=slope * (i + 1), error=1e-9, samples=n) for i in range(count)]
        offer = [Offer(option="finetune", cost=cost, cost_high=cost)]
        if (
            get_policy("rent").decide(Timeline.delayed(past, 0).view(count - 1, offer, worth=1.0)).action
            == "update"
        ):
            assert count == pytest.approx(best, abs=1)
            return
    pytest.fail("rent never updated")


def test_rent_pays_at_most_twice_for_a_single_drop() -> None:
    offer = [Offer(option="finetune", cost=49.9, cost_high=49.9)]
    past = [_batch(i, lead=0.1, error=1e-9) for i in range(6)]  # ten answers lost a batch
    done = [
        get_policy("rent").decide(Timeline.delayed(past, 0).view(now, offer, worth=1.0)).action
        for now in range(6)
    ]
    assert done.index("update") == 4  # after 50 lost answers


def test_noise_alone_does_not_pile_up_to_an_update() -> None:
    draw = np.random.default_rng(0)
    offer = [Offer(option="finetune", cost=15.0, cost_high=15.0)]
    updates = 0
    for _ in range(50):
        past = [_batch(i, lead=float(draw.normal(0, 0.03)), error=0.03) for i in range(30)]
        life = Timeline.delayed(past, 0)
        updates += any(
            get_policy("rent").decide(life.view(now, offer, worth=1.0)).action == "update"
            for now in range(30)
        )
    assert updates <= 10  # the plain sum, floored at 0, updates in most of them


def test_the_avoidable_loss_counts_batches_whose_labels_are_still_to_come() -> None:
    past = [_batch(i, lead=0.1, error=1e-9) for i in range(6)]
    late = Timeline.delayed(past, 3).view(5, [Offer(option="head", cost=1, cost_high=1)], worth=1.0)
    assert avoidable_loss(late) == pytest.approx(60, rel=1e-3)
    out = [b.model_copy(update={"labelled": 0, "quality": None, "lead": None, "looked": 0}) for b in past]
    thinned = Timeline.delayed([*out[:2], past[2], out[3], out[4], past[5]], 0)
    assert avoidable_loss(thinned.view(5, [], worth=1.0)) == pytest.approx(60, rel=1e-3), (
        "left out ones count"
    )
    assert largest_lower_bound([(0.1, 0.0, 100), (-0.5, 0.0, 100), (0.1, 0.0, 100)], 1.0) == pytest.approx(10)
    assert largest_lower_bound([], 1.0) == 0


def test_spending_ahead_of_plan_makes_an_update_dearer() -> None:
    assert Spending(100, 50, 0.2).price == pytest.approx(2.5)
    assert Spending(100, 10, 0.5).price == 1
    assert Spending(100, 120, 0.5).left == 0


def test_the_option_with_the_largest_net_benefit_is_taken() -> None:
    past = [_batch(i, lead=0.2, error=1e-9) for i in range(4)]
    made = [
        Offer(option="head", cost=1, cost_high=1, share=0.2),
        Offer(option="finetune", cost=20, cost_high=30, share=1.0),
        Offer(option="scratch", cost=500, cost_high=600, share=1.0),
    ]
    view = Timeline.delayed(past, 0).view(3, made, worth=1.0)
    assert get_policy("rent").decide(view).option == "finetune"
    poor = replace(view, spending=Spending(25.0, 0.0, 1.0))
    assert get_policy("rent").decide(poor).option == "head"


def test_a_floor_takes_the_place_of_a_worth() -> None:
    past = [_batch(0, lead=0.1, quality=0.9), _batch(1, lead=0.1, quality=0.7)]
    made = [Offer(option="head", cost=1, cost_high=1)]
    life = Timeline.delayed(past, 0)
    assert get_policy("rent").decide(life.view(0, made, floor=0.8)).action == "keep"
    found = get_policy("rent").decide(life.view(1, made, floor=0.8))
    assert found.action == "update" and "under the floor of 0.8" in found.reason
    assert get_policy("floor").decide(life.view(1, made, floor=0.8)).action == "update"
    assert get_policy("floor:0.6").decide(life.view(1, made, floor=0.8)).action == "keep"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.integers(0, 59), st.floats(0, 0.8))
def test_adwin_is_that_of_river(values: list[float], cut: int, jump: float) -> None:
    drift = pytest.importorskip("river.drift", reason="river is not installed")
    moved = [min(value * 0.2 + (jump if i >= cut else 0.0), 1.0) for i, value in enumerate(values)]
    for count in range(2, len(moved) + 1):
        known = moved[:count]
        oracle = drift.ADWIN(delta=0.002, clock=10**9, max_buckets=100, min_window_length=1, grace_period=1)
        for value in known[:-1]:
            oracle.update(value)
        oracle.clock = 1
        oracle.update(known[-1])
        if oracle.drift_detected:
            assert _any_cut(known)
            return
        assert not _any_cut(known)


def _any_cut(values: list[float]) -> bool:
    """Whether ADWIN's bound rejects a cut, whatever the direction."""
    return risen(values, 0.002) is not None or risen([1 - v for v in values], 0.002) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rentt", "rent"),
        ("periodic:x", "no parameter"),
        ("periodic:0", "above 0"),
        ("floor:1.2", "at most 1"),
        ("floor:0", "above 0"),
        ("keep:3", "takes no number"),
        ("drop:nan", "no parameter"),
        ("psi:inf", "no parameter"),
    ],
)
def test_bad_names_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        get_policy(text)


def test_errors_with_a_unit_are_lower_where_they_are_better() -> None:
    made = [Offer(option="head", cost=1, cost_high=1)]
    past = [_batch(0, lead=0.2, quality=3.0), _batch(1, lead=0.2, quality=5.0)]
    scaled = replace(ERRORS, scale=QualityScale(trivial=10.0, best=0.0))
    life = Timeline.delayed(past, 0)

    def asked(text: str, now: int = 1, **known: float) -> tuple[str, str]:
        found = get_policy(text, scaled).decide(life.view(now, made, served=scaled, **known))  # type: ignore[arg-type]
        return found.action, found.reason

    assert asked("floor:4", worth=1.0) == (
        "update",
        "the newest batch was served with 5, above the floor of 4",
    )
    assert asked("floor:4", 0, worth=1.0)[0] == "keep"
    assert asked("rent", floor=4.0) == ("update", "the served RMSE is 5, above the floor of 4")
    assert asked("rent", 0, floor=4.0)[0] == "keep"
    assert asked("drop:0.19", worth=1.0)[0] == "update", "from 3 to 5 is a fifth of the way from 0 to 10"
    assert asked("drop:0.21", worth=1.0)[0] == "keep"
    assert "errors of 800 RMSE × samples since" in asked("cara", worth=1.0)[1]
    assert "38.6 RMSE × samples that an update would have won" in asked("rent", worth=1.0)[1]


@every_policy
def test_a_unit_ten_times_as_small_is_the_same_life(name: str) -> None:
    """RMSE in mm or in cm: values and leads times ten, a worth a tenth, and the same decisions."""
    draw = np.random.default_rng(5)
    for _ in range(10):
        values = draw.uniform(1, 9, size=(8, 2))
        made = [Offer(option="head", cost=float(draw.uniform(1, 400)), cost_high=500)]
        found = []
        for unit in (1.0, 10.0):
            past = [
                _batch(i, lead=unit * b / 9, error=unit * 0.05, quality=unit * a, ks=0.3, psi=0.1)
                for i, (a, b) in enumerate(values)
            ]
            served = replace(ERRORS, scale=QualityScale(trivial=10.0 * unit, best=0.0))
            view = Timeline.delayed(past, 1).view(7, made, worth=1 / unit, start=2 * unit, served=served)
            found.append(get_policy(name, served).decide(view).action)
        assert found[0] == found[1]


def test_a_timeline_is_in_order_and_labels_follow_their_batch() -> None:
    with pytest.raises(UsageError, match="in order"):
        Timeline((_batch(1), _batch(0)), (1, 1))
    with pytest.raises(UsageError, match="before it was served"):
        Timeline((_batch(3),), (2,))
    with pytest.raises(UsageError, match="one each"):
        Timeline((_batch(3),), ())


def _errors(values: list[float]) -> list[ServedBatch]:
    return [
        ServedBatch(
            name=f"b{i}", number=i, samples=100, labelled=100, quality=1 - e, lead=0.1, lead_error=0.01
        )
        for i, e in enumerate(values)
    ]


def test_upf_forecasts_what_a_rising_error_will_cost_and_nothing_of_a_steady_one() -> None:
    offer = [Offer(option="finetune", cost=1.0, cost_high=1.0)]
    rising = Timeline.delayed(_errors([0.05 * i for i in range(8)]), 0).view(7, offer, worth=1.0)
    steady = Timeline.delayed(_errors([0.2] * 8), 0).view(7, offer, worth=1.0)
    more, few = saved(rising), saved(steady)
    assert more is not None and few is not None
    assert more[0] > 50 and abs(few[0]) < 5 and more[1] > 0
    assert get_policy("upf").decide(rising).action == "update"
    dear = [Offer(option="finetune", cost=400.0, cost_high=400.0)]
    assert (
        get_policy("upf").decide(Timeline.delayed(_errors([0.2] * 8), 0).view(7, dear, worth=1.0)).action
        == "keep"
    )


def test_foresight_waits_for_a_loss_and_wins_less_of_a_drift_that_has_gone() -> None:
    offer = [Offer(option="finetune", cost=60.0, cost_high=60.0)]
    gone = [0.0, 0.3, 0.3, 0.3, 0.01, 0.0, 0.0, 0.0]
    stays = [0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    views = []
    for leads in (gone, stays):
        served = [
            b.model_copy(update={"lead": lead, "quality": 0.9 - lead})
            for b, lead in zip(_errors([0.1] * 8), leads, strict=True)
        ]
        views.append(Timeline.delayed(served, 0).view(7, offer, worth=1.0, start=0.9))
    gone_by, there = (Foresight().forecast(view, offer[0]) for view in views)
    assert gone_by is not None and there is not None and there.value - gone_by.value > 0.05
    assert get_policy("foresight").decide(views[1]).action == "update"
    early = Timeline.delayed(views[1].batches[:3], 0).view(2, offer, worth=1.0, start=0.9)
    assert get_policy("foresight").decide(early).action == "keep", "less was lost than an update costs"
    found = get_policy("foresight").decide(views[1]).figures
    assert found["forecast_lead_low"] <= found["forecast_lead"] <= found["forecast_lead_high"]  # type: ignore[operator]
