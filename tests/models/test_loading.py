"""Specs, the user's own functions, modules in memory, and names that are wrong."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import build_model, countable_layers, fresh_copy, load_model, save_checkpoint
from foretoll.models.spec import family_label, parse_spec

FACTORY = """
import torch
from torch import Tensor, nn

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))

def sized(num_classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))

def broken():
    raise RuntimeError("no such luck")

def number():
    return 3

class Group:
    make = staticmethod(sized)

constant = 5
"""


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, in the current folder, which is not on sys.path."""
    name = f"my_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FACTORY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return name


def test_spec_options_have_types_and_arguments_win() -> None:
    spec = parse_spec("foretoll:cnn?width=32&norm=group&new_head=true&x=0.5", {"width": 8})
    assert spec.options == {"width": 8, "norm": "group", "new_head": True, "x": 0.5}
    assert spec.build_options == {"width": 8, "norm": "group", "x": 0.5}
    assert spec.arch == "foretoll:cnn"
    assert parse_spec("my.pkg:Class.make?depth=2").scheme == "factory"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("wide_resnet50_2", "resnet"), ("resnext50_32x4d", "resnet"), ("vgg16_bn", "vgg"), ("mobilevit_s", "other"),
        ("mobilenet_v3_large", "mobilenet"), ("densenet201", "densenet"), ("tf_efficientnetv2_s", "efficientnet"),
        ("deit3_small_patch16_224", "vit"), ("convnextv2_atto", "convnext"), ("swin_t", "other"),
    ],
)  # fmt: skip
def test_families(name: str, family: str) -> None:
    assert family_label(name) == family


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("torchvision:resnet81", "did you mean 'resnet18'"),
        ("torchvison:resnet18", "did you mean torchvision:resnet18"),
        ("foretoll:cn", "did you mean 'cnn'"),
        ("cnn", "did you mean foretoll:cnn"),
        ("foretoll:", "names no architecture"),
        ("no_such_package.sub:make", "cannot be found from"),
        ("foretoll:cnn?normalise=sometimes", "unknown normalise 'sometimes'"),
        ("foretoll:cnn?input_size=big", "input_size is a side such as 224"),
        ("foretoll:cnn?mean=a,b", "mean is a number per channel"),
        ("foretoll:cnn?mean=0.1,0.2", "mean needs 1 numbers"),
        ("foretoll:cnn?std=0", "std must be positive"),
    ],
)
def test_wrong_names_say_the_nearest(spec: str, words: str, digits: TaskData) -> None:
    with pytest.raises(UsageError, match=words):
        load_model(spec, data=digits)


def test_architectures_that_need_data_say_so() -> None:
    with pytest.raises(UsageError, match="foretoll:cnn needs data"):
        load_model("foretoll:cnn")
    with pytest.raises(UsageError, match="a module in memory needs data"):
        load_model(nn.Linear(3, 2))


def test_data_of_another_kind(vectors: TaskData) -> None:
    with pytest.raises(ModelError, match="torchvision:resnet18 takes image samples"):
        load_model("torchvision:resnet18", data=vectors)
    with pytest.raises(ModelError, match="cannot take samples of shape"):
        build_model("foretoll:resnet", data=vectors, seed=0)


def test_an_input_too_small_for_the_network(digits: TaskData) -> None:
    with pytest.raises(ModelError, match=r"fails on a batch of shape \(2, 3, 8, 8\).*input_size"):
        build_model("torchvision:squeezenet1_1?input_size=8", data=digits, seed=0)


