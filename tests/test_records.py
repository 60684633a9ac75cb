"""Records: frozen, without NaN, without unknown fields, the same after JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from foretoll import records
from foretoll.records import (
    TOLL_COSTS,
    DataCard,
    Estimate,
    Forecast,
    ModelCard,
    Outcome,
    Preprocessing,
    Run,
    Toll,
    TrainingSettings,
)

ALL = [
    value
    for value in vars(records).values()
    if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == records.__name__
]
CARD = DataCard(
    uri="digits",
    name="digits",
    kind="image",
    shape=(1, 8, 8),
    classes=("0", "1"),
    train=6,
    validation=2,
    test=2,
)
MODEL = ModelCard(
    arch="foretoll:mlp",
    family="mlp",
    num_classes=2,
    classes=("0", "1"),
    preprocessing=Preprocessing(kind="image"),
    head="head",
    parameters=10,
    has_batch_norm=False,
)
RUN = Run(
    id="a",
    option="finetune",
    outcome=Outcome.CENSORED,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    model=MODEL,
    target=CARD,
    settings=TrainingSettings(),
)


@pytest.mark.parametrize("record", ALL, ids=lambda r: r.__name__)
def test_every_record_is_frozen_closed_and_finite(record: type[BaseModel]) -> None:
    config = record.model_config
    assert (config["frozen"], config["extra"], config["allow_inf_nan"]) == (True, "forbid", False)


def test_a_record_cannot_be_changed_or_hold_what_is_unknown() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RUN.toll.epochs = 3.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Toll(energy=3.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("cost", TOLL_COSTS)
def test_a_cost_is_finite_and_not_negative(cost: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Toll.model_validate({cost: value})


def test_what_was_not_measured_is_none() -> None:
    assert set(Toll().model_dump().values()) == {None}
    assert set(Forecast().model_dump().values()) == {None}
    assert set(TOLL_COSTS) == set(Forecast.model_fields), (
        "a cost that is measured is foretold, and the other way"
    )


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0, 1e300),
    st.dictionaries(
        st.text(max_size=5), st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=4
    ),
    st.text(max_size=20),
)
def test_json_gives_the_same_record_back(cost: float, signals: dict[str, float | None], text: str) -> None:
    run = RUN.model_copy(update={"toll": Toll(energy_kwh=cost), "signals": signals, "reason": text})
    written = run.model_dump_json(by_alias=True)
    assert Run.model_validate_json(written) == run
    assert json.loads(written)["schema"] == "foretoll.run/1"


def test_the_schema_stands_under_its_own_name_and_another_is_refused() -> None:
    data = json.loads(RUN.model_dump_json(by_alias=True))
    with pytest.raises(ValidationError, match="schema"):
        Run.model_validate({**data, "schema": "foretoll.run/2"})


def test_estimate_has_the_keys_of_its_contract() -> None:
    contract = [
        "schema",
        "model",
        "source",
        "target",
        "shift",
        "option",
        "until",
        "indices",
        "signals",
        "forecast",
        "reach_probability",
        "coverage",
        "basis",
        "self_cost",
        "warnings",
    ]
    names = {field.alias or name for name, field in Estimate.model_fields.items()}
    assert set(contract) <= names
    assert {"epochs", "gradient_norm", "parameter_change", "energy_kwh", "emissions_kg", "duration_s"} == set(
        TOLL_COSTS
    )
    assert {"runs", "nearest", "energy", "grid", "hardware"} <= set(records.Basis.model_fields)
    assert {"duration_s", "energy_kwh"} <= set(records.SelfCost.model_fields)
    assert {"median", "low", "high"} <= set(records.Interval.model_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": 1.5}, {"until": -0.1}, {"max_epochs": 0}, {"lr": 0}, {"batch_size": 0}, {"evals_per_epoch": 0},
        {"optimizer": "adagrad"}, {"momentum": 1.0}, {"weight_decay": -1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(wrong)


def test_an_optimizer_of_the_users_own_is_recorded_by_its_name() -> None:
    assert TrainingSettings(optimizer="python:Lion").optimizer == "python:Lion"
    with pytest.raises(ValidationError, match="unknown optimizer 'adagrad'"):
        TrainingSettings(optimizer="adagrad")
