"""One change, one room: a part of each kind is added as an outsider would add it, and nothing of foretoll is touched.

Parts that plug in by entry points (option, meter, data scheme, index, policy) are in `test_plugins`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.exchange.reading import read_record
from foretoll.forecast.reference import reference_runs
from foretoll.integrations.loggers import RunLogger
from foretoll.ledger import Ledger
from foretoll.measure import NoMeter
from foretoll.models import load_model
from foretoll.options import train_to_target
from foretoll.options.base import Training
from foretoll.options.finetune import Finetune
from foretoll.records import EvalPoint, Outcome, Run, TrainingSettings
from foretoll.tasks import TASKS, Metric, TargetScale
from foretoll.tasks.regression import Errors, Regression, mae
from foretoll.testing import check_option, check_stop_rule, check_task, small_data, small_model
from foretoll.training import StopRule


def worst_target(tally: Errors) -> float:
    return float(tally.absolute().max())


class Absolute(Regression):
    """Numbers again, by their absolute errors; its second metric is a row of it."""

    name, title = "absolute", "regression by absolute errors"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mean_miss", "mean miss", mae, direction="lower", high=float("inf"), trivial=None),
        Metric("worst_miss", "worst miss", worst_target, direction="lower", high=float("inf"), trivial=None),
    )

    def recognises(self, values: Any) -> bool:
        return False

    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        error = outputs - targets.to(outputs.dtype)
        return (error / error.new_tensor(scale.std) if scale else error).abs().mean(dim=1)

    def constant(self, targets: Tensor, width: int) -> Tensor:
        return targets.double().median(dim=0).values


def numbers(seed: int) -> TaskData:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(120, 4, generator=random)
    return open_data((x.numpy(), (x @ torch.tensor([3.0, -2.0, 0.5, 1.0]) + 40).numpy()), task="absolute")


def test_a_task_and_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "absolute", Absolute())  # as register_task does, and taken out again
    targets = torch.randn((60, 2), generator=torch.Generator().manual_seed(1)) * 7 + 3
    check_task(TASKS["absolute"], targets, targets.clone())
    torch.manual_seed(0)
    old, new = numbers(0), numbers(1)
    model = load_model(nn.Linear(4, 1), data=old)
    ledger = Ledger.open(tmp_path / "l.db")
    settings = TrainingSettings(metric="worst_miss", max_epochs=2, batch_size=16, lr=0.1)
    run = foretoll.retrain(model, old, new, until=0.5, settings=settings, ledger=ledger)
    assert (run.model.task, run.target.task) == ("absolute", "absolute")
    assert run.settings.scale is not None and not run.settings.scale.higher_is_better
    assert run.curve[-1].quality < run.curve[0].quality and ledger.runs() == [run]


class Slowed(TrainingSettings):
    """A training setting of one's own: it takes effect in an option of one's own."""

    slow: float = 1.0


class SlowTraining(Training):
    slow = 1.0

    def step_loss(self, loss: Tensor, inputs: Any, outputs: Tensor) -> Tensor:
        return self.slow * loss


class Slow(Finetune):
    name, title, phrase, summary = (
        "slow",
        "retrain slowly",
        "Retraining {model} slowly",
        "all weights, slowly",
    )

    def _training(self, prepared: Any, target: Any, settings: TrainingSettings) -> Training:
        training = SlowTraining(prepared, target.train, target.validation, self.trainable(prepared))
        training.slow = getattr(settings, "slow", 1.0)
        return training


def test_a_training_setting_and_the_option_that_reads_it() -> None:
    check_option(Slow())
    data = small_data()

    def change(slow: float) -> float:
        settings = Slowed(slow=slow, max_epochs=1, lr=0.01, optimizer="sgd", momentum=0.0)
        training = Slow().start(
            small_model(data), data, settings, task_shift=False, device=torch.device("cpu")
        )
        found = train_to_target(Slow(), training, settings, meter=NoMeter())
        assert found.parameter_change is not None
        return found.parameter_change

    assert change(0.1) < 0.5 * change(1.0)


class Flat(StopRule):
    """End when three evaluations lie within half a point."""

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        last = [point.quality for point in curve[-3:]]
        return len(last) == 3 and max(last) - min(last) < 0.005


class Notebook(RunLogger):
    """A tracker that keeps what it is told."""

    name = "the notebook"

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        self.told.append(name)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.told.append((step, dict(values)))

    def finish(self) -> None:
        self.told.append("end")


def test_a_stop_rule_and_a_tracker_in_a_loop_of_ones_own(tmp_path: Path) -> None:
    check_stop_rule(Flat())
    model, book = nn.Linear(6, 3), Notebook()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(30, 6), torch.arange(30) % 3
    with foretoll.track(
        model, optimizer, stop=Flat(), loggers=[book], ledger=str(tmp_path / "l.db"), quiet=True, strict=True,
        accounting=foretoll.Accounting("watts:20"),
    ) as run:  # fmt: skip
        for quality in (0.2, 0.5, 0.502, 0.501, 0.9):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if run.evaluate(quality):
                break
    assert run.steps == 4 and run.record is not None and run.record.outcome is Outcome.REACHED
    assert book.told[0] == run.record.id and book.told[-1] == "end"
    assert [step for step, _ in book.told[1:-1]] == [1, 2, 3, 4, 4]


class Owned(Run):
    """A field of a stored record, with a default."""

    paid_by: str = "nobody"


def test_a_stored_field_and_ledgers_from_before_and_after() -> None:
    run = reference_runs()[0]
    old = run.model_dump_json(by_alias=True)
    assert Owned.model_validate_json(old).paid_by == "nobody", "an older record is read"
    kept = read_record(json.dumps(json.loads(old) | {"paid_by": "me"}))
    assert kept.run == run and kept.text is not None, "and a newer one, whose text is kept as it is"
    assert json.loads(kept.text)["paid_by"] == "me"