def test_factories(factory: str, digits: TaskData, tmp_path: Path) -> None:
    before = list(sys.path)
    model = build_model(f"{factory}:sized?width=12", data=digits, seed=0)
    assert model.head_module().in_features == 12
    assert model.num_classes == 10
    assert build_model(f"{factory}:Group.make", data=digits, seed=0).num_classes == 10
    plain = build_model(f"{factory}:plain", data=digits, seed=0)  # takes no num_classes: its head is replaced
    assert plain.num_classes == 10
    assert sys.path == before
    save_checkpoint(plain, tmp_path / "m")
    again = load_model(f"{factory}:plain", data=digits, weights=tmp_path / "m")
    assert torch.equal(again.network[3].weight, plain.network[3].weight)
    save_file(dict(model.network.state_dict()), tmp_path / "w.safetensors")
    loaded = load_model(
        f"{factory}:sized", data=digits, weights=tmp_path / "w.safetensors", options={"width": 12}
    )
    assert loaded.card.preprocessing.mean == ()  # trained elsewhere: nothing is assumed, and that is said
    assert "pixels of 0 … 1, not normalised" in loaded.card.reading
    known = load_model(
        f"{factory}:sized?width=12&mean=0.5&std=0.5", data=digits, weights=tmp_path / "w.safetensors"
    )
    assert known.card.preprocessing.mean == (0.5,) and known.card.reading == again.card.reading == ""
    with pytest.raises(ModelError, match="do not fit the architecture"):
        load_model(f"{factory}:sized", data=digits, weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("plian", UsageError, "did you mean 'plain'"),
        ("constant", UsageError, "is no function or class"),
        ("broken", ModelError, "RuntimeError: no such luck"),
        ("number", ModelError, "returns int, not a torch.nn.Module"),
        ("sized?depth=3", ModelError, "unexpected keyword argument 'depth'"),
    ],
)
def test_factories_that_fail(
    attribute: str, error: type[Exception], words: str, factory: str, digits: TaskData
) -> None:
    with pytest.raises(error, match=words):
        build_model(f"{factory}:{attribute}", data=digits, seed=0)


def test_a_module_that_fails_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: TaskData
) -> None:
    (tmp_path / "half_done_module.py").write_text("import a_library_that_is_not_there\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"importing .half_done_module. fails: No module named 'a_library"):
        build_model("half_done_module:make", data=digits, seed=0)


def test_a_module_in_memory_is_used_as_it_is(colour: TaskData) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = load_model(network, data=colour)
    assert model.network is network
    inputs = next(iter(colour.test.batches(2))).inputs
    prepared = model.prepare(inputs)
    assert isinstance(prepared, torch.Tensor)
    assert prepared.shape == (2, 1, 24, 20)  # grey, as its first convolution wants; in [0, 1]
    assert prepared.min() >= 0
    assert prepared.max() <= 1
    normalised = load_model(network, data=colour, options={"mean": "0.5", "std": 0.25, "input_size": "8x6"})
    assert normalised.card.preprocessing.mean == (0.5,)
    assert normalised.card.preprocessing.size == (8, 6)
    assert load_model(model, data=colour) is model
    with pytest.raises(UsageError, match="has its weights, head and embedding layer already"):
        load_model(model, head="0")
    with pytest.raises(UsageError, match="did you mean 'input_size'"):
        load_model(network, data=colour, options={"input_sise": 3})


def test_lazy_layers_get_their_weights(digits: TaskData) -> None:
    model = load_model(
        nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 10)), data=digits
    )
    assert model.card.parameters == 64 * 16 + 16 + 16 * 10 + 10


def test_fresh_library_networks_take_the_data_at_their_size(colour: TaskData) -> None:
    card = build_model("torchvision:squeezenet1_1?input_size=64", data=colour, seed=0).card
    assert (card.preprocessing.size, card.preprocessing.channels) == ((64, 64), 3)
    assert build_model("torchvision:mobilenet_v3_small", data=colour, seed=0).card.preprocessing.size == (
        32,
        32,
    )


def test_clone_is_independent(digits: TaskData) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    copy = model.clone()
    with torch.no_grad():
        next(copy.parameters()).zero_()
    assert next(model.parameters()).abs().sum() > 0
    assert copy.card == model.card


def test_fresh_copy_is_the_same_architecture_with_other_weights(digits: TaskData, colour: TaskData) -> None:
    model = build_model("foretoll:cnn?width=4&input_size=12", data=digits, seed=0)
    one, two = fresh_copy(model, colour, seed=3), fresh_copy(model, colour, seed=3)
    assert (one.num_classes, one.card.arch_options) == (3, {"width": 4})
    assert (one.card.preprocessing.size, one.card.preprocessing.channels) == ((12, 12), 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    memory = load_model(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), data=digits
    )
    again = fresh_copy(memory, digits, seed=1)
    assert not torch.equal(again.network[1].weight, memory.network[1].weight)


