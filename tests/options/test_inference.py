"""What serving costs, on known times; memory by its formula; a chain of updates through checkpoint folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foretoll.errors import MeasureError
from foretoll.ledger import Ledger
from foretoll.measure import NoMeter, ReplayMeter, Timing, probe_inference
from foretoll.models import Loading, load_model
from foretoll.options import get_option
from foretoll.options.memory import training_state_bytes
from foretoll.options.stepper import Stepper
from foretoll.records import InferenceCost, TrainingSettings
from foretoll.units import kwh_from_joules
from foretoll.workflows import Accounting
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Runtime, open_update
from foretoll.workflows.retrain import retrain_update

from .making import blobs, mlp, normed, weights

CPU = torch.device("cpu")


class Slow(torch.nn.Module):
    """A model that takes known times on a clock of its own."""

    def __init__(self, times_s: list[float]) -> None:
        super().__init__()
        self.now, self.runs, self._times = 0.0, 0, times_s
        self.batches: list[int] = []
        self.modes: list[tuple[bool, bool]] = []

    def clock(self) -> float:
        return self.now

    def forward(self, inputs: Tensor) -> Tensor:
        self.now += self._times[min(self.runs, len(self._times) - 1)]
        self.runs += 1
        self.batches.append(len(inputs))
        self.modes.append((self.training, torch.is_grad_enabled()))
        return inputs

    def probe(self, batch_size: int = 20, meter: type[NoMeter] | None = None, **timing: Any) -> InferenceCost:
        return probe_inference(
            self,  # type: ignore[arg-type]
            blobs().train,
            batch_size=batch_size,
            device="cpu",
            meter_factory=meter or (lambda: ReplayMeter(watts=10.0, clock=self.clock)),
            timing=Timing(**{"budget_s": 1000.0, "least": 1, **timing}, clock=self.clock),
        )


def test_known_times_and_watts_per_thousand_samples() -> None:
    model = Slow([9, 5, 1, 2, 4])  # two warm-up runs, then three repeats of one
    cost = model.probe()
    assert (cost.batch_size, cost.repeats, cost.samples) == (20, 3, 60)
    assert (cost.seconds_per_1000_low, cost.seconds_per_1000, cost.seconds_per_1000_high) == (50, 100, 200)
    assert cost.energy_kwh_per_1000 == pytest.approx(kwh_from_joules(10 * 7) * 1000 / 60)
    assert set(model.batches) == {20} and set(model.modes) == {(False, False)}
    assert model.training, "its mode is given back"


@pytest.mark.usefixtures("whole_windows")
def test_short_runs_fill_the_budget_and_long_ones_are_carried_out_once() -> None:
    short = Slow([0.001])
    cost = short.probe(budget_s=0.3)
    assert 0.1 < cost.samples / 20 * 0.001 <= 0.3 and short.now <= 0.3 + 0.01
    long = Slow([3.0])
    assert (long.probe(budget_s=0.3).repeats, long.runs) == (1, 2)


def test_without_a_meter_the_energy_is_unknown_and_a_small_split_gives_the_batch_it_has() -> None:
    cost = Slow([0.1]).probe(meter=NoMeter, batch_size=10_000)
    assert cost.energy_kwh_per_1000 is None and cost.seconds_per_1000 > 0
    assert cost.batch_size == len(blobs().train)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"repeats": 0}, {"budget_s": 0.0}])
def test_impossible_probes(wrong: dict[str, Any]) -> None:
    with pytest.raises(MeasureError, match=r"an inference probe of .* is impossible"):
        Slow([1.0]).probe(**wrong)


def test_no_sample_to_serve() -> None:
    empty = blobs().train.take(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(MeasureError, match="on a batch of 0 samples"):
        probe_inference(mlp(blobs()), empty, batch_size=4, device="cpu", meter_factory=NoMeter)


@pytest.mark.parametrize(
    "change", [{}, {"optimizer": "adamw"}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.0}]
)
@pytest.mark.parametrize("name", ["head", "partial", "lora", "finetune"])
def test_the_stated_memory_is_what_a_step_leaves_behind(name: str, change: dict[str, object]) -> None:
    settings, data = TrainingSettings(batch_size=16).model_copy(update=change), blobs()
    option = get_option(name)
    training = option.start(normed(data), data, settings, task_shift=False, device=CPU)
    training.open()
    training.begin()
    stepper = Stepper(training, option, settings, device=CPU)
    stepper.take([next(training.train.batches(16))])
    held = training.held()
    tensors = [*held.parameters(), *held.buffers()]
    tensors += [p.grad for p in held.parameters() if p.grad is not None]
    tensors += [
        v for state in stepper.optimizer.state.values() for v in state.values() if isinstance(v, Tensor)
    ]
    found = sum(t.numel() * t.element_size() for t in tensors) + training.cache_bytes
    assert training_state_bytes(option, training, settings) == found


def test_a_chain_of_updates_through_checkpoint_folders(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l.db")
    runtime = Runtime(accounting=Accounting("watts:20", region="DE"), ledger=ledger)
    settings = TrainingSettings(batch_size=32, max_epochs=1, lr=0.003, until=1.0)
    source, model, runs = blobs(), normed(blobs()), list[str]()
    for place, name in enumerate(("finetune", "head", "lora", "recalibrate", "partial")):
        target, out = blobs(seed=place + 1, distance=1.0), tmp_path / str(place)
        update = open_update(model, source, target, task=False, loading=Loading(trust_code=True))
        run = retrain_update(update, name, settings, runtime, RunMetadata(signals={}), out=out).run
        assert run.lineage == tuple(runs) and run.model.parent_run_id == (runs[-1] if runs else None)
        runs.append(run.id)
        source, model = target, str(out)
        again = load_model(model, trust_code=True)
        assert list(weights(again)) == list(weights(normed(source)))
        assert again.card.run_id == run.id and all(p.requires_grad for p in again.network.parameters())
    assert [run.id for run in ledger.lineage(runs[-1])] == runs and ledger.doctor() == []
    stored = ledger.get(runs[1])
    assert stored.inference is not None and stored.training_state_bytes is not None
