"""Head and embedding are found in networks of every make; representations do not depend on the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import Model, build_model, countable_layers, load_model, pool_positions
from foretoll.models.anatomy import pool_any

# name, options, family, head, width of the embedding, number of countable layers (None: not counted by hand)
TORCHVISION = [
    ("resnet18", {}, "resnet", "fc", 512, 20),
    ("vgg11", {"dropout": 0.1}, "vgg", "classifier.6", 4096, 10),
    ("mobilenet_v2", {"width_mult": 0.35}, "mobilenet", "classifier.1", 1280, None),
    ("mobilenet_v3_small", {}, "mobilenet", "classifier.3", 1024, None),
    ("densenet121", {}, "densenet", "classifier", 1024, 120),
    ("efficientnet_b0", {}, "efficientnet", "classifier.1", 1280, None),
    ("vit_b_32", {"input_size": 32}, "vit", "heads.head", 768, 25),
    ("convnext_tiny", {}, "convnext", "classifier.2", 768, None),
    ("swin_t", {"input_size": 64}, "other", "head", 768, None),
    ("squeezenet1_1", {"input_size": 64}, "other", "classifier.1", 512, 25),
]


@pytest.mark.parametrize(("name", "options", "family", "head", "dim", "layers"), TORCHVISION)
def test_torchvision(
    name: str,
    options: dict[str, object],
    family: str,
    head: str,
    dim: int,
    layers: int | None,
    colour: TaskData,
) -> None:
    model = build_model(f"torchvision:{name}", data=colour, seed=0, options=options).eval()
    inputs = next(iter(colour.test.batches(3))).inputs
    with torch.no_grad():
        representation, logits = model.embed_and_classify(inputs)
        assert torch.equal(logits, model(inputs))
    assert (model.card.family, model.head_name, logits.shape) == (family, head, (3, 3))
    assert representation.shape == (3, dim)
    if layers is not None:
        assert len(countable_layers(model)) == layers
    changed = model.with_new_head(["a", "b", "c", "d", "e"], seed=1)
    assert changed(inputs).shape == (3, 5)


@pytest.mark.parametrize("arch", ["mlp", "cnn", "resnet", "vit"])
def test_representation_is_the_heads_input_for_any_batch_size(arch: str, digits: TaskData) -> None:
    model = build_model(f"foretoll:{arch}", data=digits, seed=0).eval()
    inputs = next(iter(digits.test.batches(20))).inputs
    with torch.no_grad():
        whole, logits = model.embed_and_classify(inputs)
        torch.testing.assert_close(model.head_module()(whole), logits)
        for size in (1, 7):
            parts = [model.embed_and_classify(part) for part in inputs.split(size)]
            torch.testing.assert_close(torch.cat([p[0] for p in parts]), whole, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(torch.cat([p[1] for p in parts]), logits, rtol=1e-5, atol=1e-5)


def test_gradients_flow_and_no_hook_stays(digits: TaskData) -> None:
    model = build_model("foretoll:cnn", data=digits, seed=0)
    inputs = next(iter(digits.train.batches(4))).inputs
    representation, _ = model.embed_and_classify(inputs)
    representation.sum().backward()
    assert any(p.grad is not None for p in model.parameters())
    countable_layers(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_works_under_autocast(digits: TaskData) -> None:
    model = build_model("foretoll:cnn", data=digits, seed=0).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        representation, logits = model.embed_and_classify(next(iter(digits.test.batches(4))).inputs)
    assert representation.dtype == torch.float32
    assert logits.shape == (4, 10)


def test_the_dry_run_disturbs_nothing(digits: TaskData) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    )
    network.train()
    network[1].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.random.get_rng_state()
    model = load_model(network, data=digits)
    countable_layers(model)
    assert torch.equal(random, torch.random.get_rng_state())
    assert [m.training for m in network] == [True, False, True, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_named_embedding_layer_and_head(digits: TaskData) -> None:
    body = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 12, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network = nn.Sequential(body, nn.Linear(12, 10))
    model = load_model(network, data=digits, embedding_layer="0.0", head="1").eval()
    inputs = next(iter(digits.test.batches(3))).inputs
    representation, _ = model.embed_and_classify(inputs)
    expected = network[0][0](model.prepare(inputs)).mean((2, 3))
    torch.testing.assert_close(representation, expected)
    assert (model.embedding_name, model.head_name) == ("0.0", "1")
    with pytest.raises(UsageError, match="did you mean"):
        load_model(network, data=digits, embedding_layer="0.9")


class _Functional(nn.Module):
    """A head that is no module: foretoll cannot see it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.weight = nn.Parameter(torch.randn(10, 6))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.conv(x).mean((2, 3)), self.weight)


