"""When an update that is due starts: by hand, against every start on a fine grid, and from end to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.errors import UsageError
from foretoll.measure import make_series
from foretoll.records import Decision, LifeCard, LifeEvent, Offer, ServedBatch
from foretoll.workflows.life import Life
from foretoll.workflows.start_time import Patience, answers_per_second

from .test_own_model import call
from .worlds import build, start

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = 3600.0
DUE = Decision(
    policy="rent", action="update", option="finetune", reason="due", figures={"lead": 0.1}, after=3
)
OFFER = Offer(option="finetune", cost=1.0, cost_high=2.0, energy_kwh=1.0, duration_s=HOUR)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> LifeCard:
    folder = tmp_path_factory.mktemp("world")
    build(folder, batches=1)
    return start(folder).card


def looks(samples: int, hours: float = 1.0) -> list[LifeEvent]:
    """Two batches of so many samples, so many hours apart."""
    return [
        LifeEvent(
            number=i,
            kind="look",
            key=f"b{i}",
            at=NOW - timedelta(hours=hours * (2 - i)),
            served=ServedBatch(name=f"b{i}", number=i, samples=samples),
        )
        for i in range(2)
    ]


def patience(values: list[float], hours: float, pue: float = 1.0) -> Patience:
    return Patience(
        make_series([(NOW + timedelta(hours=h), v) for h, v in enumerate(values)]), hours * HOUR, pue
    )


def test_it_waits_for_the_green_hour_where_waiting_loses_less(card: LifeCard) -> None:
    grid = patience([400, 300, 100, 400, 400, 400], 3)
    free = card.model_copy(update={"worth": 1e-12})
    found = grid.applied(DUE, OFFER, free, looks(1000), NOW)
    assert found.start_at == NOW + timedelta(hours=2)
    assert found.start_why == "300 g CO2e less than now (75 %), for 200.0 right answers lost by waiting"
    # 100 answers an hour: at 1 Wh each and 400 g/kWh now, an hour costs 40 g, and two of them win 300 g
    assert grid.applied(DUE, OFFER, card.model_copy(update={"worth": 1e-3}), looks(1000), NOW).start_at
    dear = grid.applied(DUE, OFFER, card.model_copy(update={"worth": 4e-3}), looks(1000), NOW)
    assert dear.start_at is None and "worth waiting for" in dear.start_why


@given(
    values=st.lists(st.floats(1, 900), min_size=8, max_size=8),
    worth=st.floats(1e-6, 1e-2),
    samples=st.integers(1, 5000),
    pue=st.floats(1, 2),
)
def test_no_start_on_a_fine_grid_is_better(
    card: LifeCard, values: list[float], worth: float, samples: int, pue: float
) -> None:
    grid, valued = patience(values, 5, pue), card.model_copy(update={"worth": worth})
    found = grid.applied(DUE, OFFER, valued, looks(samples), NOW)
    a_second = 0.1 * samples / HOUR * worth * pue * values[0]  # g

    def price(at: datetime) -> float:
        return pue * grid.series.mean(at, HOUR) + a_second * (at - NOW).total_seconds()

    chosen = price(found.start_at or NOW)
    assert all(chosen <= price(NOW + timedelta(minutes=10 * i)) * (1 + 1e-9) + 1e-6 for i in range(31))


def test_what_is_not_known_is_said(card: LifeCard) -> None:
    grid = patience([400, 100, 400, 400], 2)
    unknown = OFFER.model_copy(update={"energy_kwh": None})
    assert "not known" in grid.applied(DUE, unknown, card, looks(10), NOW).start_why
    assert answers_per_second(looks(10)[:1]) is None
    one = grid.applied(DUE, OFFER, card, looks(10)[:1], NOW)
    assert one.start_at == NOW + timedelta(hours=1) and "is not known" in one.start_why
    keep = DUE.model_copy(update={"action": "keep", "option": None})
    assert grid.applied(keep, None, card, looks(10), NOW) == keep


def test_a_series_that_ends_too_soon_and_a_worth_in_seconds_are_refused(card: LifeCard) -> None:
    with pytest.raises(UsageError, match="ends at 2026-03-02 04:00 UTC, before the patience"):
        patience([1, 2, 3, 4], 24).applied(DUE, OFFER, card, looks(10), NOW)
    timed = card.model_copy(update={"cost": "duration_s"})
    with pytest.raises(UsageError, match="the worth of this life is a time"):
        patience([400, 100, 400, 400], 2).applied(DUE, OFFER, timed, looks(10), NOW)


@pytest.mark.slow
def test_the_command_waits_and_then_updates(tmp_path: Path) -> None:
    build(tmp_path, batches=10)
    begun = start(tmp_path, policy="every", worth="0.001J")
    now = datetime.now(UTC).replace(microsecond=0)
    begun.watch(f"npz:{tmp_path}/w5.npz", at=now - timedelta(seconds=60))
    begun.watch(f"npz:{tmp_path}/w6.npz", at=now - timedelta(seconds=30))
    rows = [(now + timedelta(seconds=s), 500 if s < 10 else 100) for s in range(-60, 400, 5)]
    text = "timestamp,gCO2e_per_kWh\n" + "".join(f"{at.isoformat()},{g}\n" for at, g in rows)
    (tmp_path / "grid.csv").write_text(text)
    flags = (
        "--energy watts:10 --region DE --quiet --ledger ledger.db --intensity-series grid.csv --patience 60s"
    )
    code, said = call(
        tmp_path, f"life watch shop --batch npz:w7.npz --at {now:%Y-%m-%dT%H:%M:%S} --carry-out {flags}"
    )
    assert code == 0, said
    assert "CO2e less than now (80 %)" in said and "update   " in said
    life = Life.open("shop", ledger=str(tmp_path / "ledger.db"))
    claim = next(event for event in life.events() if event.kind == "claim")
    assert claim.decision is not None and claim.decision.start_at is not None
    assert claim.at >= claim.decision.start_at
    for wrong, says in (
        ("--patience 24h", "belong together"),
        ("--intensity-series grid.csv --patience soon", "is no time to wait"),
        ("--intensity-series gone.csv --patience 1h", "cannot read the intensity series"),
    ):
        code, said = call(tmp_path, f"life watch shop --batch npz:w8.npz --ledger ledger.db --quiet {wrong}")
        assert code in (1, 2) and says in said and len(said) <= 300
