"""A run of foretoll's own that is forecast while it goes on, and given up where that has become hopeless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.measure import ReplayMeter
from foretoll.options import OPTIONS
from foretoll.progress import left_text
from foretoll.records import (
    EvalPoint,
    Forecast,
    Interval,
    LiveForecast,
    MadeForecast,
    Outcome,
    Run,
    TrainingSettings,
)
from foretoll.report import document_of
from foretoll.report.markdown import markdown
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.live import MOST_SEEN, Renewals, thinned
from options.making import blobs, mlp, same, weights

HOPELESS = TrainingSettings(batch_size=16, max_epochs=30, lr=1e-6, until=0.999, give_up=0.2)
EASY = TrainingSettings(batch_size=16, max_epochs=30, lr=0.01, until=0.8, give_up=0.05)
DOUBTED = MadeForecast(
    forecast=Forecast(epochs=Interval(median=30.0, low=10.0, high=30.0)), reach_probability=0.1
)


class Heard(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[LiveForecast | EvalPoint] = []

    def renewed(self, forecast: LiveForecast) -> None:
        self.told.append(forecast)

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        self.told.append(point)


def done(
    settings: TrainingSettings, tmp_path: Path, distance: float = 0.5, **more: Any
) -> tuple[RunResult, Heard, Ledger]:
    heard, ledger, data = Heard(), Ledger.open(tmp_path / "own.db"), blobs(distance=distance)
    found = carry_out(
        OPTIONS["finetune"], Update(mlp(data), data, data, False, torch.device("cpu")), settings,
        Runtime(accounting=Accounting("watts:20", region="DE"), ledger=ledger, watcher=heard), RunMetadata(**more),
    )  # fmt: skip
    return found, heard, ledger


def test_a_hopeless_run_is_given_up_and_the_ledger_says_so(tmp_path: Path) -> None:
    found, heard, ledger = done(HOPELESS, tmp_path, forecast=DOUBTED)
    run = ledger.get(found.run.id)
    assert run == found.run and run.outcome is Outcome.GIVEN_UP
    assert run.toll.epochs is not None and 0 < run.toll.epochs < 30 and (run.toll.energy_kwh or 0) > 0
    assert "chance of reaching accuracy 0.999 within its budget had fallen to" in run.reason
    assert run.quality is not None and found.model is not None, "what was trained is there"
    assert [r.id for r in ledger.runs(outcome="given_up")] == [run.id]
    last = [told for told in heard.told if isinstance(told, LiveForecast)][-1]
    assert last.reach_probability < 0.2 and last.epochs == run.toll.epochs
    text = markdown(document_of(run=run))
    assert "was given up before it reached accuracy 0.999" in text and "no, given up" in text


def test_a_run_that_can_reach_its_target_does(tmp_path: Path) -> None:
    found, heard, _ = done(EASY, tmp_path, distance=3.0)
    assert found.run.outcome is Outcome.REACHED
    kinds = [type(told) for told in heard.told if not isinstance(told, EvalPoint) or told.step]
    assert kinds == [LiveForecast, EvalPoint] * (len(kinds) // 2), "each evaluation comes with its forecast"
    last = heard.told[-2]
    assert isinstance(last, LiveForecast) and last.reach_probability == 1.0


def test_the_steps_are_those_of_a_run_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a forecast that fails, and without being asked to give up: the same weights, bit for bit."""
    short = HOPELESS.model_copy(update={"max_epochs": 2.0, "give_up": None})
    plain, heard, _ = done(short, tmp_path)
    assert sum(isinstance(told, LiveForecast) for told in heard.told) == 8

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("foretoll.workflows.live.shipped", broken)
    faulty, heard, _ = done(short.model_copy(update={"give_up": 0.99}), tmp_path / "b")
    assert plain.model is not None and faulty.model is not None
    assert same(weights(plain.model), weights(faulty.model))
    assert (
        faulty.run.outcome is Outcome.CENSORED and faulty.run.curve[-1].quality == plain.run.curve[-1].quality
    )
    assert not any(isinstance(told, LiveForecast) for told in heard.told)


def test_a_fault_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(Renewals, "renew", lambda *_: 1 / 0)
    found, _, _ = done(HOPELESS.model_copy(update={"max_epochs": 1.0}), tmp_path)
    assert found.run.outcome is Outcome.CENSORED
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "forecasting what is left failed (ZeroDivisionError" in line and "the run goes on without it" in line
    )


def test_to_give_up_needs_a_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--give-up needs a quality target"):
        done(HOPELESS.model_copy(update={"until": None}), tmp_path)


