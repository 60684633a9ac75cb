"""Option lora: adapters that merge into the plain architecture; layers that cannot be adapted are left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foretoll.data import TaskData, open_data
from foretoll.errors import MissingExtraError, ModelError, UsageError
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model, load_model, save_checkpoint
from foretoll.options import get_option, train_to_target
from foretoll.options.adapters import adaptable
from foretoll.options.lora import RANK
from foretoll.options.memory import training_state_bytes
from foretoll.records import TrainingSettings

from .making import CNN, blobs, digits, mlp, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=1, lr=0.01, until=1.0)


@pytest.fixture(scope="module")
def images() -> TaskData:
    return digits(100)


@pytest.fixture(scope="module")
def series() -> TaskData:
    generator = torch.Generator().manual_seed(0)
    return open_data((torch.randn(100, 2, 24, generator=generator).numpy(), (torch.arange(100) % 3).numpy()))


class Odd(nn.Module):
    """Layers that get no adapter, each for its own reason, around one that does."""

    def __init__(self, num_classes: int = 10, *, plain: bool = True) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(1, 4, 3, padding=1)
        if not plain:
            self.depthwise = nn.Conv2d(1, 4, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, groups=4)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.circular = nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular")
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.unused = nn.Linear(16, 16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = (
            self.circular(self.dilated(self.grouped(torch.relu(self.depthwise(x)))))
            .flatten(2)
            .transpose(1, 2)
        )
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


@pytest.mark.parametrize(
    "arch",
    [
        "foretoll:cnn?width=4",
        "foretoll:resnet?width=4",
        "foretoll:vit?dim=8&depth=2&heads=2",
        "foretoll:mlp?width=16",
        "foretoll:cnn1d?width=4",
        "torchvision:resnet18",
        "torchvision:squeezenet1_1",
        "odd",
    ],
)
def test_merged_outputs_are_the_adapters_outputs_under_the_same_names(
    arch: str, images: TaskData, series: TaskData, tmp_path: Path
) -> None:
    data = series if "1d" in arch else images
    model = load_model(Odd(), data=data) if arch == "odd" else build_model(arch, data=data, seed=0)
    option = get_option("lora")
    training = option.start(model, data, SETTINGS, task_shift=False, device=CPU)
    inputs = next(data.test.batches(6)).inputs
    with torch.no_grad():
        untouched = model.eval()(inputs)
        assert torch.allclose(training.model.eval()(inputs), untouched, atol=1e-5), (
            "adapters add nothing at first"
        )
        for name, parameter in training.trainable.items():  # as a long training would leave them
            parameter.add_(
                0.03 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
            )
        adapted = training.model(inputs)
    done = training.finish().eval()
    with torch.no_grad():
        merged = done(inputs)
    scale = max(1.0, float(adapted.abs().max()))
    assert not torch.allclose(adapted, untouched, atol=1e-3)
    assert torch.allclose(merged, adapted, atol=1e-5 * scale, rtol=1e-5)
    assert list(weights(done)) == list(weights(model))
    assert [type(m) for m in done.network.modules()] == [type(m) for m in model.network.modules()]
    assert not hasattr(done.network, "peft_config")
    if arch != "odd":
        again = load_model(str(save_checkpoint(done, tmp_path / "out"))).eval()
        with torch.no_grad():
            assert torch.equal(again(inputs), merged)


def test_training_moves_the_adapters_and_the_head_but_no_weight_of_the_backbone(images: TaskData) -> None:
    model, option = build_model(CNN, data=images, seed=0), get_option("lora")
    training = option.start(model, images, SETTINGS, task_shift=False, device=CPU)
    start = {n: p.detach().clone() for n, p in training.model.network.named_parameters()}
    stated = training_state_bytes(option, training, SETTINGS)
    train_to_target(option, training, SETTINGS, meter=NoMeter())
    moved = {n for n, p in training.model.network.named_parameters() if not torch.equal(p, start[n])}
    assert moved == set(training.trainable)
    assert all("lora_" in n or n.startswith("head.") for n in moved) and {"head.weight", "head.bias"} < moved
    size = {n: p.numel() * 4 for n, p in training.model.network.named_parameters()}
    buffers = sum(b.numel() * b.element_size() for b in training.model.network.buffers())
    trained = sum(size[n] for n in moved)
    assert stated == sum(size.values()) + buffers + trained + 2 * trained + 4 * len(moved)


def test_one_seed_gives_the_same_adapters_and_another_others(images: TaskData) -> None:
    model = build_model(CNN, data=images, seed=0)
    random = torch.get_rng_state()
    first, again, other = (
        get_option("lora")
        .start(model, images, SETTINGS.model_copy(update={"seed": s}), task_shift=False, device=CPU)
        .trainable
        for s in (1, 1, 2)
    )
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)
    assert torch.equal(random, torch.get_rng_state())


def test_ranks_are_smaller_than_the_layers_and_names_that_end_alike_are_told_apart() -> None:
    inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 6))
    network = nn.Sequential(inner, nn.Linear(6, 30), nn.ReLU(), nn.Linear(30, 10))
    model = load_model(network, data=digits(100))
    # "1" is also the end of "0.1", "3" (the head) of "0.3"
    assert adaptable(model, RANK) == {"0.1": RANK, "0.3": 3, "1": 3}
    training = get_option("lora").start(model, digits(100), SETTINGS, task_shift=False, device=CPU)
    shapes = {n: tuple(p.shape) for n, p in training.trainable.items() if "lora_A" in n}
    assert shapes == {
        "0.1.lora_A.default.weight": (8, 64),
        "0.3.lora_A.default.weight": (3, 40),
        "1.lora_A.default.weight": (3, 6),
    }


def test_layers_that_peft_cannot_adapt_are_left_alone(images: TaskData) -> None:
    assert list(adaptable(load_model(Odd(), data=images), RANK)) == ["depthwise"]


def test_nothing_to_adapt_is_told(images: TaskData) -> None:
    model = load_model(Odd(plain=False), data=images)
    why = get_option("lora").suits(model, images, task_shift=False)
    assert why is not None and "no layer" in why and "use partial or finetune" in why
    with pytest.raises(UsageError, match="lora finds no layer"):
        get_option("lora").prepare(model, images, task_shift=False, seed=0)


def test_without_the_library_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r'the option lora needs .* pip install "foretoll\[peft\]"'):
        get_option("lora").suits(mlp(blobs()), blobs(), task_shift=False)


def test_adapters_that_do_not_merge_are_an_error_and_not_a_wrong_model(
    images: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import Conv2d

    model: Model = build_model(CNN, data=images, seed=0)
    training = get_option("lora").start(model, images, SETTINGS, task_shift=False, device=CPU)
    with torch.no_grad():
        for parameter in training.trainable.values():
            parameter.add_(0.5)
    monkeypatch.setattr(Conv2d, "merge", lambda self, safe_merge=False: None)
    with pytest.raises(ModelError, match="cannot be merged"):
        training.finish()


def _gpt2() -> nn.Module:
    """A decoder whose layers are transformers' Conv1D, its weights (inputs, out)."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=16, n_layer=1, n_head=2, n_positions=12, pad_token_id=0, num_labels=3
    )
    torch.manual_seed(0)
    made: nn.Module = transformers.GPT2ForSequenceClassification(config)
    return made


