"""A training in parts: one that pauses between two steps and goes on is the whole one, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foretoll.measure import NoMeter
from foretoll.options import OPTIONS, train_to_target
from foretoll.options.part import Part, TrainingState
from foretoll.records import Outcome, TrainingSettings
from foretoll.training import Recording
from foretoll.workflows.context import seeded
from options.making import blobs, normed, same, weights

CPU = torch.device("cpu")
SHORT = TrainingSettings(
    batch_size=16, max_epochs=3, lr=0.01
)  # 8 steps an epoch, an evaluation in every second


class Until(Part):
    """Pauses after so many steps, and looks at the model after every third on the way."""

    def __init__(self, last: int, begun: TrainingState | None = None) -> None:
        super().__init__(begun)
        self.last, self.step = last, begun.recorded.steps if begun is not None else 0

    @property
    def over(self) -> bool:
        return self.step >= self.last

    def due(self, step: int) -> bool:
        self.step = step
        return step % 3 == 0

    def heard(self, point: Any) -> None:
        self.step = point.step


def trained(settings: TrainingSettings, option: str, *ends: int) -> tuple[dict[str, torch.Tensor], Recording]:
    """Weights and record of a training that pauses after these steps, each part on a model prepared anew."""
    data = blobs()
    model, begun = normed(data), None
    for end in (*ends, 10_000):
        part = Until(end, begun)
        with seeded(settings.seed, CPU):
            training = OPTIONS[option].start(model, data, settings, task_shift=False, device=CPU)
            with NoMeter() as meter:
                found = train_to_target(
                    OPTIONS[option], training, settings, meter=meter, progress=part.heard, part=part
                )
        begun = part.paused
        assert (found.outcome is Outcome.RUNNING) == (begun is not None) == (end != 10_000)
    return weights(training.model), found


@pytest.mark.parametrize(
    ("option", "more"),
    [("finetune", {}), ("finetune", {"optimizer": "sgd"}), ("finetune", {"schedule": "cosine", "warmup": 3.0}),
     ("finetune", {"accumulate": 2, "optimizer": "adafactor"}), ("partial", {"optimizer": "nadam"}),
     ("scratch", {"clip_norm": 0.5}), ("finetune", {"evals_per_epoch": 1, "first_evaluation": 1})],
    ids=str,
)  # fmt: skip
def test_parts_are_the_whole(option: str, more: dict[str, Any]) -> None:
    settings = SHORT.model_copy(update=more)
    whole, once = trained(settings, option)
    for ends in ((3,), (8,), (2, 5, 11)):
        parts, found = trained(settings, option, *ends)
        assert same(whole, parts)
        assert found.steps == once.steps and found.evaluations == once.evaluations
        for ours, theirs in zip(once.curve, found.curve, strict=True):
            aside = {"duration_s": None}
            assert ours.model_copy(update=aside) == theirs.model_copy(update=aside)
        assert found.gradient_norm == once.gradient_norm
        assert found.parameter_change == once.parameter_change


def test_what_the_parts_cost_adds_up() -> None:
    _, found = trained(SHORT, "finetune", 5, 11)
    assert found.training is not None and found.evaluation is not None and found.reading is not None
    parts = found.training.duration_s + found.evaluation.duration_s
    looking = found.reading.phases["looking"].duration_s
    assert found.reading.duration_s == pytest.approx(parts + looking)
    seconds = [point.duration_s or 0.0 for point in found.curve]
    assert seconds == sorted(seconds), "the clock goes on where it stood"
