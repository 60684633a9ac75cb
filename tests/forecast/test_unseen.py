"""What no run of the ledger was trained with is said once, in one line."""

from __future__ import annotations

import pytest

from foretoll.forecast.reference import reference_runs, reference_settings
from foretoll.forecast.unseen import unseen_settings
from foretoll.records import Run, TrainingSettings


def trained(**settings: object) -> Run:
    made = TrainingSettings.model_validate({"until": 0.9, **settings})
    return reference_runs()[0].model_copy(update={"settings": made})


def test_the_usual_settings_and_what_forecasts_have_as_numbers_are_known() -> None:
    usual = {
        "until": 0.5,
        "max_epochs": 3,
        "batch_size": 7,
        "lr": 0.3,
        "seed": 9,
        "max_steps": 5,
        "workers": 2,
    }
    assert unseen_settings(TrainingSettings.model_validate(usual), reference_runs()) == []


def test_what_is_unknown_is_named_in_one_line() -> None:
    settings = TrainingSettings.model_validate(
        {"accumulate": 4, "schedule": "cosine", "augment": ["flip", "crop:4"], "decay_norms": False}
    )
    (line,) = unseen_settings(settings, reference_runs())
    assert line.startswith(
        "no run of the ledger was trained with schedule=cosine, accumulate=4, decay_norms=False, augment=flip,crop:4: "
    )
    assert "\n" not in line and len(line) <= 300


def test_an_unknown_optimiser_is_one_of_them() -> None:
    (line,) = unseen_settings(TrainingSettings(optimizer="nadam"), reference_runs())
    assert "with optimizer=nadam: " in line


@pytest.mark.parametrize(
    ("asked", "known", "left"),
    [
        ({"schedule": "cosine"}, {"schedule": "cosine"}, ""),
        ({"schedule": "cosine"}, {"schedule": "linear"}, "schedule=cosine"),
        ({"accumulate": 4}, {"accumulate": 2}, ""),
        ({"freeze": ["conv1"]}, {"freeze": ["layer1"]}, ""),
        ({"precision": "bf16", "patience": 3}, {"patience": 9}, "precision=bf16"),
        ({"class_weights": {"cat": 2.0}}, {}, "class_weights=cat: 2.0"),
    ],
)
def test_what_a_run_of_ones_own_has_is_known(
    asked: dict[str, object], known: dict[str, object], left: str
) -> None:
    said = unseen_settings(TrainingSettings.model_validate(asked), [trained(), trained(**known)])
    assert said == [] if not left else f"with {left}: the interval" in said[0]


def test_the_settings_kept_of_the_reference_say_the_same_as_its_runs() -> None:
    for given in ({}, {"optimizer": "sgd"}, {"optimizer": "nadam"}, {"lr": 0.5, "batch_size": 8}):
        asked = TrainingSettings.model_validate(given)
        assert unseen_settings(asked, reference_settings()) == unseen_settings(asked, reference_runs())