class Tokens(nn.Module):
    """Vectors of six numbers as the embeddings of six tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _gpt2()
        self.rise = nn.Linear(1, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.inner.transformer(inputs_embeds=self.rise(x[..., None])).last_hidden_state  # type: ignore[operator,union-attr]
        logits: torch.Tensor = self.inner.score(hidden)[:, -1]  # type: ignore[operator]
        return logits


def test_transposed_layers_are_adapted_and_merged() -> None:
    data = blobs()
    model = load_model(Tokens(), data=data)
    found = adaptable(model, RANK)
    assert {
        f"inner.transformer.h.0.{n}" for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    } <= set(found)
    option = get_option("lora")
    training = option.start(model, data, SETTINGS, task_shift=False, device=CPU)
    train_to_target(option, training, SETTINGS, meter=NoMeter())
    with torch.no_grad():
        before = training.model.eval()(data.test.all().inputs)
        after = training.finish().eval()(data.test.all().inputs)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


class Asks(nn.Module):
    """Reads its convolution's settings, as padding by hand does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 6, 3, stride=2), nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pad = x.shape[-1] % self.conv.stride[0]
        x.mul_(2.0)  # in place, too: the example that outputs are compared on must not be written into twice
        return self.head(self.conv(nn.functional.pad(x, (0, pad, 0, pad))).mean((2, 3)))


def test_a_network_reads_the_settings_of_an_adapted_layer(images: TaskData) -> None:
    option = get_option("lora")
    training = option.start(load_model(Asks(), data=images), images, SETTINGS, task_shift=False, device=CPU)
    train_to_target(option, training, SETTINGS, meter=NoMeter())
    assert type(training.finish().layer("conv")) is nn.Conv2d


class Chaotic(nn.Module):
    """Blows up what its first layer rounds: its outputs tell nothing of whether an adapter was merged."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(64, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 1, 8, 8) to logits."""
        logits: Tensor = self.head((1e8 * self.body(x.flatten(1))).sin())
        return logits


def test_a_network_that_blows_up_rounding_is_judged_layer_by_layer(images: TaskData) -> None:
    torch.manual_seed(0)
    model = load_model(Chaotic(), data=images)
    training = get_option("lora").start(model, images, SETTINGS, task_shift=False, device=CPU)
    with torch.no_grad():
        for parameter in training.trainable.values():
            parameter.add_(0.05)
    body = training.model.network.get_submodule("body")
    given = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    want = body(given).detach()
    before = training.model.eval()(images.test.all().inputs).detach()
    served = training.finish()
    assert not torch.allclose(served(images.test.all().inputs), before, atol=0.01)
    torch.testing.assert_close(served.network.get_submodule("body")(given), want)
