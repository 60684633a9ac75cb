"""The toll of a run, as the one training loop records it."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn import functional as F

from foretoll.data import TaskData
from foretoll.errors import DataError
from foretoll.measure import NoMeter, ReplayMeter
from foretoll.models import Model, build_model
from foretoll.options import Training, get_option, train_to_target
from foretoll.quality import evaluate
from foretoll.records import EvalPoint, Outcome, TrainingSettings
from foretoll.training import Recording
from foretoll.units import kwh_from_joules

from .making import CNN, Recorded, blobs, digits, mlp, noise, same, weights


def settings(**values: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"batch_size": 16, "max_epochs": 3, "lr": 0.005, **values})


def records(curve: list[EvalPoint]) -> list[EvalPoint]:
    """The points that are better than all before them."""
    return [p for i, p in enumerate(curve) if i and p.quality > max(q.quality for q in curve[:i])]


def train(model: Model, data: TaskData, wanted: TrainingSettings, **more: object) -> Recording:
    trainable = more.pop("trainable", dict(model.network.named_parameters()))
    meter = more.pop("meter", NoMeter())
    return train_to_target(
        get_option("finetune"),
        Training(model, data.train, data.validation, trainable),  # type: ignore[arg-type]
        wanted,
        meter=meter,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


# --- epochs, stopping, censoring -------------------------------------------------------------------


@pytest.mark.parametrize("samples", [2, 3, 15, 16, 17, 31, 32, 33, 120])
def test_steps_per_epoch_are_the_batches_that_are_trained_on(samples: int) -> None:
    sizes = [min(16, samples - start) for start in range(0, samples, 16)]
    assert settings().steps_per_epoch(samples) == sum(size > 1 for size in sizes)


@pytest.mark.parametrize("samples", [17 * 5, 16 * 5, 16 * 5 - 3])
def test_a_whole_epoch_takes_exactly_its_steps(samples: int) -> None:
    data = blobs(500)
    data = TaskData(data.card, data.train.take(torch.arange(samples)), data.validation, data.test)
    result = train(mlp(data), data, settings(max_epochs=2, evals_per_epoch=1))
    assert result.steps == 2 * result.steps_per_epoch == 2 * settings().steps_per_epoch(samples)
    assert result.epochs == 2
    assert result.outcome is Outcome.REACHED


def test_epochs_are_fractional_and_the_first_evaluation_that_meets_the_target_ends_the_run() -> None:
    data = blobs()
    whole = train(mlp(data), data, settings(max_epochs=6, evals_per_epoch=4)).curve
    middle = next(point for point in records(whole) if point.epochs % 1)
    result = train(mlp(data), data, settings(until=middle.quality, max_epochs=6, evals_per_epoch=4))
    assert result.outcome is Outcome.REACHED
    assert result.steps == middle.step and 0 < result.epochs < 6 and result.epochs % 1
    assert result.epochs == result.steps / result.steps_per_epoch
    assert [point.quality >= middle.quality for point in result.curve] == [False] * (
        len(result.curve) - 1
    ) + [True]
    assert [p.quality for p in result.curve] == [p.quality for p in whole[: len(result.curve)]]


def test_a_model_that_meets_the_target_pays_nothing() -> None:
    data = blobs()
    model = mlp(data)
    train(model, data, settings(max_epochs=15))
    there = evaluate(model, data.validation).quality
    before, log = weights(model), list[str]()
    silent = TaskData(data.card, Recorded(data.train, "train", log), data.validation, data.test)  # type: ignore[arg-type]
    log.clear()
    result = train(model, silent, settings(until=there), meter=ReplayMeter({"evaluation": 7.2}))
    assert (result.outcome, result.epochs, result.steps, result.evaluations) == (Outcome.REACHED, 0.0, 0, 1)
    assert result.gradient_norm is None
    assert result.parameter_change == 0.0 and set(result.parameter_change_by_tensor.values()) == {0.0}
    assert (
        result.training is not None
        and result.training.energy_kwh == 0.0
        and result.training.duration_s == 0.0
    )
    assert result.evaluation is not None and result.evaluation.energy_kwh == kwh_from_joules(7.2)
    assert same(weights(model), before)
    assert log == ["train"], "besides the look whether there are labels no training sample was read"


@pytest.mark.parametrize("budget", [0.2, 0.5, 1.0, 1.1, 2.0])
def test_a_target_that_is_not_reached_is_censored_at_the_budget(budget: float) -> None:
    data = noise(265)  # ten steps an epoch
    result = train(mlp(data), data, settings(until=1.0, max_epochs=budget))
    assert result.steps_per_epoch == 10
    assert result.outcome is Outcome.CENSORED
    assert result.epochs == pytest.approx(budget, abs=1e-12)
    assert all(point.quality < 1.0 for point in result.curve)
    assert result.curve[-1].step == result.steps, "the last state is looked at too"


def test_a_target_met_by_the_last_step_of_the_budget_is_reached() -> None:
    data = blobs()
    best = records(train(mlp(data), data, settings(max_epochs=2)).curve)[-1]
    result = train(mlp(data), data, settings(max_epochs=best.epochs, until=best.quality))
    assert (result.outcome, result.epochs) == (Outcome.REACHED, best.epochs)


@pytest.mark.parametrize(
    ("checks", "steps"),
    [
        (1, [0, 8, 16]),
        (2, [0, 4, 8, 12, 16]),
        (4, [0, 2, 4, 6, 8, 10, 12, 14, 16]),
        (3, [0, 3, 6, 8, 11, 14, 16]),
    ],
)
def test_evaluations_per_epoch(checks: int, steps: list[int]) -> None:
    data = blobs()  # 128 samples to train on
    assert settings().steps_per_epoch(len(data.train)) == 8
    shown: list[EvalPoint] = []
    result = train(mlp(data), data, settings(max_epochs=2, evals_per_epoch=checks), progress=shown.append)
    assert [point.step for point in result.curve] == steps
    assert [point.epochs for point in result.curve] == [step / 8 for step in steps]
    assert shown == result.curve and result.evaluations == len(steps)


def test_more_evaluations_than_steps_are_one_after_each_step() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(max_epochs=1, evals_per_epoch=50))
    assert [point.step for point in result.curve] == list(range(9))


def test_a_first_evaluation_is_followed_by_more_until_those_of_an_epoch() -> None:
    data = blobs()  # 8 steps an epoch
    plain, early = mlp(data), mlp(data)
    train(plain, data, settings(max_epochs=2, evals_per_epoch=1))
    result = train(early, data, settings(max_epochs=2, evals_per_epoch=1, first_evaluation=1))
    assert [point.step for point in result.curve] == [0, 1, 2, 4, 8, 16]
    assert same(weights(plain), weights(early)), "evaluations change nothing of what is trained"
    cut = train(mlp(data), data, settings(max_steps=3, evals_per_epoch=1, first_evaluation=1))
    assert [point.step for point in cut.curve] == [0, 1, 2, 3], "the end of the run, too"
    half = settings(batch_size=8, accumulate=2, max_epochs=2, evals_per_epoch=1, first_evaluation=1)
    assert [point.step for point in train(mlp(data), data, half).curve] == [0, 1, 2, 4, 8, 16]


# --- gradient norm, parameter change ---------------------------------------------------------------


def by_hand(
    model: Model, data: TaskData, wanted: TrainingSettings, epochs: int, optimizer: torch.optim.Optimizer
) -> tuple[list[float], list[float]]:
    """The same training in plain torch: gradient norms and losses of all steps."""
    norms, losses = [], []
    inputs, labels = data.train.all()
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(wanted.seed * 1_000_003 + epoch)
        order = torch.randperm(len(labels), generator=generator)
        model.network.train()
        for rows in order.split(wanted.batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(model.network(model.preprocess(inputs[rows])), labels[rows])
            loss.backward()
            squares = [
                p.grad.double().square().sum() for p in model.network.parameters() if p.grad is not None
            ]
            norms.append(float(torch.stack(squares).sum().sqrt()))
            losses.append(loss.item())
            optimizer.step()
    return norms, losses


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_norms_losses_and_weights_are_those_of_plain_torch(kind: str) -> None:
    data = digits()  # a network with batch norm: evaluations between the steps must not move its statistics
    wanted = settings(max_epochs=2, optimizer=kind, lr=0.01, weight_decay=0.01, momentum=0.8, seed=3)
    trained, plain = build_model(CNN, data=data, seed=1), build_model(CNN, data=data, seed=1)
    start = weights(plain)
    result = train(trained, data, wanted)
    parameters = list(plain.network.parameters())
    optimizer = {
        "adam": lambda: torch.optim.Adam(parameters, lr=0.01, weight_decay=0.01),
        "adamw": lambda: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.01),
        "sgd": lambda: torch.optim.SGD(parameters, lr=0.01, momentum=0.8, weight_decay=0.01),
    }[kind]()
    norms, losses = by_hand(plain, data, wanted, 2, optimizer)
    assert same(weights(trained), weights(plain))
    assert len(norms) == result.steps
    expected = torch.tensor(norms, dtype=torch.float64)
    per_epoch = result.steps_per_epoch
    found = result.gradient_norm
    assert found is not None
    assert found.mean == pytest.approx(float(expected.mean()), rel=1e-5)
    assert found.std == pytest.approx(float(expected.std(correction=0)), rel=1e-4)
    assert found.first == pytest.approx(norms[0], rel=1e-5) and found.last == pytest.approx(
        norms[-1], rel=1e-5
    )
    assert found.epoch_last == pytest.approx((norms[per_epoch - 1] + norms[-1]) / 2, rel=1e-5)
    ends = [point.step for point in result.curve]
    for before, after, point in zip(ends, ends[1:], result.curve[1:], strict=False):
        assert point.train_loss == pytest.approx(sum(losses[before:after]) / (after - before), rel=1e-5)
    assert_change(result, start, plain)


def assert_change(result: Recording, start: dict[str, torch.Tensor], model: Model) -> None:
    """‖θ1 − θ0‖/√n, by hand, over all trainable parameters and per tensor."""
    total, count = 0.0, 0
    for name, parameter in model.network.named_parameters():
        difference = (parameter.detach() - start[name]).double()
        square = float((difference * difference).sum())
        expected = math.sqrt(square / difference.numel())
        assert result.parameter_change_by_tensor[name] == pytest.approx(expected, rel=1e-9)
        total, count = total + square, count + difference.numel()
    assert result.parameter_change == pytest.approx(math.sqrt(total / count), rel=1e-9)


def test_only_what_is_trainable_is_trained_and_counted() -> None:
    data = blobs()
    model = mlp(data)
    before = weights(model)
    head = {f"head.{n}": p for n, p in model.head_module().named_parameters()}
    result = train(model, data, settings(max_epochs=1), trainable=head)
    after = weights(model)
    assert [name for name in after if not torch.equal(after[name], before[name])] == list(head)
    assert list(result.parameter_change_by_tensor) == list(head)
    squares = sum(float((after[name] - before[name]).double().square().sum()) for name in head)
    count = sum(p.numel() for p in head.values())
    assert result.parameter_change == pytest.approx(math.sqrt(squares / count), rel=1e-9)


def test_no_whole_epoch_has_no_epoch_last() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(max_epochs=0.5))
    assert result.gradient_norm is not None and result.gradient_norm.epoch_last is None


# --- energy ----------------------------------------------------------------------------------------


def test_energy_of_steps_and_of_evaluations_is_kept_apart_and_adds_up() -> None:
    data = blobs()
    series = {"training": [100.0, 200.0, 300.0, 400.0], "evaluation": [1.0, 2.0, 3.0, 4.0, 5.0]}
    result = train(mlp(data), data, settings(max_epochs=1), meter=ReplayMeter(series))
    assert result.training is not None and result.evaluation is not None and result.reading is not None
    assert result.training.energy_kwh == pytest.approx(kwh_from_joules(1000.0), rel=1e-12)
    assert result.evaluation.energy_kwh == pytest.approx(kwh_from_joules(15.0), rel=1e-12)
    assert result.reading.energy_kwh == pytest.approx(kwh_from_joules(1015.0), rel=1e-12)


def test_a_constant_power_gives_energy_by_duration() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(max_epochs=1), meter=ReplayMeter(watts=36.0))
    assert result.training is not None and result.evaluation is not None and result.reading is not None
    for cost in (result.training, result.evaluation):
        assert cost.duration_s > 0
        assert cost.energy_kwh == pytest.approx(36.0 * cost.duration_s / 3.6e6, rel=1e-9)
    assert result.reading.duration_s == pytest.approx(
        result.training.duration_s + result.evaluation.duration_s
    )
    assert result.reading.energy_kwh == pytest.approx(36.0 * result.reading.duration_s / 3.6e6, rel=1e-9)


def test_without_a_meter_energy_is_unknown_and_not_zero() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(max_epochs=1))
    assert (
        result.training is not None and result.training.energy_kwh is None and result.training.duration_s > 0
    )
    assert result.reading is not None and result.reading.energy_kwh is None


# --- runs that do not end by themselves --------------------------------------------------------------


def test_a_loss_that_diverges_fails_and_says_how_to_go_on() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(optimizer="sgd", lr=1e6, until=0.99))
    assert result.outcome is Outcome.FAILED
    assert re.fullmatch(r"the loss became (nan|inf) by step \d: try a smaller --lr", result.reason)
    assert 0 < result.steps < result.steps_per_epoch, "it ends with the evaluation that sees it"
    assert result.parameter_change is None or math.isfinite(result.parameter_change)


def test_weights_that_became_nan_in_the_last_step_never_reach_a_target() -> None:
    """NaN outputs always name the first class: on enough data of that class this looks like a good quality."""
    data = blobs()
    model = mlp(data, seed=5)
    one_step = settings(optimizer="sgd", max_epochs=0.125, until=0.3)
    one_step = one_step.model_copy(update={"lr": 1e38})  # no rate that a user may give overflows in one step
    start = evaluate(model, data.validation).quality
    assert start < 0.3
    result = train(model, data, one_step)
    assert evaluate(model, data.validation).quality >= 0.3
    assert (result.outcome, result.steps) == (Outcome.FAILED, 1)


def test_a_model_of_nan_weights_does_not_start() -> None:
    data = blobs()
    model = mlp(data)
    with torch.no_grad():
        model.head_module().weight.fill_(math.nan)  # type: ignore[union-attr,operator]
    result = train(model, data, settings(until=0.1))
    assert (result.outcome, result.steps) == (Outcome.FAILED, 0)
    assert result.reason == "the loss is nan before the first step: check the model's weights and its input"


def test_ctrl_c_keeps_what_was_measured() -> None:
    data = blobs()
    series = {"training": [50.0] * 9, "evaluation": [1.0] * 9}

    def stop(point: EvalPoint) -> None:
        if point.step == 4:
            raise KeyboardInterrupt

    model = mlp(data)
    whole = train(mlp(data), data, settings(max_epochs=0.5))
    result = train(model, data, settings(until=0.999), progress=stop, meter=ReplayMeter(series))
    assert (result.outcome, result.reason) == (Outcome.INTERRUPTED, "stopped by the user")
    assert (result.steps, result.epochs, len(result.curve)) == (4, 0.5, 3)
    assert result.gradient_norm == whole.gradient_norm
    assert result.training is not None and result.training.energy_kwh == pytest.approx(kwh_from_joules(100.0))


def test_unlabelled_data_cannot_be_trained_on() -> None:
    data = blobs()
    with pytest.raises(DataError, match="have no labels: retraining needs them"):
        train(mlp(data), blobs(labelled=False), settings())


# --- seeds -----------------------------------------------------------------------------------------


def test_a_seed_repeats_exactly_and_another_differs() -> None:
    data = digits()
    runs = []
    for seed in (5, 5, 6):
        model = build_model(CNN, data=data, seed=0)
        runs.append((train(model, data, settings(seed=seed, max_epochs=2)), weights(model)))
    (first, first_weights), (again, again_weights), (other, other_weights) = runs
    timeless = [[p.model_copy(update={"duration_s": None}) for p in r.curve] for r in (first, again, other)]
    assert timeless[0] == timeless[1] != timeless[2]
    assert first.gradient_norm == again.gradient_norm != other.gradient_norm
    assert same(first_weights, again_weights) and not same(first_weights, other_weights)


def test_a_huge_seed_is_a_seed() -> None:
    data = blobs()
    result = train(mlp(data), data, settings(seed=2**63 - 1, max_epochs=1))
    assert result.outcome is Outcome.REACHED
