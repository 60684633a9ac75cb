"""The contract of an option, for every registered one: preparing, and a whole tiny run with its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from foretoll.data import TaskData
from foretoll.errors import DataError, UsageError
from foretoll.forecast.case import starts_as_source
from foretoll.ledger import Ledger
from foretoll.models import Loading, Model, load_model
from foretoll.options import OPTIONS, Option, get_option
from foretoll.records import Outcome, Run, TrainingSettings
from foretoll.workflows import Accounting, estimate
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out
from foretoll.workflows.context import Runtime, Update, open_update
from foretoll.workflows.pilot import STEPS, pilot_signals
from foretoll.workflows.probe import probe_option
from foretoll.workflows.retrain import retrain_update

from .making import blobs, mlp, normed, recorded, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=32, max_epochs=4, lr=0.01, until=0.9, seed=7)
ACCOUNTING = Accounting("watts:20", region="DE")


CASES = [(name, task) for name in sorted(OPTIONS) for task in (False, True)]
SERVED = [(name, task) for name, task in CASES if not task or OPTIONS[name].serves_new_task]


@pytest.fixture(params=SERVED, ids=[f"{name} {'new' if task else 'same'} task" for name, task in SERVED])
def case(request: pytest.FixtureRequest) -> tuple[str, bool]:
    return request.param


@pytest.fixture
def option(case: tuple[str, bool]) -> Option:
    return OPTIONS[case[0]]


@pytest.fixture
def task_shift(case: tuple[str, bool]) -> bool:
    return case[1]


@pytest.fixture
def source() -> TaskData:
    return blobs()


@pytest.fixture
def target(task_shift: bool) -> TaskData:
    return blobs(classes=5, seed=1) if task_shift else blobs(seed=1, distance=3.0)


@pytest.fixture
def model(option: Option, source: TaskData) -> Model:
    return suited(option, source, seed=3)


def suited(option: Option, source: TaskData, seed: int = 0) -> Model:
    """The smallest model that the option can work on."""
    return normed(source, seed) if option.name == "recalibrate" else mlp(source, seed)


def test_its_name_is_its_key_and_it_says_what_it_does(option: Option) -> None:
    assert OPTIONS[option.name] is option and get_option(option.name) is option
    assert option.summary and option.summary[0].islower() and not option.summary.endswith(".")


def test_preparing_leaves_the_source_model_as_it_was(
    option: Option, model: Model, target: TaskData, task_shift: bool
) -> None:
    before, card, random = weights(model), model.card, torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    prepared = option.prepare(model, target, task_shift=task_shift, seed=1)
    assert prepared is not model
    for parameter in prepared.network.parameters():
        with torch.no_grad():
            parameter.add_(1.0)
    assert same(weights(model), before) and model.card == card
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


def test_preparing_is_seeded(option: Option, model: Model, target: TaskData, task_shift: bool) -> None:
    first, again, other = (
        weights(option.prepare(model, target, task_shift=task_shift, seed=seed)) for seed in (1, 1, 2)
    )
    assert same(first, again)
    # a new head, or all weights, are drawn; a program and its mapping start from the source as it is
    fresh = (task_shift and option.changes_weights) or not option.reuses_weights
    assert same(first, other) is not fresh


def test_reused_weights_are_the_source_models(
    option: Option, model: Model, target: TaskData, task_shift: bool
) -> None:
    before = weights(model)
    prepared = weights(option.prepare(model, target, task_shift=task_shift, seed=1))
    shared = [name for name in before if name in prepared and not name.startswith(f"{model.head_name}.")]
    reused = all(torch.equal(before[name], prepared[name]) for name in shared)
    assert reused is option.reuses_weights or not shared  # another architecture shares no names


def test_a_class_of_the_target_has_an_output(
    option: Option, model: Model, target: TaskData, task_shift: bool
) -> None:
    prepared = option.prepare(model, target, task_shift=task_shift, seed=1)
    assert prepared.num_classes == target.num_classes
    inputs, _ = next(target.test.batches(4))
    assert prepared(inputs).shape == (4, target.num_classes)


def test_what_it_trains_exists_under_its_name(
    option: Option, model: Model, target: TaskData, task_shift: bool
) -> None:
    prepared = option.prepare(model, target, task_shift=task_shift, seed=1)
    known = dict(prepared.network.named_parameters())
    trainable = option.trainable(prepared)
    assert bool(trainable) is option.takes_steps
    assert all(known[name] is parameter for name, parameter in trainable.items())


def test_more_classes_without_a_new_task_are_refused(option: Option, model: Model) -> None:
    with pytest.raises(DataError, match="has 5 classes but the model 3 outputs: say --task"):
        option.prepare(model, blobs(classes=5), task_shift=False, seed=0)


@pytest.mark.parametrize("name", sorted(name for name, task in set(CASES) - set(SERVED)))
def test_a_new_task_that_an_option_cannot_serve_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    option, source, target = OPTIONS[name], blobs(), blobs(classes=5, seed=1)
    model, ledger = suited(option, source), Ledger.open(tmp_path / "l.db")
    why = option.suits(model, target, task_shift=True)
    assert why is not None and why.startswith(f"{name} cannot serve a new task") and "; use" in why
    with pytest.raises(UsageError, match=f"{name} cannot serve a new task"):
        option.prepare(model, target, task_shift=True, seed=0)
    with pytest.raises(UsageError, match=f"{name} cannot serve a new task"):
        run_of(option, model, source, target, True, ledger=ledger)
    log: list[str] = []
    update = Update(model, source, recorded(target, log), True, CPU)
    log.clear()
    with pytest.raises(UsageError, match=f"{name} cannot serve a new task"):
        retrain_update(update, name, SETTINGS, Runtime(CPU, ACCOUNTING, ledger))
    assert set(log) <= {"train"} and len(log) == 1, "only whether there are labels was looked at"
    assert list(ledger.runs()) == []


def run_of(
    option: Option,
    model: Model,
    source: TaskData,
    target: TaskData,
    task: bool,
    *,
    ledger: Ledger,
    out: Path | None = None,
    tags: tuple[str, ...] = (),
) -> RunResult:
    update = Update(model, source, target, task, CPU)
    return carry_out(
        option, update, SETTINGS, Runtime(CPU, ACCOUNTING, ledger), RunMetadata(tags=tags), out=out
    )


def test_a_whole_run_is_recorded_and_can_be_gone_on_from(
    option: Option, model: Model, source: TaskData, target: TaskData, task_shift: bool, tmp_path: Path
) -> None:
    ledger, out = Ledger.open(tmp_path / "l.db"), tmp_path / "updated"
    before = weights(model)
    done = run_of(option, model, source, target, task_shift, ledger=ledger, out=out, tags=("t",))
    run = done.run
    assert done.model is not None and same(weights(model), before)
    assert run.outcome in (Outcome.REACHED, Outcome.CENSORED)
    assert (run.reason == "") is (option.takes_steps or run.outcome is Outcome.REACHED)
    of_steps = {"gradient_norm", "parameter_change"}
    measured = {name for name, value in run.toll.model_dump().items() if value is not None}
    assert measured == set(run.toll.model_dump()) - (set() if option.takes_steps else of_steps)
    assert run.training_state_bytes is not None and run.training_state_bytes > 0
    assert run.inference is not None and run.inference.seconds_per_1000 > 0
    assert run.training is not None and run.evaluation is not None and run.grid is not None
    phases = [phase for phase in (run.preparation, run.training, run.evaluation) if phase is not None]
    energy = sum(phase.energy_kwh or 0 for phase in phases)
    assert run.toll.energy_kwh == pytest.approx(energy, rel=1e-12)
    assert run.toll.emissions_kg == pytest.approx(
        energy * run.grid.pue * run.grid.intensity_kg_per_kwh, rel=1e-12
    )
    assert run.toll.duration_s == pytest.approx(sum(phase.duration_s for phase in phases), rel=1e-12)
    assert run.toll.epochs == run.steps / (run.steps_per_epoch or 0)
    assert run.quality is not None and (run.quality.before is None) is task_shift

    # the record survives JSON and the ledger, value by value
    assert Run.model_validate_json(run.model_dump_json(by_alias=True)) == run
    assert ledger.get(run.id) == run and ledger.doctor() == []
    data = json.loads(run.model_dump_json(by_alias=True))
    assert {"option", "outcome", "toll", "quality", "seed" if "seed" in data else "settings"} <= set(data)

    # the checkpoint is the next source; what is made of it knows where it comes from
    again = load_model(str(out), trust_code=True)  # some are built by a function of these tests
    assert same(weights(again), weights(done.model)) and again.card == done.model.card
    assert (again.card.run_id, again.card.classes) == (run.id, target.classes)
    update = open_update(
        str(out), target, blobs(classes=target.num_classes, seed=5), loading=Loading(trust_code=True)
    )
    following = retrain_update(
        update, "finetune", SETTINGS, Runtime(CPU, ACCOUNTING, ledger), RunMetadata(signals={})
    ).run
    assert following.model.parent_run_id == run.id and following.lineage == (run.id,)
    assert [r.id for r in ledger.lineage(following.id)] == [run.id, following.id]


@pytest.mark.usefixtures("less_to_learn_from")
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_estimate_takes_its_checkpoint_as_the_next_source(name: str, tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l.db")
    source, target = blobs(), blobs(seed=1, distance=3.0)
    model = suited(OPTIONS[name], source)
    run_of(OPTIONS[name], model, source, target, False, ledger=ledger, out=tmp_path / "updated")
    found = estimate(
        str(tmp_path / "updated"),
        target,
        blobs(seed=2, distance=1.5),
        option=name,
        settings=SETTINGS,
        accounting=ACCOUNTING,
        ledger=ledger,
        trust_code=True,
    )
    assert found.option == name and found.model.run_id is not None
    assert found.signals["initial_loss"] is not None


def test_the_steps_that_are_timed_are_those_of_its_pilot(
    option: Option, model: Model, target: TaskData, task_shift: bool
) -> None:
    before = weights(model)
    update = Update(model, blobs(), target, task_shift, CPU)
    probed = probe_option(option, update, SETTINGS, ACCOUNTING, budget_s=0.05)
    assert probed.pilot == pilot_signals(update, option.name, SETTINGS)
    assert bool(probed.pilot) == option.takes_steps == (probed.step.steps >= max(STEPS) - 2)
    assert same(weights(model), before)


def test_an_unknown_option_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown option 'fintune': did you mean 'finetune'"):
        get_option("fintune")


def test_forecasts_know_which_options_take_no_step_and_which_start_as_the_source(
    option: Option, model: Model, source: TaskData
) -> None:
    """The forecast reads records alone and knows options by name: its names must say what the options do."""
    inputs, _ = next(source.test.batches(16))
    if option.suits(model, source, task_shift=False):
        pytest.skip("the option cannot be used with this model")
    prepared = option.prepare(model, source, task_shift=False, seed=1)
    alike = torch.allclose(prepared.eval()(inputs), model.eval()(inputs), atol=1e-5)
    assert alike is starts_as_source(option.name, task_shift=False)
    assert not starts_as_source(option.name, task_shift=True)
