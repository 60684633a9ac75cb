"""The option `distill`: its loss is the published one, its teacher stays as it is, and it helps."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from foretoll.data import TaskData, open_data
from foretoll.errors import UsageError
from foretoll.forecast import Case
from foretoll.forecast.case import OTHER, setting_features
from foretoll.measure import NoMeter
from foretoll.models import build_model
from foretoll.options import get_option, train_to_target
from foretoll.options.distill import Distill
from foretoll.options.distillation import DistillTraining, TaughtTraining
from foretoll.options.finetune import Finetune
from foretoll.quality import evaluate
from foretoll.records import TrainingSettings
from foretoll.tasks import TASKS, get_task

from .making import blobs, digits, mlp, same, weights

TASKS_SETTINGS = TrainingSettings(batch_size=16, max_epochs=8, lr=0.02, seed=3)
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


def of_task(task: str, seed: int = 0) -> TaskData:
    """Six numbers, from which labels or numbers of that task follow."""
    x = torch.randn(160, 6, generator=torch.Generator().manual_seed(seed))
    told = x @ torch.tensor([[1.0, -2.0], [0.5, 1.0], [2.0, 0.3], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.2]])
    targets = {
        "regression": 20 * told + 100,
        "multilabel": (told > 0).long(),
        "binary": (told[:, 0] > 0).long(),
        "classification": told.argmax(1),
    }[task]
    return open_data((x.numpy(), targets.numpy()), task=task)


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.imitates])
def test_a_student_of_every_task_learns_what_its_teacher_says(task: str) -> None:
    old, new = of_task(task), of_task(task, seed=1)
    settings = TASKS_SETTINGS.model_copy(update={"metric": get_task(task).metrics[0].name})
    model = build_model("foretoll:mlp?width=32&depth=1", data=old, seed=0)
    teacher = Finetune().start(model, old, settings, task_shift=False, device=CPU)
    train_to_target(Finetune(), teacher, settings, meter=NoMeter())
    option = Distill(student="foretoll:mlp?width=8&depth=1", share=1.0)
    training = option.start(teacher.finish(), new, settings, task_shift=False, device=CPU)
    assert isinstance(training, DistillTraining) and training.model.card.task == task
    inputs = next(new.test.batches(40)).inputs

    def distance() -> float:
        with torch.no_grad():
            outputs, told = training.model.eval()(inputs), training.teacher(inputs)
        return float(get_task(task).imitation(outputs, told, 2.0, training.model.card.targets).mean())

    before = distance()
    found = train_to_target(option, training, settings, meter=NoMeter())
    assert distance() < 0.5 * before and found.curve[-1].loss < found.curve[0].loss


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.imitates])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_imitation_is_least_where_the_outputs_are_the_teachers(task: str, temperature: float) -> None:
    random = torch.Generator().manual_seed(5)
    width = 1 if task == "binary" else 3
    told = 2 * torch.randn(20, width, generator=random)
    loss = get_task(task).imitation
    assert torch.allclose(loss(told, told, temperature), torch.zeros(20), atol=1e-5)
    others = [loss(told + torch.randn(20, width, generator=random), told, temperature) for _ in range(5)]
    assert all(
        other.shape == (20,) and bool((other > -1e-6).all()) and float(other.mean()) > 0 for other in others
    )
    two = torch.cat([told[:, :1], torch.zeros(20, 1)], dim=1)  # one logit is two classes' difference
    if task == "binary":
        moved = told + 1
        pair = torch.cat([moved, torch.zeros(20, 1)], dim=1)
        expected = get_task("classification").imitation(pair, two, temperature)
        assert torch.allclose(loss(moved, told, temperature), expected, atol=1e-5)


def test_the_teacher_of_a_new_task_is_trained_first_and_that_is_measured() -> None:
    target = blobs(classes=4, seed=1)
    model = mlp(blobs())
    before = weights(model)
    option = get_option("distill?teacher=head&teacher_epochs=2")
    assert isinstance(option, Distill)
    settings = TrainingSettings(batch_size=32, max_epochs=2, lr=0.01, seed=3)
    training = option.start(model, target, settings, task_shift=True, device=CPU)
    found = train_to_target(option, training, settings, meter=NoMeter())
    assert isinstance(training, TaughtTraining) and training.teacher.classes == target.classes
    assert found.preparation is not None and found.preparation.duration_s > 0
    assert same(weights(model), before) and training.model.num_classes == 4
    taught = evaluate(training.teacher, target.validation).quality
    fresh = evaluate(model.with_head_for(target, seed=0), target.validation).quality
    assert taught > fresh


@pytest.mark.parametrize(
    ("text", "said"),
    [("distill?teacher=distill", "cannot be distilled itself"), ("distill?teacher=fintune", "did you mean"),
     ("distill?teacher_epochs=0", "teacher_epochs above 0")],
)  # fmt: skip
def test_teachers_that_cannot_be_are_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        get_option(text)


def test_a_teacher_that_cannot_serve_the_target_says_why() -> None:
    why = get_option("distill?teacher=keep").suits(mlp(blobs()), blobs(classes=4), task_shift=True)
    assert why is not None and why.startswith("distill cannot make its teacher: keep cannot serve a new task")


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