class _LastCalledFirst(nn.Module):
    """Two Linear modules of as many outputs as classes: the one that makes the logits is called last."""

    def __init__(self, swap: bool) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.gate = nn.Linear(64, 10)
        self.swap = swap

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        if self.swap:
            logits, other = self.head(x), self.gate(x)
        else:
            other, logits = self.gate(x), self.head(x)
        return logits, other


def test_no_head_lists_the_candidates(digits: TaskData) -> None:
    with pytest.raises(
        ModelError, match=r"no layer looks like the head of 10 classes.*'conv' \(2, 6, 6, 6\)"
    ):
        load_model(_Functional(), data=digits)
    model = load_model(_Functional(), data=digits, head="conv")  # the user may know better
    assert model.head_name == "conv"


@pytest.mark.parametrize("swap", [True, False])
def test_the_head_is_the_module_that_makes_the_logits(swap: bool, digits: TaskData) -> None:
    assert load_model(_LastCalledFirst(swap), data=digits).head_name == "head"


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Conv2d(1, 10, 3), r"returns shape \(2, 10, 6, 6\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1)), "ends in a softmax"),
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), "fails on a batch of shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "7 classes, but the data or names given have 10"),
    ],
)
def test_networks_that_are_no_classifier_of_the_data(
    network: nn.Module, words: str, digits: TaskData
) -> None:
    with pytest.raises(ModelError, match=words):
        load_model(network, data=digits)


def test_what_a_network_raises_is_repeated_in_printable_words(vectors: TaskData) -> None:
    class Coloured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(7, 3)

        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("\x1b[31mno such layer" + "x" * 10_000)

    with pytest.raises(ModelError, match="no such layer") as raised:
        load_model(Coloured(), data=vectors)
    assert str(raised.value).isprintable() and len(str(raised.value)) <= 300


def test_a_single_layer_has_a_head_too(vectors: TaskData) -> None:
    model = load_model(nn.Linear(7, 3), data=vectors)
    representation, _ = model.embed_and_classify(next(iter(vectors.test.batches(4))).inputs)
    assert representation.shape == (4, 7)
    assert model.with_new_head(["x", "y"], seed=0).num_classes == 2


def test_new_head_leaves_the_original_and_the_global_generator_alone(digits: TaskData) -> None:
    model = build_model("foretoll:cnn", data=digits, seed=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(5)
    random = torch.random.get_rng_state()
    one = model.with_new_head(["a", "b"], seed=7)
    assert torch.equal(random, torch.random.get_rng_state())
    torch.manual_seed(6)
    two, other = model.with_new_head(["a", "b"], seed=7), model.with_new_head(["a", "b"], seed=8)
    assert torch.equal(_weight(one), _weight(two))
    assert not torch.equal(_weight(one), _weight(other))
    assert (one.classes, one.num_classes) == (("a", "b"), 2)
    assert one.card.parameters == model.card.parameters - 8 * (96 + 1)
    with torch.no_grad():
        for p in one.parameters():
            p.add_(1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(UsageError, match="at least one class"):
        model.with_new_head([], seed=0)


def test_trainable_parameters_are_those_that_require_gradients(digits: TaskData) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    model.network.requires_grad_(False)
    model.head_module().requires_grad_(True)
    assert set(model.trainable_parameters()) == {"head.weight", "head.bias"}


def test_countable_layers_in_order_and_pooled(digits: TaskData) -> None:
    model = build_model("foretoll:vit?depth=1&dim=16", data=digits, seed=0).eval()
    names = countable_layers(model)
    assert names == ["embed", "blocks.0.qkv", "blocks.0.proj", "blocks.0.fc1", "blocks.0.fc2"]
    tokens, image = torch.rand(2, 5, 48), torch.rand(2, 16, 4, 4)
    torch.testing.assert_close(pool_positions(tokens, model.layer("blocks.0.qkv")), tokens.mean(1))
    torch.testing.assert_close(pool_positions(image, model.layer("embed")), image.mean((2, 3)))
    assert pool_positions(torch.rand(2, 9), model.head_module()).shape == (2, 9)


def test_pooling_of_other_modules_finds_the_channel_axis() -> None:
    x = torch.rand(2, 6, 5, 4)
    torch.testing.assert_close(pool_any(x, nn.BatchNorm2d(6)), x.mean((2, 3)))
    torch.testing.assert_close(pool_any(x, nn.LayerNorm(4)), x.mean((1, 2)))
    torch.testing.assert_close(pool_any(x, nn.Identity()), x.mean((2, 3)))
    tokens = torch.rand(2, 3, 8)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    pooled = pool_any(tokens, nn.LayerNorm(8), mask)
    torch.testing.assert_close(pooled[0], tokens[0, :2].mean(0))
    torch.testing.assert_close(pooled[1], tokens[1].mean(0))
    with pytest.raises(ModelError, match="one number per sample"):
        pool_any(torch.rand(3), nn.Identity())


def _weight(model: Model) -> Tensor:
    head = model.head_module()
    assert isinstance(head, nn.Linear)
    return head.weight
