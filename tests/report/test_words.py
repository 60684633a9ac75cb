from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import ForetollError
from foretoll.options import OPTIONS
from foretoll.records import Comparison, Estimate, Forecast, HardwareForecast, Interval, Run
from foretoll.report import reasons, story, words
from foretoll.report.jsonfile import write_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (None, "–"),
            (0, "0"),
            (2.4, "2.4"),
            (0.0081, "0.0081"),
            (0.0102, "0.010"),
            (9.96, "10"),
            (0.0996, "0.10"),
        ),
        *(
            (99.7, "100"),
            (123.4, "123"),
            (-0.213, "-0.21"),
            (1234.0, "1,234"),
            (1e-5, "1.0e-05"),
            (2.5e7, "2.5e+07"),
        ),
    ],
)
def test_a_forecast_is_shown_with_two_digits(value: float | None, text: str) -> None:
    assert words.two_digits(value) == text


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-4, 9.9e5))
def test_two_digits_stay_within_rounding(value: float) -> None:
    assert abs(float(words.two_digits(value).replace(",", "")) - value) <= 0.051 * value


def interval(median: float | None, low: float | None, high: float | None) -> Interval:
    return Interval(median=median, low=low, high=high)


def test_the_ends_of_an_interval_share_one_unit() -> None:
    assert words.interval_text("energy_kwh", interval(2.1e-5, 9e-6, 4e-5), unit="mWh") == "9.0 … 40"
    assert words.interval_text("energy_kwh", interval(1e-3, 1e-5, 2e-3)) == "0.010 … 2.0 Wh", "by the largest"
    assert words.interval_text("emissions_kg", interval(1e-3, 1e-4, None), unit="g") == "0.10 … no upper end"
    assert words.interval_text("epochs", interval(2, 0.0, 4)) == "0 … 4.0"
    assert words.interval_text("epochs", None) == "–"


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0, "0 %"), (0.001, "< 1 %"), (0.97, "97 %"), (0.999, "> 99 %"), (1, "100 %")],
)
def test_a_percentage_is_never_rounded_to_certainty(share: float | None, text: str) -> None:
    assert words.percent(share) == text


def test_two_probabilities_that_differ_are_not_shown_alike() -> None:
    assert words.percent(0.797, apart_from=0.8) == "79.7 %"
    assert words.percent(0.7996, apart_from=0.8) == "79.96 %"
    assert words.percent(0.79999999, apart_from=0.8) == "just below 80 %"
    assert words.percent(0.4999, apart_from=0.5) == "49.99 %"
    assert words.percent(0.8, apart_from=0.8) == words.percent(0.8, apart_from=0.6) == "80 %"
    assert words.percent(0.999, apart_from=0.8) == "> 99 %"


def test_every_option_is_a_phrase_of_its_own() -> None:
    for option in OPTIONS:
        assert "by " not in words.option_phrase(option, "cnn"), option
        assert words.option_name(option) != option


def test_a_default_region_is_never_silent(examples: ModuleType) -> None:
    assert "no region was named" in words.grid_text(examples.GRID.model_copy(update={"is_default": True}))
    assert "no region" not in words.grid_text(examples.GRID)
    clean = examples.GRID.model_copy(update={"intensity_kg_per_kwh": 0.0052, "pue": 1.12, "year": None})
    assert words.grid_text(clean) == "DE, 5.2 g/kWh (year unknown), PUE 1.12"


def test_the_counter_share_stands_beside_the_method(examples: ModuleType) -> None:
    counted = examples.ENERGY.model_copy(
        update={"method": "NVML counter", "counter_share": 0.8, "relative_low": None}
    )
    assert words.energy_basis_text(counted) == "NVML counter, 80 % by counter"
    assert words.energy_basis_text(examples.ENERGY) == (
        "power model, 0 % by counter; the truth may be 0.5 to 2.2 times this"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ((2, 1, 3), (5, 4, 6), "reuse saves about 60 % of the epochs"),
        ((2, 1, 5), (5, 4, 6), "reuse saves about 60 % of the epochs, though the intervals overlap"),
        ((2, 1, None), (5, 4, 6), "reuse saves about 60 % of the epochs, though the intervals overlap"),
        ((6, 5, 7), (3, 2, 4), "reuse costs 2.0 times the epochs"),
        ((3, 2, 4), (3.1, 2, 4), "reuse costs about the same epochs"),
    ],
)
def test_reuse_is_compared_with_training_from_scratch(
    examples: ModuleType, ours: tuple[float, ...], theirs: tuple[float, ...], said: str
) -> None:
    estimate = examples.estimate(
        forecast=Forecast(epochs=interval(*ours)),
        alternatives={"scratch": Forecast(epochs=interval(*theirs))},
        alternatives_reach={"scratch": 0.99},
    )
    assert reasons.instead(estimate).sentences[0].endswith(said)


