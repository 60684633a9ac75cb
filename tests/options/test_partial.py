"""Option partial: the end of the network trains, the rest stays bit for bit, its statistics too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foretoll.data import TaskData
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model
from foretoll.options import get_option, train_to_target
from foretoll.options.last_part import cut_of
from foretoll.records import TrainingSettings

from .making import CNN, blobs, digits, mlp, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=1, lr=0.003, until=1.0)


@pytest.fixture(scope="module")
def images() -> TaskData:
    return digits(120)


def blocks_of(model: Model) -> set[str]:
    return {name.rpartition(".")[0] for name in cut_of(model).parameters}


@pytest.mark.parametrize(
    ("arch", "trained"),
    [
        (CNN, {"blocks.3.0", "blocks.3.1", "head"}),  # 9 modules: 3
        ("foretoll:cnn?width=4&norm=none", {"blocks.3.0", "head"}),  # 5: 2
        ("foretoll:mlp?width=8&depth=1", {"body.1", "head"}),  # 2: the head and the layer before it
        ("foretoll:mlp?width=8&depth=3", {"body.5", "head"}),
        # 1 + 2 · 6 + 2 = 15: 4
        ("foretoll:vit?dim=8&depth=2&heads=2", {"blocks.1.fc1", "blocks.1.fc2", "norm", "head"}),
    ],
)
def test_the_last_quarter_and_at_least_the_head_and_the_layer_before_it(
    arch: str, trained: set[str], images: TaskData
) -> None:
    assert blocks_of(build_model(arch, data=images, seed=0)) == trained


def test_what_is_frozen_stays_bit_for_bit_and_what_is_trained_moves(images: TaskData) -> None:
    option, model = get_option("partial"), build_model("foretoll:resnet?width=4", data=images, seed=0)
    before = weights(model)
    training = option.start(model, images, SETTINGS, task_shift=False, device=CPU)
    train_to_target(option, training, SETTINGS, meter=NoMeter())
    after, trained = weights(training.finish()), set(training.trainable)
    frozen = [n for n in before if not n.startswith(("head", "stages.3"))]
    assert any(n.endswith("running_mean") for n in frozen) and all(
        n.startswith(("head", "stages.3")) for n in trained
    )
    assert all(torch.equal(before[n], after[n]) for n in frozen)
    assert all(not torch.equal(before[n], after[n]) for n in trained)
    follow = [n for n in before if n.startswith("stages.3") and n.endswith("running_mean")]
    assert follow and all(not torch.equal(before[n], after[n]) for n in follow)
    parameters = dict(training.model.network.named_parameters())
    assert all((parameters[n].grad is not None) is (n in trained) for n in parameters)


def test_no_gradient_flows_into_the_frozen_part(images: TaskData) -> None:
    model = build_model(CNN, data=images, seed=0)
    training = get_option("partial").start(model, images, SETTINGS, task_shift=False, device=CPU)
    training.train_mode()
    layers = dict(training.model.network.named_modules())
    needs: dict[str, bool] = {}
    for name in ("blocks.2", "blocks.3"):
        layers[name].register_forward_hook(
            lambda _m, _a, out, name=name: needs.update({name: out.requires_grad})
        )
    training.model(next(images.train.batches(4)).inputs)
    assert needs == {"blocks.2": False, "blocks.3": True}
    modes = {n: m.training for n, m in layers.items() if isinstance(m, nn.BatchNorm2d)}
    assert modes == {f"blocks.{i}.1": i == 3 for i in range(4)}


def test_a_new_task_trains_a_new_head_with_the_layer_before_it() -> None:
    target = blobs(classes=5, seed=1)
    option = get_option("partial")
    training = option.start(mlp(blobs()), target, SETTINGS, task_shift=True, device=CPU)
    assert training.model.num_classes == 5
    assert set(training.trainable) == {"body.1.weight", "body.1.bias", "head.weight", "head.bias"}