def test_time_and_energy_left_follow_from_the_rate_so_far() -> None:
    renewals = Renewals(HOPELESS, DOUBTED, 100)
    curve = [
        EvalPoint(step=8 * i, epochs=0.5 * i, quality=0.3 + 0.1 * i, duration_s=4.0 * i + 1e-9)
        for i in range(5)
    ]
    found = renewals.renew(curve, 16, 2e-3)
    assert found is not None and renewals.latest == found and found.epochs == 2.0
    seconds, energy, left = found.duration_left_s, found.energy_left_kwh, found.epochs_left
    assert seconds is not None and energy is not None and left.low and left.high == 28.0
    assert seconds.high == pytest.approx(28 * 8.0) and energy.low == pytest.approx(left.low * 1e-3)
    unmetered = renewals.renew(curve, 16, None)
    assert unmetered is not None and unmetered.energy_left_kwh is None
    assert renewals.renew(curve, None, None) is None and renewals.latest is None, (
        "nobody knows what an epoch is"
    )


@pytest.mark.parametrize("length", [1, 2, MOST_SEEN, MOST_SEEN + 1, 2 * MOST_SEEN, 5_003])
def test_of_a_long_curve_so_many_evaluations_are_read(length: int) -> None:
    curve = [
        EvalPoint(step=i, epochs=0.01 * i, quality=0.5 - 0.3 / (1 + i), duration_s=1e-3 * i)
        for i in range(length)
    ]
    read = thinned(curve)
    assert len(read) <= MOST_SEEN and (read[0], read[-1]) == (curve[0], curve[-1])
    steps = [point.step for point in read]
    assert steps == sorted(set(steps)) and (length > MOST_SEEN or read == curve)


def test_a_target_that_was_met_stays_met() -> None:
    renewals = Renewals(HOPELESS.model_copy(update={"until": 0.6}), DOUBTED, 100)
    curve = [
        EvalPoint(step=i, epochs=0.1 * i, quality=0.7 if i == 1 else 0.5, duration_s=0.1 * i + 1e-9)
        for i in range(2 * MOST_SEEN)
    ]
    for length in (2, len(curve)):  # the one that met it is not among those that are read then
        found = renewals.renew(curve[:length], 16, None)
        assert found is not None and found.reach_probability == 1


def test_no_run_is_given_up_before_its_first_step_or_at_its_end() -> None:
    renewals = Renewals(HOPELESS, DOUBTED, 100)
    first = EvalPoint(step=0, epochs=0.0, quality=0.1, duration_s=0.1)
    assert renewals.renew([first], 16, None) is not None and not renewals.hopeless
    last = EvalPoint(step=480, epochs=30.0, quality=0.1, duration_s=9.0)
    assert renewals.renew([first, last], 16, None) is not None and not renewals.hopeless
    middle = last.model_copy(update={"epochs": 20.0})
    assert renewals.renew([first, middle], 16, None) is not None and renewals.hopeless


def test_a_meter_says_what_was_spent_so_far() -> None:
    meter = ReplayMeter(watts=3600.0)
    assert meter.so_far_kwh is None
    with meter:
        meter.start("training")
        meter.switch("evaluation")
        first = meter.so_far_kwh
        meter.switch("training")
        assert first is not None and meter.so_far_kwh is not None and meter.so_far_kwh >= first
        assert meter.stop().energy_kwh == pytest.approx(meter.so_far_kwh)


@pytest.mark.parametrize(
    ("chance", "said"),
    [
        (1.0, "target reached"),
        (0.93, "chance 93 %, about 2.3 epochs (41 s) left"),
        (0.02, "chance 2 %, about 9.5 epochs (2.9 min) at the most"),
    ],
)
def test_what_is_left_in_plain_words(chance: float, said: str) -> None:
    left = Interval(median=2.3 if chance > 0.5 else 9.5, low=1.0, high=9.5)
    found = LiveForecast(
        epochs=0.5, reach_probability=chance, epochs_left=left,
        duration_left_s=Interval(median=41.0, low=20.0, high=172.0),
    )  # fmt: skip
    assert left_text(found).replace(" ", " ") == said


def test_the_first_run_that_was_given_up_is_readable_as_json(tmp_path: Path) -> None:
    found, _, _ = done(HOPELESS, tmp_path, forecast=DOUBTED)
    assert '"outcome":"given_up"' in found.run.model_dump_json()
    assert Run.model_validate_json(found.run.model_dump_json(by_alias=True)) == found.run
