"""The recorder as anybody's loop uses it: what it is told comes back, summed and judged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from foretoll.measure import NoMeter
from foretoll.records import EvalPoint, Outcome
from foretoll.training import EVALUATION, TRAINING, Recorder, StopRule, epochs, never, patience, steps, until
from foretoll.training.scalars import PIECE, Scalars


def recorder(stop: StopRule, per_epoch: int = 4, **more: object) -> tuple[Recorder, nn.Linear]:
    layer = nn.Linear(3, 2)
    made = Recorder(
        dict(layer.named_parameters()),
        stop=stop,
        steps_per_epoch=per_epoch,
        meter=NoMeter(),
        **more,  # type: ignore[arg-type]
    )
    made.begin(EVALUATION)
    return made, layer


def test_what_is_told_comes_back() -> None:
    shown: list[EvalPoint] = []
    made, layer = recorder(until(0.9) | epochs(5), progress=shown.append)
    start = {name: p.detach().clone() for name, p in layer.named_parameters()}
    assert not made.evaluate(0.5, 1.2)
    made.enter(TRAINING)
    norms, losses = [3.0, 1.0, 2.0, 5.0, 4.0, 6.0], [1.0, 0.8, 0.6, 0.5, 0.4, 0.2]
    for norm, loss in zip(norms, losses, strict=True):
        made.step(torch.tensor(norm), torch.tensor(loss))
    with torch.no_grad():
        layer.weight += 0.5
    made.enter(EVALUATION)
    assert made.evaluate(0.93, 0.3)
    result = made.finish()
    assert (result.outcome, result.steps, result.epochs, result.evaluations) == (Outcome.REACHED, 6, 1.5, 2)
    assert result.curve == shown
    assert result.curve[-1].train_loss == pytest.approx(sum(losses) / 6)
    found = result.gradient_norm
    assert found is not None
    assert (found.mean, found.first, found.last, found.epoch_last) == (3.5, 3.0, 6.0, 5.0)
    assert found.std == pytest.approx(math.sqrt(sum((n - 3.5) ** 2 for n in norms) / 6))
    squares = sum(float((p.detach() - start[n]).double().square().sum()) for n, p in layer.named_parameters())
    assert result.parameter_change == pytest.approx(math.sqrt(squares / 8))
    assert result.parameter_change_by_tensor["bias"] == 0.0
    assert result.training is not None and result.evaluation is not None
    assert result.training.energy_kwh is None, "no meter: unknown, not zero"


@pytest.mark.parametrize(
    ("stop", "qualities", "outcome", "evaluations"),
    [
        (until(0.9) | epochs(1), [0.1, 0.2, 0.3], Outcome.CENSORED, 2),
        (epochs(1), [0.1, 0.2, 0.3], Outcome.REACHED, 2),
        (patience(1) | epochs(9), [0.5, 0.4, 0.6], Outcome.REACHED, 2),
        (until(0.9) | patience(1), [0.5, 0.4, 0.95], Outcome.CENSORED, 2),
        (until(0.3) | steps(4), [0.1, 0.3, 0.2], Outcome.REACHED, 2),
    ],
)
def test_outcomes(stop: StopRule, qualities: list[float], outcome: Outcome, evaluations: int) -> None:
    made, _ = recorder(stop)
    for quality in qualities:
        if made.evaluate(quality):
            break
        for _ in range(4):
            made.step(torch.tensor(1.0))
    result = made.finish()
    assert (result.outcome, result.evaluations) == (outcome, evaluations)


def test_a_loss_that_is_not_finite_fails() -> None:
    made, _ = recorder(until(0.9) | epochs(5))
    made.step(torch.tensor(1.0), torch.tensor(math.nan))
    assert made.evaluate(0.95)
    result = made.finish()
    assert result.outcome is Outcome.FAILED and "the loss became nan by step 1" in result.reason
    assert result.curve == []


def test_nothing_recorded_is_nothing_and_not_zero() -> None:
    made, _ = recorder(epochs(1))
    result = made.finish()
    assert result.gradient_norm is None and result.curve == [] and result.parameter_change == 0.0


def test_steps_that_turn_out_to_be_none_are_taken_off() -> None:
    made, _ = recorder(never())
    norms, skipped = [4.0, math.nan, 2.0, math.inf, 6.0], [0.0, 1.0, 0.0, 1.0, 0.0]
    for norm, skip in zip(norms, skipped, strict=True):
        made.step(torch.tensor(norm), skipped=torch.tensor(skip))
    assert not made.evaluate(0.5)
    assert made.result.curve[0].step == 3, "known at the evaluation"
    result = made.finish()
    assert (result.steps, result.epochs) == (3, 0.75)
    found = result.gradient_norm
    assert found is not None and (found.mean, found.first, found.last) == (4.0, 4.0, 6.0)


def test_an_epoch_of_unknown_length() -> None:
    layer = nn.Linear(3, 2)
    made = Recorder(dict(layer.named_parameters()), stop=until(0.9), steps_per_epoch=None, meter=NoMeter())
    made.begin(EVALUATION)
    made.step(torch.tensor(1.0))
    assert made.evaluate(0.95) and made.result.curve[0].epochs is None
    result = made.finish()
    assert result.epochs is None and result.gradient_norm is not None
    assert result.gradient_norm.epoch_last is None
    made.result.steps_per_epoch = 4
    assert result.epochs == 0.25, "it may be told later"


def test_many_scalars_are_kept_as_few_tensors() -> None:
    series = Scalars()
    for value in range(3 * PIECE + 5):
        series.append(torch.tensor(float(value)))
        assert len(series._recent) < PIECE
    assert series.all().tolist() == list(range(3 * PIECE + 5))
    series.append(torch.tensor(-1.0, dtype=torch.float64))
    assert series.all()[-1] == -1.0 and len(series) == 3 * PIECE + 6