def test_a_transformer_encoder_has_its_layers_seen(series: TaskData) -> None:
    """torch's fused path for encoders in evaluation mode calls no module; hooks must switch it off."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(30, 3, 48, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.head = nn.Linear(30, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.encoder(x).mean(1))
            return out

    model = load_model(Encoder(), data=series)
    assert model.head_name == "head"
    assert countable_layers(model) == ["encoder.layers.0.linear1", "encoder.layers.0.linear2"]


def test_published_weights_come_from_the_librarys_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colour: TaskData
) -> None:
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    network = squeezenet1_1()
    file = tmp_path / "hub" / "checkpoints" / SqueezeNet1_1_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    model = load_model("torchvision:squeezenet1_1", weights="IMAGENET1K_V1")
    assert model.num_classes == 1000
    assert model.card.preprocessing.size == (224, 224)
    assert torch.equal(next(model.parameters()), next(network.parameters()))
    with pytest.raises(ModelError, match="1000 classes and the data have 3"):
        load_model("torchvision:squeezenet1_1", weights="DEFAULT", data=colour)
    torch.save(network, file)  # somebody has put a pickle into the cache
    with pytest.raises(ModelError, match="cannot be fetched"):
        load_model("torchvision:squeezenet1_1", weights="DEFAULT")
    with pytest.raises(ModelError, match="there is no weights file at IMAGENET1K_V7"):
        load_model("torchvision:squeezenet1_1", weights="IMAGENET1K_V7")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_same_numbers(digits: TaskData, tmp_path: Path) -> None:
    model = build_model("foretoll:cnn", data=digits, seed=0).eval()
    inputs = next(iter(digits.test.batches(16))).inputs
    with torch.no_grad():
        expected, logits = model.embed_and_classify(inputs)
        moved = model.clone().to("cuda")
        there, logits_there = moved.embed_and_classify(inputs)
        torch.testing.assert_close(there.cpu(), expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(logits_there.cpu(), logits, rtol=1e-3, atol=1e-3)
    one, two = moved.with_new_head(["a", "b"], seed=1), model.with_new_head(["a", "b"], seed=1)
    assert torch.equal(one.head_module().weight.cpu(), two.head_module().weight)  # type: ignore[arg-type, operator]  # Linear
    save_checkpoint(moved, tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m").head_module().weight, model.head_module().weight)  # type: ignore[arg-type]


# --- precision of what is handed in -----------------------------------------------------------------


class Cast(nn.Module):
    """In half precision from its first layer on, with a table in another."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU()).to(dtype)
        self.head = nn.Linear(12, 10)
        self.register_buffer("table", torch.ones(12, dtype=torch.float64))
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.body(x) * self.table.to(x.dtype)
        logits: Tensor = self.head(self.kept)
        return logits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_in_memory_is_trained_in_float32(dtype: torch.dtype, digits: TaskData) -> None:
    torch.manual_seed(0)
    module = Cast(dtype)
    module.kept = module.body[1].weight.sum()  # an activation with its graph, which no deepcopy takes
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = load_model(module, data=digits)
    kinds = {v.dtype for v in itertools.chain(model.network.parameters(), model.network.buffers())}
    assert kinds == {torch.float32, torch.int64}
    narrowest = "float64" if dtype is torch.float64 else str(dtype).removeprefix("torch.")
    assert model.card.reading == f"weights stored in {narrowest}, used in float32"
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name].to(value.dtype))
    with torch.no_grad():
        model.network.body[1].weight.zero_()  # type: ignore[index, operator, union-attr]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert {k: v.dtype for k, v in module.state_dict().items()} == {k: v.dtype for k, v in before.items()}


def test_a_module_in_float32_is_taken_itself(digits: TaskData) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model = load_model(module, data=digits)
    assert model.network is module
    assert model.card.reading == ""


def half_network(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes)).half()


def test_a_factory_of_half_precision(digits: TaskData) -> None:
    model = build_model(f"{__name__}:half_network", data=digits, seed=0)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
