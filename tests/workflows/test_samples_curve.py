"""How many labelled samples: nested parts of one look, forecasts that do not fall, and what a user sees of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import foretoll
from foretoll.data import open_data
from foretoll.forecast import Case, Forecaster
from foretoll.indices.fewer import nested_rows
from foretoll.indices.survey import survey
from foretoll.models import build_model
from foretoll.records import Estimate, Interval, TrainingSettings
from foretoll.report import read_estimate, write_reports
from foretoll.workflows.samples_curve import agreed, case_of_part, parts_of

OLD, NEW = "digits?part=1/2&limit=300", "digits?part=2/2&limit=300&shift=gaussian_noise:0.3"

CASE = Case(
    option="finetune", family="cnn", arch="foretoll:cnn", has_batch_norm=True, parameters=90_000, num_classes=10,
    train_samples=800, steps_per_epoch=25, batch_size=32, lr=1e-3, optimizer="adam", until=0.9, max_epochs=20.0,
    task_shift=False, looked_at=800, start_quality=0.6, signals={"probe_accuracy": 0.8, "logme": None, "inv_ari": 0.4},
)  # fmt: skip


def test_parts_are_nested_stratified_and_do_not_depend_on_the_order() -> None:
    labels, ids = torch.arange(203) % 3, torch.arange(203) * 7
    small, large = (set(ids[nested_rows(labels, ids, share)].tolist()) for share in (0.25, 0.5))
    assert small < large and (len(small), len(large)) == (51, 102)
    counts = torch.bincount(labels[nested_rows(labels, ids, 0.25)])
    assert int(counts.max() - counts.min()) <= 1
    turned = torch.randperm(203, generator=torch.Generator().manual_seed(0))
    assert set(ids[turned][nested_rows(labels[turned], ids[turned], 0.25)].tolist()) == small


def test_a_part_says_what_a_look_at_so_many_samples_says() -> None:
    source, target = open_data(OLD), open_data(NEW)
    model = build_model("foretoll:cnn?width=4", data=source, seed=0)
    settings = TrainingSettings(until=0.9, batch_size=32)
    whole = len(target.train)
    found = survey(model, source, target, settings, task_shift=False, fewer=(whole // 2, whole, 10)).of_fewer
    assert found[whole] == {} and found[10] is None  # a sample a class fits no probe
    half = found[whole // 2]
    assert half is not None
    rows = nested_rows(target.train.labels, target.train.ids, (whole // 2) / whole)
    few = replace(target, train=target.train.take(rows))
    looked = survey(model, source, few, settings, task_shift=False).signals
    assert set(half) <= set(looked)
    for name in ("probe_accuracy", "knn_accuracy"):  # of the same samples; one may be decided by rounding
        assert half[name] == pytest.approx(looked[name], abs=0.02), name
    gap = 0.9 - max(half["probe_accuracy"] or 0, half["renormalised_probe_accuracy"] or 0)
    assert half["recoverability_gap"] == pytest.approx(gap)


def test_of_fewer_samples_epochs_have_fewer_steps_and_unknown_signals_stay_unknown() -> None:
    case, settings, size = CASE, TrainingSettings(batch_size=32), CASE.train_samples // 4
    part = case_of_part(case, size, {"probe_accuracy": 0.3, "logme": 0.1, "inv_ari": None}, settings)
    assert part is not None
    assert (part.train_samples, part.steps_per_epoch) == (size, settings.steps_per_epoch(size))
    assert part.signals["probe_accuracy"] == 0.3 and part.signals["logme"] is None
    assert part.signals["inv_ari"] == case.signals["inv_ari"] and part.looked_at <= size
    assert case_of_part(case, size, None, settings) is None
    assert parts_of(800) == (100, 200, 400) and parts_of(1) == ()


def test_forecasts_are_made_to_rise_to_the_last_which_stays() -> None:
    made = Forecaster().foretell(CASE)

    def with_(reach: float | None, median: float) -> object:
        quality = Interval(low=median - 0.1, median=median, high=median + 0.1)
        return replace(made, reach_probability=reach, served_probability=None, quality=quality)

    told = agreed([with_(0.9, 0.8), with_(0.2, 0.9), with_(0.5, 0.7)])  # type: ignore[list-item]
    assert [one.reach_probability for one in told] == [0.2, 0.2, 0.5]
    assert [one.quality.median for one in told if one.quality] == [0.7, 0.7, 0.7]
    assert [one.served_probability for one in told] == [None, None, None]


@pytest.fixture(scope="module")
def estimate(tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    folder = tmp_path_factory.mktemp("model")
    settings = TrainingSettings(max_epochs=6, batch_size=32, lr=0.01)
    common = {
        "ledger": folder / "ledger.db",
        "accounting": foretoll.Accounting(energy="watts:30", region="DE"),
    }
    foretoll.train("foretoll:cnn?width=8", OLD, out=folder / "source", settings=settings, **common)
    return foretoll.estimate(folder / "source", OLD, NEW, until=0.85, samples_curve=True, **common)


def test_an_estimate_holds_the_curve_and_its_last_row_is_the_estimate(estimate: Estimate) -> None:
    rows = estimate.samples_curve
    assert [row.samples for row in rows] == [*parts_of(estimate.target.train), estimate.target.train]
    last = rows[-1]
    assert (last.reach_probability, last.quality) == (estimate.reach_probability, estimate.expected_quality)
    assert last.forecast.epochs == estimate.forecast.epochs
    assert last.forecast.energy_kwh == estimate.forecast.energy_kwh
    for name in ("reach_probability", "served_probability"):
        values = [getattr(row, name) for row in rows if not row.why_not]
        assert values == sorted(values)
    medians = [row.quality.median for row in rows if row.quality]
    assert medians == sorted(medians) and len(medians) >= 3  # type: ignore[type-var]


def test_every_medium_says_it_and_the_picture_has_its_numbers(estimate: Estimate, tmp_path: Path) -> None:
    from foretoll.report import estimate_table
    from foretoll.report.terminal import as_text

    shown = as_text(estimate_table(estimate), width=80)
    page = write_reports(tmp_path, estimate=estimate).read_text("utf-8")
    markdown = (tmp_path / "report.md").read_text("utf-8")
    for row in estimate.samples_curve:
        for text in (shown, page, markdown):
            assert f"{row.samples:,}" in text
    assert "Samples" in shown and "labelled" in shown
    assert "How many labelled samples" in page and "training samples at hand" in markdown
    from foretoll.report import write_json

    write_json(tmp_path / "estimate.json", estimate)
    assert read_estimate(tmp_path / "estimate.json") == estimate
