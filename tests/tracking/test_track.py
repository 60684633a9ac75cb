"""A loop of the user's own under `foretoll.track`: what is recorded, and that nothing of the loop changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import foretoll
from foretoll.errors import DataError, ForetollError, UsageError
from foretoll.forecast.lessons import epochs_to_target
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.records import Outcome, Run, TrainingSettings
from foretoll.training import patience, steps

from .loops import ACCOUNTING, Loop, accuracy, adamw, blobs, network, same


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)


def fused(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)


def rmsprop(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(model.parameters(), lr=1e-3)


def lbfgs(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)


def groups(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [{"params": model[4].parameters(), "lr": 1e-2}, {"params": model[:4].parameters()}], lr=1e-3
    )


LOOPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "nesterov": {"make": sgd},
    "fused": {"make": fused},
    "rmsprop": {"make": rmsprop},
    "closure": {"make": sgd, "closure": True},
    "lbfgs": {"make": lbfgs, "closure": True},
    "groups": {"make": groups},
    "accumulated": {"accumulate": 3},
    "clipped": {"clip": 0.1, "accumulate": 2},
}


@pytest.mark.parametrize("how", LOOPS.values(), ids=LOOPS)
def test_nothing_of_the_loop_changes(how: dict[str, Any]) -> None:
    plain, _, states = Loop(**how).run()
    model, run, tracked = Loop(**how).run({})
    assert run is not None and run.record is not None and run.record.steps > 0
    assert same(list(model.state_dict().values()), list(plain.state_dict().values()))
    for name, state in states.items():
        assert same(tracked[name], state), name
    assert not model._forward_pre_hooks and model.training


@pytest.mark.parametrize("name", ["plain", "nesterov", "fused", "groups", "accumulated", "clipped"])
def test_steps_and_norms_are_those_of_the_loop(name: str) -> None:
    loop = Loop(**LOOPS[name])
    model, run, _ = loop.run({})
    record = recorded(run)
    accumulate = LOOPS[name].get("accumulate", 1)
    assert record.steps == len(loop.norms) == 2 * (6 // accumulate)
    norm = record.gradient_norm
    assert norm is not None
    assert norm.first == pytest.approx(loop.norms[0], rel=1e-5)
    assert norm.mean == pytest.approx(sum(loop.norms) / len(loop.norms), rel=1e-5)
    if loop.clip is not None:
        assert norm.mean <= loop.clip + 1e-6, "as the optimiser receives it"
    assert (record.settings.accumulate, record.settings.batch_size) == (accumulate, 20)
    squares = sum(
        float((p.detach() - q.detach()).double().square().sum())
        for p, q in zip(model.parameters(), network().parameters(), strict=True)
    )
    count = sum(p.numel() for p in model.parameters())
    assert record.toll.parameter_change == pytest.approx((squares / count) ** 0.5, rel=1e-6)
    assert record.trainable_parameters == count


def test_norms_where_the_step_has_a_closure() -> None:
    seen: list[float] = []
    loop = Loop(sgd, closure=True, epochs=1)
    plain = Loop(sgd, epochs=1)
    _, run, _ = loop.run({})
    _, other, _ = plain.run({})
    a, b = recorded(run).gradient_norm, recorded(other).gradient_norm
    assert not seen and a is not None and b is not None
    assert a == b, "the gradient that the closure leaves, not the one of the step before"


@pytest.mark.parametrize("make", [adamw, fused], ids=["in the scaler", "in the fused optimiser"])
def test_a_loss_scaler_and_its_skipped_steps(make: Any) -> None:
    data, model = blobs(), network()
    optimizer, norms = make(model), []
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with foretoll.track(model, optimizer, accounting=ACCOUNTING, quiet=True, strict=True) as run:
        for step, (inputs, labels) in enumerate(DataLoader(data, 20)):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            scaler.scale(loss * (float("inf") if step in (1, 4) else 1.0)).backward()
            if step not in (1, 4):
                grads = [p.grad for p in model.parameters() if p.grad is not None]
                norms.append(float(nn.utils.get_total_norm(grads)) / scaler.get_scale())
            scaler.step(optimizer)
            scaler.update()
        run.evaluate(0.5)
    record = recorded(run)
    assert record.steps == 4 == record.curve[0].step
    assert record.gradient_norm is not None
    assert record.gradient_norm.mean == pytest.approx(sum(norms) / 4, rel=1e-5)
    assert record.gradient_norm.last == pytest.approx(norms[-1], rel=1e-5)


def test_what_is_recorded_without_data() -> None:
    _, run, _ = Loop().run({"until": 0.999, "tags": ("mine",)})
    record = recorded(run)
    assert Ledger.open().get(record.id) == record
    assert (record.target.uri, record.target.name, record.source) == ("unknown", "unknown", None)
    assert (record.target.kind, record.target.shape, record.target.train) == ("vector", (6,), 0)
    assert (record.model.family, record.model.parameters) == ("other", 147)
    assert record.toll.epochs is None and record.steps_per_epoch is None
    assert [point.epochs for point in record.curve] == [None, None] and [p.step for p in record.curve] == [
        6,
        12,
    ]
    assert record.outcome is Outcome.CENSORED and "0.999" in record.reason
    assert record.toll.energy_kwh is not None and record.toll.emissions_kg is not None
    assert record.tags == ("tracked", "mine") and record.signals == {}
    assert record.training is not None and record.training.duration_s > 0
    assert record.evaluation is not None and record.evaluation.duration_s > 0
    assert record.model.parent_weights_digest and record.model.weights_digest
    assert record.model.parent_weights_digest != record.model.weights_digest
    assert str(record.settings.optimizer) == "adamw" and record.settings.lr == 1e-2


def test_the_length_of_an_epoch_is_the_loaders_or_the_targets() -> None:
    target = DataLoader(blobs(), 20)
    _, run, _ = Loop(accumulate=2).run({"target": target})
    assert recorded(run).steps_per_epoch == 3 and recorded(run).toll.epochs == 2.0
    _, run, _ = Loop().run({"target": (blobs(), blobs(60))})
    trained = recorded(run).target.train
    assert trained < 120 and recorded(run).steps_per_epoch == -(-trained // 20)
    _, run, _ = Loop().run({"steps_per_epoch": 4})
    assert recorded(run).toll.epochs == 3.0


def test_settings_are_read_off_the_optimiser() -> None:
    _, run, _ = Loop(groups).run({})
    assert recorded(run).settings.lr_multipliers == {"4": pytest.approx(10.0)}
    _, run, _ = Loop(sgd).run({})
    settings = recorded(run).settings
    assert (settings.optimizer, settings.momentum, settings.nesterov) == ("sgd", 0.9, True)
    _, run, _ = Loop(lbfgs, closure=True).run({})
    assert recorded(run).settings.optimizer == "python:LBFGS"
    _, run, _ = Loop().run({"settings": TrainingSettings(batch_size=7, schedule="cosine", lr=0.5)})
    settings = recorded(run).settings
    assert (settings.batch_size, settings.schedule, settings.lr) == (7, "cosine", 0.5), "named wins"


def test_weight_decay_without_norms_is_seen() -> None:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        large = [p for p in model.parameters() if p.ndim > 1]
        small = [p for p in model.parameters() if p.ndim <= 1]
        return torch.optim.AdamW(
            [{"params": large, "weight_decay": 0.1}, {"params": small, "weight_decay": 0.0}], lr=1e-3
        )

    _, run, _ = Loop(make).run({})
    settings = recorded(run).settings
    assert (settings.weight_decay, settings.decay_norms) == (0.1, False)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "steps"])
def test_a_schedule_is_known_by_its_rates(name: str) -> None:
    data, model = blobs(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04)
    made: dict[str, Any] = {
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-6, total_iters=30),
        "cosine": lambda: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.2, total_iters=5),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 25),
            ],
            [5],
        ),
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        "steps": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 8, gamma=0.3),
    }
    scheduler = made[name]()
    with foretoll.track(model, optimizer, accounting=ACCOUNTING, quiet=True, strict=True) as run:
        for _ in range(5):
            for inputs, labels in DataLoader(data, 20):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
                scheduler.step()
    record = recorded(run)
    assert record.settings.lr == pytest.approx(0.04)
    assert record.settings.schedule == ("constant" if name == "steps" else name)
    assert record.settings.warmup == (5.0 if name == "cosine" else 0.0)
    assert any("no name here" in warning for warning in record.warnings) == (name == "steps")


def test_stop_rules_are_asked_and_the_loop_decides() -> None:
    _, run, _ = Loop(epochs=4).run({"until": 0.3})
    assert run is not None and run.stop
    record = recorded(run)
    assert record.outcome is Outcome.REACHED and len(record.curve) == 4, (
        "a loop that goes on is recorded whole"
    )
    _, run, _ = Loop().run({"stop": steps(4)})
    assert run is not None and run.stop and recorded(run).outcome is Outcome.REACHED
    _, run, _ = Loop().run({"until": 0.9999, "stop": patience(5)})
    assert run is not None and not run.stop


def test_qualities_that_are_none_are_said_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with foretoll.track(network(), adamw(network()), accounting=ACCOUNTING, quiet=True) as run:
        run.evaluate(93.1)
        run.evaluate(float("nan"))
        run.evaluate(torch.tensor(0.75))
    assert [point.quality for point in recorded(run).curve] == [0.75]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "93 % is 0.93" in said[0]


def test_a_network_that_is_trained_in_evaluation_mode() -> None:
    data, model = blobs(), network().eval()
    optimizer = adamw(model)
    with foretoll.track(model, optimizer, accounting=ACCOUNTING, quiet=True, strict=True) as run:
        for inputs, labels in DataLoader(data, 20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        assert run._recorder is not None and run._recorder._phase == "training"
        with torch.no_grad():
            model(data.tensors[0])
        assert run._recorder._phase == "evaluation"
    assert recorded(run).steps == 6


@pytest.mark.parametrize("way", ["wrapped", "in place", "optimiser"])
def test_what_is_compiled_is_counted_too(way: str) -> None:
    data, model = blobs(), network()
    optimizer = adamw(model)
    called: Any = model
    if way == "wrapped":
        called = torch.compile(model, backend="eager")
    elif way == "in place":
        model.compile(backend="eager", fullgraph=True)
    with foretoll.track(called, optimizer, accounting=ACCOUNTING, quiet=True, strict=True) as run:
        step = torch.compile(optimizer.step, backend="eager") if way == "optimiser" else optimizer.step
        for inputs, labels in DataLoader(data, 20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(called(inputs), labels).backward()
            step()
    record = recorded(run)
    assert record.steps == 6 and record.gradient_norm is not None
    assert record.settings.compile == (way != "optimiser")


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ValueError("mine"), Outcome.FAILED, "ValueError: mine"),
        (KeyboardInterrupt(), Outcome.INTERRUPTED, "stopped by the user"),
        (SystemExit(3), Outcome.INTERRUPTED, "asked to end"),
        (RuntimeError("CUDA out of memory"), Outcome.FAILED, "out of memory"),
    ],
    ids=["error", "Ctrl-C", "exit", "memory"],
)
def test_the_users_exception_passes_and_the_run_is_kept(
    error: BaseException, outcome: Outcome, reason: str
) -> None:
    def fail(step: int) -> None:
        if step == 3:
            raise error

    with pytest.raises(type(error)) as raised:
        Loop(each_step=fail).run({})
    assert raised.value is error and error.__context__ is None and error.__cause__ is None
    (run,) = Ledger.open().runs()
    assert (run.outcome, run.steps) == (outcome, 3) and reason in run.reason
    assert run.toll.energy_kwh is not None and run.toll.parameter_change is None


def test_a_run_is_there_from_its_first_step() -> None:
    seen: list[Run] = []

    def look(step: int) -> None:
        seen.extend(Ledger.open().runs())

    Loop(epochs=1, each_step=look).run({})
    assert {run.outcome for run in seen} == {Outcome.RUNNING}
    assert len(Ledger.open().runs()) == 1


def test_the_decorator_finds_model_and_optimiser() -> None:
    @foretoll.tracked(accounting=ACCOUNTING, quiet=True, tags=("decorated",))
    def train(model: nn.Module, loader: DataLoader[Any], *, optimizer: Any, run: Any = None) -> float:
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        run.evaluate(accuracy(model, blobs()))
        return 4.5

    model = network()
    assert train(model, DataLoader(blobs(), 20), optimizer=adamw(model)) == 4.5
    (run,) = Ledger.open().runs()
    assert run.steps == 6 and "decorated" in run.tags and len(run.curve) == 1
    with pytest.raises(UsageError, match="without an optimiser"):
        train(model, DataLoader(blobs(), 20), optimizer=None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": 1.5}, {"option": "finetun"}, {"steps_per_epoch": 0}, {"model": "resnet"}, {"optimizer": "adam"},
        {"source": "npz:nowhere.npz", "target": "npz:nowhere.npz"},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_input_is_refused_before_anything_is_spent(wrong: dict[str, Any]) -> None:
    model = network()
    given: dict[str, Any] = {"model": model, "optimizer": adamw(model), "quiet": True} | wrong
    with pytest.raises((UsageError, DataError)) as raised, foretoll.track(**given):
        pass
    assert isinstance(raised.value, ForetollError) and len(str(raised.value)) <= 300
    assert not model._forward_pre_hooks and not Ledger.open().runs()


def test_a_network_that_foretoll_cannot_look_at_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.left(left) + self.right(right)

    model, data = TwoInputs(), blobs()
    optimizer = adamw(model)
    with foretoll.track(model, optimizer, source=data, target=data, accounting=ACCOUNTING, quiet=True) as run:
        model(torch.randn(5, 3), right=torch.randn(5, 3)).sum().backward()
        optimizer.step()
    assert run.estimate is None and recorded(run).steps == 1
    assert recorded(run).target.name == "TensorDataset" and recorded(run).signals == {}
    assert "without a forecast" in capsys.readouterr().err


def recorded(run: Any) -> Run:
    assert run is not None and run.record is not None
    record: Run = run.record
    return record


@pytest.mark.slow
def test_the_next_forecast_rests_on_a_run_of_ones_own_loop(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old, new, test = blobs(300), blobs(300, shift=1.0, seed=1), blobs(90, shift=1.0, seed=2)
    model = network()
    optimizer = adamw(model)

    def epoch(loader: DataLoader[Any]) -> None:
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    for _ in range(4):
        epoch(DataLoader(old, 20))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state(), [p.grad.clone() for p in model.parameters() if p.grad is not None]
    loader = DataLoader(new, 20)
    run = foretoll.track(
        model, optimizer, source=old, target=(loader, test), until=0.85, accounting=ACCOUNTING
    )
    with run:
        assert same(list(model.state_dict().values()), list(start.values()))
        assert same([p.grad for p in model.parameters() if p.grad is not None], before[1])
        assert torch.equal(torch.get_rng_state(), before[0]) and model.training
        told = capsys.readouterr().out
        for _ in range(6):
            epoch(loader)
            if run.evaluate(accuracy(model, test)):
                break
    assert run.estimate is not None and "forecast" in told and "measured" not in told
    assert "measured" in capsys.readouterr().out
    record = recorded(run)
    assert record.signals == run.estimate.signals and record.settings.until == 0.85
    assert record.forecast == run.estimate.made_forecast
    assert record.quality is not None and record.quality.before is not None
    assert record.steps_per_epoch == 15 and record.settings.batch_size == 20
    model.load_state_dict(start)
    again = foretoll.estimate(model, old, new, until=0.85, accounting=ACCOUNTING)
    assert again.basis.own_runs == 1 and run.estimate.basis.own_runs == 0


def test_a_forecast_learns_when_the_target_was_met_not_when_the_loop_ended() -> None:
    _, run, _ = Loop(epochs=4).run({"until": 0.3, "steps_per_epoch": 6})
    record = recorded(run)
    assert record.toll.epochs == 4.0 and epochs_to_target(record) == 1.0
    assert all(epochs_to_target(run) == run.toll.epochs for run in reference_runs())
