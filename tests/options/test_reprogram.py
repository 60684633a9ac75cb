"""The options reprogram and reprogram+head: what they build, what stays frozen, and what can be made of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError, UsageError
from foretoll.models import Model, build_model, load_model, save_checkpoint
from foretoll.models.reprogrammed import reprogrammed_network, unwrapped
from foretoll.options import OPTIONS
from foretoll.options.input_program import default_program
from foretoll.options.reprogram import Reprogram, ReprogramAndHead
from foretoll.records import ModelCard, TrainingSettings
from foretoll.reprogram import MAPPINGS, PROGRAMS, Frequent, ReprogrammedNetwork
from foretoll.workflows import Accounting
from foretoll.workflows.carry_out import RunResult, carry_out
from foretoll.workflows.context import Runtime, Update

from .making import CNN, blobs, digits, mlp, same, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=32, max_epochs=3, lr=0.01, seed=7)
IMAGE_PROGRAMS = ("pad", "full", "low_rank", "sample_mask", "trainable_resize")


def carried(
    option: Reprogram, model: Model, target: TaskData, task: bool, out: Path | None = None
) -> RunResult:
    return carry_out(
        option,
        Update(model, target, target, task, CPU),
        SETTINGS,
        Runtime(accounting=Accounting("none")),
        out=out,
    )


def images(side: int, *, classes: int = 4, n: int = 80, channels: int = 1, turn: int = 0) -> TaskData:
    """Bright squares in one of four corners, with noise; `turn`: the corners' numbers begin elsewhere."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % classes
    x = random.integers(0, 60, (n, channels, side, side)).astype(np.uint8)
    half = side // 2
    for image, label in zip(x, labels + turn, strict=True):
        image[:, half * (label // 2 % 2) :, half * (label % 2) :][:, :half, :half] += 150
    return open_data((x, labels))


def series(length: int = 12, n: int = 80, classes: int = 3) -> TaskData:
    random = np.random.default_rng(0)
    labels = np.arange(n) % classes
    x = random.normal(size=(n, 2, length)).astype(np.float32) + labels[:, None, None]
    return open_data((x, labels))


@pytest.fixture(scope="module")
def image_model() -> Model:
    data = images(16, classes=6)
    return _trained(OPTIONS["finetune"], build_model(CNN, data=data, seed=0), data, SETTINGS)


@pytest.mark.parametrize(
    ("program", "mapping"),
    [
        *((program, "bayesian") for program in IMAGE_PROGRAMS),
        *(("full", mapping) for mapping in sorted(set(MAPPINGS) - {"identity", "bayesian"})),
    ],
)
def test_the_source_is_bit_identical_after_a_whole_run(
    program: str, mapping: str, image_model: Model
) -> None:
    before = weights(image_model)
    done = carried(Reprogram(program, mapping), image_model, images(8), True)
    assert done.model is not None and same(weights(image_model), before)
    inner = unwrapped(done.model)
    assert same(weights(inner), before), "weights and batch-norm statistics"
    assert done.model.card.program is not None
    assert (done.model.card.program.program, done.model.card.program.mapping) == (program, mapping)
    assert inner.card == image_model.card.model_copy(update={"run_id": inner.card.run_id})
    assert done.run.trainable_parameters == sum(
        p.numel() for n, p in done.model.network.named_parameters() if not n.startswith("source.")
    )
    assert (done.run.preparation is not None) and done.run.toll.parameter_change is not None


def test_with_a_head_only_program_and_head_change(image_model: Model) -> None:
    option = ReprogramAndHead()
    prepared = option.prepare(image_model, images(16), task_shift=True, seed=1)
    start = weights(prepared)
    done = carried(option, image_model, images(16), True)
    assert done.model is not None
    first = weights(option.prepare(image_model, images(16), task_shift=True, seed=SETTINGS.seed))
    after = weights(done.model)
    assert {name for name in after if not torch.equal(after[name], first[name])} == {
        "program.weight",
        "source.head.weight",
        "source.head.bias",
    }
    assert start.keys() == after.keys()


def test_the_program_follows_from_the_data(image_model: Model) -> None:
    for side in (4, 16, 30):
        assert default_program(images(side)) == "full"
        frame = Reprogram("pad").prepare(image_model, images(side), task_shift=True, seed=0)
        inner = (side, side) if side < 16 else (10, 10)  # what leaves no frame is resized to two thirds
        assert frame.card.preprocessing.size == inner
    prepared = {
        "series": Reprogram().prepare(
            build_model("foretoll:cnn1d?width=4", data=series(), seed=0), series(), task_shift=True, seed=0
        ),
        "additive": Reprogram().prepare(mlp(blobs()), blobs(classes=5), task_shift=True, seed=0),
    }
    for name, model in prepared.items():
        network = reprogrammed_network(model)
        assert network.program.name == name
        plan = unwrapped(model).card.preprocessing
        assert network.program.options["scale"] == network.std == plan.std  # θ in units of the data's spread
    assert set(IMAGE_PROGRAMS) | {"series", "additive", "token_map"} == set(PROGRAMS)


def test_at_first_it_is_the_source_for_the_same_task() -> None:
    source, target = blobs(), blobs(seed=1, distance=3.0)
    model = mlp(source, seed=3).eval()
    inputs, _ = next(target.test.batches(16))
    for option in (Reprogram(), ReprogramAndHead()):
        prepared = option.prepare(model, target, task_shift=False, seed=0).eval()
        assert torch.allclose(prepared(inputs), model(inputs), atol=1e-6)
    data = images(16, classes=6, channels=3)
    model = build_model(CNN, data=data, seed=0).eval()
    inputs, _ = next(images(20, classes=6).test.batches(8))
    prepared = Reprogram().prepare(model, images(20, classes=6), task_shift=False, seed=0).eval()
    assert torch.allclose(prepared(inputs), model(inputs), atol=1e-5)  # normalised behind the program


def test_a_text_model_is_told_why_not() -> None:
    model, target = mlp(blobs()), blobs(classes=5)
    card = target.card.model_copy(update={"kind": "text"})
    text = TaskData(card, target.train, target.validation, target.test)
    with pytest.raises(UsageError, match="reprogram has no input program for texts"):
        Reprogram().prepare(model, text, task_shift=True, seed=0)
    assert Reprogram().suits(model, target, task_shift=True) is None


def test_a_one_to_one_mapping_with_too_few_source_classes_says_what_to_use(image_model: Model) -> None:
    with pytest.raises(UsageError, match="has only 6; use 'bayesian'"):
        Reprogram(mapping="frequent").prepare(image_model, images(16, classes=8), task_shift=True, seed=0)


@pytest.mark.parametrize("mapping", ["frequent", "iterative", "bayesian", "bayesian_topk"])
def test_the_mapping_is_fitted_before_the_first_step(mapping: str, image_model: Model) -> None:
    target = images(16, turn=1)
    training = Reprogram("full", mapping).start(image_model, target, SETTINGS, task_shift=True, device=CPU)
    network = reprogrammed_network(training.model)
    start = {name: value.clone() for name, value in network.mapping.state_dict().items()}
    assert training.prepares and training.begin() is True
    fitted = network.mapping.state_dict()
    want = Reprogram("full", mapping).prepare(image_model, target, task_shift=True, seed=SETTINGS.seed)
    batch = target.train.all()
    reprogrammed_network(want).fit_mapping([(want.prepare(batch.inputs), batch.labels)])
    assert same(fitted, reprogrammed_network(want).mapping.state_dict())
    assert not same(fitted, start)

    training.train_mode()
    assert network.program.training and not any(m.training for m in network.source.modules())
    training.model(batch.inputs)
    training.after_batch(batch.labels)
    assert isinstance(network.mapping, Frequent) or network.mapping.each_epoch
    assert bool(network.mapping.counts.any()) is network.mapping.each_epoch
    training.after_epoch()
    assert not network.mapping.counts.any()


def test_a_trained_mapping_or_the_identity_needs_no_pass(image_model: Model) -> None:
    training = Reprogram("full", "linear").start(
        image_model, images(16), SETTINGS, task_shift=True, device=CPU
    )
    assert training.begin() is False
    assert {n for n in training.trainable if n.startswith("mapping.")} == {
        "mapping.layer.weight",
        "mapping.layer.bias",
    }


def test_it_learns_on_real_images() -> None:
    """Digits of a camera with stray light, before the frozen classifier of the others."""
    source = digits(600)
    settings = TrainingSettings(batch_size=32, max_epochs=6, lr=0.01, seed=0)
    model = build_model(CNN, data=source, seed=0)
    model = _trained(OPTIONS["finetune"], model, source, settings)
    lit = _lit(source)
    done = _run(OPTIONS["reprogram"], model, lit, settings)
    assert done.run.quality is not None
    before, after = done.run.quality.before, done.run.quality.after
    assert before is not None and after is not None and after > before + 0.05


def _lit(data: TaskData) -> TaskData:
    def changed(split: object) -> object:
        batch = split.all()  # type: ignore[attr-defined]
        light = torch.linspace(0, 140, batch.inputs.shape[-1]).to(torch.int16)
        lit = (batch.inputs.to(torch.int16) + light).clamp(0, 255).to(torch.uint8)
        return type(split)(lit, batch.labels, ids=split.ids)  # type: ignore[attr-defined, call-arg]

    parts = {name: changed(getattr(data, name)) for name in ("train", "validation", "test")}
    return TaskData(data.card, **parts)  # type: ignore[arg-type]


def _run(option: object, model: Model, target: TaskData, settings: TrainingSettings) -> RunResult:
    return carry_out(
        option,  # type: ignore[arg-type]
        Update(model, target, target, False, CPU),
        settings,
        Runtime(accounting=Accounting("none")),
    )


def _trained(option: object, model: Model, target: TaskData, settings: TrainingSettings) -> Model:
    done = _run(option, model, target, settings)
    assert done.model is not None
    return done.model


@pytest.mark.parametrize("kind", ["image", "framed", "series", "vector", "masked"])
def test_a_checkpoint_loads_with_the_same_outputs(kind: str, image_model: Model, tmp_path: Path) -> None:
    option = Reprogram({"masked": "sample_mask", "framed": "pad"}.get(kind))
    if kind == "series":
        model, target = build_model("foretoll:cnn1d?width=4", data=series(), seed=0), series(classes=2)
    elif kind == "vector":
        model, target = mlp(blobs()), blobs(classes=5)
    else:
        model, target = image_model, images(6 if kind == "framed" else 16)
    done = carried(option, model, target, True, tmp_path / "m")
    assert done.model is not None and done.model.card.program is not None
    if kind == "framed":
        assert done.model.card.program.program == "pad" and done.model.card.preprocessing.size == (6, 6)
    again = load_model(tmp_path / "m", data=target)
    inputs, _ = next(target.test.batches(8))
    assert again.card == done.model.card
    assert ModelCard.model_validate_json(again.card.model_dump_json(by_alias=True)) == again.card
    first, second = (m.eval().embed_and_classify(inputs) for m in (again, done.model))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert first[1].shape == (8, target.num_classes)
    assert again.card.preprocessing.mean == () and again.card.num_classes == target.num_classes


@pytest.fixture
def reprogrammed(image_model: Model, tmp_path: Path) -> Model:
    done = carried(Reprogram("low_rank"), image_model, images(16), True, tmp_path / "m")
    assert done.model is not None
    return load_model(tmp_path / "m")


def test_finetuning_it_trains_all_weights_and_the_program(reprogrammed: Model) -> None:
    before = weights(reprogrammed)
    trained = weights(_trained(OPTIONS["finetune"], reprogrammed, images(16), SETTINGS))
    assert same(weights(reprogrammed), before)
    changed = {name for name in trained if not torch.equal(trained[name], before[name])}
    parameters = {name for name, _ in reprogrammed.network.named_parameters()}
    assert parameters <= changed
    assert any("running_mean" in name for name in changed)


def test_a_new_head_is_the_sources_with_no_mapping_behind_it(reprogrammed: Model) -> None:
    other = reprogrammed.with_new_head([str(i) for i in range(9)], seed=1)
    network = reprogrammed_network(other)
    assert network.mapping.name == "identity" and network.source.head.out_features == 9
    assert (other.num_classes, other.card.head) == (9, "source.head")
    assert torch.equal(network.program.b, reprogrammed_network(reprogrammed).program.b)
    assert unwrapped(other).num_classes == 9


def test_scratch_builds_the_sources_architecture_without_the_program(reprogrammed: Model) -> None:
    fresh = OPTIONS["scratch"].prepare(reprogrammed, images(16), task_shift=False, seed=0)
    assert fresh.card.program is None and not isinstance(fresh.network, ReprogrammedNetwork)
    assert fresh.card.preprocessing.size == (16, 16) and fresh.card.preprocessing.mean != ()
    assert weights(fresh).keys() == weights(unwrapped(reprogrammed)).keys()


def test_reprogramming_it_again_goes_on_with_the_same_source(reprogrammed: Model) -> None:
    old = reprogrammed_network(reprogrammed)
    again = Reprogram().prepare(reprogrammed, images(16), task_shift=False, seed=0)
    assert again.card.program is not None and again.card.program.source.program is None
    assert same(weights(again), weights(reprogrammed)) and reprogrammed_network(again).frozen
    new = Reprogram().prepare(reprogrammed, images(16, classes=3), task_shift=True, seed=0)
    network = reprogrammed_network(new)
    assert (network.mapping.source_classes, network.num_classes) == (
        6,
        3,
    )  # of the source, not of the last task
    assert torch.equal(network.program.b, old.program.b) and network.program is not old.program
    other = Reprogram("full").prepare(reprogrammed, images(16), task_shift=False, seed=0)
    assert reprogrammed_network(other).program.name == "full"


def test_a_module_in_memory_can_be_reprogrammed_saved_and_loaded(tmp_path: Path) -> None:
    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(), torch.nn.Linear(4, 4),
        )  # fmt: skip

    model = load_model(network(), data=images(16))
    done = carried(Reprogram(), model, images(16, classes=3), True, tmp_path / "m")
    assert done.model is not None
    with pytest.raises(ModelError, match="was saved from a module in memory"):
        load_model(tmp_path / "m")
    again = load_model(network(), weights=tmp_path / "m", data=images(16, classes=3))
    inputs, _ = next(images(16).test.batches(4))
    assert torch.equal(again.eval()(inputs), done.model.eval()(inputs))
    fresh = OPTIONS["scratch"].prepare(again, images(16, classes=3), task_shift=False, seed=0)
    assert fresh.card.program is None


def test_a_card_with_an_unknown_program_is_refused(reprogrammed: Model, tmp_path: Path) -> None:
    good = reprogrammed.card.program
    assert good is not None
    for change, message in (
        ({"program": "os.system"}, "unknown program 'os.system'"),
        ({"program_options": {"size": 3}}, "cannot be made of size"),
        ({"mapping": "eval"}, "unknown mapping 'eval'"),
    ):
        reprogrammed.card = reprogrammed.card.model_copy(update={"program": good.model_copy(update=change)})
        save_checkpoint(reprogrammed, tmp_path / "bad")
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / "bad")


@pytest.mark.parametrize("program", ["additive", "series", "token_map"])
def test_a_program_for_another_kind_of_data_is_refused_with_those_that_suit(
    image_model: Model, program: str
) -> None:
    with pytest.raises(
        UsageError, match=f"'{program}' is made for another kind of data than image: take pad or full"
    ):
        Reprogram(program).prepare(image_model, images(16, classes=3), task_shift=False, seed=0)


def test_a_slow_iteration_makes_a_pass_of_its_own(image_model: Model) -> None:
    option = Reprogram("full", "iterative")
    training = option.start(image_model, images(16), SETTINGS, task_shift=True, device=CPU)
    network = reprogrammed_network(training.model)
    network.mapping.fast = False
    training.begin()
    before = network.queries
    training.train_mode()
    training.after_batch(images(16).train.all().labels)
    assert not network.mapping.counts.any()
    training.after_epoch()
    assert network.queries == before + len(images(16).train)
    assert network.program.training
