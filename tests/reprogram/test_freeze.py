"""The rules that hold for every program and every mapping: the freeze above all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.errors import ModelError, UsageError
from foretoll.reprogram import (
    MAPPINGS,
    PROGRAMS,
    ReprogrammedNetwork,
    fit_black_box,
    load_reprogrammed,
    make_mapping,
    make_program,
    save_reprogrammed,
)

from .making import CASES, IMAGES, S, image_source, mapping_of, same, state_of

STATISTICS = {
    "pad": 3,
    "full": 3,
    "low_rank": 3,
    "sample_mask": 3,
    "trainable_resize": 3,
    "series": 2,
    "additive": 6,
}


def built(
    program: str, mapping: str, *, train_head: bool = False
) -> tuple[nn.Module, ReprogrammedNetwork, Tensor, Tensor]:
    torch.manual_seed(3)
    make_source, make, batch = CASES[program]
    source = make_source()
    with torch.no_grad():
        for module in source.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_()
    targets = S if mapping == "identity" else 4
    width = STATISTICS.get(program, 0)
    wrapped = ReprogrammedNetwork(
        source,
        make(source),
        None if train_head else mapping_of(mapping, targets),
        mean=(0.4,) * width,
        std=(0.3,) * width,
        num_classes=targets,
        train_head=train_head,
    )
    return source, wrapped, batch(12), torch.arange(12) % targets


def train(
    wrapped: ReprogrammedNetwork, inputs: Tensor, labels: Tensor, steps: int = 4, lr: float = 0.05
) -> list[float]:
    """Train as a careless caller would: every parameter given to the optimiser, train() called on everything."""
    optimizer = torch.optim.AdamW(wrapped.parameters(), lr=lr, weight_decay=0.1)
    losses = []
    for _ in range(steps):
        wrapped.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(wrapped(inputs), labels)
        loss.backward()
        optimizer.step()
        wrapped.observe(labels)
        wrapped.mapping.update()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("mapping", sorted(MAPPINGS))
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_the_source_stays_bit_identical(program: str, mapping: str) -> None:
    source, wrapped, inputs, labels = built(program, mapping)
    before, given = state_of(source), inputs.clone()
    trained = {name: p.detach().clone() for name, p in wrapped.trainable().items()}
    train(wrapped, inputs, labels)
    fit_black_box(wrapped, [(inputs, labels)], steps=1, directions=1)
    assert same(state_of(source), before)
    assert torch.equal(inputs, given)
    assert all(p.grad is None and not p.requires_grad for p in source.parameters())
    assert not any(module.training for module in source.modules())
    changed = [name for name, p in wrapped.trainable().items() if not torch.equal(p, trained[name])]
    assert any(name.startswith("program.") for name in changed)


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - {"token_map"}))
def test_a_trained_head_leaves_the_rest_and_the_given_source_alone(program: str) -> None:
    source, wrapped, inputs, labels = built(program, "identity", train_head=True)
    before, inner = state_of(source), state_of(wrapped.source)
    train(wrapped, inputs, labels)
    assert same(state_of(source), before)
    after = state_of(wrapped.source)
    different = {name.rpartition(".")[0] for name in after if not torch.equal(after[name], inner[name])}
    assert different == {wrapped.head_name}
    assert {n for n in wrapped.trainable() if n.startswith("source.")} == {
        f"source.{wrapped.head_name}.{kind}" for kind in ("weight", "bias")
    }


def test_the_freeze_is_kept_against_whoever_undoes_it() -> None:
    source, wrapped, inputs, labels = built("full", "linear")
    before = state_of(source)
    source.requires_grad_(True)
    source.train()
    train(wrapped, inputs, labels, steps=2)
    assert same(state_of(source), before)
    with torch.no_grad():
        source.train()
        wrapped(inputs)
    assert same(state_of(source), before)


def test_released_it_trains_as_a_whole_and_frozen_again_it_does_not() -> None:
    source, wrapped, inputs, labels = built("full", "bayesian")
    before = state_of(source)
    train(wrapped.release(), inputs, labels)
    after = state_of(source)
    assert not any(torch.equal(after[n], before[n]) for n in ("0.weight", "6.weight", "1.running_mean"))
    train(wrapped.freeze(), inputs, labels)
    assert same(state_of(source), after)


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_training_lowers_the_loss_in_evaluation_mode(program: str) -> None:
    _, wrapped, inputs, labels = built(program, "linear")
    with torch.no_grad():
        before = F.cross_entropy(wrapped.eval()(inputs), labels)
    train(wrapped, inputs, labels, steps=30, lr=0.005)
    with torch.no_grad():
        assert F.cross_entropy(wrapped.eval()(inputs), labels) < before


@pytest.mark.parametrize("mapping", ["frequent", "bayesian", "bayesian_topk", "linear", "identity", "random"])
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_saved_and_loaded_it_is_the_same(program: str, mapping: str, tmp_path: Path) -> None:
    source, wrapped, inputs, labels = built(program, mapping)
    train(wrapped, inputs, labels)
    save_reprogrammed(wrapped, tmp_path / "p")
    again = load_reprogrammed(tmp_path / "p", source)
    with torch.no_grad():
        assert torch.equal(again(inputs), wrapped.eval()(inputs))
    assert again.frozen and (again.mean, again.std) == (wrapped.mean, wrapped.std)
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["program.json", "program.safetensors"]


def test_a_trained_head_is_saved_and_the_source_is_not(tmp_path: Path) -> None:
    source, wrapped, inputs, labels = built("full", "identity", train_head=True)
    train(wrapped, inputs, labels)
    save_reprogrammed(wrapped, tmp_path / "p")
    with torch.no_grad():
        assert torch.equal(load_reprogrammed(tmp_path / "p", source)(inputs), wrapped.eval()(inputs))
    program = 3 * 16 * 16 * 4
    assert (tmp_path / "p" / "program.safetensors").stat().st_size < program + 16 * 4 * 4 + 4 * 4 + 1000


def test_another_source_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    source, wrapped, _, _ = built("full", "bayesian")
    save_reprogrammed(wrapped, tmp_path / "p")
    with pytest.raises(ModelError, match="made for a source with other weights"):
        load_reprogrammed(tmp_path / "p", image_source())
    with pytest.raises(ModelError, match="holds no saved program"):
        load_reprogrammed(tmp_path, source)
    weights = tmp_path / "p" / "program.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="holds no saved program"):
        load_reprogrammed(tmp_path / "p", source)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="name a folder that can be written"):
        save_reprogrammed(wrapped, tmp_path / "file")


def test_normalisation_comes_after_the_program() -> None:
    seen: list[Tensor] = []

    def source(x: Tensor) -> Tensor:
        seen.append(x)
        return x.flatten(1)[:, :S]

    program = make_program("full", **IMAGES)
    with torch.no_grad():
        program.weight.fill_(0.25)
    wrapped = ReprogrammedNetwork(
        source,
        program,
        make_mapping("identity", S, S),
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.25, 2.0),
        num_classes=S,
    ).eval()
    image = torch.rand(2, 3, 16, 16)
    wrapped(image)
    mean, std = (
        torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1),
        torch.tensor([0.5, 0.25, 2.0]).view(1, 3, 1, 1),
    )
    assert torch.allclose(seen[0], (image + 0.25 - mean) / std)


def test_a_plain_callable_is_a_source_and_its_queries_are_counted() -> None:
    weight = torch.randn(S, 3)
    wrapped = ReprogrammedNetwork(
        lambda x: x.mean((2, 3)) @ weight.T,
        make_program("full", **IMAGES),
        make_mapping("bayesian", S, 4),
        num_classes=4,
    )
    images, labels = torch.rand(10, 3, 5, 5), torch.arange(10) % 4
    wrapped.fit_mapping([(images[:7], labels[:7]), (images[7:], labels[7:])])
    assert wrapped.queries == 10
    assert wrapped(images).shape == (10, 4)
    assert wrapped.queries == 20
    with pytest.raises(ModelError, match="a plain callable has no head"):
        ReprogrammedNetwork(lambda x: x, make_program("full", **IMAGES), None, num_classes=4, train_head=True)


def test_a_torchvision_model_takes_images_of_any_size() -> None:
    import torchvision

    torch.manual_seed(0)
    source = torchvision.models.squeezenet1_1(num_classes=20)
    wrapped = ReprogrammedNetwork(
        source,
        make_program("full", channels=3, size=64),
        make_mapping("frequent", 20, 3, per_class=2),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        num_classes=3,
    )
    before = state_of(source)
    for size in ((8, 8), (64, 64), (100, 30)):
        images = torch.randint(0, 256, (4, 1, *size), dtype=torch.uint8)
        train(wrapped, images, torch.tensor([0, 1, 2, 0]), steps=1)
        assert wrapped.eval()(images).shape == (4, 3)
    assert same(state_of(source), before)
    head = ReprogrammedNetwork(
        source,
        make_program("full", channels=3, size=64),
        None,
        num_classes=5,
        train_head=True,
        head="classifier.1",
    )
    assert head(torch.rand(2, 3, 9, 9)).shape == (2, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mapping": make_mapping("bayesian", S, 4)}, "num_classes=3 classes is needed, but it maps onto 4"),
        ({"mapping": None}, "is needed, but none is given"),
        ({"mapping": make_mapping("bayesian", S, 3), "train_head": True}, "give mapping=None"),
        ({"mapping": make_mapping("bayesian", S, 3), "head": "6"}, "say train_head=True"),
        ({"mapping": make_mapping("bayesian", S, 3), "mean": (0.1,), "std": (0.0,)}, "positive"),
        ({"mapping": None, "train_head": True, "head": "0.1"}, "no head '0.1'"),
        ({"mapping": None, "train_head": True, "head": "1"}, "no head '1'"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((UsageError, ModelError), match=message):
        ReprogrammedNetwork(image_source(), make_program("full", **IMAGES), num_classes=3, **arguments)  # type: ignore[arg-type]


def test_statistics_of_another_width_are_refused() -> None:
    wrapped = ReprogrammedNetwork(
        image_source(),
        make_program("full", **IMAGES),
        make_mapping("bayesian", S, 3),
        mean=(0.1,),
        num_classes=3,
    )
    with pytest.raises(ModelError, match="mean and std have 1 numbers, but the program gives 3 channels"):
        wrapped(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda text: text.replace("[16, 16]", "[1000000000, 1000000000]").replace("16,", "10000000000,"),
            "no program",
        ),
        (lambda text: text.replace('"num_classes": 4', '"num_classes": 1e400'), "no program"),
        (
            lambda text: text.replace('"num_classes": 4', '"num_classes": 900000').replace(
                ": 7,", ": 900000,"
            ),
            "no program",
        ),
        (lambda text: "[" * 100_000, "holds no saved program"),
        (lambda text: text.replace("foretoll.program/1", "\\u001b" * 10_000), "its schema is"),
        (lambda text: "[]", "holds no saved program"),
        (lambda text: text.ljust(2 * 2**20), "is longer than"),
    ],
    ids=["huge", "infinite", "wide", "deep", "escapes", "list", "long"],
)
def test_a_description_that_lies_takes_no_memory(
    damage: Callable[[str], str], words: str, tmp_path: Path
) -> None:
    source, wrapped, _, _ = built("full", "linear")
    save_reprogrammed(wrapped, tmp_path / "p")
    file = tmp_path / "p" / "program.json"
    text = file.read_text()
    file.write_text(damage(text))
    assert file.read_text() != text
    with pytest.raises(ModelError, match=words) as refused:
        load_reprogrammed(tmp_path / "p", source)
    assert len(str(refused.value)) <= 300
    assert str(refused.value).isprintable()
