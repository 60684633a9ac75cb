"""Option recalibrate: batch-norm statistics of the target, and nothing else."""

from __future__ import annotations

import pytest
import torch

from foretoll.data import TaskData
from foretoll.errors import DataError, UsageError
from foretoll.measure import ReplayMeter
from foretoll.models import Model, build_model
from foretoll.options import get_option, train_to_target
from foretoll.records import Outcome, TrainingSettings
from foretoll.representation import renormalised
from foretoll.workflows import Accounting
from foretoll.workflows.carry_out import carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.probe import probe_option
from foretoll.workflows.retrain import retrain_update

from .making import CNN, blobs, digits, mlp, normed, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=2, lr=0.01, until=0.99)
ACCOUNTING = Accounting("watts:20", region="DE")


def recalibrated(model: Model, target: TaskData, settings: TrainingSettings = SETTINGS) -> Model:
    done = carry_out(
        get_option("recalibrate"),
        Update(model, None, target, False, CPU),
        settings,
        Runtime(accounting=ACCOUNTING),
    )
    assert done.model is not None
    return done.model


@pytest.fixture(scope="module")
def images() -> TaskData:
    return digits(120)


def test_only_the_statistics_change_and_they_are_those_of_renormalised(images: TaskData) -> None:
    model = build_model(CNN, data=images, seed=0)
    before, after = weights(model), weights(recalibrated(model, images))
    wanted = renormalised(model, images.train)
    assert wanted is not None and same(after, weights(wanted))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
    assert statistics <= changed <= statistics | {n for n in before if n.endswith("num_batches_tracked")}
    assert not {name for name, _ in model.network.named_parameters()} & changed


def test_no_gradient_is_taken(images: TaskData) -> None:
    done = recalibrated(build_model(CNN, data=images, seed=0), images)
    assert all(parameter.grad is None for parameter in done.network.parameters())


def test_the_statistics_depend_on_neither_batch_size_seed_nor_order() -> None:
    target = blobs(seed=1)
    turned = TaskData(
        target.card,
        train=target.train.take(
            torch.randperm(len(target.train), generator=torch.Generator().manual_seed(1))
        ),
        validation=target.validation,
        test=target.test,
    )
    model = normed(blobs())
    first = weights(recalibrated(model, target))
    for data, change in ((target, {"batch_size": 7}), (target, {"seed": 5}), (turned, {})):
        assert same(first, weights(recalibrated(model, data, SETTINGS.model_copy(update=change))))


def test_the_pass_is_measured_as_preparation_and_judged_after_it() -> None:
    model, target, option = normed(blobs()), blobs(seed=1), get_option("recalibrate")
    training = option.start(model, target, SETTINGS, task_shift=False, device=CPU)
    meter = ReplayMeter({"evaluation": 2.0, "preparation": 5.0})
    result = train_to_target(option, training, SETTINGS, meter=meter)
    assert result.outcome is Outcome.CENSORED and "takes no steps" in result.reason
    assert (result.steps, result.evaluations, len(result.curve)) == (0, 2, 2)
    assert result.curve[0].loss != result.curve[1].loss
    assert result.preparation is not None and (result.preparation.energy_kwh or 0) > 0
    assert result.gradient_norm is None and result.parameter_change is None


def test_what_is_good_enough_already_is_left_as_it_is() -> None:
    model = normed(blobs())
    done = recalibrated(model, blobs(seed=1), SETTINGS.model_copy(update={"until": 0.01}))
    assert same(weights(done), weights(model))


def test_probe_and_pilot(images: TaskData) -> None:
    update = Update(build_model(CNN, data=images, seed=0), images, images, False, CPU)
    before = weights(update.model)
    assert pilot_signals(update, "recalibrate", SETTINGS) == {}
    probe = probe_option(get_option("recalibrate"), update, SETTINGS, ACCOUNTING, budget_s=0.05).step
    assert probe.steps == 0 and probe.seconds_of_preparation > 0 and (probe.joules_of_preparation or 0) > 0
    assert same(weights(update.model), before)


def test_a_model_without_batch_norm_is_told_so() -> None:
    model, target = mlp(blobs()), blobs(seed=1)
    why = get_option("recalibrate").suits(model, target, task_shift=False)
    assert why is not None and "foretoll:mlp has none; use another option" in why
    update = Update(model, blobs(), target, False, CPU)
    with pytest.raises(UsageError, match="re-estimates batch-norm statistics, and foretoll:mlp has none"):
        retrain_update(update, "recalibrate", SETTINGS, Runtime(accounting=ACCOUNTING))


def test_one_sample_has_no_variance() -> None:
    target = blobs()
    single = TaskData(target.card, target.train.take(torch.tensor([0])), target.validation, target.test)
    with pytest.raises(DataError, match="statistics need two samples"):
        recalibrated(normed(blobs()), single)
