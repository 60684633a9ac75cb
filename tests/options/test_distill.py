"""The option `distill`: its loss is the published one, its teacher stays as it is, and it helps."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from foretoll.errors import UsageError
from foretoll.forecast import Case
from foretoll.forecast.case import OTHER, setting_features
from foretoll.options import get_option
from foretoll.options.distill import Distill
from foretoll.options.distillation import DistillTraining
from foretoll.records import TrainingSettings

from .making import blobs, digits, mlp, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=32, max_epochs=1, lr=0.01, seed=3)


def started(option: Distill) -> DistillTraining:
    data = blobs()
    training = option.start(mlp(data), data, SETTINGS, task_shift=False, device=CPU)
    assert isinstance(training, DistillTraining)
    return training


@pytest.mark.parametrize(("share", "temperature"), [(0.0, 2.0), (0.5, 2.0), (1.0, 4.0)])
def test_the_loss_is_the_published_one(share: float, temperature: float) -> None:
    training = started(Distill(temperature=temperature, share=share))
    batch = next(blobs(seed=2).train.batches(16))
    outputs = training.model(batch.inputs)
    plain = F.cross_entropy(outputs, batch.labels)
    teacher = (training.teacher(batch.inputs) / temperature).softmax(1)
    student = (outputs / temperature).softmax(1)
    kl = (teacher * (teacher / student).log()).sum(1).mean()
    expected = (1 - share) * plain + share * temperature**2 * kl
    found = training.step_loss(plain, batch.inputs, outputs)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.requires_grad


def test_the_teacher_gets_no_gradient_and_its_own_copy() -> None:
    data = blobs()
    model = mlp(data)
    before = weights(model)
    training = Distill().start(model, data, SETTINGS, task_shift=False, device=CPU)
    assert isinstance(training, DistillTraining) and training.teacher is not model
    assert not any(p.requires_grad for p in training.teacher.parameters())
    assert all(p.requires_grad for p in model.parameters()) and same(weights(model), before)
    held = sum(p.numel() for p in training.held().parameters())
    assert held == sum(p.numel() for m in (training.model, training.teacher) for p in m.network.parameters())


def test_a_student_is_named_and_what_cannot_be_built_is_told() -> None:
    data = digits()
    option = get_option("distill?student=foretoll:cnn?width=4%26norm=none&temperature=4")
    assert isinstance(option, Distill) and option.temperature == 4.0
    wrong = get_option("distill?student=foretoll:cn")
    why = wrong.suits(mlp(blobs()), data, task_shift=False)
    assert why is not None and "cannot build its student" in why
    with pytest.raises(UsageError, match="share between 0 and 1"):
        get_option("distill?share=2.0")


def test_the_forecast_tells_it_from_options_of_the_reference() -> None:
    case = Case.model_construct(
        option="distill", until=0.9, num_classes=3, lr=0.1, batch_size=8, steps_per_epoch=9, parameters=9,
        has_batch_norm=False, task_shift=False, optimizer="adam",
    )  # fmt: skip
    assert setting_features(case)[f"{OTHER}distill"] == 1.0 and "distill" not in setting_features(case)