@pytest.mark.parametrize(
    ("epochs", "reach", "said"),
    [
        ((None, 11.5, None), 0.08, "will probably not succeed within 20 epochs (forecast probability 8 %)."),
        ((None, 11.5, None), None, "will take more than 12 epochs; how many more cannot be predicted."),
        (
            None,
            0.97,
            "reaches accuracy 0.92 within 20 epochs with a forecast probability of 97 %; its cost cannot be predicted.",
        ),
        (
            (3, 2, None),
            0.3,
            "(forecast probability 30 %); the attempt takes about 3.0 epochs (2.0 … no upper end).",
        ),
        ((3, 2, 4), None, "will take about 3.0 epochs (2.0 … 4.0)."),
        (
            (3, 2, 4),
            0.498,
            "0.92 is about as likely as not to succeed within 20 epochs (forecast probability 50 %); the attempt takes "
            "about 3.0 epochs (2.0 … 4.0).",
        ),
        (None, 0.53, "is about as likely as not to succeed within 20 epochs (forecast probability 53 %)."),
        ((3, 2, 4), 0.44, "(forecast probability 44 %); the attempt takes about 3.0 epochs (2.0 … 4.0)."),
        (
            (3, 2, 4),
            0.56,
            "; the forecast gives it a probability of 56 % to reach accuracy 0.92 within 20 epochs.",
        ),
    ],
)
def test_the_headline_promises_no_more_than_is_known(
    examples: ModuleType, epochs: tuple[float, ...] | None, reach: float | None, said: str
) -> None:
    forecast = Forecast(epochs=interval(*epochs) if epochs else None)
    assert story.headline(examples.estimate(forecast=forecast, reach_probability=reach)).endswith(said)


def test_a_gap_below_zero_is_room_to_spare(examples: ModuleType) -> None:
    estimate = examples.estimate(indices={}, signals={"recoverability_gap": -0.03})
    assert "meets the target with 0.030 to spare" in reasons.why(estimate).sentences[0]


@pytest.mark.parametrize(("shift", "which"), [("distribution", "the classes"), ("task", "the new classes")])
def test_the_task_form_of_resque_is_never_told_as_an_angle(
    examples: ModuleType, shift: str, which: str
) -> None:
    # without data of the source there is no angle, whatever the shift is
    indices = {"inv_ari": {"name": "inv_ari", "value": 0.27, "samples": 1149}}
    said = " ".join(reasons.why(examples.estimate(shift=shift, indices=indices)).sentences)
    assert f"clusters differ from {which}: 1 − adjusted Rand index 0.27" in said and "turned" not in said


def test_the_model_is_named_with_its_size_wherever_its_name_occurs(examples: ModuleType) -> None:
    run = examples.run(model=examples.model_card(arch="in"))
    assert story.task_text(run, size=True).startswith("Retraining in (94 k parameters) on digits")


def test_records_come_back_from_their_files(examples: ModuleType, page_name: str, tmp_path: Path) -> None:
    for record in examples.records(page_name):
        path = write_json(tmp_path / "a" / "record.json", record)
        raw = json.loads(path.read_text("utf-8"))
        assert raw["schema"].startswith("foretoll.") and "schema_" not in raw
        assert type(record).model_validate_json(path.read_text("utf-8")) == record
        assert isinstance(record, (Comparison, Estimate, Run))


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_json(tmp_path / "run.json", examples.run())
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) & 0o400

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ForetollError, match="No space left on device"):
        write_json(path, examples.censored_run())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix != ".db"] == ["run.json"]


def test_an_estimate_is_for_one_update_whatever_its_seed(examples: ModuleType) -> None:
    estimate = examples.estimate()
    of = (estimate.option, estimate.model.arch, estimate.target.uri)
    assert estimate.is_for(*of, estimate.settings)
    assert estimate.is_for(*of, estimate.settings.model_copy(update={"seed": 7}))
    assert not estimate.is_for("head", *of[1:], estimate.settings)
    shorter = estimate.settings.model_copy(update={"max_epochs": 3.0})
    assert not estimate.is_for(*of, shorter)
    assert estimate.unlike("head", *of[1:], shorter) == (
        f"option {estimate.option}, not head",
        f"a budget of {estimate.settings.max_epochs:g} epochs, not 3",
    )
    made = examples.run(forecast=estimate.made_forecast)
    assert Run.model_validate_json(made.model_dump_json(by_alias=True)) == made
    assert made.forecast is not None and made.forecast.estimate_id == estimate.id


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.027, 2, "0.027"), (0.9, 2, "0.90"), (0.0123, 3, "0.012"), (-0.0041, 2, "-0.0041"), (0.0, 2, "0.00")],
)
def test_a_small_error_keeps_two_digits(value: float, digits: int, text: str) -> None:
    assert words.quality_text("rmse", value, digits=digits) == text


def test_a_forecast_for_other_hardware_is_not_held_against_this_machines(examples: ModuleType) -> None:
    estimate, run = examples.estimate(), examples.run()
    assert not any("not comparable" in text for text in reasons.warnings(estimate, run))
    there = HardwareForecast(name="A100", basis="catalogue", bound="arithmetic", forecast=estimate.forecast)
    estimate = estimate.model_copy(update={"elsewhere": (there,)})
    (said,) = [text for text in reasons.warnings(estimate, run) if "not comparable" in text]
    assert "forecast for A100 and measured on" in said and run.hardware.device_name in said
    assert not any("not comparable" in text for text in reasons.warnings(estimate))
