"""A metric whose lower values are better, where no target says what its scale is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import foretoll
from foretoll.records import Outcome, QualityScale, TrainingSettings

from .loops import ACCOUNTING


@pytest.mark.parametrize("goal", [30.0, 0.4], ids=["above one", "below one"])
def test_a_tracked_loop_stops_at_or_below_its_goal(goal: float) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    settings = TrainingSettings(metric="rmse", max_epochs=9)
    with foretoll.track(
        model, optimizer, until=goal, settings=settings, accounting=ACCOUNTING, quiet=True, strict=True
    ) as run:
        for quality, ends in ((3 * goal, False), (1.1 * goal, False), (goal, True)):
            optimizer.zero_grad()
            F.mse_loss(model(torch.ones(4, 3)), torch.ones(4, 1)).backward()
            optimizer.step()
            assert run.evaluate(quality) is ends
    assert run.record is not None and run.record.outcome is Outcome.REACHED
    assert run.record.settings.meets(goal / 2) and not run.record.settings.meets(goal * 1.01)


def test_settings_know_the_direction_of_their_metric() -> None:
    falling, rising = TrainingSettings(metric="mae"), TrainingSettings(metric="r2")
    assert not falling.known_scale.higher_is_better and rising.known_scale.higher_is_better
    measured = QualityScale(trivial=80.0, best=0.0)
    assert TrainingSettings(metric="mae", scale=measured).known_scale == measured
