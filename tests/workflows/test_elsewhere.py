"""Forecasts for hardware that is not at hand, and money: in estimates, comparisons, and what readers see of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import foretoll
from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.records import Comparison, Estimate, HardwareForecast, TrainingSettings
from foretoll.report import document_of
from foretoll.report.document import texts
from foretoll.report.markdown import markdown
from foretoll.workflows import Accounting
from foretoll.workflows.elsewhere import fits
from options.making import blobs, mlp

ACCOUNTING = Accounting("watts:20", region="DE", price=["A100=2EUR/h", "0.5EUR/kWh"])
SETTINGS = TrainingSettings(batch_size=16, max_epochs=2, lr=0.01)
NAMES = "A100,4xA100,EPYC 7763"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger.open(str(tmp_path_factory.mktemp("ledger") / "runs.db"))


@pytest.fixture(scope="module")
def estimate(ledger: Ledger) -> Estimate:
    data = blobs(200)
    return foretoll.estimate(
        mlp(data, seed=1), data, blobs(200, seed=1), until=0.95, settings=SETTINGS, ledger=ledger,
        accounting=ACCOUNTING, hardware=NAMES, samples=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def comparison(ledger: Ledger) -> Comparison:
    data = blobs(200)
    return foretoll.compare(
        mlp(data, seed=1), data, blobs(200, seed=1), until=0.95, settings=SETTINGS, ledger=ledger,
        accounting=ACCOUNTING, hardware=NAMES, options=["keep", "head"], samples=100, budget="1000EUR",
    )  # fmt: skip


def medians(row: HardwareForecast) -> tuple[float, float, float]:
    found = (row.forecast.duration_s, row.forecast.energy_kwh, row.money)
    values = [interval.median for interval in found if interval is not None and interval.median is not None]
    assert len(values) == 3
    return values[0], values[1], values[2]


def test_one_row_for_each_kind_and_the_costs_are_the_first_ones(estimate: Estimate) -> None:
    assert [row.name for row in estimate.elsewhere] == ["A100", "4 × A100", "EPYC 7763"]
    first, four, cpu = estimate.elsewhere
    assert estimate.forecast == first.forecast and estimate.money == first.money
    assert estimate.basis.elsewhere == "A100"
    assert medians(four)[1] >= medians(first)[1], "four of a kind take no less energy"
    for row in estimate.elsewhere:
        assert row.forecast.epochs == first.forecast.epochs, "how long to train is no matter of hardware"
        for interval in (
            row.forecast.duration_s,
            row.forecast.energy_kwh,
            row.forecast.emissions_kg,
            row.money,
        ):
            assert interval is not None and interval.low is not None and interval.median is not None
            assert interval.low < interval.median
    assert cpu.memory_bytes is None and cpu.fits is None and first.fits is True


def test_the_money_is_that_of_the_hours_and_the_energy_there(estimate: Estimate) -> None:
    for row, hourly in zip(estimate.elsewhere, (2.0, 2.0, 0.0), strict=True):
        seconds, kwh, paid = medians(row)
        assert paid == pytest.approx(hourly * row.devices * seconds / 3600 + 0.5 * kwh)
        assert row.money is not None and row.money.currency == "EUR"


def test_memory_is_shared_out_but_for_what_every_device_holds(estimate: Estimate) -> None:
    first, four, _ = estimate.elsewhere
    weights = estimate.model.parameters * 4
    for row in (first, four):
        assert row.memory_low_bytes is not None and row.memory_high_bytes is not None
        assert 4 * weights <= row.memory_low_bytes < row.memory_high_bytes, (
            "weights, gradients and two of Adam"
        )
    assert four.memory_low_bytes < first.memory_low_bytes  # type: ignore[operator]  # known


def test_readers_see_the_rows_in_every_medium(estimate: Estimate) -> None:
    document = document_of(estimate=estimate)
    said = " ".join(text for block in document.blocks for text in texts(block))
    for words in (
        "On the hardware that was named",
        "4 × A100",
        "EUR",
        "catalogue: fp32 peak",
        "operator calls",
    ):
        assert words in said
    assert "4 × A100" in markdown(document)
    assert "the truth may be several times off" in " ".join(estimate.warnings)
    assert Estimate.model_validate_json(estimate.model_dump_json(by_alias=True)) == estimate


def test_a_comparison_is_made_for_the_first_and_shows_all(comparison: Comparison) -> None:
    for candidate in comparison.candidates:
        assert not candidate.why_not
        assert [row.name for row in candidate.elsewhere] == ["A100", "4 × A100", "EPYC 7763"]
        assert candidate.forecast == candidate.elsewhere[0].forecast
        assert candidate.money == candidate.elsewhere[0].money and not candidate.over_budget
        assert candidate.inference is None, "serving would be of this machine"
    said = " ".join(text for block in document_of(comparison=comparison).blocks for text in texts(block))
    assert "On the hardware that was named" in said and "0.5EUR/kWh" in said
    assert json.loads(comparison.model_dump_json())["price"] == "A100=2EUR/h, 0.5EUR/kWh"


def test_what_is_about_this_machine_is_not_mixed_in(ledger: Ledger, tmp_path: Path) -> None:
    data = blobs(60)
    with pytest.raises(UsageError, match="--requests is about this machine"):
        foretoll.compare(mlp(data), data, data, hardware="A100", requests=10, ledger=ledger, out=tmp_path)
    with pytest.raises(UsageError, match="cannot share out a batch of 16"):
        foretoll.estimate(mlp(data), data, data, hardware="32xA100", settings=SETTINGS, ledger=ledger)


@pytest.mark.parametrize(
    ("low", "high", "there", "found"),
    [(1, 2, 3, True), (1, 2, 2, True), (1, 3, 2, None), (3, 4, 2, False), (1, 2, None, None)],
)
def test_whether_memory_suffices(low: float, high: float, there: float | None, found: bool | None) -> None:
    assert fits(low, high, there) is found
