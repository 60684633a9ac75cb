"""One training by several loops: the same network, batches in the same order, and settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from foretoll.data import TaskData, open_data
from foretoll.measure import NoMeter
from foretoll.models import load_model
from foretoll.options import get_option, train_to_target
from foretoll.options.reading import training_batches
from foretoll.records import Run, TrainingSettings
from foretoll.training import Recording
from foretoll.workflows import Accounting
from tracking.loops import blobs

ACCOUNTING = Accounting("watts:20", region="DE")
SETTINGS = TrainingSettings(
    max_epochs=2, batch_size=20, lr=1e-2, optimizer="adamw", weight_decay=0.01, evals_per_epoch=1
)
EPOCHS = 2


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=SETTINGS.lr, weight_decay=SETTINGS.weight_decay)


def task() -> TaskData:
    x, y = blobs(240, seed=4).tensors
    held_x, held_y = blobs(90, seed=5).tensors
    return open_data((x, y, held_x, held_y))


class Batches(IterableDataset[dict[str, Tensor]]):
    """The batches of foretoll's own loop, epoch by epoch, in their order."""

    def __init__(self, data: TaskData) -> None:
        self.epochs = [
            [
                (torch.as_tensor(b.inputs), b.labels)
                for b in training_batches(data.train, SETTINGS.batch_size, epoch)
            ]
            for epoch in range(EPOCHS)
        ]
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.epochs[0])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        batches = self.epochs[self.epoch % EPOCHS]
        self.epoch += 1
        for inputs, labels in batches:
            yield {"x": inputs.float(), "labels": labels}


@torch.no_grad()
def quality(model: nn.Module, data: TaskData) -> float:
    was = model.training
    model.eval()
    inputs, labels = next(data.validation.batches(10_000))
    found = float((model(torch.as_tensor(inputs).float()).argmax(1) == labels).float().mean())
    model.train(was)
    return found


@dataclass
class Own:
    """What foretoll's own loop made of it."""

    recording: Recording
    weights: dict[str, Tensor]


def by_foretoll(data: TaskData) -> Own:
    model = load_model(net(), data=data)
    option = get_option("finetune")
    training = option.start(model, data, SETTINGS, task_shift=False, device=torch.device("cpu"))
    recording = train_to_target(option, training, SETTINGS, meter=NoMeter())
    return Own(recording, dict(training.model.network.state_dict()))


def check_same(run: Run | None, weights: Any, own: Own) -> None:
    """The same record but for times, to 1e-5."""
    assert run is not None
    recording = own.recording
    for name, value in own.weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-6)
    assert (run.steps, run.steps_per_epoch) == (recording.steps, recording.steps_per_epoch)
    assert (run.outcome, run.toll.epochs) == (recording.outcome, recording.epochs)
    assert run.toll.parameter_change is not None and recording.parameter_change is not None
    assert abs(run.toll.parameter_change - recording.parameter_change) <= 1e-5 * recording.parameter_change
    assert run.gradient_norm is not None and recording.gradient_norm is not None
    for name, value in recording.gradient_norm:
        assert abs(getattr(run.gradient_norm, name) - value) <= 1e-4 * value, name
    curve = {point.step: point.quality for point in recording.curve if point.step}
    assert {point.step: point.quality for point in run.curve if point.step} == {
        step: _near(found) for step, found in curve.items()
    }
    settings = run.settings
    for name in (
        "batch_size",
        "lr",
        "optimizer",
        "weight_decay",
        "accumulate",
        "max_epochs",
        "schedule",
        "precision",
    ):
        assert getattr(settings, name) == _near(getattr(SETTINGS, name)), name


def _near(value: Any) -> Any:
    import pytest

    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
