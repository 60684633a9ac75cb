"""Whether an update is worth it: what it takes, and the sentence where something of it is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from foretoll.decide.budget import Limit
from foretoll.quality import Evaluation
from foretoll.records import Forecast, Interval, Payback, QualityScale, TrainingSettings
from foretoll.workflows.payback import Qualities, payback

BEFORE = Evaluation(quality=0.8, loss=0.5, samples=400)
AFTER = Interval(median=0.9, low=0.86, high=0.93)
COSTS = Forecast(duration_s=Interval(median=60.0, low=20.0, high=120.0))


def asked(
    worth: str = "2s",
    metric: str = "accuracy",
    task: str = "classification",
    labels: object = (0, 1),
    **changes: Any,
) -> Payback:
    update: Any = SimpleNamespace(
        model=SimpleNamespace(card=SimpleNamespace(task=task)),
        target=SimpleNamespace(train=SimpleNamespace(labels=labels)),
    )
    settings = changes.pop("settings", TrainingSettings(metric=metric))
    limit = Limit.parse(worth, "worth")
    known = {"before": BEFORE, "after": AFTER} | changes
    return payback(limit, update, settings, limit.cost_of(COSTS), Qualities(**known))


def test_by_hand() -> None:
    found = asked()
    assert found.why_not == "" and (found.worth, found.cost, found.before) == ("2 s", "duration_s", 0.8)
    assert found.answers is not None and found.answers.median == pytest.approx(60 / (2 * 0.1))
    assert found.gain is not None and found.gain.low == pytest.approx(
        0.1 - (0.04**2 + 1.6448536**2 * 0.8 * 0.2 / 400) ** 0.5
    )


def test_of_rmse_one_unit_less_on_an_answer() -> None:
    settings = TrainingSettings(metric="rmse", scale=QualityScale(trivial=20.0, best=0.0))
    found = asked(
        task="regression", settings=settings, before=Evaluation(12.0, 1.0, 400, error=0.0),
        after=Interval(median=9.0, low=8.0, high=10.0),
    )  # fmt: skip
    assert found.answers is not None and found.answers.median == pytest.approx(60 / (2 * 3))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"metric": "macro_f1"}, "macro F1 is no mean over single answers, of which one could be worth something; "
         "--metric accuracy is"),
        ({"metric": "r2", "task": "regression"}, "--metric rmse or mae is"),
        ({"metric": "token_accuracy", "task": "language"}, "is no mean over single answers"),
        ({"labels": None, "before": None}, "no labels"),
        ({"before": None}, "the classes are new"),
        ({"after": None}, "could not be forecast"),
        ({"worth": "0.2J"}, "its energy is not known"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(changes: dict[str, Any], why: str) -> None:
    found = asked(**changes)
    assert why in found.why_not and found.answers is None and found.gain is None


def test_what_stays_as_it_is_wins_nothing() -> None:
    found = asked(unchanged=True)
    assert found.gain is not None and found.gain.high == 0.0
    assert found.answers is not None and found.answers.low is None
